"""The tab Correct in the real window, over part of the Earth scene: strokes, undo, keys."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import napari
import numpy as np
import pytest
from app_model.types import KeyCode
from helpers_correct import (
    COLORS,
    OpenCorrect,
    Until,
    canvas,
    edit,
    layer_window,
    look_at,
    on_canvas,
    rest,
    synchronized,
)
from helpers_window import errors
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.common import keys
from fctl_napari.plugin.correct.edit_window import window_around
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.layers.styles import NOT_SURE_COLOR

pytestmark = pytest.mark.gui


CENTER = (120, 600)


def paint_twice(widget: CorrectWidget, until: Until) -> tuple[Labels, tuple[int, int]]:
    """Paint green and "not sure" in an edit window; return its layer and its first px in the image."""
    layer = edit(widget, until, *CENTER)
    y0, x0, *_ = window_around(*CENTER, (300, 1100), 256)
    layer.brush_size = 11
    layer.paint((100 - y0, 610 - x0), 2)
    layer.paint((140 - y0, 640 - x0), NOT_SURE)
    rest(widget, until)
    return layer, (y0, x0)


@pytest.mark.parametrize(
    "location",
    [
        pytest.param({}, marks=pytest.mark.nightly),
        {"scale": (2.0, 1.0), "rotate": 30.0, "translate": (-7, 11)},
    ],
)
def test_a_stroke_is_on_disk_and_on_the_screen(
    open_correct: OpenCorrect, until: Until, scene: Path, location: dict[str, object], notes: list[tuple[str, str]]
) -> None:
    """By day the layers that are scaled, turned and moved stand in for those that are not."""
    viewer, widget = open_correct(**location)
    image, path = viewer.layers["scene"], scene.with_name("scene.corrections.ome.zarr")
    assert not path.exists()  # nothing is made before one paints
    before = look_at(viewer, image, 100, 610)
    layer, (y0, x0) = paint_twice(widget, until)
    assert (layer.data.shape, str(layer.mode)) == ((256, 256), "paint")
    assert viewer.layers.selection.active is layer
    for corner in ((0, 0), (255, 255), (17.5, 3)):
        assert np.allclose(layer.data_to_world(corner), image.data_to_world(np.add(corner, (y0, x0))))

    corrections = widget.corrections
    assert corrections is not None
    assert corrections.path == path
    whole = synchronized(corrections)
    assert (whole[100, 610], whole[140, 640], whole[100, 630]) == (2, NOT_SURE, 0)
    assert np.array_equal(whole[y0 : y0 + 256, x0 : x0 + 256], layer.data)
    assert np.count_nonzero(whole) == np.count_nonzero(layer.data)
    assert widget.layer is not None
    assert not widget.layer.editable
    for stored, data in zip(corrections.labels.levels, widget.layer.data, strict=True):
        assert np.array_equal(np.asarray(data), stored[:])

    # the edit window covers the image as far as it is opaque, the layer below once more
    green, gray = np.array(COLORS[1]), np.array(NOT_SURE_COLOR)
    assert np.abs(look_at(viewer, image, 100, 610) - (0.16 * before + 0.84 * green)).max() < 4
    layer.visible = False
    assert np.abs(look_at(viewer, image, 100, 610) - (0.4 * before + 0.6 * green)).max() < 4
    widget.layer.opacity = 1.0
    assert np.abs(look_at(viewer, image, 140, 640) - gray).max() < 3
    assert np.abs(look_at(viewer, image, 100, 610, zoom=0.6) - green).max() < 3  # of a coarser level
    assert errors(notes) == []


def test_layers_of_corrections_follow_the_image_and_come_back(
    open_correct: OpenCorrect, until: Until, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct()
    layer, (y0, x0) = paint_twice(widget, until)
    painted, image = layer.data.copy(), viewer.layers["scene"]
    image.scale, image.translate = (3.0, 2.0), (5.0, 6.0)
    assert widget.layer is not None
    assert np.allclose(layer.data_to_world((4, 9)), image.data_to_world((y0 + 4, x0 + 9)))
    assert np.allclose(widget.layer.data_to_world((4, 9)), image.data_to_world((4, 9)))
    viewer.layers.remove(layer)
    viewer.layers.remove(widget.layer)
    again = edit(widget, until, *CENTER)
    assert again is not layer
    assert np.array_equal(again.data, painted)
    assert widget.layer is not None
    again.paint((250, 250), 1)
    rest(widget, until)
    assert widget.corrections is not None
    assert synchronized(widget.corrections)[y0 + 250, x0 + 250] == 1
    assert errors(notes) == []


class Mouse:
    """Strokes of the mouse from and to pixels of the scene."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.native = canvas(viewer)
        self.viewer, self.image = viewer, viewer.layers["scene"]
        viewer.scene.camera.zoom = 1.2
        viewer.scene.camera.center = (0, 150, 500)
        QApplication.processEvents()

    def at(self, y: int, x: int) -> QPoint:
        return on_canvas(self.viewer, self.image, y, x)

    def drag(self, y: int, x: int, to: int) -> None:
        QTest.mouseMove(self.native, self.at(y, x))
        QTest.mousePress(self.native, Qt.MouseButton.LeftButton, pos=self.at(y, x))
        for step in range(x, to + 1, 10):
            QTest.mouseMove(self.native, self.at(y, step))
            QTest.qWait(5)
        QTest.mouseRelease(self.native, Qt.MouseButton.LeftButton, pos=self.at(y, to))

    def draw_polygon(self, corners: list[tuple[int, int]]) -> None:
        for y, x in corners:
            QTest.mouseMove(self.native, self.at(y, x))
            QTest.mouseClick(self.native, Qt.MouseButton.LeftButton, pos=self.at(y, x))
            QTest.qWait(20)
        QTest.mouseDClick(self.native, Qt.MouseButton.LeftButton, pos=self.at(*corners[0]))


