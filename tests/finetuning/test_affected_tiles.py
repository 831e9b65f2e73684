from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_progress import stop_after

from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.finetuning.affected_tiles import LOW, SHARE, affected_cells
from fctl_napari.finetuning.correction_sources import LabelCorrections
from fctl_napari.finetuning.targets import meet
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.segmentation.store.store import Segmentation

SHAPE = (500, 900)
"""3 x 5 cells of 192 px, the last ones cut."""
SURE = 250


def painted(location: Path, values: np.ndarray) -> LabelCorrections:
    labels = LabelPyramid.create(location, values.shape)
    labels.write(0, 0, values)
    return LabelCorrections(labels)


@pytest.fixture
def nothing(tmp_path: Path) -> np.ndarray:
    return np.zeros(SHAPE, np.uint8)


def test_cells_whose_tile_meets_a_correction(
    make_segmentation: Callable[..., Segmentation], nothing: np.ndarray, tmp_path: Path
) -> None:
    parent = make_segmentation(nothing + 1, confidence=np.full(SHAPE, SURE))
    assert affected_cells(parent, painted(tmp_path / "none.ome.zarr", nothing)) == ()
    nothing[220:224, 600] = 2
    nothing[0, 0:10] = 255  # not sure: nothing is learnt from it
    found = affected_cells(parent, painted(tmp_path / "c.ome.zarr", nothing))
    stroke = (220, 600, 224, 601)
    assert set(found) == {
        cell for cell in parent.grid.cells_in((0, 0, *SHAPE)) if meet(parent.grid.window(cell), stroke)
    }
    assert parent.grid.cells_in(stroke)[0] in found
    assert 2 <= len(found) < 8


@pytest.mark.parametrize(("more", "expected"), [(0, ((1, 2),)), (-1, ())])
def test_cells_of_which_the_parent_was_not_sure(
    make_segmentation: Callable[..., Segmentation],
    nothing: np.ndarray,
    tmp_path: Path,
    more: int,
    expected: tuple[tuple[int, int], ...],
) -> None:
    confidence = np.full(SHAPE, SURE)
    count = int(np.ceil(SHARE * 192 * 192)) + more
    core = confidence[192:384, 384:576]
    core.flat = [round(255 * LOW) - 1] * count + [round(255 * LOW)] * (core.size - count)
    parent = make_segmentation(nothing + 1, confidence=confidence)
    assert affected_cells(parent, painted(tmp_path / "none.ome.zarr", nothing)) == expected


def test_cells_that_the_parent_does_not_know(
    make_segmentation: Callable[..., Segmentation], nothing: np.ndarray, tmp_path: Path
) -> None:
    parent = make_segmentation(nothing + 1, confidence=np.full(SHAPE, SURE))
    parent._done_array[1, 3] = 0
    assert affected_cells(parent, painted(tmp_path / "none.ome.zarr", nothing)) == ((1, 3),)


def test_what_is_wrong_is_a_sentence(
    make_segmentation: Callable[..., Segmentation], nothing: np.ndarray, tmp_path: Path
) -> None:
    parent = make_segmentation(nothing + 1)
    with pytest.raises(InputError, match="must be of one image"):
        affected_cells(parent, painted(tmp_path / "small.ome.zarr", nothing[:-1]))
    with pytest.raises(Cancelled):
        affected_cells(parent, painted(tmp_path / "none.ome.zarr", nothing), progress=stop_after(0))
