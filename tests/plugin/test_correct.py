"""The Correct widget in the real window, over part of the Earth scene: what is painted is on disk and on the screen."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
import pytest
from app_model.types import KeyCode
from looking import errors, level, shown
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from fctl_napari.files import output_error
from fctl_napari.imagery.formats import open_image
from fctl_napari.imagery.journal import Journal
from fctl_napari.learning.corrections import Corrections
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.plugin import edit_window, keys, stroke_writer
from fctl_napari.plugin.correct import CorrectWidget
from fctl_napari.plugin.correct_form import ERROR
from fctl_napari.plugin.corrections_layer import NOT_SURE_COLOR
from fctl_napari.plugin.edit_window import window_around
from fctl_napari.plugin.error_widget import ErrorWidget
from fctl_napari.plugin.layers import image_source
from fctl_napari.plugin.session import session
from fctl_napari.segmentation.store import Segmentation

pytestmark = pytest.mark.gui

OpenCorrect = Callable[..., tuple[napari.Viewer, CorrectWidget]]
Until = Callable[..., None]
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit window that does not cover the whole scene."""
    monkeypatch.setattr(edit_window, "SIDE", 256)
    monkeypatch.setattr(session(), "painter", "ann")


@pytest.fixture
def store(scene: Path, make_segmentation: Callable[..., Segmentation]) -> Segmentation:
    """A segmentation of the scene: stripes of three classes; its last columns are not computed."""
    stripes = np.arange(1100)[None, :] // 50 % 3 + 1 + np.zeros((300, 1), np.uint8)
    stripes[:, 1000:] = 0
    return make_segmentation(stripes.astype(np.uint8), path=scene.with_name("made.ome.zarr"), image=open_image(scene))


@pytest.fixture
def open_correct(make_napari_viewer: Callable[..., Any], until: Until, scene: Path, store: Segmentation) -> OpenCorrect:
    """Open scene and segmentation in a window with the widget docked."""

    def open_it(**place: object) -> tuple[napari.Viewer, CorrectWidget]:
        viewer = make_napari_viewer(show=True)
        for path in (scene, store.path):
            viewer.open(path, plugin="fctl-napari")
        for layer in viewer.layers:
            for name, value in place.items():
                setattr(layer, name, value)
        _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Correct")
        assert isinstance(widget, CorrectWidget)
        viewer.reset_view()
        until(lambda: not widget.busy)
        return viewer, widget

    return open_it


def edit(widget: CorrectWidget, until: Until, y: float, x: float) -> Labels:
    """Put the edit window there."""
    widget.edit_here((y, x))
    until(lambda: not widget.busy and widget.edit_layer is not None)
    layer = widget.edit_layer
    assert layer is not None
    return layer


def rest(widget: CorrectWidget, until: Until) -> None:
    until(lambda: not widget.busy)


def canvas(viewer: napari.Viewer) -> Any:
    return viewer.window._qt_viewer.canvas.native


def on_canvas(viewer: napari.Viewer, layer: Any, y: float, x: float) -> QPoint:
    """Where px (y, x) of a layer is on the canvas."""
    world = np.asarray(layer.data_to_world((y, x)))[-2:]
    camera = viewer.scene.camera
    height, width = viewer.canvas.size
    down, right = (world - camera.center[-2:]) * camera.zoom
    return QPoint(round(width / 2 + right), round(height / 2 + down))


def look_at(viewer: napari.Viewer, layer: Any, y: float, x: float, zoom: float = 4.0) -> np.ndarray:
    """The colour on the screen at px (y, x) of a layer."""
    world = np.asarray(layer.data_to_world((y, x)))[-2:]
    viewer.scene.camera.zoom = zoom
    viewer.scene.camera.center = (0, *world)
    QApplication.processEvents()
    return shown(viewer, *world)


