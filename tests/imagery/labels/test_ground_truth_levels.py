"""Levels of a truth that has none: the same truth, and every n-th pixel of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers_progress import stop_after

from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.imagery.labels import ground_truth_levels
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.ground_truth_levels import with_levels
from fctl_napari.imagery.labels.label_source import LabelSource

VALUES = np.random.default_rng(0).integers(0, 7, (2300, 1100), np.uint8)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelSource:
    monkeypatch.setattr(ground_truth_levels, "STRIP_PX", 1100 * 600)  # several strips
    tifffile.imwrite(tmp_path / "t.tif", VALUES, tile=(256, 256))
    return open_ground_truth(tmp_path / "t.tif")


def test_levels_hold_the_same(source: LabelSource, tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    levelled = with_levels(source, tmp_path / "out.zarr", progress=lambda *count: counts.append(count))
    assert (levelled.path, levelled.one_based, levelled.shape) == (source.path, False, source.shape)
    assert levelled.native_levels == 3
    for level in range(4):
        step = 2**level
        height, width = levelled.level_shape(level)
        found = levelled.read_values(slice(0, height), slice(0, width), level)
        assert np.array_equal(found, VALUES[::step, ::step])
    assert np.array_equal(levelled.read((-2, 5, 30, 40)), source.read((-2, 5, 30, 40)))
    assert counts[-1] == (2300, 2300)
    assert len(counts) > 2
    counts.clear()
    assert with_levels(source, tmp_path / "out.zarr", progress=lambda *count: counts.append(count)).native_levels == 3
    assert counts == []  # it was there


def test_stopping_leaves_nothing(source: LabelSource, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        with_levels(source, tmp_path / "out.zarr", progress=stop_after(2))
    assert not (tmp_path / "out.zarr").exists()


def test_what_was_left_by_a_killed_process_is_replaced(source: LabelSource, tmp_path: Path) -> None:
    ground_truth_levels.LabelPyramid.create(tmp_path / "out.zarr", (2300, 1100))
    levelled = with_levels(source, tmp_path / "out.zarr")
    assert np.array_equal(levelled.read_values(slice(0, 2300), slice(0, 1100)), VALUES)


def test_values_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    source = LabelSource("large", np.full((40, 50), 300, np.int32), (40, 50), one_based=False)
    with pytest.raises(InputError, match="0 to 255"):
        with_levels(source, tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()
