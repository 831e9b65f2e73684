"""What the tab Correct takes from the segmentation, and its list of corrected regions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_correct import OpenCorrect, Until, edit, layer_window, rest, synchronized
from helpers_window import errors, level
from qtpy.QtCore import Qt

from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.plugin.correct.form import ERROR
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.errors.widget import ErrorWidget
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = pytest.mark.gui


def test_accepting_the_prediction(
    open_correct: OpenCorrect, until: Until, store: Segmentation, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 900)
    corrections = widget.corrections
    assert corrections is not None
    predicted = level(viewer.layers[store.path.name])
    shapes = viewer.add_shapes([[[40, 880], [40, 1050], [160, 965]]], shape_type="polygon", name="mine")
    widget.form.accept.click()
    rest(widget, until)
    whole = synchronized(corrections)
    y, x = np.mgrid[:300, :1100]
    inner = (y > 41) & (y - 41 < 1.35 * (x - 881)) & (y - 41 < 1.35 * (1049 - x)) & (y < 155)
    outer = (y < 39) | (y > 161) | (y - 39 > 1.5 * (x - 878)) | (y - 39 > 1.5 * (1052 - x))
    assert np.array_equal(whole[inner], predicted[inner])  # 0, not computed, stays unpainted
    assert not whole[outer].any()
    assert set(whole[100, 950:1040]) > {0}
    assert np.array_equal(whole[layer_window(widget)], layer.data)
    widget.form.undo.click()
    rest(widget, until)
    assert not synchronized(corrections).any()
    shapes.add([[10, 1050], [20, 1090]], shape_type="rectangle")
    shapes.selected_data = {1}
    widget.form.accept.click()
    until(lambda: any("nothing is computed there" in words for words in errors(notes)))


def test_accepting_the_region_that_is_chosen_in_the_errors_widget(
    open_correct: OpenCorrect, until: Until, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct()
    edit(widget, until, 150, 900)
    widget.form.where.setCurrentText(ERROR)
    widget.form.accept.click()
    assert "no error is chosen" in errors(notes)[-1]
    other = open_tab(viewer, "Errors")
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
    assert widget.corrections is not None
    (made,) = widget.corrections.regions()
    assert region.predicted == 0
    assert (made.window, made.pixels, made.by_class) == (
        region.window,
        region.pixels,
        {region.predicted: region.pixels},
    )


def test_corrections_have_areas_where_the_image_lies_on_the_ground(
    open_window: Callable[..., Any],
    place_on_ground: Callable[..., Path],
    make_segmentation: Callable[..., Segmentation],
    until: Until,
) -> None:
    pytest.importorskip("rasterio")
    scene = place_on_ground(Georeference("EPSG:32632", (10, 0, 5e5, 0, -10, 5e6)))
    path = scene.with_name("made.ome.zarr")
    make_segmentation(np.ones((300, 1100), np.uint8), path=path, image=open_image(scene))
    viewer = open_window()
    for each in (scene, path):
        viewer.open(each, plugin="fctl-napari")
    widget = open_tab(viewer, "Correct")
    until(lambda: not widget.busy)
    layer = edit(widget, until, 150, 300)
    layer.brush_size = 20
    layer.paint((100, 100), 2)
    rest(widget, until)
    until(lambda: len(widget.form.regions.table.rows) == 1)
    pixels = widget.form.regions.table.rows[0].pixels
    assert widget.form.classes.areas["green"] == f"{pixels:,} px, {pixels / 100:.2f} hectares"
    assert f"{pixels:,} px, {pixels / 100:.2f} hectares (" in widget.form.summary.text()
    table = widget.form.regions.table
    tip = table.data(table.index(0, 0), Qt.ItemDataRole.ToolTipRole)
    assert tip.startswith(f"green {pixels:,} px, {pixels / 100:.2f} hectares; at row ")


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
    assert np.array_equal(synchronized(widget.corrections)[layer_window(widget)], layer.data)
    assert set(np.unique(layer.data[layer.data != painted])) == {3}