def in_step(corrections: Corrections) -> np.ndarray:
    """Level 0, once it is sure that the others follow from it."""
    whole = np.asarray(corrections.labels.levels[0][:])
    for index, array in enumerate(corrections.labels.levels):
        assert np.array_equal(array[:], whole[:: 2**index, :: 2**index])
    return whole


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"scale": (2.0, 1.0), "rotate": 30.0, "translate": (-7, 11)},
    ],
)
def test_a_stroke_is_on_disk_and_on_the_screen(
    open_correct: OpenCorrect, until: Until, scene: Path, place: dict[str, object], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct(**place)
    image = viewer.layers["scene"]
    assert not scene.with_name("scene.corrections.ome.zarr").exists()  # nothing is made before one paints
    layer = edit(widget, until, 120, 600)
    y0, x0, y1, x1 = window_around(120, 600, (300, 1100), 256)
    assert (layer.data.shape, str(layer.mode)) == ((y1 - y0, x1 - x0), "paint")
    assert viewer.layers.selection.active is layer
    for corner in ((0, 0), (255, 255), (17.5, 3)):
        assert np.allclose(layer.data_to_world(corner), image.data_to_world(np.add(corner, (y0, x0))))
    layer.brush_size = 11
    before = look_at(viewer, image, 100, 610)
    layer.paint((100 - y0, 610 - x0), 2)
    layer.paint((140 - y0, 640 - x0), NOT_SURE)
    rest(widget, until)
    corrections = widget.corrections
    assert corrections is not None
    assert corrections.path == scene.with_name("scene.corrections.ome.zarr")
    whole = in_step(corrections)
    assert (whole[100, 610], whole[140, 640], whole[100, 630]) == (2, NOT_SURE, 0)
    assert np.array_equal(whole[y0:y1, x0:x1], layer.data)
    assert np.count_nonzero(whole) == np.count_nonzero(layer.data)
    assert widget.layer is not None
    assert not widget.layer.editable
    for stored, data in zip(corrections.labels.levels, widget.layer.data, strict=True):
        assert np.array_equal(np.asarray(data), stored[:])

    # the edit window covers the image as far as it is opaque, the layer below once more
    green, grey = np.array(COLORS[1]), np.array(NOT_SURE_COLOR)
    assert np.abs(look_at(viewer, image, 100, 610) - (0.16 * before + 0.84 * green)).max() < 4
    layer.visible = False
    assert np.abs(look_at(viewer, image, 100, 610) - (0.4 * before + 0.6 * green)).max() < 4
    widget.layer.opacity = 1.0
    assert np.abs(look_at(viewer, image, 140, 640) - grey).max() < 3
    assert np.abs(look_at(viewer, image, 100, 610, zoom=0.6) - green).max() < 3  # of a coarser level

    # the image takes them with it; what was deleted comes back
    image.scale, image.translate = (3.0, 2.0), (5.0, 6.0)
    assert np.allclose(layer.data_to_world((4, 9)), image.data_to_world((y0 + 4, x0 + 9)))
    assert np.allclose(widget.layer.data_to_world((4, 9)), image.data_to_world((4, 9)))
    viewer.layers.remove(layer)
    viewer.layers.remove(widget.layer)
    again = edit(widget, until, 120, 600)
    assert again is not layer
    assert np.array_equal(again.data, whole[y0:y1, x0:x1])
    assert widget.layer is not None
    again.paint((250, 250), 1)
    rest(widget, until)
    assert in_step(corrections)[y0 + 250, x0 + 250] == 1
    assert errors(notes) == []


def test_the_mouse_paints(open_correct: OpenCorrect, until: Until) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 500)
    image = viewer.layers["scene"]
    viewer.scene.camera.zoom = 1.5
    viewer.scene.camera.center = (0, 150, 500)
    QApplication.processEvents()
    native = canvas(viewer)
    layer.brush_size = 9
    widget.form.classes.buttons[3].click()
    corrections = widget.corrections
    assert corrections is not None

    def drag(y: int, x: int, to: int) -> None:
        QTest.mouseMove(native, on_canvas(viewer, image, y, x))
        QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, image, y, x))
        for step in range(x, to + 1, 10):
            QTest.mouseMove(native, on_canvas(viewer, image, y, step))
            QTest.qWait(5)
        QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, image, y, to))

    drag(120, 450, 550)
    drag(160, 450, 550)  # at once: they are two strokes all the same
    rest(widget, until)
    whole = in_step(corrections)
    assert set(whole[120, 455:545]) == set(whole[160, 455:545]) == {3}
    assert set(whole[140]) == {0}
    widget.form.undo.click()
    rest(widget, until)
    whole = in_step(corrections)
    assert set(whole[120, 455:545]) == {3}
    assert set(whole[160]) == {0}
    assert np.array_equal(whole[layer_window(widget)], layer.data)
    layer.mode = "erase"
    drag(120, 500, 550)
    rest(widget, until)
    assert set(in_step(corrections)[120, 505:545]) == {0}
    layer.mode = "polygon"
    widget.form.classes.buttons[1].click()
    corners = [(60, 420), (60, 470), (100, 470), (100, 420)]
    for y, x in corners:
        QTest.mouseMove(native, on_canvas(viewer, image, y, x))
        QTest.mouseClick(native, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, image, y, x))
        QTest.qWait(20)
    QTest.mouseDClick(native, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, image, *corners[0]))
    until(lambda: np.count_nonzero(corrections.read((62, 422, 98, 468)) == 1) == 36 * 46)

    # beside the window nothing is painted; it offers to move there
    assert not widget.form.offer.isVisible()
    layer.mode = "paint"
    assert not layer_window(widget)[1].start < 640 < layer_window(widget)[1].stop
    drag(150, 640, 650)
    rest(widget, until)
    assert set(corrections.read((140, 635, 160, 655)).ravel()) == {0}
    assert widget.form.offer.isVisible()
    widget.form.offer.click()
    until(lambda: not widget.form.offer.isVisible() and layer_window(widget)[1].start < 640)
    rest(widget, until)
    until(lambda: layer_window(widget)[1].stop > 650)
    drag(150, 640, 650)
    until(lambda: corrections.read((150, 645, 151, 646))[0, 0] == 1)


