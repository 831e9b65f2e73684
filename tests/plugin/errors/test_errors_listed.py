"""Figures, errors one after the other, and uncertain regions in the tab Errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_errors import Judged, OpenErrors, called, canvas, find, look, some
from helpers_window import errors, level
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from fctl_napari.evaluation.error_regions import find_errors, find_uncertain, order
from fctl_napari.evaluation.error_types import PAPER
from fctl_napari.evaluation.evaluation import Evaluation, evaluate
from fctl_napari.evaluation.review_marks import Marks
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.errors.comparison import ERRORS, UNCERTAIN
from fctl_napari.plugin.errors.widget import ErrorWidget
from fctl_napari.plugin.layers.roi import VIEW
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.segmentation.store.map_names import MAPS
from fctl_napari.segmentation.store.store import ATTRIBUTE, Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


def compute(widget: ErrorWidget, until: Callable[..., None]) -> Evaluation:
    """Compute the figures."""
    page = widget.form.figures
    widget.form.tabs.setCurrentWidget(page)
    page.compute.click()
    assert widget.form.cancel.isEnabled()
    until(lambda: not widget.running)
    assert page.evaluation is not None
    return page.evaluation


def test_figures_are_those_of_the_analysis(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, store, *_ = judged
    _, widget = open_errors(scene, store.path)
    page = widget.form.figures
    evaluation, expected = compute(widget, until), evaluate(store, open_ground_truth(scene))
    assert evaluation.to_json() == expected.to_json()
    for figure in (expected.scores.miou, expected.calibration.ece()):
        assert f"{figure:.3f}" in page.headline.text()
    assert "of all 5 classes" in page.headline.text()
    assert "GLNet" not in page.headline.text()  # land cover has no background
    cells = page.classes.model()
    assert cells.headerData(0, Qt.Orientation.Vertical) == "water"
    assert cells.data(cells.index(1, 0)) == f"{expected.scores.iou['forest']:.3f}"

    page.copy.click()
    assert QApplication.clipboard().text() == evaluation.to_csv()
    for name, button in (("figures.json", page.save_json), ("figure.svg", page.save_figure)):
        location = str(tmp_path / name)
        monkeypatch.setattr(
            "fctl_napari.plugin.errors.figures_page.QFileDialog.getSaveFileName", lambda *_, p=location, **__: (p, "")
        )
        button.click()
    assert json.loads((tmp_path / "figures.json").read_text()) == evaluation.to_json()
    assert "<svg" in (tmp_path / "figure.svg").read_text()[:2000]
    page.show_evaluation(replace(expected, inherited=3), "scene", "white")
    assert "3 of the tiles are the parent's, not computed anew" in page.headline.text()


def test_a_click_on_the_confusion_matrix_highlights_its_pixels(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], qtbot: QtBot
) -> None:
    scene, store, ground_truth, predicted = judged
    viewer, widget = open_errors(scene, store.path)
    form, page = widget.form, widget.form.figures
    evaluation = compute(widget, until)
    index = page.confusion.model().index(1, 3)
    share = evaluation.confusion[1, 3] / evaluation.confusion[1].sum()
    assert page.confusion.model().data(index) == f"{100 * share:.1f}"
    page.confusion.scrollTo(index)
    QApplication.processEvents()
    middle = page.confusion.visualRect(index).center()
    qtbot.mouseClick(page.confusion.viewport(), Qt.MouseButton.LeftButton, pos=middle)
    highlighted = (ground_truth == 1) & (predicted == 3)
    assert widget.overlay is not None
    assert np.array_equal(level(widget.overlay), 4 * highlighted)
    assert np.abs(look(viewer, *some(highlighted)) - PAPER.highlighted).max() < 3
    assert f"{highlighted.sum():,} px" in form.status.text()
    assert "was forest, called agriculture" in form.only.text()
    form.only.click()
    assert np.array_equal(level(widget.overlay), called(ground_truth, predicted))


def test_figures_of_a_region(open_errors: OpenErrors, judged: Judged, until: Callable[..., None]) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 120, 340), 6.0
    widget.form.where.setCurrentText(VIEW)
    evaluation = compute(widget, until)
    region = view_region(viewer, viewer.layers["scene"])
    assert evaluation.to_json() == evaluate(store, open_ground_truth(scene), region).to_json()

    widget.form.draw.click()  # a rectangle over pixels (100, 200) to (180, 400)
    viewer.layers.selection.active.add_rectangles(np.array([[99.5, 199.5], [179.5, 399.5]]))
    evaluation = compute(widget, until)
    assert evaluation.to_json() == evaluate(store, open_ground_truth(scene), (100, 200, 180, 400)).to_json()


def test_next_error_flies_there(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], qtbot: QtBot, notes: list[tuple[str, str]]
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    page = widget.form.regions
    assert page.kind == ERRORS
    find(widget, until)
    found = order(find_errors(store, open_ground_truth(scene)), "size")
    assert page.table.rows == found
    assert len(found) > 5
    selected = set(viewer.layers.selection)

    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N)
    assert page.current == found[0]
    y0, x0, y1, x1 = found[0].window
    camera = viewer.scene.camera
    assert np.allclose(camera.center[-2:], ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
    height, width = viewer.canvas.size
    share = max((y1 - y0) * camera.zoom / height, (x1 - x0) * camera.zoom / width)
    assert share == pytest.approx(1 / 3, abs=0.01)
    spot = viewer.layers["FCtL error"]
    assert spot.data[0].min(0) == pytest.approx((y0 - 1.5, x0 - 1.5))
    assert spot.data[0].max(0) == pytest.approx((y1 + 0.5, x1 + 0.5))
    assert set(viewer.layers.selection) == selected
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N)
    page.view.selectRow(0)
    assert np.allclose(camera.center[-2:], ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
    assert errors(notes) == []


def test_errors_that_are_marked_are_passed_over(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], qtbot: QtBot, notes: list[tuple[str, str]]
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    page = widget.form.regions
    find(widget, until)
    found = page.table.rows
    for key in (Qt.Key.Key_N, Qt.Key.Key_K, Qt.Key.Key_N, Qt.Key.Key_W, Qt.Key.Key_N):
        qtbot.keyClick(canvas(viewer), key)
    assert page.current == found[2]
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert page.current == found[2]  # the ones before are marked
    marks = Marks.of_segmentation(store)
    assert [marks.of(region) for region in found[:3]] == ["done", "truth is wrong", None]
    gray = page.table.data(page.table.index(1, 0), Qt.ItemDataRole.ForegroundRole)
    assert (gray.red(), gray.green(), gray.blue()) == (128, 128, 128)
    assert page.table.data(page.table.index(2, 0), Qt.ItemDataRole.ForegroundRole) is None
    assert errors(notes) == []


def test_the_list_is_sorted_and_small_errors_are_seen_with_their_surroundings(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None]
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    page = widget.form.regions
    find(widget, until)
    found = order(find_errors(store, open_ground_truth(scene)), "size")
    page.sort.setCurrentText("Confidence")
    assert page.table.rows == order(found, "confidence")
    page.sort.setCurrentText("Largest first")
    camera, (height, width) = viewer.scene.camera, viewer.canvas.size
    tiny = min(range(len(found)), key=lambda k: max(np.subtract(found[k].window[2:], found[k].window[:2])))
    page.view.selectRow(tiny)
    y0, x0, y1, x1 = found[tiny].window
    assert camera.zoom == pytest.approx(min(height / (y1 - y0) / 3, width / (x1 - x0) / 3, 12))

    page.was.setCurrentText("water")
    page.predicted.setCurrentText("forest")
    listed = page.table.rows
    assert listed == [region for region in found if (region.ground_truth, region.predicted) == (0, 1)]


def test_a_widget_that_is_opened_again_knows_the_marks_and_the_old_one_lets_the_keys_go(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], qtbot: QtBot, notes: list[tuple[str, str]]
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    find(widget, until)
    found = widget.form.regions.table.rows
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N)
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_K)
    viewer.window.remove_dock_widget(viewer.window.dock_widgets["FCtL"])
    assert "FCtL error" not in viewer.layers
    assert widget.overlay is None
    center = viewer.scene.camera.center
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N)
    assert viewer.scene.camera.center == center
    viewer.layers.remove("scene.made.fctl.ome.zarr confidence")  # nobody listens
    again = open_tab(viewer, "Errors")
    until(lambda: not again.running)
    find(again, until)
    page = again.form.regions
    assert "1 marked" in page.summary.text()
    page.next.click()
    assert page.current == found[1]
    page.view.selectRow(0)
    page.done.click()  # once more takes it away
    assert Marks.of_segmentation(store).of(found[0]) is None
    assert errors(notes) == []


def test_uncertain_regions_need_no_ground_truth(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors()
    form = widget.form
    assert "Segment the image first" in form.guide.text()
    viewer.open(scene, plugin="fctl-napari")
    viewer.open(store.path, plugin="fctl-napari")
    until(lambda: widget.comparison is not None and not widget.running)
    form.ground_truth.setCurrentText("none")
    until(lambda: not widget.running)
    assert "lists doubts" in form.guide.text()
    assert widget.overlay is None
    page = form.regions
    assert page.kind == UNCERTAIN
    assert not form.figures.compute.isEnabled()
    page.sort.setCurrentText("Confidence")
    find(widget, until)
    found = order(find_uncertain(store), "confidence")
    assert page.table.rows == found
    assert found[0].confidence < found[-1].confidence
    page.next.click()
    y0, x0, y1, x1 = found[0].window
    assert np.allclose(viewer.scene.camera.center[-2:], ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
    page.threshold.setValue(30)
    find(widget, until)
    assert page.table.rows == order(find_uncertain(store, threshold=0.3), "confidence")
    assert errors(notes) == []


@pytest.mark.parametrize("beside", [False, True])
def test_uncertain_regions_by_maps_that_were_kept(
    beside: bool, open_errors: OpenErrors, judged: Judged, until: Callable[..., None]
) -> None:
    _, shown_store, *_ = judged
    location = shown_store.path
    if beside:  # what the tab Segment leaves when it is asked for maps
        location = location.with_name("scene.made.maps.fctl.ome.zarr")
        shutil.copytree(shown_store.path, location)
    entropy = LabelPyramid.create(location / MAPS / "entropy", shown_store.shape, chunk=128)
    values = np.random.default_rng(1).integers(1, 256, (15, 55)).repeat(20, 0).repeat(20, 1)
    entropy.write(0, 0, values.astype(np.uint8))
    LabelPyramid.open(location, "r+").set_attributes({ATTRIBUTE: {**shown_store.facts, MAPS: ["entropy"]}})
    store = Segmentation.open(location)
    _, widget = open_errors(shown_store.path)
    page = widget.form.regions
    assert widget.form.ground_truth.currentText() == "truth of scene.ome.zarr"  # without the image being open
    assert widget.overlay is not None
    widget.form.ground_truth.setCurrentText("none")
    until(lambda: not widget.running)
    assert [page.measure.itemText(k) for k in range(page.measure.count())] == ["confidence", "entropy"]
    page.measure.setCurrentText("entropy")
    assert page.threshold.value() == 50
    find(widget, until)
    assert page.table.rows == order(find_uncertain(store, measure="entropy"), "size")
    assert page.table.rows != order(find_uncertain(store), "size")
