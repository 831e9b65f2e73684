"""Where to correct next, in the real window: the list follows strokes, skips, and other segmentations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_correct import Until, edit, rest
from helpers_window import errors, shown
from qtpy.QtWidgets import QAbstractButton, QApplication

from fctl_napari.evaluation import acquisition
from fctl_napari.evaluation.acquisition import find_next
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import NOT_SURE, ClassInfo, ClassTable
from fctl_napari.plugin.correct.layer import outline_color
from fctl_napari.plugin.correct.next_list import KEYS
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = pytest.mark.gui

Open = Callable[..., tuple[napari.Viewer, CorrectWidget]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquisition, "CELL", 128)
    monkeypatch.setattr(acquisition, "NEAR", 8)


@pytest.fixture
def make_store(scene: Path, make_segmentation: Callable[..., Segmentation]) -> Callable[..., Segmentation]:
    """``make_store(name, spots)``: a segmentation of the scene that is uncertain in discs of 20 px around (y, x)."""

    def make(name: str, spots: list[tuple[int, int]], class_: int = 1) -> Segmentation:
        labels, sure = np.full((300, 1100), class_), np.full((300, 1100), 250)
        labels[:, 550:] = 3
        rows, columns = np.indices(labels.shape)
        for number, (y, x) in enumerate(spots):
            sure[(rows - y) ** 2 + (columns - x) ** 2 < (20 - number) ** 2] = 130
        return make_segmentation(labels, confidence=sure, path=scene.with_name(name), image=open_image(scene))

    return make


@pytest.fixture
def open_window(open_window: Callable[..., Any], until: Until, scene: Path) -> Open:
    """Open the scene and what else is given in a window with the widget docked."""

    def open_it(*stores: Segmentation) -> tuple[napari.Viewer, CorrectWidget]:
        viewer = open_window()
        for path in (scene, *(store.path for store in stores)):
            viewer.open(path, plugin="fctl-napari")
        widget = open_tab(viewer, "Correct")
        assert isinstance(widget, CorrectWidget)
        viewer.reset_view()
        rest(widget, until)
        return viewer, widget

    return open_it


def points(widget: CorrectWidget) -> list[tuple[int, int]]:
    """The middles of what is listed."""
    windows = [one.region.window for one in widget.form.next.table.rows]
    return [(round((y0 + y1) / 2), round((x0 + x1) / 2)) for y0, x0, y1, x1 in windows]


def current(widget: CorrectWidget) -> tuple[int, int]:
    """The middle of the region that is chosen."""
    return points(widget)[widget.form.next.table.rows.index(widget.form.next.current)]


def press(button: QAbstractButton, widget: CorrectWidget, until: Until) -> None:
    button.click()
    rest(widget, until)


def list_regions(widget: CorrectWidget, until: Until) -> list[tuple[int, int]]:
    """Look at the list, have it made, and return the middles of what is listed."""
    widget.form.tabs.setCurrentWidget(widget.form.next)
    press(widget.form.next.find, widget, until)
    return points(widget)


SPOTS = [(60, 60), (60, 190), (190, 60), (190, 700)]


def test_the_key_lists_regions_and_goes_to_the_first(
    open_window: Open, until: Until, make_store: Callable[..., Segmentation]
) -> None:
    store = make_store("first.ome.zarr", SPOTS)
    viewer, widget = open_window(store)
    page = widget.form.next
    assert page.table.rows == []  # made when it is first looked at: here by the key
    (key,) = (key for key in viewer.keymap if str(key) == KEYS["next"])
    viewer.keymap[key](viewer)
    rest(widget, until)
    assert widget.form.tabs.currentWidget() is page
    assert page.table.rows == find_next(store)
    assert sorted(points(widget)) == sorted(SPOTS)
    assert page.current == page.table.rows[0]
    assert page.summary.text() == "4 regions to correct"
    assert np.allclose(viewer.scene.camera.center[-2:], np.array(points(widget)[0]) - 0.5, atol=2)
    assert "FCtL corrected region" in viewer.layers


def test_the_list_follows_what_is_corrected(
    open_window: Open, until: Until, make_store: Callable[..., Segmentation], notes: list[tuple[str, str]]
) -> None:
    _, widget = open_window(make_store("first.ome.zarr", SPOTS))
    page = widget.form.next
    before = list_regions(widget, until)

    # a stroke: its region is gone, the others stay, and Next goes to what took its row
    layer = edit(widget, until, *before[0])
    y0, x0 = (int(start) for start in layer.translate[-2:])
    layer.brush_size = 60
    layer.paint((before[0][0] - y0, before[0][1] - x0), 2)
    rest(widget, until)
    assert points(widget) == before[1:]
    assert page.current is None
    for button in (page.next, page.next, page.previous):
        press(button, widget, until)
        assert page.current is not None
    assert page.current == page.table.rows[0]

    # the edit window goes along where it has to
    while current(widget) != (190, 700):
        press(page.next, widget, until)
    assert widget.edit_layer is not None
    window = widget.edit_layer.translate[-2:]
    assert window[0] <= 190 - 20 < 190 + 20 <= window[0] + 256
    assert window[1] <= 700 - 20 < 700 + 20 <= window[1] + 256

    # undone, it is there again
    press(widget.form.undo, widget, until)
    assert points(widget) == before
    assert current(widget) == (190, 700)
    assert errors(notes) == []


def test_what_is_skipped_is_passed_over(
    open_window: Open, until: Until, make_store: Callable[..., Segmentation], notes: list[tuple[str, str]]
) -> None:
    _, widget = open_window(make_store("first.ome.zarr", SPOTS))
    page = widget.form.next
    found = list_regions(widget, until)
    press(page.next, widget, until)
    while current(widget) != (190, 700):
        press(page.next, widget, until)
    page.skip.click()
    assert page.summary.text() == "3 regions to correct, 1 skipped"
    press(page.find, widget, until)  # made anew, too
    seen = []
    for _ in range(5):
        press(page.next, widget, until)
        seen.append(current(widget))
    assert seen == [*[spot for spot in found if spot != (190, 700)], seen[-1], seen[-1]]
    assert page.summary.text() == "That was the last one."
    assert errors(notes) == []


def test_after_a_round_of_fine_tuning_the_list_is_of_the_new_mask(
    open_window: Open, until: Until, make_store: Callable[..., Segmentation], notes: list[tuple[str, str]]
) -> None:
    store = make_store("first.ome.zarr", [(60, 60), (190, 700)])
    viewer, widget = open_window(store)
    before = list_regions(widget, until)
    assert sorted(before) == [(60, 60), (190, 700)]
    second = make_store("second.ome.zarr", [(100, 100), (100, 840)], class_=2)
    viewer.open(second.path, plugin="fctl-napari")
    until(lambda: widget.form.mask.currentText() == second.path.name and not widget.busy)
    assert sorted(points(widget)) == [(100, 100), (100, 840)]
    viewer.layers.remove(second.path.name)
    until(lambda: widget.form.mask.currentText() == store.path.name and not widget.busy)
    assert points(widget) == before
    assert errors(notes) == []


def test_a_missing_segmentation_is_reported(open_window: Open, until: Until, notes: list[tuple[str, str]]) -> None:
    _, widget = open_window()
    page = widget.form.next
    page.next.click()
    until(lambda: not widget.busy)
    assert "no segmentation" in page.summary.text()
    page.skip.click()
    assert "Choose a region first" in page.summary.text()
    assert errors(notes) == []


def test_corrections_that_equal_the_mask_are_outlined(
    open_window: Open, until: Until, make_store: Callable[..., Segmentation]
) -> None:
    store = make_store("first.ome.zarr", [])
    viewer, widget = open_window(store)
    viewer.layers[store.path.name].opacity = 1.0  # nothing of one color over the other would be seen
    layer = edit(widget, until, 150, 300)
    y0, x0 = (int(start) for start in layer.translate[-2:])
    for value, x in ((1, 300), (NOT_SURE, 380)):
        square = np.indices((20, 20)).reshape(2, -1) + np.array([[150 - y0], [x - x0]])
        layer.data_setitem(tuple(square), value)
    until(lambda: not widget.busy)
    red, white = np.array((255, 0, 0)), np.array(outline_color(store.class_table))
    viewer.scene.camera.zoom = 8.0
    for hidden in (False, True):  # with the edit window and without
        layer.visible = not hidden
        viewer.scene.camera.center = (0, 160, 310)
        QApplication.processEvents()
        assert np.abs(shown(viewer, 160, 310) - red).max() < 4
        assert np.abs(shown(viewer, 160, 300) - white).max() < 4
        assert np.abs(shown(viewer, 169, 305) - white).max() < 4
        assert np.abs(shown(viewer, 160, 298) - red).max() < 4
        viewer.scene.camera.center = (0, 160, 390)
        QApplication.processEvents()
        assert np.abs(shown(viewer, 160, 380) - white).max() < 4


def test_the_outline_differs_from_every_class() -> None:
    for colors in (((255, 255, 255), (255, 0, 255)), ((0, 0, 0), (0, 255, 255)), ((250, 250, 240), (10, 10, 10))):
        table = ClassTable(classes=tuple(ClassInfo(name=str(k), color=color) for k, color in enumerate(colors)))
        chosen = np.array(outline_color(table))
        assert min(np.linalg.norm(chosen - np.array(color)) for color in colors) > 150
