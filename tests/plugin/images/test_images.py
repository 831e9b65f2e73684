"""The list of images of a folder: states, next and previous, marks, one job over all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import rasterio
from helpers_commands import Fctl
from helpers_window import errors
from napari.layers import Image
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from rasterio.transform import from_origin

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.job_table import read_rows
from fctl_napari.plugin.dock import commands
from fctl_napari.plugin.dock.dock import NAME, open_dock, open_images
from fctl_napari.plugin.images.form import KEYS
from fctl_napari.plugin.images.widget import NAME as IMAGES
from fctl_napari.plugin.images.widget import ImagesWidget
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Until = Callable[..., None]
OpenList = Callable[[], tuple[napari.Viewer, ImagesWidget]]


def shown(viewer: napari.Viewer) -> list[str]:
    """Files of the images that are open."""
    sources = [image_source(layer) for layer in viewer.layers if isinstance(layer, Image)]
    return [Path(source.original).name for source in sources if source is not None]


def words(images: ImagesWidget) -> dict[str, str]:
    return {row.name: row.word for row in images.rows}


def press(viewer: napari.Viewer, key: str) -> None:
    (binding,) = (bound for bound in viewer.keymap if str(bound).replace("+", "-") == key)
    viewer.keymap[binding](viewer)


def segment_all(images: ImagesWidget, until: Until) -> None:
    images.form.all.click()
    assert images.running
    until(lambda: not images.running and not images.busy)


def paint(viewer: napari.Viewer, until: Until) -> Any:
    """Begin a stroke on the image that is open, which is on its way to disk."""
    page = open_dock(viewer).page("Correct")
    until(lambda: not page.busy)
    page.edit_here((50.0, 60.0))
    until(lambda: not page.busy and page.edit_layer is not None)
    page.edit_layer.brush_size = 20
    page.edit_layer.paint((50, 60), 1)
    return page


# ---- the list


def test_images_of_a_folder_are_listed_with_their_states(open_list: OpenList, notes: list[tuple[str, str]]) -> None:
    viewer, images = open_list()
    assert words(images) == {"a.png": "", "b.png": "not readable", "c.png": "", "below/d.png": ""}
    assert "b.png" in images.rows[1].sentence
    assert images.rows[1].problem.endswith(".")
    assert shown(viewer) == ["a.png"]
    assert images.form.status.text() == "4 images: 1 problem"
    assert errors(notes) == []


def test_a_folder_can_be_dropped_on_the_dock(
    open_window: Callable[..., Any], tiles: Path, until: Until, tmp_path: Path
) -> None:
    dock = open_dock(open_window())
    for target, path in ((dock, tiles), (dock.show_images(), tiles / "below"), (dock.images, tiles / "a.png")):
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path))])
        actions, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
        target.dropEvent(QDropEvent(QPointF(5, 5), actions, data, button, Qt.KeyboardModifier.NoModifier))
        until(lambda: not dock.images.busy)
    assert words(dock.images) == {"d.png": ""}


def test_what_is_no_folder_of_images_is_said(open_list: OpenList, tmp_path: Path, until: Until) -> None:
    _, images = open_list()
    (tmp_path / "empty").mkdir()
    images.open_folder(tmp_path / "empty")
    until(lambda: not images.busy)
    assert "holds no image" in images.problem
    assert len(images.rows) == 4


# ---- the next image


def test_next_and_previous_pass_over_what_cannot_be_opened(open_list: OpenList, until: Until) -> None:
    viewer, images = open_list()
    dock = open_dock(viewer, "Errors")
    header = dock.header
    for key, name in (("PageDown", "c.png"), ("PageDown", "d.png"), ("PageDown", "d.png"), ("PageUp", "c.png")):
        press(viewer, key)
        until(lambda: not images.busy)
        assert shown(viewer) == [name]
        assert image_source(header.image.layer).original.endswith(name)
        assert viewer.layers.selection.active is header.image.layer
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Errors"
    commands.previous_image(viewer)
    until(lambda: not images.busy)
    assert shown(viewer) == ["a.png"]


def test_an_image_that_cannot_be_opened_leaves_the_present_one(open_list: OpenList, until: Until) -> None:
    viewer, images = open_list()
    images.go(1)
    until(lambda: not images.busy)
    assert images.problem == images.rows[1].problem
    assert shown(viewer) == ["a.png"]
    images.step(1)
    until(lambda: not images.busy)
    assert shown(viewer) == ["c.png"]


def test_strokes_are_on_disk_before_the_next_image_is_opened(open_list: OpenList, tiles: Path, until: Until) -> None:
    viewer, images = open_list()
    paint(viewer, until)
    images.form.next.click()
    until(lambda: shown(viewer) == ["c.png"])
    with Corrections.open(tiles / "a.corrections.ome.zarr") as kept:
        assert sum(kept.area_by_class().values()) > 200
    until(lambda: not images.busy and words(images)["a.png"] == "corrected")
    page = open_dock(viewer).page("Correct")
    until(lambda: not page.busy)
    assert page.corrections is None
    assert {layer.name for layer in viewer.layers} == {"c"}
    images.form.previous.click()
    until(lambda: shown(viewer) == ["a.png"] and not page.busy and page.corrections is not None)
    assert sum(page.corrections.area_by_class().values()) > 200


def test_layers_of_people_stay(open_list: OpenList, until: Until) -> None:
    viewer, images = open_list()
    viewer.add_points(np.zeros((1, 2)), name="mine")
    images.step(1)
    until(lambda: not images.busy)
    assert {layer.name for layer in viewer.layers} == {"mine", "c"}


# ---- states and marks


def test_a_stroke_shows_in_the_list(open_list: OpenList, until: Until) -> None:
    viewer, images = open_list()
    paint(viewer, until)
    until(lambda: words(images)["a.png"] == "corrected", 30)


def test_the_done_mark_survives_reopening(open_list: OpenList, tiles: Path, until: Until) -> None:
    viewer, images = open_list()
    press(viewer, "Shift-K")
    assert words(images)["a.png"] == "done"
    viewer.window.remove_dock_widget(images)
    again = open_images(viewer, tiles)
    assert again is not images
    until(lambda: bool(again.rows) and not again.busy)
    assert words(again)["a.png"] == "done"
    assert "1 done" in again.form.status.text()
    commands.mark_image(viewer)
    assert words(again)["a.png"] == ""


def test_damaged_marks_are_one_sentence_and_stay(open_window: Callable[..., Any], tiles: Path, until: Until) -> None:
    (tiles / "fctl-images.json").write_text("{")
    images = open_images(open_window())
    images.open_folder(tiles)
    until(lambda: not images.busy)
    assert "fctl-images.json: is no file of marks" in images.problem
    assert (tiles / "fctl-images.json").read_text() == "{"


# ---- one job


def test_all_are_segmented_as_one_job(open_list: OpenList, tiles: Path, until: Until) -> None:
    viewer, images = open_list()
    segment_all(images, until)
    assert words(images) == {"a.png": "segmented", "b.png": "failed", "below/d.png": "segmented", "c.png": "segmented"}
    assert images.problem.startswith("1 of 4 images failed")
    assert Segmentation.open(tiles / "below" / "d.tiny.fctl.ome.zarr").done().all()
    until(lambda: any(STORE_KEY in layer.metadata for layer in viewer.layers))
    rows = {Path(row["image"]).name: row for row in read_rows(tiles / "tiny.summary.csv")}
    assert [rows[name]["state"] for name in ("a.png", "b.png", "c.png", "d.png")] == ["done", "failed", "done", "done"]
    assert rows["d.png"]["result"] == "below/d.tiny.fctl.ome.zarr"
    images.step(1)
    until(lambda: sum(STORE_KEY in layer.metadata for layer in viewer.layers) >= 1 and not images.busy)
    assert shown(viewer) == ["c.png"]
    layers = len(viewer.layers)
    segment_all(images, until)
    assert len(viewer.layers) == layers
    again = {Path(row["image"]).name: row for row in read_rows(tiles / "tiny.summary.csv")}
    assert again["a.png"] == rows["a.png"]


def test_the_command_and_the_window_resume_each_other(
    open_list: OpenList, tiles: Path, until: Until, fctl: Fctl, tiny_checkpoint: Path
) -> None:
    (tiles / "b.png").unlink()
    command = ("segment", tiles / "*.png", "--out", tiles, "--checkpoint", tiny_checkpoint, "--device", "cpu")
    assert fctl(*command).code == 0
    _, images = open_list()
    assert words(images) == {"a.png": "segmented", "below/d.png": "", "c.png": "segmented"}
    segment_all(images, until)
    assert set(words(images).values()) == {"segmented"}
    assert fctl(*command).err.count("complete already") == 2


def test_values_of_16_bits_are_read_as_where_the_image_is_opened_alone(
    open_list: OpenList, tiles: Path, earth_crop: np.ndarray, until: Until, notes: list[tuple[str, str]]
) -> None:
    (tiles / "b.png").unlink()
    bands = earth_crop[:90, :110].astype(np.uint16).transpose(2, 0, 1) * 40
    profile = {"driver": "GTiff", "count": 3, "height": 90, "width": 110, "dtype": "uint16"}
    with rasterio.open(
        tiles / "b.tif", "w", **profile, crs="EPSG:32632", transform=from_origin(5e5, 5e6, 1, 1)
    ) as made:
        made.write(bands)
    viewer, images = open_list()
    segment_all(images, until)
    images.step(1)
    page = open_dock(viewer).show_tab("Segment")
    until(lambda: shown(viewer) == ["b.tif"] and "are there already" in page.form.status.text())
    page.form.where.setCurrentText("Whole image")
    page.start()
    until(lambda: not page.running)
    assert page.form.status.text().startswith("Done")
    assert errors(notes) == []


def test_a_window_that_closes_ends_the_job(open_list: OpenList, until: Until) -> None:
    viewer, images = open_list()
    images.form.all.click()
    viewer.close()
    until(lambda: not any(thread.name == "fctl job" for thread in threading.enumerate()))
    assert not images.running


def test_it_stops_and_keeps_what_is_done(open_list: OpenList, until: Until, notes: list[tuple[str, str]]) -> None:
    _, images = open_list()
    images.form.all.click()
    images.form.stop.click()
    until(lambda: not images.running)
    assert errors(notes) == []
    assert images.form.all.isVisible()


# ---- the window


def test_the_canvas_keeps_its_width_with_a_list(open_list: OpenList, layer_controls: None, until: Until) -> None:
    viewer, images = open_list()
    window = viewer.window._qt_window
    window.resize(1280, 720)
    open_dock(viewer).show_images()
    until(lambda: images.isVisible() and images.width() <= 330)
    assert (window.width(), window.height()) == (1280, 720)
    assert viewer.canvas.size[1] >= 700
    assert images.form.view.height() >= 46
    for button in (images.form.open, images.form.next, images.form.done, images.form.all):
        assert button.visibleRegion().boundingRect().size() == button.size()


def test_the_menu_opens_the_list_in_an_empty_narrow_window(open_window: Callable[..., Any], until: Until) -> None:
    viewer = open_window()
    viewer.window._qt_window.resize(1280, 720)
    _, opener = viewer.window.add_plugin_dock_widget("fctl-napari", "Images")
    until(lambda: set(viewer.window.dock_widgets) == {NAME, IMAGES})
    assert open_images(viewer) is opener.page
    assert opener.page.form.guide.text() == "Open a folder of images, or drop it here."


def test_napari_uses_none_of_the_keys() -> None:
    used = {key for keys in default_shortcuts.values() for key in keys}
    assert not used & {coerce_keybinding(key) for key in KEYS.values()}


def test_the_list_goes_with_the_dock(open_list: OpenList, until: Until) -> None:
    viewer, _ = open_list()
    assert {*viewer.window.dock_widgets} == {NAME, IMAGES}
    viewer.window.remove_dock_widget(open_dock(viewer))
    until(lambda: not list(viewer.window.dock_widgets))
    assert not [key for key in viewer.keymap if "Page" in str(key)]
