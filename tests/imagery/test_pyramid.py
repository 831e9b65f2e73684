"""Windows of a pyramid are what padding, cutting and Pillow give."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.exceptions import InputError
from fctl_napari.imagery import halving as halving_module
from fctl_napari.imagery import pyramid as pyramid_module
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.halving import halve
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.measured import measured_range
from fctl_napari.imagery.pyramid import Pyramid, has_pyramid

PAD = 60


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


IMAGE = picture(37, 53)
PADDED = np.pad(IMAGE, ((PAD, PAD), (PAD, PAD), (0, 0)))
SOURCE = pyramid_from_array(IMAGE)


def span(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted).filter(lambda ab: ab[0] < ab[1])


windows = st.tuples(span(-PAD, 37 + PAD), span(-PAD, 53 + PAD)).map(lambda s: (s[0][0], s[1][0], s[0][1], s[1][1]))


def crop(window: tuple[int, int, int, int]) -> np.ndarray:
    y0, x0, y1, x1 = (v + PAD for v in window)
    return PADDED[y0:y1, x0:x1]


@given(window=windows)
def test_a_window_is_a_crop_of_the_padded_image(window: tuple[int, int, int, int]) -> None:
    assert np.array_equal(SOURCE.read(window), crop(window))


def test_empty_windows_are_empty_and_reversed_ones_are_refused() -> None:
    assert SOURCE.read((3, 3, 3, 9)).shape == (0, 6, 3)
    assert SOURCE.read((-9, 3, -4, 9)).shape == (5, 6, 3)
    with pytest.raises(ValueError, match="ends before"):
        SOURCE.read((3, 3, 2, 9))
    with pytest.raises(ValueError, match="empty"):
        SOURCE.read_resized((3.0, 3.0, 3.0, 9.0), 8)


@given(window=windows, size=st.integers(1, 64))
def test_exact_resampling_is_pillows_to_the_bit(window: tuple[int, int, int, int], size: int) -> None:
    expected = Image.fromarray(crop(window)).resize((size, size), Image.Resampling.BILINEAR)
    assert np.array_equal(SOURCE.read_resized(window, size, exact=True), np.asarray(expected))


@given(window=windows, size=st.integers(1, 64), strip=st.integers(1, 700), chunk=st.integers(1, 9))
def test_large_windows_are_resampled_in_strips(
    window: tuple[int, int, int, int], size: int, strip: int, chunk: int
) -> None:
    source = Pyramid("p", [Level(IMAGE, chunks=(chunk, 8, 3))])
    with mock.patch.object(pyramid_module, "STRIP_PX", strip):
        result = source.read_resized(window, size)
    whole = source.read_resized(window, size, exact=True)
    # Pillow may turn the order of its two passes round, and each rounds.
    assert np.abs(result.astype(int) - whole).max() <= 1


def test_strips_bound_what_is_read_at_once() -> None:
    source = Pyramid("p", [Level(np.broadcast_to(np.uint8(9), (9000, 3000, 3)), chunks=(256, 256, 3))])
    with mock.patch.object(source, "read", wraps=source.read) as read:
        assert (source.read_resized((0, 0, 9000, 3000), 16) == 9).all()
    areas = [(y1 - y0) * (x1 - x0) for y0, x0, y1, x1 in (call.args[0] for call in read.call_args_list)]
    assert max(areas) <= 1.5 * pyramid_module.STRIP_PX
    assert sum(areas) == 9000 * 3000


fraction = st.floats(0, 1, exclude_max=True, width=32)


@given(window=windows, size=st.integers(1, 40), parts=st.tuples(fraction, fraction, fraction, fraction))
def test_fractional_windows_are_pillows_boxes(
    window: tuple[int, int, int, int], size: int, parts: tuple[float, float, float, float]
) -> None:
    y0, x0, y1, x1 = window
    inner = (y0 + parts[0] / 2, x0 + parts[1] / 2, y1 - parts[2] / 2.01, x1 - parts[3] / 2.01)
    if inner[2] - inner[0] < 1e-3 or inner[3] - inner[1] < 1e-3:
        return
    box = (inner[1] - x0, inner[0] - y0, inner[3] - x0, inner[2] - y0)
    expected = Image.fromarray(crop(window)).resize((size, size), Image.Resampling.BILINEAR, box=box)
    assert np.array_equal(SOURCE.read_resized(inner, size, exact=True), np.asarray(expected))


@pytest.mark.parametrize(
    ("side", "size", "level"), [(64, 64, 0), (127, 64, 0), (128, 64, 1), (255, 64, 1), (256, 64, 2), (2000, 64, 2)]
)
def test_the_coarsest_level_that_is_fine_enough_is_read(side: int, size: int, level: int) -> None:
    levels = [Level(np.full((512 // f, 512 // f, 3), 10 * (i + 1), np.uint8)) for i, f in enumerate((1, 2, 4))]
    source = Pyramid("p", levels)
    assert source.read_resized((0, 0, side, side), size).max() == 10 * (level + 1)
    assert source.read_resized((0, 0, side, side), size, exact=True).max() == 10


@pytest.fixture(scope="module")
def ramp() -> Pyramid:
    ys, xs = np.mgrid[0:1250, 0:1211]
    image = np.stack([ys // 5, xs // 5, np.full_like(ys, 200)], axis=2).astype(np.uint8)
    return pyramid_from_array(image)


@settings(max_examples=25)
@given(y0=st.floats(-100, 600), x0=st.floats(-100, 600), side=st.floats(300, 900))
def test_coarse_levels_lie_where_the_image_lies(ramp: Pyramid, y0: float, x0: float, side: float) -> None:
    """A ramp read from a coarser level is that ramp, in place."""
    window = (y0, x0, y0 + side, x0 + side)
    assert ramp._level_for(side / 64, side / 64) >= 1
    coarse = ramp.read_resized(window, 64).astype(int)
    exact = ramp.read_resized(window, 64, exact=True).astype(int)
    inside = (coarse[..., 2] == 200) & (exact[..., 2] == 200)
    assert inside.any()
    assert np.abs(coarse - exact)[inside].max() <= 1


def test_gray_is_repeated_and_alpha_is_dropped() -> None:
    for channels, expected in ((1, [0, 0, 0]), (4, [0, 1, 2])):
        image = picture(5, 6, channels)
        assert np.array_equal(pyramid_from_array(image).read((0, 0, 5, 6)), image[..., expected])
    assert np.array_equal(pyramid_from_array(image[..., 0]).read((0, 0, 5, 6)), image[..., [0, 0, 0]])


def test_many_channels_need_bands() -> None:
    image = picture(5, 6, 7)
    with pytest.raises(InputError, match="--bands"):
        pyramid_from_array(image).read((0, 0, 5, 6))
    assert np.array_equal(pyramid_from_array(image, bands=(6, 2, 0)).read((0, 0, 5, 6)), image[..., [6, 2, 0]])
    with pytest.raises(InputError, match="do not exist"):
        pyramid_from_array(image, bands=(7, 2, 0))


def test_other_types_need_a_range() -> None:
    values = np.array([[[100, 200, 300, 400]]], np.uint16).reshape(1, 4, 1)
    with pytest.raises(InputError, match="--range"):
        pyramid_from_array(values).require_rgb()
    with pytest.raises(InputError, match="empty"):
        pyramid_from_array(values, value_range=(5, 5))
    with pytest.raises(InputError, match="complex"):
        pyramid_from_array(values.astype(complex), value_range=(0, 1)).require_rgb()
    for dtype in (np.uint16, np.int64, np.float32, np.float64):
        source = pyramid_from_array(values.astype(dtype), value_range=(200, 300))
        assert source.read((0, 0, 1, 4))[0, :, 0].tolist() == [0, 0, 255, 255]
    halfway = pyramid_from_array(values, value_range=(0, 510)).read((0, 0, 1, 4))
    assert halfway[0, :, 0].tolist() == [50, 100, 150, 200]


def test_every_16_bit_value_scales_exactly() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    result = pyramid_from_array(values, value_range=(0, 65535)).read((0, 0, 256, 256))[..., 0]
    assert np.array_equal(result, ((values[..., 0].astype(np.int64) + 128) // 257).astype(np.uint8))


def test_what_was_read_can_be_written_on() -> None:
    image = picture(5, 6)
    kept = image.copy()
    pyramid_from_array(image).read((0, 0, 5, 6))[:] = 0
    assert np.array_equal(image, kept)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5), (0, 4, 3)])
def test_an_array_that_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="shape"):
        pyramid_from_array(np.zeros(shape, np.uint8))


def test_large_images_want_levels_on_disk() -> None:
    large = np.broadcast_to(np.uint8(0), (10, 4097, 1))
    assert has_pyramid(pyramid_from_array(large[:, :4096]))
    assert not has_pyramid(pyramid_from_array(large))
    assert has_pyramid(Pyramid("p", [Level(large), Level(large[:5, :2049])]))


def test_measured_range_ignores_nan_outliers_and_alpha() -> None:
    random = np.random.default_rng(0)
    image = random.uniform(100, 200, (300, 300)).astype(np.float32)
    image[0, 0], image[5, 5] = np.nan, 1e6
    low, high = measured_range(pyramid_from_array(image))
    assert 100 <= low < 101
    assert 199 < high < 201
    assert measured_range(pyramid_from_array(np.full((10, 10), 7, np.uint16))) == (7, 8)
    assert measured_range(pyramid_from_array(np.full((10, 10), np.nan, np.float32))) == (0, 1)
    opaque = random.integers(300, 400, (50, 60, 4)).astype(np.uint16)
    opaque[..., 3] = 65535
    assert measured_range(pyramid_from_array(opaque))[1] < 400
    assert measured_range(pyramid_from_array(opaque, bands=(3, 3, 3))) == (65535, 65536)


def test_coarser_levels_of_what_is_larger_than_a_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(1301, 1100)
    monkeypatch.setattr(halving_module, "STRIP_BYTES", 50_000)
    for level, expected in zip(pyramid_from_array(image).levels, (image, halve(image)), strict=True):
        assert np.array_equal(level[...], expected)
