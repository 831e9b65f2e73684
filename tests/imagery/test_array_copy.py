"""Copies of lazy arrays: what is named, written and computed of them, and when they are used again."""

from __future__ import annotations

import shutil
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray
import zarr
from helpers_lazy import Counted
from helpers_progress import stop_after

from fctl_napari.exceptions import Cancelled, InputError, OutputError
from fctl_napari.imagery.array_copy import ArrayCopy, array_token, copy_at, copy_of_array, is_lazy
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.halving import halve
from fctl_napari.imagery.open import open_image

PIXELS = np.random.default_rng(0).integers(0, 256, (1300, 1100, 4), np.uint8)


def copy_of(path: Path, *levels: object, alpha: bool = False) -> ArrayCopy:
    source = with_chunk_cache(pyramid_from_array(levels[0], coarser=levels[1:], name="scene", alpha=alpha))
    return copy_of_array(source, path, array_token(*levels))


def lazy(pixels: np.ndarray, chunk: int = 300) -> dask.array.Array:
    return dask.array.from_array(pixels, chunks=(chunk, chunk, -1))


def test_a_copy_of_256_blocks_is_named_by_a_handful(tmp_path: Path) -> None:
    scene = Counted(8192)
    array = scene.lazy()
    assert is_lazy(array)
    copied = copy_of(tmp_path / "c.ome.zarr", array)
    assert len(scene.blocks) <= 24
    named = set(scene.blocks)
    copied.fill((600, 600, 700, 700))
    assert scene.blocks - named <= {(1, 1)}
    copied.fill((300, 300, 400, 400), 1)  # the same place at half the size
    assert scene.blocks - named <= {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_its_own_coarser_levels_are_used(tmp_path: Path) -> None:
    scene, half, quarter = Counted(8192), Counted(4096, plus=1), Counted(2048, plus=2)
    copied = copy_of(tmp_path / "c.ome.zarr", scene.lazy("a"), half.lazy("b"), quarter.lazy("c"))
    scene.blocks.clear()
    image = copied.open()
    assert [level.shape[0] for level in image.levels] == [8192, 4096, 2048, 1024]
    window = slice(0, 40), slice(0, 40), slice(0, 3)
    assert np.array_equal(image.levels[1][window], half[window])
    assert np.array_equal(image.levels[2][window], quarter[window])
    wide = slice(0, 80), slice(0, 80), slice(0, 3)
    assert np.array_equal(image.levels[3][window], halve(quarter[wide]))
    assert not scene.blocks
    assert half.blocks == {(0, 0)}


@pytest.mark.parametrize("alpha", [False, True])
def test_it_becomes_what_a_conversion_is(tmp_path: Path, alpha: bool) -> None:
    copied = copy_of(tmp_path / "c.ome.zarr", lazy(PIXELS), alpha=alpha)
    filled = copied.open()
    corner = filled.read_native((900, 700, 1300, 1100))
    assert np.array_equal(corner, PIXELS[900:, 700:])
    with pytest.raises(InputError, match="holds only parts of an array; open the array again"):
        open_elsewhere(copied.path)
    with pytest.raises(Cancelled):
        copied.finish(stop_after(3))
    copied.finish()
    whole = open_elsewhere(copied.path)
    expected = open_image(convert(pyramid_from_array(PIXELS, alpha=alpha), tmp_path / "e.ome.zarr"))
    assert [level.shape for level in whole.levels] == [level.shape for level in expected.levels]
    for level, (one, other) in enumerate(zip(whole.levels, expected.levels, strict=True)):
        window = (0, 0, *one.shape[:2])
        assert np.array_equal(one[...], other[...])
        assert np.array_equal(whole.read_valid(window, level), expected.read_valid(window, level))
    assert fingerprint(whole) == fingerprint(pyramid_from_array(PIXELS))


def open_elsewhere(path: Path) -> object:
    """Open a copy as another process does, which does not know the array."""
    moved = path.with_name("moved.ome.zarr")
    shutil.rmtree(moved, ignore_errors=True)
    shutil.copytree(path, moved)
    return open_image(moved)


def test_this_process_opens_it_with_all_px_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "c.ome.zarr"
    copied = copy_of(path, lazy(PIXELS))
    assert copy_at(path) is copied
    assert np.array_equal(open_image(path, bands=(0, 1, 2)).read((0, 0, 1300, 1100)), PIXELS[..., :3])
    assert copied.read
    assert copy_at(tmp_path / "other") is None
    assert copy_at("https://a.org/c.ome.zarr") is None


def test_each_block_is_computed_once_however_chunks_meet_it(tmp_path: Path) -> None:
    scene = Counted(2048)
    copied = copy_of(tmp_path / "c.ome.zarr", scene.lazy().rechunk((700, 700, 3)))
    before = scene.reads
    copied.finish()
    copied.finish()
    assert scene.blocks == {(y, x) for y in range(4) for x in range(4)}
    assert scene.reads - before <= 9 * 9  # nine blocks of 700 px, of parts of at most nine of 512


def test_the_same_graph_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "c.ome.zarr"
    scene = Counted(2048)
    copied = copy_of(path, scene.lazy())
    copied.fill((0, 0, 2048, 600))
    del copied
    scene.blocks.clear()
    again = copy_of(path, scene.lazy())
    sampled = set(scene.blocks)
    again.fill((0, 0, 2048, 600))
    assert scene.blocks == sampled
    again.fill((0, 0, 2048, 1200))
    assert scene.blocks >= {(y, 2) for y in range(4)}


def test_of_another_graph_nothing_is_taken_over(tmp_path: Path) -> None:
    """Px outside of the sampled blocks may differ, which nobody sees but who computes them."""
    path = tmp_path / "c.ome.zarr"
    pixels = np.zeros((2048, 2048, 3), np.uint8)
    pixels[:] = np.arange(2048)[:, None, None] % 251
    one = copy_of(path, lazy(pixels))
    one.finish()
    del one
    changed = pixels.copy()
    changed[3, 3] += 1  # between the sampled blocks
    assert fingerprint(pyramid_from_array(changed)) == fingerprint(pyramid_from_array(pixels))
    other = copy_of(path, lazy(changed))
    assert np.array_equal(other.open().read_native((0, 0, 10, 10)), changed[:10, :10])


def test_what_lies_there_of_others_stays(tmp_path: Path) -> None:
    path = tmp_path / "c.ome.zarr"
    convert(pyramid_from_array(PIXELS), path)
    with pytest.raises(OutputError, match="holds other px than this array; choose another name"):
        copy_of(path, lazy(PIXELS[::-1]))
    assert np.array_equal(open_image(path).read_native((0, 0, 1300, 1100)), PIXELS)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists already and is something else"):
        copy_of(tmp_path / "folder", lazy(PIXELS))


def test_zarr_says_how_it_is_read_and_unknown_arrays_do_not(tmp_path: Path) -> None:
    stored = zarr.create_array(tmp_path / "a.zarr", shape=(300, 300), chunks=(100, 100), dtype=np.uint8)
    there = tmp_path / "a.zarr"
    assert array_token(dask.array.from_zarr(there)) == array_token(dask.array.from_zarr(there))
    assert array_token(stored) == array_token(zarr.open_array(there))
    assert array_token(stored) != array_token(stored, facts=("a.zarr", 1))
    memory = np.zeros((300, 300), np.uint8)
    assert array_token(dask.array.from_array(memory, name=False)) != array_token(
        dask.array.from_array(memory, name=False)
    )
    assert not is_lazy(memory)
    of_xarray = xarray.DataArray(memory, dims=("y", "x"))
    assert not is_lazy(of_xarray)
    assert is_lazy(of_xarray.chunk(100))
    np.save(tmp_path / "a.npy", memory)
    assert is_lazy(np.load(tmp_path / "a.npy", mmap_mode="r"))
