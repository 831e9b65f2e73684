"""Label pyramids: levels in step, whatever was written, and metadata that others can read."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels import label_pyramid as labels_module
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid

CLASSES = [{"name": "water", "color": (0, 0, 255)}, {"name": "forest", "color": (0, 128, 0)}]
SHAPE = (1205, 1031)


@pytest.fixture(scope="module")
def new_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    folder, numbers = tmp_path_factory.mktemp("labels"), itertools.count()
    return lambda: folder / f"{next(numbers)}.ome.zarr"


@settings(max_examples=15)
@given(
    writes=st.lists(
        st.tuples(st.integers(0, 1204), st.integers(0, 1030), st.integers(1, 700), st.integers(1, 700)), max_size=5
    ),
    chunk=st.sampled_from([128, 384, 2000]),
    piece=st.sampled_from([1, 300, 4096]),
)
def test_levels_are_synchronized_after_any_writes(
    new_path: Callable[[], Path], writes: list[tuple[int, int, int, int]], chunk: int, piece: int
) -> None:
    labels = LabelPyramid.create(new_path(), SHAPE, chunk=chunk, classes=CLASSES)
    expected = np.zeros(SHAPE, np.uint8)
    rng = np.random.default_rng(len(writes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels_module, "UPDATE_PX", piece)
        for y0, x0, height, width in writes:
            target = expected[y0 : y0 + height, x0 : x0 + width]
            target[:] = rng.integers(0, 3, target.shape)
            labels.write(y0, x0, target)
            labels.update_levels((y0 - 0.5, x0, y0 + height, x0 + width))
    again = LabelPyramid.open(labels.path)
    assert [level.shape for level in again.levels] == [SHAPE, (603, 516)]
    for level in again.levels:
        assert np.array_equal(level[...], expected)
        expected = expected[::2, ::2]


def test_an_update_of_the_whole_image_is_enough(tmp_path: Path) -> None:
    labels = LabelPyramid.create(tmp_path / "l.zarr", (2500, 3000), chunk=256)
    block = np.random.default_rng(0).integers(0, 200, (2500, 3000), dtype=np.uint8)
    labels.write(0, 0, block)
    labels.update_levels((-10, -10, 1e9, 1e9))
    assert len(labels.levels) == 3
    assert all(np.array_equal(level[...], block[:: 2**k, :: 2**k]) for k, level in enumerate(labels.levels))


def test_reading_pads_with_not_labelled(tmp_path: Path) -> None:
    labels = LabelPyramid.create(tmp_path / "l.zarr", (5, 6), classes=CLASSES)
    labels.write(0, 0, np.full((5, 6), 2, np.uint8))
    expected = np.zeros((9, 8), np.uint8)
    expected[2:7, 1:7] = 2
    assert np.array_equal(labels.read((-2, -1, 7, 7)), expected)


@pytest.mark.parametrize("location", [(-1, 0), (0, 5), (4, 0)])
def test_a_block_that_reaches_outside_is_refused(tmp_path: Path, location: tuple[int, int]) -> None:
    labels = LabelPyramid.create(tmp_path / "l.zarr", (5, 6))
    with pytest.raises(ValueError, match="outside"):
        labels.write(*location, np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        labels.write(0, 0, np.zeros((2, 2), np.int64))


def test_what_was_stated_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "l.ome.zarr"
    LabelPyramid.create(path, SHAPE, chunk=96, classes=CLASSES, attributes={"fctl": {"hash": "abc"}})
    labels = LabelPyramid.open(path, mode="r+")
    assert labels.shape == SHAPE
    assert labels.chunk == 96
    assert labels.classes == [{"name": "water", "color": [0, 0, 255]}, {"name": "forest", "color": [0, 128, 0]}]
    labels.set_attributes({"fctl": {"hash": "def"}})
    assert LabelPyramid.open(path).attributes["fctl"] == {"hash": "def"}
    assert LabelPyramid.open(path).classes == labels.classes
    assert LabelPyramid.create(tmp_path / "confidence", SHAPE).classes == []


def test_the_metadata_is_ngff(tmp_path: Path) -> None:
    image = convert(pyramid_from_array(np.zeros((*SHAPE, 3), np.uint8)), tmp_path / "i.ome.zarr")
    for name in ("truth", "second"):
        LabelPyramid.create(image / "labels" / name, SHAPE, classes=CLASSES, pixel_size=(0.5, 0.25), unit="meter")
    label = ImageLabel.from_zarr(zarr.open_group(image / "labels" / "truth", mode="r")).ome_attributes
    assert label.image_label is not None
    assert label.image_label.source is not None
    assert label.image_label.source.image == "../../"
    listed = json.loads((image / "labels" / "zarr.json").read_text())["attributes"]["ome"]
    assert listed == {"version": "0.5", "labels": ["truth", "second"]}
    assert Labels.from_zarr(zarr.open_group(image / "labels", mode="r"))
    Image.from_zarr(zarr.open_group(LabelPyramid.create(tmp_path / "confidence", SHAPE).path, mode="r"))


def test_a_label_is_listed_in_an_older_image_too(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "i.zarr", zarr_format=2)
    zarr.create_group(tmp_path / "i.zarr" / "labels", zarr_format=2, attributes={"labels": ["other"]})
    LabelPyramid.create(tmp_path / "i.zarr" / "labels" / "truth", (4, 4), classes=CLASSES)
    assert json.loads((tmp_path / "i.zarr" / "labels" / ".zattrs").read_text())["labels"] == ["other", "truth"]


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    LabelPyramid.create(tmp_path / "empty", (4, 4))
    for name in ("file", "empty"):
        with pytest.raises(OutputError, match=r"exists already"):
            LabelPyramid.create(tmp_path / name, (4, 4))
    assert (tmp_path / "file").read_text() == "mine"


def test_creation_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zarr.Group, "update_attributes", full)
    with pytest.raises(OutputError, match="disk is full"):
        LabelPyramid.create(tmp_path / "l.zarr", (4, 4))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = LabelPyramid.create(tmp_path / "l.zarr", (4, 4))
    labels.write(0, 0, np.full((4, 4), 2, np.uint8))
    before = sorted(labels.path.rglob("*"))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="disk is full"):
        labels.write(0, 0, np.ones((4, 4), np.uint8))
    assert sorted(labels.path.rglob("*")) == before, "nothing is left behind"
    assert (labels.read((0, 0, 4, 4)) == 2).all()


def test_what_is_no_label_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        LabelPyramid.open(tmp_path / "missing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="not an OME-Zarr"):
        LabelPyramid.open(tmp_path / "folder")
    image = convert(pyramid_from_array(np.zeros((4, 4, 3), np.uint8)), tmp_path / "image")
    with pytest.raises(InputError, match="not a uint8 label image"):
        LabelPyramid.open(image)
    zarr.create_group(tmp_path / "group")
    with pytest.raises(InputError, match="multiscales"):
        LabelPyramid.open(tmp_path / "group")
    broken = LabelPyramid.create(tmp_path / "broken", (4, 4)).path
    (broken / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="metadata"):
        LabelPyramid.open(broken)
