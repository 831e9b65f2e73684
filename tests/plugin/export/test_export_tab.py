"""Exports from the window: the menus, the form, the thread, the writer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_window import errors

from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.export.form import KINDS

pytest.importorskip("pyogrio")
pytestmark = [pytest.mark.gui]


@pytest.fixture
def store(make_segmentation: Callable[..., Any]) -> Path:
    labels = np.ones((300, 400), np.uint8)
    labels[100:200, 50:350] = 2
    labels[10, 10] = 3
    return make_segmentation(labels).path


@pytest.fixture
def viewer(open_window: Callable[..., Any], store: Path) -> Any:
    viewer = open_window()
    viewer.open(store, plugin="fctl-napari")
    return viewer


def the_tab(viewer: Any) -> Any:
    return open_tab(viewer, "Export")


def menu_titles(menu: Any) -> list[str]:
    menu.aboutToShow.emit()
    return [action.text() for action in menu.actions()]


def test_the_menus_have_it(viewer: Any) -> None:
    from app_model.backends.qt import QModelMenu
    from napari._app_model import get_app_model

    for location in ("napari/layers/data", "napari/file/io_utilities"):
        titles = menu_titles(QModelMenu(menu_id=location, app=get_app_model()))
        assert "Export (FCtL)" in titles


def test_the_form_exports_what_is_in_view(
    viewer: Any, store: Path, tmp_path: Path, notes: list[tuple[str, str]], until: Callable[..., None]
) -> None:
    tab = the_tab(viewer)
    form = tab.form
    assert form.path.text() == str(store.with_name("made.tif"))
    assert not form.simplify.isEnabled()
    out = tmp_path / "out.geojson"
    form.kind.setCurrentText("Polygons as GeoJSON")
    assert form.path.text() == str(store.with_name("made.geojson"))
    form.path.setText(str(out))
    assert form.simplify.isEnabled()
    form.min_area.setValue(2)
    form.where.setCurrentText("View")
    camera = viewer.scene.camera
    camera.zoom = viewer.canvas.size[0] / 60  # 60 rows
    camera.center = (0.0, 99.5, 99.5)
    form.export.click()
    until(lambda: "is exported" in form.status.text())
    found = {f["properties"]["class"]: f for f in json.loads(out.read_text())["features"]}
    assert set(found) == {"red", "green"}
    rows = [y for x, y in found["green"]["geometry"]["coordinates"][0]]
    assert min(rows) == 100
    assert 129 <= max(rows) <= 131
    assert errors(notes) == []


def test_the_proposed_name_says_what_is_written(viewer: Any, store: Path) -> None:
    form = the_tab(viewer).form
    form.what.setCurrentText("Provenance: who said it")
    assert form.path.text() == str(store.with_name("made.provenance.tif"))
    form.kind.setCurrentText("Labels as OME-Zarr")
    assert form.path.text() == str(store.with_name("made.provenance.ome.zarr"))
    form.what.setCurrentText("Final map, with corrections")
    assert form.path.text() == str(store.with_name("made.map.ome.zarr"))
    form.path.setText("/elsewhere/mine.tif")
    form.what.setCurrentText("Prediction alone")
    assert form.path.text() == "/elsewhere/mine.tif"


def test_what_is_wrong_is_reported(
    viewer: Any, tmp_path: Path, notes: list[tuple[str, str]], until: Callable[..., None]
) -> None:
    tab = the_tab(viewer)
    mine = tmp_path / "mine.gpkg"
    mine.write_bytes(b"mine")
    tab.form.path.setText(str(mine))
    tab.form.export.click()
    tab.form.path.setText(str(tmp_path / "out.jpg"))
    tab.form.export.click()
    first, second = errors(notes)
    assert "not an earlier export" in first
    assert "is no kind of export" in second
    assert tab.problem == second
    assert mine.read_bytes() == b"mine"


def test_a_missing_segmentation_is_reported(
    open_window: Callable[..., Any], notes: list[tuple[str, str]], tmp_path: Path
) -> None:
    viewer = open_window()
    viewer.add_labels(np.ones((20, 20), np.uint8))
    the_tab(viewer).form.export.click()
    (message,) = errors(notes)
    assert "there is no segmentation to export" in message


def test_a_stopped_export_leaves_nothing_and_reports_nothing(
    viewer: Any, store: Path, tmp_path: Path, notes: list[tuple[str, str]], until: Callable[..., None]
) -> None:
    from fctl_napari.plugin.common.background import Job
    from fctl_napari.plugin.io.export import ExportInputs, export_work

    inputs = ExportInputs(str(store), tmp_path / "out.png")
    ended: list[object] = []
    job = Job(export_work(inputs))
    job.start()
    job.failed.connect(ended.append)
    job.cancel()
    until(lambda: bool(ended))
    assert notes == []
    assert not inputs.out.exists()
    again = Job(export_work(inputs))
    again.finished.connect(ended.append)
    again.start()
    until(lambda: len(ended) == 2)
    assert (open_ground_truth(inputs.out).read((100, 50, 200, 350)) == 1).all()


def test_the_form_exports_a_drawn_region(
    viewer: Any, store: Path, tmp_path: Path, notes: list[tuple[str, str]], until: Callable[..., None]
) -> None:
    form = the_tab(viewer).form
    form.path.setText(str(tmp_path / "out.png"))
    form.draw.click()
    assert form.where.currentText() == "Drawn region"
    shapes = viewer.layers.selection.active
    shapes.add_rectangles([[149.5, 99.5], [149.5, 199.5], [179.5, 199.5], [179.5, 99.5]])
    form.export.click()
    until(lambda: "is exported" in form.status.text())
    written = open_ground_truth(tmp_path / "out.png")
    assert written.shape == (30, 100)
    assert (written.read((0, 0, 30, 100)) == 1).all()
    assert errors(notes) == []


def enabled_kinds(form: Any) -> list[str]:
    return [form.kind.itemText(k) for k in range(form.kind.count()) if form.kind.model().item(k).isEnabled()]


def test_only_kinds_that_go_together_are_offered(viewer: Any) -> None:
    form = the_tab(viewer).form
    every = enabled_kinds(form)
    assert every == list(KINDS)
    form.kind.setCurrentText("Polygons as GeoPackage")
    form.what.setCurrentText("Provenance: who said it")
    assert enabled_kinds(form) == ["Classes as GeoTIFF", "Labels as OME-Zarr", "Classes as PNG"]
    assert form.path.text().endswith("made.provenance.tif")
    for name in enabled_kinds(form):  # none of these is refused
        form.kind.setCurrentText(name)
        the_tab(viewer).inputs()
    form.what.setCurrentText("Prediction alone")
    assert enabled_kinds(form) == every
    for name in every:
        form.kind.setCurrentText(name)
        the_tab(viewer).inputs()


def test_a_report_is_of_all_of_the_image(viewer: Any) -> None:
    form = the_tab(viewer).form
    form.where.setCurrentText("View")
    form.kind.setCurrentText("Report as HTML")
    assert form.where.currentText() == "Whole image"
    assert not any(field.isEnabled() for field in (form.where, form.draw, form.simplify, form.min_area))
    form.path.setText("/tmp/x.pdf")
    assert form.kind.currentText() == "Report as PDF"
    form.kind.setCurrentText("Classes as PNG")
    assert form.where.isEnabled()
