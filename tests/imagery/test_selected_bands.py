"""Bands of an image that are read in the place of red, green and blue, each in its own range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid

HEIGHT, WIDTH = 37, 50
BYTES = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 6)).astype(np.uint8)
FLOATS = np.random.default_rng(1).normal(100, 50, (HEIGHT, WIDTH, 6)).astype(np.float32)
FLOATS[10:20, 5:15] = np.nan

windows = st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(25, 60), st.floats(25, 60))


@settings(max_examples=20)
@given(windows, st.integers(5, 40), st.booleans())
def test_three_bands_read_as_red_green_and_blue(window: tuple[float, ...], size: int, floating: bool) -> None:
    values, value_range = (FLOATS, (0.0, 200.0)) if floating else (BYTES, None)
    usual = pyramid_from_array(values, bands=(4, 0, 2), value_range=value_range)
    selected = pyramid_from_array(values, value_range=value_range).with_bands((4, 0, 2))
    np.testing.assert_array_equal(selected.read_resized(window, size), usual.read_resized(window, size))


@settings(max_examples=20)
@given(windows, st.integers(5, 40), st.lists(st.integers(0, 5), min_size=1, max_size=6), st.booleans())
def test_each_band_reads_as_by_itself(window: tuple[float, ...], size: int, bands: list[int], floating: bool) -> None:
    values, value_range = (FLOATS, (0.0, 200.0)) if floating else (BYTES, None)
    image = pyramid_from_array(values, value_range=value_range)
    together = image.with_bands(bands).read_resized(window, size)
    assert together.shape == (size, size, len(bands))
    for channel, band in enumerate(bands):
        alone = image.with_bands((band,)).read_resized(window, size)[..., 0]
        np.testing.assert_array_equal(together[..., channel], alone)


def test_each_band_has_its_range() -> None:
    image = pyramid_from_array(BYTES.astype(np.uint16))
    found = image.with_bands((1, 3), [(0, 100), (50, 305)]).read((0, 0, HEIGHT, WIDTH))
    plain = BYTES[..., [1, 3]].astype(float)
    expected = [plain[..., 0] / 100 * 255, plain[..., 1] - 50]
    np.testing.assert_array_equal(found, np.rint(np.clip(np.dstack(expected), 0, 255)))


def test_a_band_without_a_range_is_refused() -> None:
    image = pyramid_from_array(BYTES.astype(np.uint16))
    for ranges in (None, [(0, 100), None]):
        with pytest.raises(InputError, match="--range"):
            image.with_bands((0, 1), ranges)


def strips_of(image: Pyramid) -> NDArray[np.uint8]:
    """A window that is so large that it is read strip by strip."""
    return image.read_resized((0.0, 0.0, 3000.0, 3000.0), 16, exact=True)


@pytest.mark.parametrize("collar", [False, True])
def test_a_large_window_reads_as_its_bands_alone(monkeypatch: pytest.MonkeyPatch, collar: bool) -> None:
    monkeypatch.setattr("fctl_napari.imagery.pyramid.EXACT_PX", 2**10)
    values = np.random.default_rng(0).integers(0, 99, (3000, 3000, 4)).astype(np.uint8)
    values[:500, :, 3] = 0 if collar else values[:500, :, 3]
    image = pyramid_from_array(values, alpha=collar)
    together = strips_of(image.with_bands((0, 2, 1, 0)))
    alone = [strips_of(image.with_bands((band,)))[..., 0] for band in (0, 2, 1, 0)]
    np.testing.assert_array_equal(together, np.dstack(alone))


def test_the_cache_and_a_conversion_keep_them(tmp_path: Path) -> None:
    image = pyramid_from_array(BYTES, name="image").with_band_names(("nir", "red", "green", "blue", "dem", "swir1"))
    copied = open_image(convert(image, tmp_path / "copy.ome.zarr"))
    assert copied.band_names == image.band_names
    expected = image.with_bands((0, 1, 4, 5)).read((3, 4, 20, 30))
    np.testing.assert_array_equal(with_chunk_cache(copied.with_bands((0, 1, 4, 5))).read((3, 4, 20, 30)), expected)
