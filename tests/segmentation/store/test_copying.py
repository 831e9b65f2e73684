"""Predictions of a parent that are taken over as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.store import inheritance
from fctl_napari.segmentation.store.inheritance import inherit
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid

SHAPE = (700, 900)


def make(path: Path, config: FCtLConfig) -> Segmentation:
    classes = ClassTable(classes=tuple(ClassInfo(name=name, color=(1, 2, k)) for k, name in enumerate("abc")))
    return Segmentation.create(
        path,
        image=SHAPE,
        grid=TileGrid(SHAPE, 256, 64),
        card=Card(name=path.name, config=config, classes=classes),
        checkpoint_hash=path.name,
        settings={},
    )


@pytest.fixture
def parent(tmp_path: Path, tiny_config: FCtLConfig) -> Segmentation:
    """All cells but those that hold no data, whose chunks are not written."""
    parent, rng = make(tmp_path / "parent", tiny_config), np.random.default_rng(0)
    cells = parent.missing()
    for cell in cells[4:]:
        y0, x0, y1, x1 = parent.grid.core(cell)
        parent.write_cell(cell, *rng.integers(1, 4, (2, y1 - y0, x1 - x0), np.uint8))
    parent.finish(cells)
    return parent


def arrays(store: Segmentation) -> list[np.ndarray]:
    return [np.asarray(level[:]) for pyramid in (store.labels, store.confidence) for level in pyramid.levels]


def test_files_are_the_same_as_px_and_later_writes_leave_the_parent_alone(
    parent: Segmentation, tmp_path: Path, tiny_config: FCtLConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, plain = make(tmp_path / "child", tiny_config), make(tmp_path / "plain", tiny_config)
    inherit(child, parent)
    with monkeypatch.context() as patched:
        patched.setattr(inheritance, "stored_alike", lambda own, other: False)
        inherit(plain, parent)
    before = arrays(parent)
    for found, expected, its in zip(arrays(child), arrays(plain), before, strict=True):
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(found, its)
    assert child.inherited().all()
    assert child.parent_name == "parent"
    files = [{f.relative_to(s.path) for f in s.path.rglob("*") if f.is_file()} for s in (child, plain)]
    assert files[0] == files[1], "nothing is left behind"
    child.write_cell((0, 0), *np.full((2, *child.grid.core((0, 0))[2:]), 7, np.uint8))
    for array, its in zip(arrays(parent), before, strict=True):
        np.testing.assert_array_equal(array, its)


def test_a_cancelled_copy_marks_nothing_and_is_made_again(
    parent: Segmentation, tmp_path: Path, tiny_config: FCtLConfig
) -> None:
    child, answers = make(tmp_path / "child", tiny_config), iter([False, True])
    inherit(child, parent, lambda: next(answers))
    assert not child.inherited().any()
    inherit(child, parent)
    assert child.inherited().all()
    for found, expected in zip(arrays(child), arrays(parent), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_other_compression_is_read_and_written(parent: Segmentation, tmp_path: Path, tiny_config: FCtLConfig) -> None:
    level = parent.labels.levels[0]
    group = parent.labels.group
    values = np.asarray(level[:])
    again = group.create_array("0", shape=SHAPE, chunks=level.chunks, dtype="u1", compressors=None, overwrite=True)
    again[:] = values
    child = make(tmp_path / "child", tiny_config)
    inherit(child, Segmentation.open(parent.path))
    np.testing.assert_array_equal(np.asarray(child.labels.levels[0][:]), values)
    assert child.labels.levels[0].compressors != again.compressors
