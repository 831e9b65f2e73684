"""The Errors widget in the real window, over part of the Earth scene and its truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from looking import Open, errors, level, shown
from napari.layers import Labels
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QTabBar, QTableView

from fctl_napari.analysis.agreement import compare
from fctl_napari.analysis.error_kinds import COLOUR_BLIND, PAPER, comparison_kinds
from fctl_napari.analysis.error_marks import Marks, marks_path
from fctl_napari.analysis.error_regions import find_disagreements, find_doubts, find_errors, order
from fctl_napari.analysis.evaluation import evaluate
from fctl_napari.imagery.class_mapping import ClassMapping
from fctl_napari.imagery.formats import open_image
from fctl_napari.imagery.labels import LabelPyramid, open_truth
from fctl_napari.imagery.sample import sample_files
from fctl_napari.plugin import background
from fctl_napari.plugin.comparing import CONFUSION, DIFFERENCES, DOUBTS, ERRORS, MISSES, WHO
from fctl_napari.plugin.error_widget import ErrorWidget
from fctl_napari.plugin.mapping_dialog import MappingDialog
from fctl_napari.plugin.regions import VIEW, WHOLE
from fctl_napari.plugin.view import view_region
from fctl_napari.segmentation.maps import MAPS
from fctl_napari.segmentation.store import ATTRIBUTE, Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

CROP = (250, 2500, 550, 3600)
NAMES = ("water", "forest", "rangeland", "agriculture", "barren")
Judged = tuple[Path, Segmentation, np.ndarray, np.ndarray]
OpenErrors = Callable[..., tuple[napari.Viewer, ErrorWidget]]


@pytest.fixture
def truth_of_scene() -> np.ndarray:
    """Class indices of the crop, 255 = none."""
    return open_truth(sample_files().truth).read(CROP)


@pytest.fixture
def judged(scene: Path, truth_of_scene: np.ndarray, make_segmentation: Callable[..., Segmentation]) -> Judged:
    """The scene with its truth, and a segmentation beside it: shifted, with patches of wrong classes."""
    labels = LabelPyramid.create(
        scene / "labels" / "truth",
        truth_of_scene.shape,
        chunk=128,
        classes=[{"name": name, "color": (10 * k, 20, 30)} for k, name in enumerate(NAMES)],
    )
    labels.write(0, 0, truth_of_scene + np.uint8(1))
    labels.update_levels((0, 0, *truth_of_scene.shape))
    called = np.roll(np.where(truth_of_scene == 255, 0, truth_of_scene), (3, -4), (0, 1)).astype(np.uint8)
    called[100:140, 300:360] = 3
    called[200:220, 700:760] = 0
    random = np.random.default_rng(0)
    sure = random.integers(60, 250, (15, 55)).repeat(20, 0).repeat(20, 1)
    stored = called + np.uint8(1)
    stored[:, 1000:1040] = 0  # not computed
    store = make_segmentation(
        stored,
        names=NAMES,
        path=scene.with_name("scene.made.fctl.ome.zarr"),
        confidence=sure,
        image=open_image(scene),
    )
    return scene, store, truth_of_scene, stored - np.uint8(1)


@pytest.fixture
def open_errors(make_napari_viewer: Callable[..., Any], until: Callable[..., None]) -> OpenErrors:
    """Open what is given in a window with the widget docked, and wait until it is ready."""

    def open_it(*paths: Path) -> tuple[napari.Viewer, ErrorWidget]:
        viewer = make_napari_viewer(show=True)
        for path in paths:
            viewer.open(path, plugin="fctl-napari")
        _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Errors")
        until(lambda: not widget.running)
        return viewer, widget

    return open_it


def misses(truth: np.ndarray, called: np.ndarray) -> np.ndarray:
    """1 missed, 2 false, 3 another class, by definition (class 0 is the background)."""
    wrong = (truth != called) & (truth != 255) & (called != 255)
    return np.where(wrong, np.where(called == 0, 1, np.where(truth == 0, 2, 3)), 0)


def some(where: np.ndarray) -> tuple[int, int]:
    """A pixel whose neighbours, too, are of the kind."""
    inner = where[1:-1, 1:-1].copy()
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            inner &= where[dy : dy + inner.shape[0], dx : dx + inner.shape[1]]
    inner[:, :40] = inner[:, -40:] = False
    y, x = np.argwhere(inner)[len(np.argwhere(inner)) // 2]
    return int(y) + 1, int(x) + 1


def look(viewer: napari.Viewer, y: int, x: int) -> np.ndarray:
    viewer.scene.camera.zoom = 8.0
    viewer.scene.camera.center = (0, y, x)
    return shown(viewer, y, x)


def find(widget: ErrorWidget, until: Callable[..., None]) -> None:
    widget.form.regions.find.click()
    until(lambda: not widget.running)


def canvas(viewer: napari.Viewer) -> Any:
    return viewer.window._qt_viewer.canvas.native


def test_errors_stand_on_the_screen(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    scene, store, truth, called = judged
    viewer, widget = open_errors(scene, store.path)
    form = widget.form
    assert form.truth.currentText() == "truth"  # the image's own
    assert form.mapping.text() == "5 scored, 1 ignored"
    assert form.hint.text() == ""
    overlay = widget.overlay
    assert overlay is not None
    assert overlay.multiscale
    kinds = misses(truth, called)
    for index, data in enumerate(overlay.data):
        assert np.array_equal(np.asarray(data), kinds[:: 2**index, :: 2**index])
    for kind, color in ((1, PAPER.false_negative), (2, PAPER.false_positive), (3, PAPER.confused)):
        assert np.abs(look(viewer, *some(kinds == kind)) - color).max() < 3
    y, x = some(kinds == 0)
    assert min(np.abs(look(viewer, y, x) - color).max() for color in (PAPER.false_negative, PAPER.confused)) > 30

    # one class, in colours that the colour-blind tell apart
    form.of.setCurrentText("agriculture")
    form.colors.setCurrentText("Colour-blind safe")
    missed, false = (truth == 3) & (called != 3) & (called != 255), (called == 3) & (truth != 3) & (truth != 255)
    assert np.array_equal(level(overlay), missed + 2 * false)
    assert np.abs(look(viewer, *some(missed)) - COLOUR_BLIND.false_negative).max() < 3
    assert np.abs(look(viewer, *some(false)) - COLOUR_BLIND.false_positive).max() < 3
    # the same pixels in two places: what was missed of one class is false of another
    y, x = some((truth == 1) & (called == 3))
    assert np.abs(look(viewer, y, x) - COLOUR_BLIND.false_positive).max() < 3
    form.of.setCurrentText("forest")
    assert np.abs(look(viewer, y, x) - COLOUR_BLIND.false_negative).max() < 3

    form.of.setCurrentText("All classes")
    form.mode.setCurrentText(CONFUSION)
    assert np.array_equal(level(overlay), np.where(kinds > 0, called + 1, 0))
    color = store.class_table.classes[3].color
    assert np.abs(look(viewer, y, x) - color).max() < 3
    assert "called&nbsp;agriculture" in form.legend.text()

    form.mode.setCurrentText(MISSES)
    form.set_colors(PAPER.__class__((1, 200, 3), PAPER.false_positive, (9, 9, 200)))
    assert np.abs(look(viewer, y, x) - (9, 9, 200)).max() < 3
    form.shown.click()
    assert widget.overlay is None
    form.shown.click()
    assert widget.overlay is not None
    assert errors(notes) == []


def test_figures_are_those_of_the_analysis(
    open_errors: OpenErrors,
    judged: Judged,
    until: Callable[..., None],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene, store, truth, called = judged
    viewer, widget = open_errors(scene, store.path)
    form, page = widget.form, widget.form.figures
    form.tabs.setCurrentWidget(page)
    page.compute.click()
    assert form.cancel.isEnabled()
    until(lambda: not widget.running)
    expected = evaluate(store, open_truth(scene))
    assert page.evaluation is not None
    assert page.evaluation.to_json() == expected.to_json()
    for figure in (expected.scores.miou, expected.scores.miou_without_class_0, expected.calibration.ece()):
        assert f"{figure:.3f}" in page.headline.text()
    cells = page.classes.model()
    assert cells.headerData(0, Qt.Orientation.Vertical) == "water"
    assert cells.data(cells.index(1, 0)) == f"{expected.scores.iou['forest']:.3f}"

    # a click on the matrix lights these pixels up, and lists only such regions
    index = page.confusion.model().index(1, 3)
    share = expected.confusion[1, 3] / expected.confusion[1].sum()
    assert page.confusion.model().data(index) == f"{100 * share:.1f}"
    page.confusion.scrollTo(index)
    QApplication.processEvents()
    middle = page.confusion.visualRect(index).center()
    qtbot.mouseClick(page.confusion.viewport(), Qt.MouseButton.LeftButton, pos=middle)
    lit = (truth == 1) & (called == 3)
    assert widget.overlay is not None
    assert np.array_equal(level(widget.overlay), 4 * lit)
    assert np.abs(look(viewer, *some(lit)) - PAPER.highlighted).max() < 3
    assert f"{lit.sum():,} px" in form.status.text()
    assert "was forest, called agriculture" in form.only.text()
    form.only.click()
    assert np.array_equal(level(widget.overlay), misses(truth, called))

    # for what is in view only
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 120, 340), 6.0
    form.where.setCurrentText(VIEW)
    page.compute.click()
    until(lambda: not widget.running)
    region = view_region(viewer, viewer.layers["scene"])
    assert page.evaluation.to_json() == evaluate(store, open_truth(scene), region).to_json()

    form.draw.click()  # a rectangle over pixels (100, 200) to (180, 400)
    viewer.layers.selection.active.add_rectangles(np.array([[99.5, 199.5], [179.5, 399.5]]))
    page.compute.click()
    until(lambda: not widget.running)
    assert page.evaluation.to_json() == evaluate(store, open_truth(scene), (100, 200, 180, 400)).to_json()

    page.copy.click()
    assert QApplication.clipboard().text() == page.evaluation.to_csv()
    for name, button in (("figures.json", page.save_json), ("figure.svg", page.save_figure)):
        place = str(tmp_path / name)
        monkeypatch.setattr(
            "fctl_napari.plugin.figures_page.QFileDialog.getSaveFileName", lambda *_, p=place, **__: (p, "")
        )
        button.click()
    assert json.loads((tmp_path / "figures.json").read_text()) == page.evaluation.to_json()
    assert "<svg" in (tmp_path / "figure.svg").read_text()[:2000]
    page.show_evaluation(replace(expected, inherited=3), "scene", "white")
    assert "3 of the tiles are the parent's, not computed anew" in page.headline.text()


def test_next_error_flies_there_and_marks_last(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], qtbot: QtBot, notes: list[tuple[str, str]]
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    page = widget.form.regions
    assert page.kind == ERRORS
    find(widget, until)
    found = order(find_errors(store, open_truth(scene)), "size")
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

    qtbot.keyClick(canvas(viewer), Qt.Key.Key_K)
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N)
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_W)
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N)
    assert page.current == found[2]
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert page.current == found[2]  # the ones before are marked
    page.view.selectRow(0)
    assert np.allclose(camera.center[-2:], ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
    marks = Marks(marks_path(store.path))
    assert [marks.of(region) for region in found[:3]] == ["done", "truth is wrong", None]
    grey = page.table.data(page.table.index(1, 0), Qt.ItemDataRole.ForegroundRole)
    assert (grey.red(), grey.green(), grey.blue()) == (128, 128, 128)
    assert page.table.data(page.table.index(2, 0), Qt.ItemDataRole.ForegroundRole) is None

    # small ones are seen with their surroundings
    page.sort.setCurrentText("Confidence")
    assert page.table.rows == order(found, "confidence")
    page.sort.setCurrentText("Largest first")
    height, width = viewer.canvas.size
    tiny = min(range(len(found)), key=lambda k: max(np.subtract(found[k].window[2:], found[k].window[:2])))
    page.view.selectRow(tiny)
    y0, x0, y1, x1 = found[tiny].window
    assert camera.zoom == pytest.approx(min(height / (y1 - y0) / 3, width / (x1 - x0) / 3, 12))

    page.was.setCurrentText("water")
    page.called.setCurrentText("forest")
    listed = page.table.rows
    assert listed == [region for region in found if (region.truth, region.called) == (0, 1)]

    # a widget that is opened again knows the marks; the old one has let the keys go
    viewer.window.remove_dock_widget(widget)
    assert "FCtL error" not in viewer.layers
    assert widget.overlay is None
    centre = camera.center
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N)
    assert camera.center == centre
    viewer.layers.remove("scene.made.fctl.ome.zarr confidence")  # nobody listens
    _, again = viewer.window.add_plugin_dock_widget("fctl-napari", "Errors")
    until(lambda: not again.running)
    find(again, until)
    page = again.form.regions
    assert "2 marked" in page.summary.text()
    page.next.click()
    assert page.current == found[2]
    page.view.selectRow(0)
    page.done.click()  # once more takes it away
    assert Marks(marks_path(store.path)).of(found[0]) is None
    assert errors(notes) == []


def test_on_layers_that_are_scaled_and_moved(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None]
) -> None:
    scene, store, truth, called = judged
    viewer, widget = open_errors(scene, store.path)
    mask = viewer.layers[store.path.name]
    for layer in (viewer.layers["scene"], mask):
        layer.scale, layer.translate, layer.rotate = (0.5, 0.5), (100, 40), 90
    assert widget.overlay is not None
    find(widget, until)
    page = widget.form.regions
    QApplication.processEvents()  # the dock has its width
    page.next.click()
    region = page.current
    assert region is not None
    y, x = region.point
    world = np.array(widget.overlay.data_to_world((y, x)))
    assert np.allclose(world, mask.data_to_world((y, x)))
    y0, x0, y1, x1 = region.window
    assert np.allclose(viewer.scene.camera.center[-2:], mask.data_to_world(((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2)))
    height, width = viewer.canvas.size
    zoom = viewer.scene.camera.zoom
    share = max((x1 - x0) / 2 * zoom / height, (y1 - y0) / 2 * zoom / width)  # turned by 90 degrees
    assert share == pytest.approx(1 / 3, abs=0.01)
    corners = [viewer.layers["FCtL error"].data_to_world(corner) for corner in viewer.layers["FCtL error"].data[0]]
    expected = [mask.data_to_world(c) for c in ((y0 - 1.5, x0 - 1.5), (y1 + 0.5, x1 + 0.5))]
    assert np.allclose(np.min(corners, 0), np.min(expected, 0))
    assert np.allclose(np.max(corners, 0), np.max(expected, 0))
    viewer.scene.camera.zoom, viewer.scene.camera.center = 16.0, (0, *world)
    kind = misses(truth, called)[y, x]
    color = (PAPER.false_negative, PAPER.false_positive, PAPER.confused)[kind - 1]
    assert np.abs(shown(viewer, *world) - color).max() < 3


def test_doubts_need_no_truth(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors()
    form = widget.form
    assert "Segment the image first" in form.hint.text()
    viewer.open(scene, plugin="fctl-napari")
    viewer.open(store.path, plugin="fctl-napari")
    until(lambda: widget.comparison is not None and not widget.running)
    form.truth.setCurrentText("none")
    until(lambda: not widget.running)
    assert "lists doubts" in form.hint.text()
    assert widget.overlay is None
    page = form.regions
    assert page.kind == DOUBTS
    assert not form.figures.compute.isEnabled()
    page.sort.setCurrentText("Confidence")
    find(widget, until)
    found = order(find_doubts(store), "confidence")
    assert page.table.rows == found
    assert found[0].confidence < found[-1].confidence
    page.next.click()
    y0, x0, y1, x1 = found[0].window
    assert np.allclose(viewer.scene.camera.center[-2:], ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
    page.threshold.setValue(30)
    find(widget, until)
    assert page.table.rows == order(find_doubts(store, threshold=0.3), "confidence")
    assert errors(notes) == []


@pytest.mark.parametrize("beside", [False, True])
def test_doubts_by_maps_that_were_kept(
    beside: bool, open_errors: OpenErrors, judged: Judged, until: Callable[..., None]
) -> None:
    _, shown_store, *_ = judged
    place = shown_store.path
    if beside:  # what the Segment widget leaves when it is asked for maps
        place = place.with_name("scene.made.maps.fctl.ome.zarr")
        shutil.copytree(shown_store.path, place)
    entropy = LabelPyramid.create(place / MAPS / "entropy", shown_store.shape, chunk=128)
    values = np.random.default_rng(1).integers(1, 256, (15, 55)).repeat(20, 0).repeat(20, 1)
    entropy.write(0, 0, values.astype(np.uint8))
    LabelPyramid.open(place, "r+").set_attributes({ATTRIBUTE: {**shown_store.facts, MAPS: ["entropy"]}})
    store = Segmentation.open(place)
    _, widget = open_errors(shown_store.path)
    page = widget.form.regions
    assert widget.form.truth.currentText() == "truth of scene.ome.zarr"  # without the image being open
    assert widget.overlay is not None
    widget.form.truth.setCurrentText("none")
    until(lambda: not widget.running)
    assert [page.measure.itemText(k) for k in range(page.measure.count())] == ["confidence", "entropy"]
    page.measure.setCurrentText("entropy")
    assert page.threshold.value() == 50
    find(widget, until)
    assert page.table.rows == order(find_doubts(store, measure="entropy"), "size")
    assert page.table.rows != order(find_doubts(store), "size")


def test_truths_with_other_values(
    open_errors: OpenErrors,
    judged: Judged,
    until: Callable[..., None],
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    scene, store, truth, called = judged
    viewer, widget = open_errors(scene, store.path)
    form = widget.form
    values = np.where(truth == 255, 255, 40 + truth).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "values.png")
    widget.add_truth(tmp_path / "values.png")
    until(lambda: not widget.running)
    assert "without a class (40, 41" in form.hint.text()
    form.figures.compute.click()
    until(lambda: not widget.running)
    assert any("values.png: holds the value 4" in message for message in errors(notes))

    form.edit_mapping.click()
    dialog = widget.findChild(MappingDialog)
    rows = {int(dialog.table.item(row, 0).text()): row for row in range(dialog.table.rowCount())}
    for k, name in enumerate(NAMES):
        dialog.chooser(rows[40 + k]).setCurrentText(name)
    dialog.accept()
    until(lambda: not widget.running)
    assert form.hint.text() == ""
    assert widget.overlay is not None
    assert np.array_equal(level(widget.overlay), misses(truth, called))
    form.figures.compute.click()
    until(lambda: not widget.running)
    assert form.figures.evaluation is not None
    assert form.figures.evaluation.to_json() == evaluate(store, open_truth(scene)).to_json()

    # what is not scored is neither shown nor counted
    widget.set_mapping(ClassMapping(NAMES, {40 + k: k if k else 255 for k in range(5)} | {255: 255}))
    until(lambda: not widget.running)
    assert np.array_equal(level(widget.overlay), misses(np.where(truth == 0, 255, truth), called))

    # a layer that anyone made counts from 0; painted on, it is read again
    foreign = viewer.add_labels(np.where(truth == 255, 255, truth).astype(np.int32), name="foreign")
    form.truth.setCurrentText("foreign")
    until(lambda: not widget.running)
    assert np.array_equal(level(widget.overlay), misses(truth, called))
    viewer.layers.remove(foreign)
    until(lambda: not widget.running)
    assert form.truth.currentText() != "foreign"

    before = len(errors(notes))
    Image.fromarray(values[:-1]).save(tmp_path / "small.png")
    widget.add_truth(tmp_path / "small.png")
    until(lambda: not widget.running)
    assert "299 x 1100" in errors(notes)[before]
    assert "299 x 1100" in form.hint.text()
    assert widget.overlay is None


def test_two_segmentations(
    open_errors: OpenErrors,
    judged: Judged,
    until: Callable[..., None],
    make_segmentation: Callable[..., Segmentation],
    notes: list[tuple[str, str]],
) -> None:
    scene, store, truth, called = judged
    other = np.where(truth == 255, 1, truth).astype(np.uint8)
    other[100:180, 300:500] = 2
    second = make_segmentation(
        other + np.uint8(1), names=NAMES, path=scene.with_name("other.fctl.ome.zarr"), image=open_image(scene)
    )
    viewer, widget = open_errors(scene, store.path, second.path)
    form = widget.form
    form.mask.setCurrentText(store.path.name)
    form.second.setCurrentText(second.path.name)
    until(lambda: not widget.running)
    assert form.truth.currentText() == "truth"
    form.mode.setCurrentText(WHO)
    kinds = comparison_kinds(truth, called, other)
    assert widget.overlay is not None
    assert np.array_equal(level(widget.overlay), kinds)
    assert np.abs(look(viewer, *some(kinds == 2)) - (230, 159, 0)).max() < 3
    form.figures.compute.click()
    until(lambda: not widget.running)
    expected = compare(second, store, open_truth(scene))
    assert f"{expected.share:.1%} agree" in form.figures.agreement.text()
    assert f"{expected.truth.second.miou:.3f} and {expected.truth.first.miou:.3f}" in form.figures.agreement.text()
    form.regions.what.setCurrentText(DIFFERENCES)
    find(widget, until)
    table = form.regions.table
    assert table.rows == order(find_disagreements(second, store), "size")
    assert table.headerData(0, Qt.Orientation.Horizontal) == "Other says"
    form.regions.next.click()
    form.regions.done.click()
    assert len(Marks(marks_path(store.path))) == 0  # those are of the errors

    form.truth.setCurrentText("none")
    until(lambda: not widget.running)
    assert np.array_equal(level(widget.overlay), comparison_kinds(np.full_like(truth, 255), called, other))
    assert errors(notes) == []


def test_it_grows_with_the_segmentation(
    open_scene: Open, judged: Judged, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    _, _, truth, _ = judged
    viewer, segment = open_scene()
    _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Errors")
    segment.form.where.setCurrentText(WHOLE)
    fills: list[float] = []
    segment.form.run.click()

    def watch() -> bool:
        if widget.overlay is not None and segment.running:
            fills.append(float((np.asarray(widget.overlay.data[-1]) > 0).mean()))
        return not segment.running and not widget.running and widget.overlay is not None

    until(watch)
    mask = next(layer for layer in viewer.layers if isinstance(layer, Labels) and "tiny" in layer.name)
    called = np.asarray(mask.data[0]) - np.uint8(1)
    kinds = misses(np.where(truth > 2, 255, truth), called)  # the small network knows three classes
    until(lambda: np.array_equal(np.asarray(widget.overlay.data[-1]), kinds[::2, ::2]))
    assert np.array_equal(level(widget.overlay), kinds)
    assert len(set(fills)) > 1, "the overlay came all at once"
    assert errors(notes) == []


def test_closing_the_window_ends_it(open_errors: OpenErrors, judged: Judged, until: Callable[..., None]) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    widget.form.figures.compute.click()
    (job,) = background._running
    viewer.close()
    assert job._cancelled.is_set()
    until(lambda: not background._running)
    listening = [str(callback) for callback in viewer.layers.events.inserted.callbacks]
    assert not [callback for callback in listening if "ErrorChoices" in callback]


def test_everything_has_a_tooltip(open_errors: OpenErrors) -> None:
    _, widget = open_errors()
    fields = [f for kind in (QComboBox, QAbstractSpinBox, QAbstractButton) for f in widget.form.findChildren(kind)]
    inner = (QComboBox, QAbstractSpinBox, QTableView, QTabBar)  # what Qt puts into its own widgets
    assert [field for field in fields if not field.toolTip() and not isinstance(field.parent(), inner)] == []
    assert len(fields) > 25
