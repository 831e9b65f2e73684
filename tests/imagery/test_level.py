"""A level indexes like the NumPy array [y, x, c] it stands for."""

from __future__ import annotations

from typing import Any

import dask.array
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.halving import HalvedArray, halve, halved_levels
from fctl_napari.imagery.level import Level

SHAPE = (11, 17, 3)


def reference() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)


def stored(axes: str) -> Any:
    """The reference as a zarr array with the given axes."""
    order = [axes.index(letter) for letter in axes if letter in "yxc"]
    array = reference().transpose(["yxc".index(axes[i]) for i in order])
    array = array.reshape([SHAPE["yxc".index(letter)] if letter in "yxc" else 1 for letter in axes])
    return zarr.create_array({}, data=array, chunks=tuple(min(4, n) for n in array.shape), zarr_format=3)


LEVELS = {axes: Level(stored(axes), axes) for axes in ("cyx", "yxc", "tczyx", "ycx")}
LEVELS["dask"] = Level(dask.array.from_array(reference(), chunks=(4, 5, 3)))
LEVELS["memory"] = Level(reference())
LEVELS["foreign bytes"] = Level(reference().astype(">u2"))


@pytest.mark.parametrize("kind", LEVELS)
@given(key=hnp.basic_indices(SHAPE, allow_newaxis=True, allow_ellipsis=True))
def test_basic_indexing_is_numpys(kind: str, key: Any) -> None:
    result, expected = LEVELS[kind][key], reference()[key]
    assert result.shape == expected.shape
    assert result.dtype == np.uint16
    assert np.array_equal(result, expected)


@given(data=st.data(), axis=st.integers(0, 2))
def test_one_index_array_is_numpys(data: st.DataObject, axis: int) -> None:
    length = SHAPE[axis]
    index: Any = data.draw(st.lists(st.integers(-length, length - 1), max_size=8).map(lambda v: np.array(v, np.int64)))
    if data.draw(st.booleans()):
        index = data.draw(hnp.arrays(bool, length))
    key = tuple(index if i == axis else slice(1, None, 2) for i in range(3))
    assert np.array_equal(LEVELS["cyx"][key], reference()[key])


@pytest.mark.parametrize("key", [99, (0, -18), (0, 0, 0, 0), (..., ...), 1.5, np.ones(3, bool), [[0, 1], [1, 0]]])
def test_what_numpy_refuses_or_we_do_not_offer_is_an_index_error(key: Any) -> None:
    with pytest.raises(IndexError):
        LEVELS["cyx"][key]


def test_a_level_describes_itself_without_being_read() -> None:
    level = LEVELS["tczyx"]
    assert (level.shape, level.dtype, level.ndim, len(level)) == (SHAPE, np.uint16, 3, 11)
    assert level.chunks == (4, 4, 3)
    assert LEVELS["dask"].chunks == (4, 5, 3)
    assert level.nbytes == reference().nbytes
    assert np.array_equal(np.asarray(level), reference())


@pytest.mark.parametrize(("shape", "axes"), [((2, 4, 4), "tyx"), ((4, 4), "yc"), ((4, 4), "yxc")])
def test_axes_that_do_not_fit_are_refused(shape: tuple[int, ...], axes: str) -> None:
    with pytest.raises(ValueError, match=r"ax[ie]s"):
        Level(np.zeros(shape), axes)


@given(
    block=st.sampled_from([np.uint8, np.int16, np.uint32, np.int64, np.uint64, np.float32, np.bool_]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
            elements=st.floats(-1e6, 1e6, width=32) if dtype == np.float32 else None,
        )
    )
)
def test_halving_is_the_mean_of_what_is_there(block: np.ndarray) -> None:
    result = halve(block)
    height, width, channels = block.shape
    assert result.shape == ((height + 1) // 2, (width + 1) // 2, channels)
    assert result.dtype == block.dtype
    for y, x, c in np.ndindex(result.shape):
        quad = block[2 * y : 2 * y + 2, 2 * x : 2 * x + 2, c].ravel().tolist()
        if block.dtype.kind == "f":
            assert result[y, x, c] == pytest.approx(sum(quad) / len(quad), rel=1e-6, abs=1e-6)
        else:
            assert int(result[y, x, c]) == (2 * sum(map(int, quad)) + len(quad)) // (2 * len(quad))


@pytest.mark.parametrize("chunk", [300, 333])
def test_blocks_of_levels_in_memory_are_computed_when_read(chunk: int) -> None:
    reads = []

    class Counted:
        shape, dtype, chunks = (2100, 1300, 1), np.dtype(np.uint8), (chunk, chunk, 1)

        def __getitem__(self, key: Any) -> np.ndarray:
            reads.append(key)
            return np.full(self.shape, 7, np.uint8)[key]

    levels, _ = halved_levels(Level(Counted()))
    assert [level.shape for level in levels] == [(2100, 1300, 1), (1050, 650, 1), (525, 325, 1)]
    assert not reads
    assert (levels[1][1030:, 640:] == 7).all()
    assert len(reads) == 1
    assert (levels[2][...] == 7).all()
    assert (levels[1][...] == 7).all()
    starts = {(key[0].start, key[1].start) for key in reads}
    assert len(reads) == len(starts) > 1  # each once
    assert not any(y % chunk or x % chunk for y, x in starts)  # of whole chunks
    assert HalvedArray(Level(np.zeros((3, 3, 1), np.uint8)))[...].shape == (2, 2, 1)


def test_levels_that_are_there_are_used_where_they_fit() -> None:
    rng, shapes = np.random.default_rng(0), ((4101, 900, 3), (2050, 450, 3), (1026, 225, 3))
    first, half, quarter = (rng.integers(0, 255, shape, np.uint8) for shape in shapes)
    found = pyramid_from_array(first, coarser=[half, quarter])
    assert [level.shape[0] for level in found.levels] == [4101, 2051, 1026, 513]
    assert np.array_equal(found.levels[1][...], halve(first))  # one of 2050 rows is no half of 4101
    assert np.array_equal(found.levels[2][...], quarter)
    assert np.array_equal(found.levels[3][...], halve(quarter))
    assert found.native_levels == 1
    assert pyramid_from_array(first, coarser=[halve(first), quarter]).native_levels == 3