def layer_window(widget: CorrectWidget) -> tuple[slice, slice]:
    """Where the edit window lies in its image, whose px are the world's."""
    layer = widget.edit_layer
    assert layer is not None
    y0, x0 = (int(v) for v in layer.translate[-2:])
    return slice(y0, y0 + layer.data.shape[0]), slice(x0, x0 + layer.data.shape[1])


def test_undo_goes_with_no_window(open_correct: OpenCorrect, until: Until, scene: Path) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 200)
    layer.paint((100, 100), 1)
    rest(widget, until)
    layer = edit(widget, until, 150, 900)
    assert not layer.data.any()
    layer.paint((50, 50), 2)
    rest(widget, until)
    layer.undo()  # napari's own (from the console, say): only of this place
    rest(widget, until)
    corrections = widget.corrections
    assert corrections is not None
    assert set(np.unique(in_step(corrections))) == {0, 1}
    layer.undo()  # there is nothing more of its own here
    rest(widget, until)
    assert set(np.unique(in_step(corrections))) == {0, 1}
    layer.redo()
    rest(widget, until)
    assert set(np.unique(in_step(corrections))) == {0, 1, 2}
    painted = in_step(corrections)

    native = canvas(viewer)
    native.setFocus()
    for _ in range(4):  # the redo, the undo, and both strokes
        QTest.keyClick(native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        rest(widget, until)
    assert not in_step(corrections).any()
    assert not layer.data.any()
    assert not widget.form.undo.isEnabled()
    for _ in range(4):
        QTest.keyClick(native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        rest(widget, until)
    assert np.array_equal(in_step(corrections), painted)
    assert np.array_equal(layer.data, painted[layer_window(widget)])
    assert not widget.form.redo.isEnabled()

    # and the widget: what was painted in other sessions is undone, too
    viewer.window.remove_dock_widget(widget)
    with Corrections.open(scene.with_name("scene.corrections.ome.zarr"), "r+") as again:
        again.write(200, 700, np.full((9, 9), 3, np.uint8), author="bob")
    _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Correct")
    until(lambda: not widget.busy and widget.corrections is not None)
    rest(widget, until)
    until(lambda: widget.form.classes.areas["blue"] == "81 px")
    widget.form.undo.click()
    rest(widget, until)
    assert np.array_equal(in_step(widget.corrections), painted)
    assert widget.form.classes.areas["blue"] == "-"
    widget.form.undo.click()
    rest(widget, until)
    assert set(np.unique(in_step(widget.corrections))) == {0, 1}


def test_keys_choose_classes_unless_they_are_taken(open_correct: OpenCorrect, until: Until) -> None:
    viewer, widget = open_correct()
    pressed: list[str] = []
    viewer.bind_key("2", lambda _viewer: pressed.append("2"))
    layer = edit(widget, until, 150, 500)
    native = canvas(viewer)
    native.setFocus()
    layer.mode = "erase"
    QTest.keyClick(native, Qt.Key.Key_3)
    assert (layer.selected_label, str(layer.mode)) == (3, "paint")
    assert widget.form.classes.buttons[3].isChecked()
    QTest.keyClick(native, Qt.Key.Key_0)
    assert layer.selected_label == NOT_SURE
    QTest.keyClick(native, Qt.Key.Key_2)
    assert layer.selected_label == NOT_SURE
    layer.selected_label = 1  # napari's own field
    assert widget.form.classes.buttons[1].isChecked()

    # the class that the segmentation has under the cursor
    image = viewer.layers["scene"]
    viewer.scene.camera.center = (0, 150, 475)
    viewer.scene.camera.zoom = 2.0
    QApplication.processEvents()
    QTest.mouseMove(native, on_canvas(viewer, image, 150, 475))  # 475 // 50 % 3 = 0
    QTest.qWait(30)
    QTest.keyClick(native, Qt.Key.Key_G)
    assert layer.selected_label == 1
    widget.form.pick.click()
    QTest.mouseClick(native, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, image, 150, 575))  # 575 // 50 % 3 = 2
    until(lambda: layer.selected_label == 3)
    assert not widget.form.pick.isChecked()
    assert str(layer.mode) == "paint"
    assert not layer.data.any()  # the click only picks

    viewer.scene.camera.center = (0, 100, 900)
    native.setFocus()
    QTest.keyClick(native, Qt.Key.Key_H)
    until(lambda: layer_window(widget)[1].start > 700)


def test_keys_of_the_preferences_are_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    shortcuts = {**default_shortcuts, "napari:new_label": [KeyCode.KeyM, KeyCode.Digit4]}
    monkeypatch.setattr(keys, "get_settings", lambda: SimpleNamespace(shortcuts=SimpleNamespace(shortcuts=shortcuts)))
    layer, viewer = Labels(np.zeros((4, 4), np.uint8)), ViewerModel()
    pressed: list[int] = []
    viewer.bind_key("Control-Z", lambda _viewer: None)
    actions = {key: partial(pressed.append, index) for index, key in enumerate(("3", "4", "Control-Z"))}
    unbind = keys.bind_keys(layer, actions, viewer)
    assert [str(key) for key in layer.keymap] == ["3"]
    next(iter(layer.keymap.values()))(layer)
    assert pressed == [0]
    unbind()
    assert not layer.keymap


def test_accepting_the_prediction(
    open_correct: OpenCorrect, until: Until, store: Segmentation, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 900)
    corrections = widget.corrections
    assert corrections is not None
    called = level(viewer.layers[store.path.name])
    shapes = viewer.add_shapes([[[40, 880], [40, 1050], [160, 965]]], shape_type="polygon", name="mine")
    widget.form.accept.click()
    rest(widget, until)
    whole = in_step(corrections)
    y, x = np.mgrid[:300, :1100]
    inner = (y > 41) & (y - 41 < 1.35 * (x - 881)) & (y - 41 < 1.35 * (1049 - x)) & (y < 155)
    outer = (y < 39) | (y > 161) | (y - 39 > 1.5 * (x - 878)) | (y - 39 > 1.5 * (1052 - x))
    assert np.array_equal(whole[inner], called[inner])  # 0, not computed, stays unpainted
    assert not whole[outer].any()
    assert set(whole[100, 950:1040]) > {0}
    assert np.array_equal(whole[layer_window(widget)], layer.data)
    widget.form.undo.click()
    rest(widget, until)
    assert not in_step(corrections).any()
    shapes.add([[10, 1050], [20, 1090]], shape_type="rectangle")
    shapes.selected_data = {1}
    widget.form.accept.click()
    until(lambda: any("nothing is computed there" in words for words in errors(notes)))

    # a doubt in the list of the Errors widget
    notes.clear()
    widget.form.where.setCurrentText(ERROR)
    widget.form.accept.click()
    assert "no error is chosen" in errors(notes)[-1]
    _, other = viewer.window.add_plugin_dock_widget("fctl-napari", "Errors")
    assert isinstance(other, ErrorWidget)
    until(lambda: not other.running and other.comparison is not None)
    other.form.regions.threshold.setValue(99)
    other.form.regions.find.click()
    until(lambda: not other.running and bool(other.form.regions.table.rows))
    other.form.regions.next.click()
    region = other.region
    assert region is not None
    widget.form.accept.click()
    rest(widget, until)
    (made,) = corrections.regions()
    assert region.called == 0
    assert (made.window, made.pixels, made.by_class) == (region.window, region.pixels, {region.called: region.pixels})


def test_the_list_leads_there(open_correct: OpenCorrect, until: Until, notes: list[tuple[str, str]]) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 300)
    layer.brush_size = 20
    layer.paint((100, 100), 2)
    rest(widget, until)
    layer.paint((200, 200), NOT_SURE)
    layer.paint((200, 215), 1)
    rest(widget, until)
    view = widget.form.regions
    until(lambda: len(view.table.rows) == 2)
    _, small = view.table.rows
    y, x = (part.start + 100 for part in layer_window(widget))
    assert small.window[0] < y - 8 < y + 8 < small.window[2]
    assert small.window[1] < x - 8 < x + 8 < small.window[3]
    assert view.table.data(view.table.index(0, 0)) == "red, not sure"
    assert view.table.data(view.table.index(1, 2)) == "ann"
    assert widget.form.summary.text().startswith("2 corrected regions")
    assert widget.form.classes.areas["green"] == f"{small.pixels:,} px"
    assert widget.form.classes.areas["blue"] == "-"
    view.clicked.emit(view.table.index(1, 0))
    assert np.allclose(viewer.scene.camera.center[-2:], np.add(small.window[:2], small.window[2:]) / 2 - 0.5)
    assert widget.form.saved.text().startswith("✓")

    # a label that is no class is taken back, and only that
    painted = layer.data.copy()
    layer.paint((50, 50), 2)
    layer.paint((50, 50), 7)
    layer.paint((150, 50), 3)
    rest(widget, until)
    assert [words for words in errors(notes) if "label 7 is no class" in words]
    assert widget.corrections is not None
    assert np.array_equal(in_step(widget.corrections)[layer_window(widget)], layer.data)
    assert set(np.unique(layer.data[layer.data != painted])) == {3}


