"""Layers that lie elsewhere, and copies of layers, in the tab Correct."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
import pytest
from helpers_correct import OpenCorrect, Until, edit, rest, synchronized
from helpers_window import errors
from napari.layers import Labels
from napari.layers._layer_actions import _duplicate_layer, _extract_multiscale_level

from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.layers.segmentation_layers import SegmentationLayers
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = pytest.mark.gui

SHAPE = (300, 1100)


def take(widget: CorrectWidget, until: Until, layer: Any) -> np.ndarray:
    """Take a layer over, and return what is painted then."""
    source = widget.form.exchange.source
    source.setCurrentText(layer.name)
    assert source.currentData() is layer
    widget.form.exchange.take.click()
    rest(widget, until)
    assert widget.corrections is not None
    return synchronized(widget.corrections)


def rectangle() -> np.ndarray:
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[50:100, 100:200] = 2
    return drawn


DRAWN, HALF = rectangle(), rectangle()[::2, ::2]
CASES: dict[str, tuple[np.ndarray, dict[str, Any], tuple[int, int, int, int]]] = {
    "same": (DRAWN, {}, (50, 100, 100, 200)),
    "moved": (DRAWN, {"translate": (40, 60)}, (90, 160, 140, 260)),
    "coarser": (HALF, {"scale": (2, 2), "translate": (0.5, 0.5)}, (50, 100, 100, 200)),
    "enlarged": (DRAWN, {"scale": (2, 2), "translate": (0.5, 0.5)}, (100, 200, 200, 400)),
    "plane": (DRAWN[None], {"translate": (3, 40, 60)}, (90, 160, 140, 260)),
    "part": (DRAWN[40:110, 90:210], {"translate": (20, 0)}, (30, 10, 80, 110)),
    "transposed": (np.ascontiguousarray(DRAWN.T), {"affine": [[0, 1, 0], [1, 0, 0], [0, 0, 1]]}, (50, 100, 100, 200)),
    "flipped": (DRAWN[::-1], {"affine": [[-1, 0, 299], [0, 1, 0], [0, 0, 1]]}, (50, 100, 100, 200)),
}
"""Data of a layer, where it lies, and which pixels of the scene it covers."""
BY_DAY = ("moved", "coarser", "transposed")


@pytest.mark.parametrize(
    "names",
    [BY_DAY, pytest.param(tuple(name for name in CASES if name not in BY_DAY), marks=pytest.mark.nightly)],
    ids=["by day", "the others"],
)
def test_layers_are_taken_over_where_they_are_seen(
    names: tuple[str, ...], open_correct: OpenCorrect, until: Until, notes: list[tuple[str, str]]
) -> None:
    """By day three cases, and the tests of ``test_resampled_labels``, stand in for the others."""
    viewer, widget = open_correct()
    edit(widget, until, 150, 500)
    for name in names:
        data, location, (y0, x0, y1, x1) = CASES[name]
        layer = viewer.add_labels(data, name=name, **location)
        expected = np.zeros(SHAPE, np.uint8)
        expected[y0:y1, x0:x1] = 2
        np.testing.assert_array_equal(take(widget, until, layer), expected)
        widget.form.undo.click()
        rest(widget, until)
        viewer.layers.remove(layer)
    assert errors(notes) == []


def test_what_cannot_be_taken_over_is_reported(
    open_correct: OpenCorrect, until: Until, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct()
    edit(widget, until, 150, 500)
    # part of it lies beside the image: the rest is taken
    layer = viewer.add_labels(DRAWN, name="partly", translate=(-80, 0))
    assert take(widget, until, layer).sum() == 2 * 20 * 100
    assert "Labeled px beside the image, left out: 3,000." in widget.form.exchange.report.text()
    widget.form.undo.click()
    rest(widget, until)

    # what cannot be taken px for px is refused
    for location, words in (
        ({"rotate": 5}, "rotated or sheared"),
        ({"scale": (1.5, 1.5), "translate": (0.25, 0.25)}, "lie between those"),
    ):
        layer = viewer.add_labels(DRAWN, name=f"refused {words}", **location)
        assert not take(widget, until, layer).any()
        assert words in errors(notes)[-1]


def test_napari_s_new_labels_over_two_pictures(open_correct: OpenCorrect, until: Until) -> None:
    viewer, widget = open_correct()
    edit(widget, until, 150, 500)
    neighbour = viewer.add_image(np.zeros((200, 300, 3), np.uint8), name="neighbour", translate=(0, -300))
    viewer.layers.selection = {viewer.layers["scene"], neighbour}
    viewer._new_labels()
    layer = viewer.layers[-1]
    assert tuple(layer.translate) == (0, -300)
    layer.data_setitem((np.array([70, 71]), np.array([420, 421])), 2)
    viewer.layers.selection.active = viewer.layers["scene"]
    rest(widget, until)
    until(lambda: widget.corrections is not None)
    found = take(widget, until, layer)
    assert found[70, 120] == found[71, 121] == 2
    assert np.count_nonzero(found) == 2


def test_a_mask_that_lies_elsewhere_is_not_accepted(
    open_correct: OpenCorrect, until: Until, store: Segmentation, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct()
    edit(widget, until, 150, 500)
    mask = viewer.layers[store.path.name]
    shapes = viewer.add_shapes([[[50, 100], [80, 140]]], shape_type="rectangle")
    viewer.layers.selection.active = shapes
    mask.translate = (0, 40)
    widget.form.accept.click()
    rest(widget, until)
    assert widget.corrections is not None
    assert not synchronized(widget.corrections).any()
    assert errors(notes)[-1] == f"{mask.name}: lies elsewhere than scene; put it back over the image."
    mask.translate = (0, 0)
    widget.form.accept.click()
    rest(widget, until)
    expected = np.asarray(store.labels.read((50, 100, 80, 140)))
    np.testing.assert_array_equal(synchronized(widget.corrections)[50:80, 100:140], expected)
    mask.data = mask.data  # napari lets one paint on new data
    assert not mask.editable  # what is painted on it would not be kept


def test_that_copies_are_not_saved_is_reported(
    open_correct: OpenCorrect, until: Until, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 500)
    layer.brush_size = 9
    layer.paint((20, 20), 2)
    layer.paint((20, 60), 255)
    rest(widget, until)
    assert widget.corrections is not None
    before = synchronized(widget.corrections).copy()

    copies = []
    for original in (layer, widget.layer, next(one for one in viewer.layers if one.name.startswith("outlines"))):
        copies.append(duplicate(viewer, original))
        said = [words for severity, words in notes if severity == "info"]
        assert said[-1].startswith(f"{copies[-1].name}: is a copy, and strokes on it are not saved. Paint on edit")
    copy = copies[0]
    copy.brush_size = 9
    copy.paint((60, 60), 3)
    rest(widget, until)
    np.testing.assert_array_equal(synchronized(widget.corrections), before)

    # it can be taken over: where it lies, and what is not sure stays so
    found = take(widget, until, copy)
    y0, x0 = (int(v) for v in copy.translate[-2:])
    np.testing.assert_array_equal(found[y0:, x0:][: copy.data.shape[0], : copy.data.shape[1]], copy.data)
    assert {3, 255} <= set(np.unique(found))
    assert errors(notes) == []

    # the originals go on
    number = len([1 for severity, _ in notes if severity == "info"])
    layer.paint((100, 100), 1)
    edit(widget, until, 150, 700)
    rest(widget, until)
    assert (synchronized(widget.corrections) == 1).any()
    viewer.layers.remove(layer)
    edit(widget, until, 150, 500)  # made anew: no copy
    assert len([1 for severity, _ in notes if severity == "info"]) == number


def duplicate(viewer: napari.Viewer, layer: Any) -> Any:
    viewer.layers.selection = {layer}
    there = set(viewer.layers)
    _duplicate_layer(viewer.layers)
    (new,) = set(viewer.layers) - there
    return new


def test_a_level_that_is_taken_out_is_a_copy_too(
    open_correct: OpenCorrect, until: Until, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct()
    edit(widget, until, 150, 500)
    corrections = widget.layer
    assert corrections is not None
    assert corrections.multiscale
    for level in range(len(corrections.data)):
        viewer.layers.extend(_extract_multiscale_level([corrections], level))
        taken_out = viewer.layers[-1]
        assert not taken_out.editable  # painting would go into the file, past the history
        said = [words for severity, words in notes if severity == "info"]
        assert said[-1].startswith(f"{taken_out.name}: is a copy")


def mask_of_store(viewer: napari.Viewer) -> Labels:
    (mask,) = (layer for layer in viewer.layers if isinstance(layer, Labels) and "fctl_store" in layer.metadata)
    return mask


def test_a_mask_that_is_shown_later_lies_under_the_corrections(open_correct: OpenCorrect, until: Until) -> None:
    viewer, widget = open_correct()
    edit(widget, until, 150, 500).paint((100, 100), 1)
    rest(widget, until)
    mask = mask_of_store(viewer)
    store = mask.metadata["fctl_store"]
    viewer.layers.remove(mask)
    again = SegmentationLayers(store).show_mask(viewer, viewer.layers["scene"], "made")
    order = list(viewer.layers)
    assert order.index(again) < order.index(widget.layer) < order.index(widget.edit_layer)
