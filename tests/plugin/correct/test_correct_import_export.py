"""Labels and others' corrections in the Correct widget, and exports of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_window import errors
from PIL import Image

from fctl_napari.corrections.corrections import Corrections
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import read_card

pytestmark = pytest.mark.gui


def test_labels_and_corrections_are_taken_over(
    make_napari_viewer: Callable[..., Any],
    until: Callable[..., None],
    scene: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    notes: list[tuple[str, str]],
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open(scene, plugin="fctl-napari")
    _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Correct")
    widget.form.checkpoint.add(tiny_checkpoint)
    viewer.reset_view()
    widget.edit_here((150, 500))
    until(lambda: not widget.busy and widget.edit_layer is not None)
    page, corrections = widget.form.exchange, widget.corrections
    names = corrections.class_table.names
    drawn = np.zeros((300, 1100), np.int32)
    drawn[20:40, 30:80] = 1
    drawn[100:110, 500:520] = 2
    viewer.add_labels(drawn, name="theirs")
    page.source.setCurrentText("theirs")
    page.take.click()
    until(lambda: not widget.busy)
    assert np.array_equal(corrections.read((0, 0, 300, 1100)), drawn)
    layer = widget.edit_layer
    y0, x0 = (int(v) for v in layer.translate[-2:])
    assert np.array_equal(layer.data, drawn[y0 : y0 + layer.data.shape[0], x0 : x0 + layer.data.shape[1]])
    assert page.report.text() == f"New: {names[0]} 1,000 px, {names[1]} 200 px."
    assert page.conflicts.count() == 0

    # what others painted; where both did, differently, it is listed
    other = tmp_path / "bob.ome.zarr"
    with Corrections.create(other, open_image(scene), read_card(tiny_checkpoint).classes) as theirs:
        theirs.write(35, 70, np.full((20, 40), 2, np.uint8), author="bob")
    widget.take_over(other, True)
    until(lambda: not widget.busy)
    mine = drawn.copy()
    fresh = np.zeros_like(mine, bool)
    fresh[35:55, 70:110] = True
    mine[fresh & (mine == 0)] = 2
    assert np.array_equal(corrections.read((0, 0, 300, 1100)), mine)
    assert "1 conflicts, 50 px, stay as they were." in page.report.text()
    page.conflicts.itemClicked.emit(page.conflicts.item(0))
    assert np.allclose(viewer.scene.camera.center[-2:], (37, 74.5))
    assert set(corrections.authors) == {widget.painter, "bob"}
    page.policy.setCurrentText("take theirs")
    widget.take_over(other, True)
    until(lambda: not widget.busy)
    mine[fresh] = 2
    assert np.array_equal(corrections.read((0, 0, 300, 1100)), mine)

    # what is no such thing is refused, and changes nothing
    viewer.add_labels(np.full((300, 1100), 200, np.uint8), name="strange")
    page.source.setCurrentText("strange")
    page.take.click()
    until(lambda: not widget.busy and any("strange" in words for words in errors(notes)))
    assert np.array_equal(corrections.read((0, 0, 300, 1100)), mine)

    # strokes that are still on their way are exported too
    layer.brush_size = 9
    layer.paint((100, 200), 3)
    widget.export(tmp_path / "all.png")
    widget.export(tmp_path / "all.geojson")
    said = lambda: [words for severity, words in notes if severity == "info" and "is exported" in words]  # noqa: E731
    until(lambda: len(said()) == 2)
    mine[y0 : y0 + layer.data.shape[0], x0 : x0 + layer.data.shape[1]] = layer.data
    assert (mine == 3).any()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "all.png")), mine.astype(np.uint8) - np.uint8(1))
    features = json.loads((tmp_path / "all.geojson").read_text())["features"]
    assert {feature["properties"]["class"] for feature in features} == set(names[:3])
    for _ in range(3):  # the stroke, and what bob painted, twice
        widget.form.undo.click()
    until(lambda: not widget.busy)
    assert np.array_equal(corrections.read((0, 0, 300, 1100)), drawn)
    widget.form.undo.click()
    until(lambda: not widget.busy)
    assert not corrections.read((0, 0, 300, 1100)).any()
    assert not layer.data.any()