def test_a_full_disk_is_told_and_tried_again(
    open_correct: OpenCorrect, until: Until, monkeypatch: pytest.MonkeyPatch, notes: list[tuple[str, str]]
) -> None:
    monkeypatch.setattr(stroke_writer, "RETRY_S", 0.05)
    _, widget = open_correct()
    layer = edit(widget, until, 150, 500)
    rest(widget, until)
    append = Journal.append

    def refuse(*_: object, **__: object) -> None:
        raise output_error(Path("journal"), OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(Journal, "append", refuse)
    layer.paint((50, 50), 2)
    until(lambda: widget.form.saved.text().startswith("⚠"))
    layer.paint((90, 90), 3)
    until(lambda: widget.form.saved.text().startswith("⚠ 2"))
    assert len(errors(notes)) == 1  # told once
    assert layer.data[50, 50] == 2
    monkeypatch.setattr(Journal, "append", append)
    rest(widget, until)
    assert widget.corrections is not None
    assert set(np.unique(in_step(widget.corrections))) == {0, 2, 3}
    assert widget.form.saved.text().startswith("✓")


def test_closing_writes_what_is_painted(open_correct: OpenCorrect, until: Until, scene: Path) -> None:
    viewer, widget = open_correct()
    path = scene.with_name("scene.corrections.ome.zarr")
    layer = edit(widget, until, 150, 500)
    layer.paint((50, 50), 2)
    viewer.window.remove_dock_widget(widget)
    assert set(np.unique(in_step(Corrections.open(path)))) == {0, 2}
    assert not [each for each in viewer.layers if each.name.startswith(("edit", "corrections"))]
    assert "H" not in {str(key) for key in viewer.keymap}
    _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Correct")
    until(lambda: not widget.busy and widget.layer is not None)  # what is there is shown again
    layer = edit(widget, until, 150, 500)
    assert layer.data[50, 50] == 2
    layer.paint((150, 150), 3)
    viewer.close()
    with Corrections.open(path, "r+") as again:  # and nobody holds it any more
        assert set(np.unique(in_step(again))) == {0, 2, 3}


def test_an_array_is_saved_first(make_napari_viewer: Callable[..., Any], until: Until, cache: Path) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8), name="mine")
    _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Correct")
    viewer.reset_view()
    rest(widget, until)
    layer = edit(widget, until, 100, 100)
    layer.paint((50, 50), 1)
    rest(widget, until)
    assert widget.corrections.path.parent == cache / "fctl-napari"
    assert in_step(widget.corrections).any()
    assert image_source(viewer.layers["mine"]) is None


