"""Labels and others' corrections in the tab Correct, and exports of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_correct import Until, edit, layer_window, rest
from helpers_window import errors
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.dock.dock import open_tab

pytestmark = pytest.mark.gui

SHAPE = (300, 1100)
WHOLE = (0, 0, *SHAPE)


@pytest.fixture
def window(
    open_window: Callable[..., Any], until: Until, scene: Path, tiny_checkpoint: Path
) -> tuple[napari.Viewer, CorrectWidget]:
    """The scene in a window with the widget, which has an edit window."""
    viewer = open_window()
    viewer.open(scene, plugin="fctl-napari")
    widget = open_tab(viewer, "Correct")
    assert isinstance(widget, CorrectWidget)
    widget.form.checkpoint.add(tiny_checkpoint)
    viewer.reset_view()
    edit(widget, until, 150, 500)
    return viewer, widget


@pytest.fixture
def drawn() -> np.ndarray:
    """Labels that somebody drew, of two classes."""
    labels = np.zeros(SHAPE, np.int32)
    labels[20:40, 30:80] = 1
    labels[100:110, 500:520] = 2
    return labels


@pytest.fixture
def bobs(scene: Path, tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """Bob's corrections: class 2 in a square that overlaps what is drawn."""
    path = tmp_path / "bob.ome.zarr"
    with Corrections.create(path, open_image(scene), read_card(tiny_checkpoint).classes) as theirs:
        theirs.write(35, 70, np.full((20, 40), 2, np.uint8), author="bob")
    return path


def take(viewer: napari.Viewer, widget: CorrectWidget, labels: np.ndarray, name: str) -> Corrections:
    """Begin to take labels over, and return the corrections that get them."""
    viewer.add_labels(labels, name=name)
    widget.form.exchange.source.setCurrentText(name)
    widget.form.exchange.take.click()
    assert widget.corrections is not None
    return widget.corrections


def test_labels_are_taken_over_in_one_step(
    window: tuple[napari.Viewer, CorrectWidget], until: Until, drawn: np.ndarray, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = window
    corrections = take(viewer, widget, drawn, "theirs")
    rest(widget, until)
    assert np.array_equal(corrections.read(WHOLE), drawn)
    layer, page, names = widget.edit_layer, widget.form.exchange, corrections.class_table.names
    assert layer is not None
    assert np.array_equal(layer.data, drawn[layer_window(widget)])
    assert page.report.text() == f"New: {names[0]} 1,000 px, {names[1]} 200 px."
    assert page.conflicts.count() == 0

    # what is no such thing is refused, and changes nothing
    take(viewer, widget, np.full(SHAPE, 200, np.uint8), "strange")
    until(lambda: not widget.busy and any("strange" in words for words in errors(notes)))
    assert np.array_equal(corrections.read(WHOLE), drawn)

    widget.form.undo.click()
    rest(widget, until)
    assert not corrections.read(WHOLE).any()
    assert not layer.data.any()


def test_corrections_of_others_are_merged_and_conflicts_are_listed(
    window: tuple[napari.Viewer, CorrectWidget], until: Until, drawn: np.ndarray, bobs: Path
) -> None:
    viewer, widget = window
    corrections, page = take(viewer, widget, drawn, "theirs"), widget.form.exchange
    rest(widget, until)
    widget.form.exchange.wanted.emit(bobs, True)
    rest(widget, until)
    merged, theirs = drawn.copy(), np.zeros(SHAPE, bool)
    theirs[35:55, 70:110] = True
    merged[theirs & (merged == 0)] = 2
    assert np.array_equal(corrections.read(WHOLE), merged)
    assert "1 conflict, 50 px, stay as they were." in page.report.text()
    page.conflicts.itemClicked.emit(page.conflicts.item(0))
    assert np.allclose(viewer.scene.camera.center[-2:], (37, 74.5))
    assert set(corrections.authors) == {widget.painter, "bob"}

    page.policy.setCurrentText("take theirs")
    widget.form.exchange.wanted.emit(bobs, True)
    rest(widget, until)
    merged[theirs] = 2
    assert np.array_equal(corrections.read(WHOLE), merged)
    for _ in range(2):
        widget.form.undo.click()
    rest(widget, until)
    assert np.array_equal(corrections.read(WHOLE), drawn)


def test_strokes_that_are_not_on_disk_yet_are_exported(
    window: tuple[napari.Viewer, CorrectWidget],
    until: Until,
    drawn: np.ndarray,
    tmp_path: Path,
    notes: list[tuple[str, str]],
) -> None:
    viewer, widget = window
    corrections = take(viewer, widget, drawn, "theirs")
    rest(widget, until)
    layer = widget.edit_layer
    assert layer is not None
    layer.brush_size = 9
    layer.paint((100, 200), 3)
    widget.form.exchange.export_wanted.emit(tmp_path / "all.png")
    widget.form.exchange.export_wanted.emit(tmp_path / "all.geojson")
    until(lambda: [severity for severity, words in notes if "is exported" in words] == ["info", "info"])
    expected = drawn.copy()
    expected[layer_window(widget)] = layer.data
    assert (expected == 3).any()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "all.png")), expected.astype(np.uint8) - np.uint8(1))
    features = json.loads((tmp_path / "all.geojson").read_text())["features"]
    assert {feature["properties"]["class"] for feature in features} == set(corrections.class_table.names[:3])
    widget.form.undo.click()
    rest(widget, until)
    assert np.array_equal(corrections.read(WHOLE), drawn)
