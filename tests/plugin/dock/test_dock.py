"""The dock: one header, five tabs, what they say, and what fits into a small window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_window import mask_of
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QScrollArea

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.plugin.dock import commands
from fctl_napari.plugin.dock.dock import NAME, TABS, FctlDock, open_dock, open_tab
from fctl_napari.plugin.dock.key_sheet import SHEET
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Until = Callable[..., None]


@pytest.fixture
def docked(open_scene: Callable[..., Any]) -> tuple[napari.Viewer, FctlDock]:
    """A window with the scene, and the dock at its first tab."""
    viewer, _ = open_scene()
    return viewer, open_dock(viewer)


@pytest.fixture
def segmented(docked: tuple[napari.Viewer, FctlDock], until: Until) -> tuple[napari.Viewer, FctlDock]:
    """The same, with what is in view segmented."""
    viewer, dock = docked
    page: Any = dock.show_tab("Segment")
    page.start()
    until(lambda: not page.running and page.form.guide.step.isVisible())
    return viewer, dock


@pytest.mark.parametrize("name", TABS)
def test_the_menus_open_one_dock_at_a_tab(open_window: Callable[..., Any], until: Until, name: str) -> None:
    viewer = open_window()
    dock = open_dock(viewer)
    _, opener = viewer.window.add_plugin_dock_widget("fctl-napari", name)
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == name
    assert opener.page is dock.page(name)
    until(lambda: list(viewer.window.dock_widgets) == [NAME])
    assert open_dock(viewer, name) is dock


def test_the_dock_can_be_closed_and_opened_again(docked: tuple[napari.Viewer, FctlDock]) -> None:
    viewer, dock = docked
    viewer.window.remove_dock_widget(dock)
    again = open_dock(viewer, "Correct")
    assert again is not dock
    assert again.show_tab("Segment").image is viewer.layers["scene"]


# ---- the header


def test_the_tabs_share_image_and_checkpoint(docked: tuple[napari.Viewer, FctlDock], tiny_checkpoint: Path) -> None:
    viewer, dock = docked
    dock.header.checkpoint.setCurrentText("earth")
    pages: list[Any] = [dock.show_tab(name) for name in ("Segment", "Explore", "Correct", "Fine-tune")]
    assert {page.form.checkpoint.name for page in pages} == {"earth"}
    assert {page.form.image.layer for page in pages} == {viewer.layers["scene"]}
    pages[1].form.checkpoint.add(tiny_checkpoint)
    assert {page.form.checkpoint.name for page in pages} == {str(tiny_checkpoint)}


def test_the_image_is_that_of_the_active_layer(
    segmented: tuple[napari.Viewer, FctlDock], earth_crop: Any, tmp_path: Path, until: Until
) -> None:
    viewer, dock = segmented
    scene, mask = viewer.layers["scene"], mask_of(viewer)
    other = convert(pyramid_from_array(earth_crop[:128, :160], name="other"), tmp_path / "other.ome.zarr", chunk=128)
    viewer.open(other, plugin="fctl-napari")
    assert dock.header.image.layer is viewer.layers["other"]
    viewer.layers.selection.active = mask
    assert dock.header.image.layer is scene
    viewer.layers.selection.active = viewer.layers["other"]
    assert dock.header.image.layer is viewer.layers["other"]
    dock.header.lock(dock, True)
    viewer.layers.selection.active = scene
    assert dock.header.image.layer is viewer.layers["other"]
    assert not dock.header.image.isEnabled()
    dock.header.lock(dock, False)
    assert dock.header.image.layer is scene


def test_a_run_goes_on_while_another_image_is_chosen(
    docked: tuple[napari.Viewer, FctlDock], earth_crop: Any, tmp_path: Path, until: Until
) -> None:
    viewer, dock = docked
    page: Any = dock.show_tab("Segment")
    proposed = page.form.result.text()
    page.form.where.setCurrentText("Whole image")
    page.start()
    other = convert(pyramid_from_array(earth_crop[:128, :160], name="other"), tmp_path / "other.ome.zarr", chunk=128)
    viewer.open(other, plugin="fctl-napari")
    assert dock.header.image.layer is viewer.layers["other"]
    assert page.form.result.text() not in ("", proposed)
    until(lambda: not page.running)
    assert page.form.status.text().startswith("scene by tiny: Done")
    assert mask_of(viewer).name == "scene by tiny"
    viewer.layers.selection.active = viewer.layers["scene"]
    assert page.form.result.text() == proposed


# ---- a small window


@pytest.fixture
def laptop(segmented: tuple[napari.Viewer, FctlDock], layer_controls: None) -> tuple[napari.Viewer, FctlDock]:
    """A window of 1280 x 720 px."""
    viewer, dock = segmented
    viewer.window._qt_window.resize(1280, 720)
    return viewer, dock


def test_the_canvas_keeps_its_width(laptop: tuple[napari.Viewer, FctlDock], until: Until) -> None:
    viewer, dock = laptop
    for name in TABS:
        dock.show_tab(name)
    until(lambda: dock.width() <= 330)
    assert viewer.window._qt_window.size().width() == 1280
    assert viewer.window._qt_window.size().height() == 720
    assert viewer.canvas.size[1] >= 700


@pytest.mark.parametrize("name", TABS)
def test_nothing_is_wider_than_the_dock(laptop: tuple[napari.Viewer, FctlDock], until: Until, name: str) -> None:
    _, dock = laptop
    page = dock.show_tab(name)
    until(lambda: dock.width() <= 330)
    assert dock.minimumSizeHint().width() <= 320
    for area in page.findChildren(QScrollArea):
        if area.isVisible() and area.widget() is not None:
            assert area.widget().minimumSizeHint().width() <= area.viewport().width()


@pytest.mark.parametrize(
    ("name", "buttons"),
    [
        ("Segment", ("run", "cancel", "live")),
        ("Explore", ("pick", "save")),
        ("Correct", ("here", "undo", "redo")),
        ("Fine-tune", ("start", "pause", "cancel")),
    ],
)
def test_buttons_are_in_sight(
    laptop: tuple[napari.Viewer, FctlDock], until: Until, name: str, buttons: tuple[str, ...]
) -> None:
    viewer, dock = laptop
    page: Any = dock.show_tab(name)
    window = viewer.window._qt_window
    for attribute in buttons:
        button = getattr(page.form, attribute)
        until(button.isVisible)
        corner = button.mapTo(window, QPoint(button.width(), button.height()))
        assert corner.x() <= window.width()
        assert corner.y() <= window.height()
        assert button.visibleRegion().boundingRect().size() == button.size()


# ---- what is missing, and what comes next


def test_an_empty_window_says_what_to_do(open_window: Callable[..., Any], until: Until) -> None:
    dock = open_dock(open_window())
    said = {name: dock.show_tab(name).form.guide for name in TABS}
    until(lambda: all("pen an image" in said[name].text() for name in TABS if name != "Errors"))
    assert said["Errors"].text().startswith("Segment the image first")
    dock.show_tab("Errors")
    said["Errors"].step.click()
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Segment"


def test_what_is_done_leads_to_the_next_step(segmented: tuple[napari.Viewer, FctlDock]) -> None:
    _, dock = segmented
    page: Any = dock.page("Segment")
    page.form.guide.step.click()
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Errors"


def test_an_error_stands_beside_the_button(open_window: Callable[..., Any], notes: list[tuple[str, str]]) -> None:
    viewer = open_window()
    page: Any = open_tab(viewer, "Segment")
    page.form.run.click()
    assert page.problem == "there is no image to segment; open one first."
    assert notes == [("error", page.problem)]


# ---- keys and layers


def test_a_key_hides_the_mask_and_shows_it(segmented: tuple[napari.Viewer, FctlDock]) -> None:
    viewer, _ = segmented
    mask = mask_of(viewer)
    (key,) = (key for key in viewer.keymap if str(key) == "Q")
    for visible in (False, True, False):
        viewer.keymap[key](viewer)
        assert mask.visible is visible
    commands.toggle_mask(viewer)
    assert mask.visible


@pytest.mark.parametrize("command", ["toggle_mask", "show_keys", "edit_here", "next_error", "previous_error"])
def test_commands_run_from_napari_s_palette(
    segmented: tuple[napari.Viewer, FctlDock], notes: list[tuple[str, str]], command: str
) -> None:
    from napari._app_model import get_app_model

    viewer, _ = segmented
    visible = mask_of(viewer).visible
    get_app_model().commands.execute_command(f"fctl-napari.{command}").result()
    assert notes == []
    if command == "toggle_mask":
        assert mask_of(viewer).visible is not visible


def test_the_sheet_lists_the_keys_that_are_bound(docked: tuple[napari.Viewer, FctlDock]) -> None:
    viewer, dock = docked
    for name in TABS:
        dock.show_tab(name)
    dock.show_images()
    listed = {key for keys in SHEET.values() for key in keys}
    bound = {str(key).replace("Ctrl", "Control").replace("+", "-") for key in viewer.keymap}
    assert bound <= listed, "a key is missing on the sheet"
    commands.show_keys(viewer)


def test_explore_leaves_no_layers_and_gives_the_mask_back(
    segmented: tuple[napari.Viewer, FctlDock], until: Until
) -> None:
    viewer, dock = segmented
    page: Any = dock.show_tab("Explore")
    mask = mask_of(viewer)
    page.explain((60.0, 100.0))
    until(lambda: page.explanation is not None)
    for view in range(page.form.view.count()):
        page.form.view.setCurrentIndex(view)
        assert len([layer for layer in viewer.layers if OVERLAY_KEY in layer.metadata]) <= 5
    page.form.view.setCurrentIndex(0)
    assert not mask.visible
    dock.show_tab("Errors")
    assert not [layer for layer in viewer.layers if OVERLAY_KEY in layer.metadata]
    assert mask.visible
    dock.show_tab("Explore")
    assert [layer for layer in viewer.layers if OVERLAY_KEY in layer.metadata]
    assert not mask.visible


def test_an_image_that_is_chosen_in_the_header_is_the_active_layer(
    open_window: Callable[..., Any],
) -> None:
    viewer = open_window()
    dock = open_dock(viewer)
    for name in ("first", "second"):
        viewer.add_image(np.zeros((40, 50, 3), np.uint8), name=name)
    field = dock.header.image
    assert field.currentText() == "second"
    field.setCurrentIndex(0)
    field.activated.emit(0)  # as Qt does where a user chooses
    assert viewer.layers.selection.active is viewer.layers["first"]
    viewer.layers.selection.active = viewer.layers["second"]
    assert field.currentText() == "second"
