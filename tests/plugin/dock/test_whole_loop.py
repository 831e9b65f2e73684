"""From a file to the delivered map in one window of 1280 x 720 px, with the tabs' own buttons and keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pyogrio
import pytest
from helpers_window import errors

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.dock.dock import NAME, FctlDock, open_dock
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Until = Callable[..., None]
SHAPE = (192, 448)


@pytest.fixture
def scene(tmp_path: Path, earth_crop: np.ndarray, tiny_checkpoint: Path) -> Path:
    """A small scene whose ground truth is of the last class in a block in its middle, else of the first."""
    height, width = SHAPE
    path = convert(
        pyramid_from_array(earth_crop[:height, 300 : 300 + width], name="scene"),
        tmp_path / "scene.ome.zarr",
        chunk=128,
    )
    classes = [{"name": info.name, "color": info.color} for info in read_card(tiny_checkpoint).classes.scored]
    truth = np.ones(SHAPE, np.uint8)
    truth[40:150, 100:300] = len(classes)
    labels = LabelPyramid.create(path / "labels" / "truth", SHAPE, chunk=128, classes=classes)
    labels.write(0, 0, truth)
    labels.update_levels((0, 0, *SHAPE))
    return path


def press(viewer: napari.Viewer, key: str) -> None:
    """Press a key over the canvas."""
    (binding,) = (bound for bound in viewer.keymap if str(bound) == key)
    viewer.keymap[binding](viewer)


def segment(dock: FctlDock, until: Until) -> None:
    page: Any = dock.show_tab("Segment")
    page.form.where.setCurrentText("Whole image")
    page.form.run.click()
    until(lambda: not page.running and page.form.guide.step.isVisible())
    page.form.guide.step.click()


def next_error(viewer: napari.Viewer, dock: FctlDock, until: Until) -> None:
    page: Any = dock.page("Errors")
    until(lambda: page.comparison is not None and not page.running)
    page.form.regions.smallest.setValue(1)
    page.form.regions.find.click()
    until(lambda: not page.running and page.form.guide.step.isVisible())
    press(viewer, "N")
    assert page.region is not None
    page.form.guide.step.click()


def stroke(viewer: napari.Viewer, dock: FctlDock, until: Until) -> None:
    page: Any = dock.page("Correct")
    until(lambda: not page.busy)
    press(viewer, "H")
    until(lambda: page.edit_layer is not None and not page.busy)
    layer = page.edit_layer
    layer.brush_size = 20
    for y in range(40, 160, 24):
        for x in range(80, 400, 40):
            layer.paint((y, x), 1 + (x // 40) % 2)
    until(lambda: not page.busy and page.form.guide.step.isVisible())
    page.form.guide.step.click()


def learn(dock: FctlDock, until: Until) -> Path:
    page: Any = dock.page("Fine-tune")
    until(lambda: not page.busy)
    page.form.steps.setValue(4)
    page.form.device.setCurrentText("cpu")
    page.form.start.click()
    until(lambda: page.candidate_review is not None and not page.busy)
    assert page.form.gate_report.keep.isVisible()
    report = page.form.gate_report
    report.keep.click()
    if not page.candidate_review.waiting.gate_result.keep:
        report.question.yes.click()
    until(lambda: page.candidate_review is None and not page.busy)
    kept = Path(page.form.checkpoint.name)
    assert kept.is_file()
    page.form.guide.step.click()
    return kept


def export(dock: FctlDock, until: Until, out: Path) -> None:
    page: Any = dock.show_tab("Export")
    until(lambda: page.map_layer is not None)
    assert_final(page)
    page.form.kind.setCurrentText("Polygons as GeoPackage")
    page.form.path.setText(str(out))
    page.form.export.click()
    until(lambda: "is exported" in page.form.status.text())


def assert_final(page: Any) -> None:
    """What is shown is what was painted, and elsewhere what is predicted."""
    result = Segmentation.open(page.mask.metadata["fctl_store"])
    corrections = Corrections.open(result.path.with_name("scene.corrections.ome.zarr"))
    painted = corrections.read((0, 0, *SHAPE))
    shown = np.asarray(page.map_layer.data[0] if page.map_layer.multiscale else page.map_layer.data)[:, :]
    assert (painted > 0).any()
    assert np.array_equal(shown, np.where(painted > 0, painted, result.labels.read((0, 0, *SHAPE))))
    assert not page.mask.visible


def test_from_a_file_to_a_geopackage(
    open_window: Callable[..., Any],
    scene: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    until: Until,
    notes: list[tuple[str, str]],
) -> None:
    viewer = open_window()
    viewer.window._qt_window.resize(1280, 720)
    dock = open_dock(viewer)
    viewer.open(scene, plugin="fctl-napari")
    viewer.reset_view()
    dock.header.checkpoint.add(tiny_checkpoint)
    segment(dock, until)
    next_error(viewer, dock, until)
    stroke(viewer, dock, until)
    kept = learn(dock, until)
    page: Any = dock.page("Segment")
    page.form.run.click()
    until(lambda: not page.running)
    out = tmp_path / "map.gpkg"
    export(dock, until, out)
    assert errors(notes) == []
    assert viewer.window._qt_window.size().toTuple() == (1280, 720)
    assert list(viewer.window.dock_widgets) == [NAME]
    assert pyogrio.read_info(out)["features"] > 0
    result = Segmentation.open(page.form.result.text())
    assert result.facts["checkpoint"]["name"] == read_card(kept).name
    assert Corrections.open(scene.with_name("scene.corrections.ome.zarr")).area_by_class()
