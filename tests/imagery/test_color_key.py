import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.errors import InputError
from fctl_napari.imagery.color_key import ColourKey
from fctl_napari.imagery.ground_truth import open_truth
from fctl_napari.model.classes import DEEPGLOBE

COLOURS = [(10, 20, 30), (200, 210, 220), (10, 20, 31)]
PURE = [(0, 255, 255), (255, 255, 0), (0, 0, 0)]


@given(st.integers(0, 2**31))
def test_colours_are_looked_up(seed):
    truth = np.random.default_rng(seed).integers(0, 3, (5, 7))
    for colours in (COLOURS, PURE):
        pixels = np.array(colours, np.uint8)[truth]
        assert np.array_equal(ColourKey(colours, "m").indices(pixels), truth)


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=20))
def test_deepglobes_colours_are_told_from_128_on(pixels):
    colours = [colour for _, colour in DEEPGLOBE]
    named = {colour: k for k, colour in enumerate(colours)}
    nearest = [named.get(tuple(255 if value >= 128 else 0 for value in pixel)) for pixel in pixels]
    array = np.array([pixels], np.uint8)
    if None in nearest:
        with pytest.raises(InputError, match="which is no class's"):
            ColourKey(colours, "m").indices(array)
    else:
        assert ColourKey(colours, "m").indices(array)[0].tolist() == nearest


@pytest.mark.parametrize("colour", [(139, 0, 0), (1, 255, 255), (140, 20, 90), (128, 128, 128), (254, 255, 0)])
@pytest.mark.parametrize("classes", [PURE, [*PURE, (255, 0, 0)], [c for _, c in DEEPGLOBE[1:]]])
def test_near_pure_colours_of_other_tables_are_no_class(colour, classes):
    pixels = np.array([[classes[0], colour]], np.uint8)
    with pytest.raises(InputError, match="which is no class's"):
        ColourKey(classes, "m").indices(pixels)


def test_what_is_transparent_has_no_class():
    pixels = np.array([[(*COLOURS[1], 255), (*COLOURS[1], 0), (0, 0, 0, 0), (*COLOURS[2], 1)]], np.uint8)
    assert ColourKey(COLOURS, "m").indices(pixels).tolist() == [[1, 255, 255, 2]]


def test_two_classes_of_one_colour_are_refused():
    with pytest.raises(InputError, match="two classes have the same"):
        ColourKey([(1, 2, 3), (1, 2, 3)], "m")


def test_png_and_tiff_masks_of_colours_are_truths(tmp_path):
    truth = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.uint8)
    pixels = np.array(COLOURS, np.uint8)[truth]
    Image.fromarray(pixels).save(tmp_path / "m.png")
    Image.fromarray(np.dstack([pixels, np.full_like(truth, 9)])).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "m.tif", pixels, photometric="rgb", tile=(16, 16))
    for name in ("m.png", "a.png", "m.tif"):
        source = open_truth(tmp_path / name, COLOURS)
        assert source.by_colour
        assert np.array_equal(source.read((-2, 3, 40, 50))[2:], truth[:, 3:])
        with pytest.raises(InputError, match="save class indices"):
            open_truth(tmp_path / name)
    stray = open_truth(tmp_path / "m.tif", COLOURS[:2])
    with pytest.raises(InputError, match=r"m\.tif: holds the colour \(10, 20, 31\)"):
        stray.read((0, 0, 40, 50))
    Image.fromarray(truth).save(tmp_path / "indices.png")
    assert not open_truth(tmp_path / "indices.png", COLOURS).by_colour
