import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.class_colors import DEEPGLOBE
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.color_key import ColorKey
from fctl_napari.imagery.labels.ground_truth import open_ground_truth

COLORS = [(10, 20, 30), (200, 210, 220), (10, 20, 31)]
PURE = [(0, 255, 255), (255, 255, 0), (0, 0, 0)]


@given(st.integers(0, 2**31))
def test_colors_are_looked_up(seed):
    ground_truth = np.random.default_rng(seed).integers(0, 3, (5, 7))
    for colors in (COLORS, PURE):
        pixels = np.array(colors, np.uint8)[ground_truth]
        assert np.array_equal(ColorKey(colors, "m").indices(pixels), ground_truth)


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=20))
def test_deepglobes_colors_are_thresholded_at_128(pixels):
    colors = [color for _, color in DEEPGLOBE]
    named = {color: k for k, color in enumerate(colors)}
    nearest = [named.get(tuple(255 if value >= 128 else 0 for value in pixel)) for pixel in pixels]
    array = np.array([pixels], np.uint8)
    if None in nearest:
        with pytest.raises(InputError, match="which no class has"):
            ColorKey(colors, "m").indices(array)
    else:
        assert ColorKey(colors, "m").indices(array)[0].tolist() == nearest


@pytest.mark.parametrize("color", [(139, 0, 0), (1, 255, 255), (140, 20, 90), (128, 128, 128), (254, 255, 0)])
@pytest.mark.parametrize("classes", [PURE, [*PURE, (255, 0, 0)], [c for _, c in DEEPGLOBE[1:]]])
def test_near_pure_colors_of_other_tables_are_no_class(color, classes):
    pixels = np.array([[classes[0], color]], np.uint8)
    with pytest.raises(InputError, match="which no class has"):
        ColorKey(classes, "m").indices(pixels)


def test_what_is_transparent_has_no_class():
    pixels = np.array([[(*COLORS[1], 255), (*COLORS[1], 0), (0, 0, 0, 0), (*COLORS[2], 1)]], np.uint8)
    assert ColorKey(COLORS, "m").indices(pixels).tolist() == [[1, 255, 255, 2]]


def test_two_classes_of_one_color_are_refused():
    with pytest.raises(InputError, match="two classes have the same"):
        ColorKey([(1, 2, 3), (1, 2, 3)], "m")


def test_png_and_tiff_masks_of_colors_are_ground_truths(tmp_path):
    ground_truth = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.uint8)
    pixels = np.array(COLORS, np.uint8)[ground_truth]
    Image.fromarray(pixels).save(tmp_path / "m.png")
    Image.fromarray(np.dstack([pixels, np.full_like(ground_truth, 9)])).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "m.tif", pixels, photometric="rgb", tile=(16, 16))
    for name in ("m.png", "a.png", "m.tif"):
        source = open_ground_truth(tmp_path / name, COLORS)
        assert source.by_color
        assert np.array_equal(source.read((-2, 3, 40, 50))[2:], ground_truth[:, 3:])
        with pytest.raises(InputError, match="save class indices"):
            open_ground_truth(tmp_path / name)
    stray = open_ground_truth(tmp_path / "m.tif", COLORS[:2])
    with pytest.raises(InputError, match=r"m\.tif: holds the color \(10, 20, 31\)"):
        stray.read((0, 0, 40, 50))
    Image.fromarray(ground_truth).save(tmp_path / "indices.png")
    assert not open_ground_truth(tmp_path / "indices.png", COLORS).by_color
