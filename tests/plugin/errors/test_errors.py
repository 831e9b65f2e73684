"""The tab Errors in the real window, over part of the Earth scene and its ground truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_errors import NAMES, Judged, OpenErrors, called, find, look, some, write_ground_truth
from helpers_window import Open, errors, level, shown
from napari.layers import Labels
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QTabBar, QTableView

from fctl_napari.evaluation.agreement import compare
from fctl_napari.evaluation.error_regions import find_disagreements, order
from fctl_napari.evaluation.error_types import COLOR_BLIND, PAPER, comparison_kinds
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.evaluation.review_marks import Marks, marks_path
from fctl_napari.imagery.labels.class_mapping import ClassMapping
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.plugin.common import background
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.errors.comparison import DIFFERENCES
from fctl_napari.plugin.errors.mapping_dialog import MappingDialog
from fctl_napari.plugin.errors.showing import CONFUSION, MISSES, WHO
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


@pytest.mark.usefixtures("layer_controls")
def test_errors_stand_on_the_screen(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    scene, store, ground_truth, predicted = judged
    viewer, widget = open_errors(scene, store.path)
    form = widget.form
    assert form.ground_truth.currentText() == "truth"  # the image's own
    assert form.mapping.text() == "5 scored, 1 ignored"
    assert form.guide.text() == ""
    overlay = widget.overlay
    assert overlay is not None
    assert overlay.multiscale
    kinds = called(ground_truth, predicted)
    for index, data in enumerate(overlay.data):
        assert np.array_equal(np.asarray(data), kinds[:: 2**index, :: 2**index])
    colors = [info.color for info in store.class_table.displayed()]
    for kind in (1, 4):  # the patches of wrong classes
        assert np.abs(look(viewer, *some(kinds == kind)) - colors[kind - 1]).max() < 3
    y, x = some(kinds == 0)
    assert min(np.abs(look(viewer, y, x) - color).max() for color in colors) > 5
    form.shown.click()
    assert widget.overlay is None
    form.shown.click()
    assert widget.overlay is not None
    assert errors(notes) == []


def test_polygons_as_a_ground_truth(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], tmp_path: Path
) -> None:
    features = pytest.importorskip("rasterio.features")
    scene, store, ground_truth, predicted = judged
    _, widget = open_errors(scene, store.path)
    names = store.class_table.names
    parts = [
        {"type": "Feature", "geometry": geometry, "properties": {"label": names[int(value)]}}
        for geometry, value in features.shapes(ground_truth, ground_truth != 255)
    ]
    parts.append({"type": "Feature", "geometry": parts[0]["geometry"], "properties": {}})
    document = {"type": "FeatureCollection", "coordinates": "px of the image, x right, y down", "features": parts}
    (tmp_path / "polygons.geojson").write_text(json.dumps(document))
    widget.add_ground_truth(tmp_path / "polygons.geojson")
    until(lambda: not widget.running)
    assert np.array_equal(level(widget.overlay), called(ground_truth, predicted))
    assert "polygons without a class, left out: 1" in widget.form.guide.text()


def test_what_is_shown_of_errors_and_its_colors_are_chosen(
    open_errors: OpenErrors, judged: Judged, notes: list[tuple[str, str]]
) -> None:
    scene, store, ground_truth, predicted = judged
    viewer, widget = open_errors(scene, store.path)
    form, overlay = widget.form, widget.overlay
    assert overlay is not None

    # one class, in colors that the color-blind tell apart
    assert form.mode.currentText() == CONFUSION  # land cover
    form.mode.setCurrentText(MISSES)
    form.of.setCurrentText("agriculture")
    form.colors.setCurrentText("Colour-blind safe")
    missed, false = (
        (ground_truth == 3) & (predicted != 3) & (predicted != 255),
        (predicted == 3) & (ground_truth != 3) & (ground_truth != 255),
    )
    assert np.array_equal(level(overlay), missed + 2 * false)
    assert np.abs(look(viewer, *some(missed)) - COLOR_BLIND.false_negative).max() < 3
    assert np.abs(look(viewer, *some(false)) - COLOR_BLIND.false_positive).max() < 3
    # the same pixels twice: what was missed of one class is false of another
    y, x = some((ground_truth == 1) & (predicted == 3))
    assert np.abs(look(viewer, y, x) - COLOR_BLIND.false_positive).max() < 3
    form.of.setCurrentText("forest")
    assert np.abs(look(viewer, y, x) - COLOR_BLIND.false_negative).max() < 3

    form.of.setCurrentText("All classes")
    form.mode.setCurrentText(CONFUSION)
    assert np.array_equal(level(overlay), called(ground_truth, predicted))
    assert np.abs(look(viewer, y, x) - store.class_table.displayed().classes[3].color).max() < 3
    assert "predicted&nbsp;agriculture" in form.legend.text()
    form.mode.setCurrentText(MISSES)
    form.set_colors(PAPER.__class__((1, 200, 3), PAPER.false_positive, (9, 9, 200)))
    assert np.abs(look(viewer, y, x) - (9, 9, 200)).max() < 3
    # without a background nothing is missed or false of all classes, only another class
    assert np.array_equal(level(overlay), np.where(called(ground_truth, predicted) > 0, 3, 0))
    assert "missed" not in form.legend.text()
    assert "another&nbsp;class" in form.legend.text()
    assert errors(notes) == []


def test_misses_and_false_finds_of_the_class_beside_a_background(
    open_errors: OpenErrors,
    scene: Path,
    judged: Judged,
    ground_truth_of_scene: np.ndarray,
    make_segmentation: Callable[..., Segmentation],
    until: Callable[..., None],
) -> None:
    names = ("background", "water")
    there = np.where(ground_truth_of_scene == 0, 1, 0).astype(np.uint8)
    found = np.roll(there, (5, 5), (0, 1))
    path = scene.with_name("pair.fctl.ome.zarr")
    make_segmentation(found + np.uint8(1), names=names, path=path, image=open_image(scene))
    viewer, widget = open_errors(scene, path)
    named = viewer.add_labels(there + 1, name="pair", features={"class": ["", *names]})
    form = widget.form
    form.ground_truth.setCurrentText(named.name)
    until(lambda: not widget.running)
    assert form.mode.currentText() == MISSES
    expected = np.where(there != found, np.where(there == 1, 1, 2), 0)
    assert np.array_equal(level(widget.overlay), expected)
    named.visible = False
    assert np.abs(look(viewer, *some(expected == 1)) - PAPER.false_negative).max() < 3
    assert "another" not in form.legend.text()
    # another table is proposed its own again, and what was chosen for one stays
    viewer.open(judged[1].path, plugin="fctl-napari")
    form.mask.setCurrentText(judged[1].path.name)
    form.ground_truth.setCurrentText("truth")
    until(lambda: not widget.running)
    assert form.mode.currentText() == CONFUSION
    form.mode.setCurrentText(MISSES)
    form.second.setCurrentText(path.name)
    until(lambda: not widget.running)
    assert form.mode.currentText() == MISSES


def test_on_layers_that_are_scaled_and_moved(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None]
) -> None:
    scene, store, _, predicted = judged
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
    color = store.class_table.displayed().classes[predicted[y, x]].color
    assert np.abs(shown(viewer, *world) - color).max() < 3


def test_ground_truths_with_other_values(
    open_errors: OpenErrors,
    judged: Judged,
    until: Callable[..., None],
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    scene, store, ground_truth, predicted = judged
    _, widget = open_errors(scene, store.path)
    form = widget.form
    values = np.where(ground_truth == 255, 255, 40 + ground_truth).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "values.png")
    widget.add_ground_truth(tmp_path / "values.png")
    until(lambda: not widget.running)
    assert "without a class (40, 41" in form.guide.text()
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
    assert form.guide.text() == ""
    assert widget.overlay is not None
    assert np.array_equal(level(widget.overlay), called(ground_truth, predicted))
    form.figures.compute.click()
    until(lambda: not widget.running)
    assert form.figures.evaluation is not None
    assert form.figures.evaluation.to_json() == evaluate(store, open_ground_truth(scene)).to_json()

    # what is not scored is neither shown nor counted
    widget.set_mapping(ClassMapping(NAMES, {40 + k: k if k else 255 for k in range(5)} | {255: 255}))
    until(lambda: not widget.running)
    assert np.array_equal(level(widget.overlay), called(np.where(ground_truth == 0, 255, ground_truth), predicted))


def test_layers_as_ground_truths(open_errors: OpenErrors, judged: Judged, until: Callable[..., None]) -> None:
    scene, store, ground_truth, predicted = judged
    viewer, widget = open_errors(scene, store.path)
    form = widget.form
    # in a layer that anyone made 0 is nothing and label 1 the first class; painted on, it is read again
    foreign = viewer.add_labels(np.where(ground_truth == 255, 0, ground_truth.astype(np.int32) + 1), name="foreign")
    form.ground_truth.setCurrentText("foreign")
    until(lambda: not widget.running)
    assert np.array_equal(level(widget.overlay), called(ground_truth, predicted))
    viewer.layers.remove(foreign)
    until(lambda: not widget.running)
    assert form.ground_truth.currentText() != "foreign"

    # by the names of a layer, in whatever order; names that nobody knows are said
    there = np.where(ground_truth == 255, 0, 5 - ground_truth.astype(np.int32))
    for names, said in ((NAMES[::-1], ""), (("a", "b", "c", "d", "e"), "they count by their order")):
        named = viewer.add_labels(there, name=f"named {names[0]}", features={"class": ["", *names]})
        form.ground_truth.setCurrentText(named.name)
        until(lambda: not widget.running)
        expected = ground_truth if not said else np.where(ground_truth == 255, 255, 4 - ground_truth)
        assert np.array_equal(level(widget.overlay), called(expected, predicted))
        assert said in form.guide.text()
        assert bool(said) == bool(form.guide.text())


def test_ground_truths_of_another_palette_or_size(
    open_errors: OpenErrors,
    judged: Judged,
    until: Callable[..., None],
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    scene, store, ground_truth, predicted = judged
    _, widget = open_errors(scene, store.path)
    form = widget.form
    # a palette of the classes' colors, in another order
    colors = store.class_table.colors
    image = Image.fromarray(np.where(ground_truth == 255, 255, 4 - ground_truth).astype(np.uint8), "P")
    image.putpalette([*(part for color in colors[::-1] for part in color), *[9] * 3 * 251])
    image.save(tmp_path / "palette.png")
    widget.add_ground_truth(tmp_path / "palette.png")
    until(lambda: not widget.running)
    assert np.array_equal(level(widget.overlay), called(ground_truth, predicted))
    assert "is read by the colors of its palette" in form.guide.text()

    before = len(errors(notes))
    Image.fromarray(ground_truth[:-1]).save(tmp_path / "small.png")
    widget.add_ground_truth(tmp_path / "small.png")
    until(lambda: not widget.running)
    assert "299 x 1100" in errors(notes)[before]
    assert "299 x 1100" in form.guide.text()
    assert widget.overlay is None


@pytest.fixture
def other(ground_truth_of_scene: np.ndarray) -> np.ndarray:
    """What another segmentation says: the ground truth, but for a rectangle."""
    classes = np.where(ground_truth_of_scene == 255, 1, ground_truth_of_scene).astype(np.uint8)
    classes[100:180, 300:500] = 2
    return classes


@pytest.fixture
def second(judged: Judged, other: np.ndarray, make_segmentation: Callable[..., Segmentation]) -> Segmentation:
    """The other segmentation on disk."""
    scene, *_ = judged
    path = scene.with_name("other.fctl.ome.zarr")
    return make_segmentation(other + np.uint8(1), names=NAMES, path=path, image=open_image(scene))


def test_two_segmentations(
    open_errors: OpenErrors,
    judged: Judged,
    second: Segmentation,
    other: np.ndarray,
    until: Callable[..., None],
    notes: list[tuple[str, str]],
) -> None:
    scene, store, ground_truth, predicted = judged
    viewer, widget = open_errors(scene, store.path, second.path)
    form = widget.form
    form.mask.setCurrentText(store.path.name)
    form.second.setCurrentText(second.path.name)
    until(lambda: not widget.running)
    assert form.ground_truth.currentText() == "truth"
    form.mode.setCurrentText(WHO)
    kinds = comparison_kinds(ground_truth, predicted, other)
    assert widget.overlay is not None
    assert np.array_equal(level(widget.overlay), kinds)
    assert np.abs(look(viewer, *some(kinds == 2)) - (230, 159, 0)).max() < 3
    form.figures.compute.click()
    until(lambda: not widget.running)
    expected, text = compare(second, store, open_ground_truth(scene)), form.figures.agreement.text()
    assert f"{expected.share:.1%} agree" in text
    assert f"{expected.ground_truth.second.miou:.3f} and {expected.ground_truth.first.miou:.3f}" in text
    form.regions.what.setCurrentText(DIFFERENCES)
    find(widget, until)
    table = form.regions.table
    assert table.rows == order(find_disagreements(second, store), "size")
    assert table.headerData(0, Qt.Orientation.Horizontal) == "Other says"
    form.regions.next.click()
    form.regions.done.click()
    assert len(Marks(marks_path(store.path))) == 0  # those are of the errors

    form.ground_truth.setCurrentText("none")
    until(lambda: not widget.running)
    assert np.array_equal(level(widget.overlay), comparison_kinds(np.full_like(ground_truth, 255), predicted, other))
    assert errors(notes) == []


def test_it_grows_with_the_segmentation(
    open_scene: Open,
    strip: Path,
    ground_truth_of_scene: np.ndarray,
    until: Callable[..., None],
    notes: list[tuple[str, str]],
) -> None:
    ground_truth = ground_truth_of_scene[:112]
    write_ground_truth(strip, ground_truth)
    viewer, segment = open_scene(strip)
    widget = open_tab(viewer, "Errors")
    segment.form.where.setCurrentText(WHOLE)
    fills: list[float] = []
    segment.form.run.click()

    def watch() -> bool:
        if widget.overlay is not None and segment.running:
            fills.append(float((np.asarray(widget.overlay.data[-1]) > 0).mean()))
        return not segment.running and not widget.running and widget.overlay is not None

    until(watch)
    mask = next(layer for layer in viewer.layers if isinstance(layer, Labels) and "tiny" in layer.name)
    predicted = np.asarray(mask.data[0]) - np.uint8(1)
    kinds = called(np.where(ground_truth > 2, 255, ground_truth), predicted)  # the small network knows three classes
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