PAINTER = """
import sys, time
import napari
from qtpy.QtWidgets import QApplication

scene = sys.argv[1]
viewer = napari.Viewer(show=True)
viewer.open(scene, plugin="fctl-napari")
_, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Correct")
application = QApplication.instance()

def pump(until):
    end = time.time() + 60
    while not until():
        application.processEvents()
        time.sleep(0.001)
        assert time.time() < end

pump(lambda: not widget.busy)
viewer.reset_view()
widget.edit_here((150, 500))
pump(lambda: widget.edit_layer is not None and not widget.busy)
layer = widget.edit_layer
layer.brush_size = 5
for stroke in range(200):
    layer.paint((10 + stroke % 20 * 10, 10 + stroke // 20 * 12), 1 + stroke % 3)
    painted = time.time()
    pump(lambda: not widget.busy)
    print(stroke, time.time() - painted, flush=True)
"""


def test_what_was_painted_survives_kill_9(scene: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    script = tmp_path / "painter.py"
    script.write_text(PAINTER)
    process = subprocess.Popen(
        [sys.executable, str(script), str(scene)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "other")},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    path = scene.with_name("scene.corrections.ome.zarr")
    told = -1
    try:
        for line in process.stdout:
            told = int(line.split()[0])
            if told == 6:
                break
        else:
            pytest.fail(process.stderr.read())
        process.send_signal(signal.SIGKILL)  # while it paints, or writes, the next one
        rest = process.stdout.read().splitlines(keepends=True)
        told = max([told, *(int(line.split()[0]) for line in rest if line.endswith("\n"))])
    finally:
        process.kill()
        process.wait()
    with Corrections.open(path, "r+") as again:
        whole = in_step(again)
        y0, x0, _, _ = window_around(150, 500, (300, 1100), 2048)
        count = sum(bool(whole[y0 + 10 + k % 20 * 10, x0 + 10 + k // 20 * 12]) for k in range(200))
        assert told + 1 <= count <= told + 3
        for stroke in range(count):
            y, x = y0 + 10 + stroke % 20 * 10, x0 + 10 + stroke // 20 * 12
            part = whole[y - 1 : y + 2, x - 1 : x + 2]
            assert set(part.ravel()) == {1 + stroke % 3}
        for _ in range(count):
            assert again.undo() is not None
        assert not in_step(again).any()
