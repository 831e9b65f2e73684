"""Reads through the cache are plain reads; every chunk is read once while it fits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.chunk_cache import CachedArray, ChunkCache, with_chunk_cache
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid

HEIGHT, WIDTH = 70, 90
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)


class Counting:
    """A chunked array that keeps count of what is read from it."""

    def __init__(self, pixels: np.ndarray, chunks: tuple[int, int, int]) -> None:
        self.shape, self.dtype, self.chunks = pixels.shape, pixels.dtype, chunks
        self.reads: list[tuple[slice, ...]] = []
        self._pixels = pixels

    def __getitem__(self, key: Any, /) -> Any:
        self.reads.append(key)
        return self._pixels[key]


def span(length: int) -> st.SearchStrategy[slice]:
    return st.builds(slice, st.integers(0, length), st.integers(0, length), st.integers(1, 3))


boxes = st.tuples(span(HEIGHT), span(WIDTH), span(4))


@given(
    keys=st.lists(boxes, min_size=1, max_size=6),
    chunks=st.tuples(st.integers(1, 80), st.integers(1, 100), st.integers(1, 4)),
    limit=st.integers(0, 2 * PIXELS.nbytes),
)
def test_boxes_are_the_arrays_and_the_limit_is_kept(
    keys: list[tuple[slice, slice, slice]], chunks: tuple[int, int, int], limit: int
) -> None:
    cache = ChunkCache(limit)
    cached = Level(CachedArray(Level(Counting(PIXELS, chunks)), cache))
    for key in keys:
        np.testing.assert_array_equal(cached[key], PIXELS[key])
        assert cache.held <= limit


@pytest.fixture(scope="module", params=["omezarr", "tiled tiff", "striped tiff", "rgb tiff"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pyramid:
    folder = tmp_path_factory.mktemp("image")
    if request.param == "omezarr":
        return open_image(convert(pyramid_from_array(PIXELS), folder / "image.ome.zarr", chunk=32))
    options: dict[str, Any] = {"tile": (16, 32)} if "tiled" in request.param else {"rowsperstrip": 7}
    pixels = PIXELS[..., :3] if "rgb" in request.param else PIXELS
    tifffile.imwrite(folder / "image.tif", pixels, photometric="rgb", compression="zlib", **options)
    return open_image(folder / "image.tif")


starts, sides = st.floats(-40, 110), st.floats(1, 120)
windows = st.builds(lambda y, x, height, width: (y, x, y + height, x + width), starts, starts, sides, sides)


@given(windows=st.lists(windows, min_size=1, max_size=4), exact=st.booleans(), limit=st.sampled_from([0, 3000, 10**6]))
def test_resampled_windows_are_those_of_the_image(
    image: Pyramid, windows: list[tuple[float, float, float, float]], exact: bool, limit: int
) -> None:
    cached = with_chunk_cache(image, limit)
    for window in windows:
        expected = image.read_resized(window, 16, exact=exact)
        np.testing.assert_array_equal(cached.read_resized(window, 16, exact=exact), expected)


def test_a_chunk_is_read_once_by_however_many_threads() -> None:
    array = Counting(PIXELS, (16, 16, 4))
    cached = with_chunk_cache(Pyramid("image", [Level(array)]))
    corners = [(y, x) for y in range(-8, HEIGHT, 5) for x in range(-8, WIDTH, 5)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda corner: cached.read((*corner, corner[0] + 24, corner[1] + 24)), corners))
    assert len(array.reads) == len({str(key) for key in array.reads}) == 5 * 6


def test_a_level_in_memory_is_not_kept_twice() -> None:
    image = pyramid_from_array(PIXELS)
    assert with_chunk_cache(image).levels == image.levels


def test_a_damaged_chunk_is_reported_every_time_and_read_again_when_it_is_whole(tmp_path: Path) -> None:
    path = convert(pyramid_from_array(PIXELS[..., :3]), tmp_path / "image.ome.zarr", chunk=32)
    chunk = path / "0" / "c" / "0" / "0" / "0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-9])
    cached = with_chunk_cache(open_image(path))
    for _ in range(2):
        with pytest.raises(InputError, match="is damaged"):
            cached.read((0, 0, 8, 8))
    chunk.write_bytes(whole)
    np.testing.assert_array_equal(cached.read((0, 0, 8, 8)), PIXELS[:8, :8, :3])


def test_what_is_read_is_the_callers_own() -> None:
    array = zarr.create_array({}, data=PIXELS[..., :3], chunks=(32, 32, 3), zarr_format=3)
    cached = with_chunk_cache(Pyramid("image", [Level(array)]))
    cached.read((0, 0, 8, 8))[:] = 0
    np.testing.assert_array_equal(cached.read((0, 0, 8, 8)), PIXELS[:8, :8, :3])
