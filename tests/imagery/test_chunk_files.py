"""Chunks of label arrays, read and written without zarr: the same values and the same files as zarr's, to the byte."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff_writing
from fctl_napari.imagery.formats.chunk_files import ChunkFiles, chunk_files
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid

BASE: dict[str, Any] = {"shape": (50, 70), "chunks": (16, 24), "dtype": "u1", "fill_value": 0}


@pytest.fixture(scope="module")
def new_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    folder, numbers = tmp_path_factory.mktemp("arrays"), itertools.count()
    return lambda: folder / str(next(numbers)) / "0"


def files_of(array: zarr.Array[Any]) -> ChunkFiles:
    files = chunk_files(array)
    assert files is not None
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    chunks=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    windows=st.lists(st.tuples(*[st.integers(0, 60)] * 4, st.integers(0, 2)), min_size=1, max_size=6),
    options=st.sampled_from(
        [
            {},
            {"compressors": None},
            {"compressors": ZstdCodec(level=5, checksum=True)},
            {"chunk_key_encoding": {"name": "default", "separator": "."}},
            {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
        ]
    ),
)
def test_values_and_files_are_those_of_zarr(
    new_path: Callable[[], Path],
    shape: tuple[int, int],
    chunks: tuple[int, int],
    windows: list[tuple[int, int, int, int, int]],
    options: dict[str, Any],
) -> None:
    paths = new_path(), new_path()
    by_zarr, other = (
        zarr.create_array(path, **{**BASE, "shape": shape, "chunks": chunks}, **options) for path in paths
    )
    files = files_of(other)
    rng = np.random.default_rng(0)
    for y0, x0, y1, x1, most in windows:
        key = slice(min(y0, y1), max(y0, y1)), slice(min(x0, x1), max(x0, x1))
        values = rng.integers(0, most + 1, by_zarr[key].shape, dtype=np.uint8)  # often 0 everywhere
        by_zarr[key] = values
        files[key] = values
        assert np.array_equal(files[key], values)
        wider = slice(max(0, key[0].start - 9), key[0].stop + 9), slice(0, None)
        assert np.array_equal(files[wider], by_zarr[wider])
    assert np.array_equal(other[...], by_zarr[...])
    assert contents(paths[0]) == contents(paths[1])


@pytest.mark.parametrize(
    "options",
    [
        {"zarr_format": 2},
        {"dtype": "u2"},
        {"fill_value": 1},
        {"shape": (2, 50, 70), "chunks": (1, 16, 24)},
        {"shards": (32, 48)},
        {"compressors": BloscCodec()},
        {"compressors": GzipCodec()},
        {"compressors": [ZstdCodec(), Crc32cCodec()]},
        {"compressors": Crc32cCodec()},
        {"store": zarr.storage.MemoryStore()},
    ],
)
def test_what_is_stored_otherwise_is_left_to_zarr(tmp_path: Path, options: dict[str, Any]) -> None:
    assert chunk_files(zarr.create_array(**{"store": tmp_path / "a", **BASE, **options})) is None


def test_label_images_of_others_are_written_too(tmp_path: Path) -> None:
    path = tmp_path / "l.zarr"
    group = zarr.open_group(LabelPyramid.create(path, (40, 50), levels=[(40, 50), (20, 25)], chunk=16).path, mode="r+")
    for name, shape in ("0", (40, 50)), ("1", (20, 25)):
        group.create_array(name, shape=shape, chunks=(16, 16), dtype="u1", compressors=BloscCodec(), overwrite=True)
    labels = LabelPyramid.open(path, "r+")
    values = np.random.default_rng(0).integers(0, 9, (40, 50), dtype=np.uint8)
    labels.write(0, 0, values)
    labels.update_levels((0, 0, 40, 50))
    assert np.array_equal(labels.read((0, 0, 40, 50)), values)
    assert np.array_equal(labels.levels[1][...], values[::2, ::2])


def test_what_was_opened_to_be_read_is_not_written(tmp_path: Path) -> None:
    path = LabelPyramid.create(tmp_path / "l.zarr", (8, 8)).path
    labels = LabelPyramid.open(path)
    with pytest.raises(ValueError, match="read"):
        labels.write(0, 0, np.ones((8, 8), np.uint8))
    assert not labels.read((0, 0, 8, 8)).any()


def test_a_damaged_chunk_is_no_chunk_of_zeros(tmp_path: Path) -> None:
    (array,) = ngff_writing.create_levels(zarr.create_group(tmp_path / "l"), "yx", [(8, 8)], 8, np.uint8)
    files = files_of(array)
    files[:, :] = np.ones((8, 8), np.uint8)
    (tmp_path / "l" / "0" / "c" / "0" / "0").write_bytes(b"damaged")
    with pytest.raises(InputError, match="0/c/0/0: is damaged"):
        files[:, :]
    with pytest.raises(InputError, match="0/c/0/0: is damaged"):
        files[:2, :] = np.ones((2, 8), np.uint8)