@pytest.mark.usefixtures("layer_controls")
def test_the_mouse_paints(open_correct: OpenCorrect, until: Until) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 500)
    mouse = Mouse(viewer)
    layer.brush_size = 9
    widget.form.classes.buttons[3].click()
    corrections = widget.corrections
    assert corrections is not None
    mouse.drag(120, 450, 550)
    mouse.drag(160, 450, 550)  # at once: they are two strokes all the same
    rest(widget, until)
    whole = synchronized(corrections)
    assert set(whole[120, 455:545]) == set(whole[160, 455:545]) == {3}
    assert set(whole[140]) == {0}
    widget.form.undo.click()
    rest(widget, until)
    whole = synchronized(corrections)
    assert set(whole[120, 455:545]) == {3}
    assert set(whole[160]) == {0}
    assert np.array_equal(whole[layer_window(widget)], layer.data)
    layer.mode = "erase"
    mouse.drag(120, 500, 550)
    rest(widget, until)
    assert set(synchronized(corrections)[120, 505:545]) == {0}
    layer.mode = "polygon"
    widget.form.classes.buttons[1].click()
    mouse.draw_polygon([(60, 420), (60, 470), (100, 470), (100, 420)])
    until(lambda: np.count_nonzero(corrections.read((62, 422, 98, 468)) == 1) == 36 * 46)


@pytest.mark.usefixtures("layer_controls")
def test_beside_the_edit_window_nothing_is_painted_and_it_offers_to_move(
    open_correct: OpenCorrect, until: Until
) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 500)
    mouse = Mouse(viewer)
    layer.brush_size = 9
    widget.form.classes.buttons[1].click()
    corrections = widget.corrections
    assert corrections is not None
    assert not widget.form.offer.isVisible()
    assert not layer_window(widget)[1].start < 640 < layer_window(widget)[1].stop
    mouse.drag(150, 640, 650)
    rest(widget, until)
    assert set(corrections.read((140, 635, 160, 655)).ravel()) == {0}
    assert widget.form.offer.isVisible()
    widget.form.offer.click()
    until(lambda: not widget.form.offer.isVisible() and layer_window(widget)[1].start < 640)
    rest(widget, until)
    until(lambda: layer_window(widget)[1].stop > 650)
    mouse.drag(150, 610, 650)  # from elsewhere: a second press at the same place would be a double click
    until(lambda: corrections.read((150, 645, 151, 646))[0, 0] == 1)


def test_undo_works_across_edit_windows(open_correct: OpenCorrect, until: Until) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 200)
    layer.paint((100, 100), 1)
    rest(widget, until)
    layer = edit(widget, until, 150, 900)
    assert not layer.data.any()
    layer.paint((50, 50), 2)
    rest(widget, until)
    layer.undo()  # napari's own (from the console, say): only of this edit window
    rest(widget, until)
    corrections = widget.corrections
    assert corrections is not None
    assert set(np.unique(synchronized(corrections))) == {0, 1}
    layer.undo()  # there is nothing more of its own here
    rest(widget, until)
    assert set(np.unique(synchronized(corrections))) == {0, 1}
    layer.redo()
    rest(widget, until)
    assert set(np.unique(synchronized(corrections))) == {0, 1, 2}
    painted = synchronized(corrections)

    native = canvas(viewer)
    native.setFocus()
    for _ in range(4):  # the redo, the undo, and both strokes
        QTest.keyClick(native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        rest(widget, until)
    assert not synchronized(corrections).any()
    assert not layer.data.any()
    assert not widget.form.undo.isEnabled()
    for _ in range(4):
        QTest.keyClick(native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        rest(widget, until)
    assert np.array_equal(synchronized(corrections), painted)
    assert np.array_equal(layer.data, painted[layer_window(widget)])
    assert not widget.form.redo.isEnabled()


def test_undo_works_across_sessions(
    open_correct: OpenCorrect, until: Until, scene: Path, tiny_checkpoint: Path
) -> None:
    path, table = scene.with_name("scene.corrections.ome.zarr"), read_card(tiny_checkpoint).classes
    with Corrections.create(path, open_image(scene), table) as earlier:
        earlier.write(20, 30, np.full((5, 5), 1, np.uint8), author="ann")
        earlier.write(200, 700, np.full((9, 9), 3, np.uint8), author="bob")
    _, widget = open_correct()
    until(lambda: widget.corrections is not None)
    rest(widget, until)
    until(lambda: widget.form.classes.areas["blue"] == "81 px")
    assert widget.corrections is not None
    for labels in ({0, 1}, {0}):
        widget.form.undo.click()
        rest(widget, until)
        assert set(np.unique(synchronized(widget.corrections))) == labels
        assert widget.form.classes.areas["blue"] == "-"


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
