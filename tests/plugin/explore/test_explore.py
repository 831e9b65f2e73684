"""The real tab Explore, the real worker, a small network, part of the Earth scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_explore import NAMES, OpenExplore, canvas, click, covers, layer, on_canvas, shown
from helpers_window import errors
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QComboBox, QSpinBox

from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.layers.explanation_layers import MARKER, OUTLINES
from fctl_napari.plugin.layers.image_source import EXPLORE
from fctl_napari.plugin.layers.transforms import placed_over, to_pixels

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


@pytest.mark.usefixtures("layer_controls")
def test_a_click_shows_where_the_pixel_looks(
    open_explore: OpenExplore, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    image = viewer.layers["scene"]
    before = viewer.scene.camera.center
    click(viewer, image, 120, 330)
    until(lambda: widget.explanation is not None)
    explanation = widget.explanation
    assert errors(notes) == []
    assert np.abs(np.subtract(explanation.pixel, (120, 330))).max() <= 1 / viewer.scene.camera.zoom + 1
    assert viewer.scene.camera.center == before, "a click in pick mode does not pan"
    assert [context.name for context in explanation.contexts] == list(NAMES)
    assert shown(viewer) == {f"attention {name}" for name in NAMES}
    highest = max(context.combined.max() for context in explanation.contexts)
    for context in explanation.contexts:
        entry = layer(viewer, f"attention {context.name}")
        assert np.array_equal(entry.data, context.combined)
        assert covers(viewer, widget, f"attention {context.name}", context.footprint)
        assert entry.contrast_limits == [0, pytest.approx(highest)]

    # another pixel: the same layers, with what is new
    layers = list(viewer.layers)
    click(viewer, image, 200, 700)
    until(lambda: widget.explanation is not explanation)
    assert list(viewer.layers) == layers
    for context in widget.explanation.contexts:
        assert np.array_equal(layer(viewer, f"attention {context.name}").data, context.combined)
        assert covers(viewer, widget, f"attention {context.name}", context.footprint)
    assert widget.explanation.tile != explanation.tile


def test_an_image_of_a_relative_path_is_explained(
    open_explore: OpenExplore, until: Callable[..., None], scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker answers for the absolute one."""
    monkeypatch.chdir(scene.parent)
    _, widget = open_explore(Path(scene.name))
    widget.explain((120.5, 330.5))
    until(lambda: widget.explanation is not None)
    assert widget.explanation.pixel == (120, 330)


def test_outlines_marker_and_panel_belong_to_the_pixel(open_explore: OpenExplore, until: Callable[..., None]) -> None:
    viewer, widget = open_explore()
    form = widget.form
    widget.explain((120.5, 330.5))
    until(lambda: widget.explanation is not None)
    explanation = widget.explanation

    # outlines: each context's window, the query cell; the marker on the pixel
    outlines = layer(viewer, OUTLINES)
    drawn = [to_pixels(outlines, outlines.data_to_world(corners[0])) for corners in outlines.data]
    for window in (*(context.window for context in explanation.contexts), explanation.cell_window):
        assert any(np.allclose(corner, window[:2]) for corner in drawn)
    (point,) = layer(viewer, MARKER).data
    assert tuple(np.floor(point + 0.5)) == explanation.pixel
    names = [entry.name for entry in viewer.layers]
    assert names[0] == "scene"
    assert names[-2:] == [EXPLORE + OUTLINES, EXPLORE + MARKER]
    assert [form.image.itemText(i) for i in range(form.image.count())] == ["scene"]

    table = explanation.class_table
    assert table.names[int(explanation.probabilities.argmax())] in form.status.text()
    assert form.probabilities.texts == [
        f"{name} {share:.1%}" for name, share in zip(table.names, explanation.probabilities, strict=True)
    ]
    (local,) = (text for text in form.scales.texts if text.startswith("local"))
    assert f"σ(z) {explanation.contexts[0].gate:.2f} · γ {explanation.contexts[0].gamma:.2f}" in local
    assert viewer.canvas.overlays.scale_bar.visible


def test_dragging_explains_all_the_way(
    open_explore: OpenExplore, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    image = viewer.layers["scene"]
    camera = viewer.scene.camera.center
    explained: list[Any] = []
    widget.explained.connect(explained.append)
    native = canvas(viewer)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, image, 50, 200))
    for step in range(12):
        QTest.mouseMove(native, on_canvas(viewer, image, 50 + 14 * step, 200 + 50 * step))
        QTest.qWait(5)
    end = on_canvas(viewer, image, 220, 800)
    QTest.mouseMove(native, end)
    QTest.qWait(20)
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=end)
    until(lambda: bool(explained) and not widget.busy)
    assert np.abs(np.subtract(explained[-1].pixel, (220, 800))).max() <= 1 / viewer.scene.camera.zoom + 1
    assert viewer.scene.camera.center == camera
    assert errors(notes) == []


def test_only_the_newest_request_waits(open_explore: OpenExplore, until: Callable[..., None]) -> None:
    _, widget = open_explore()
    explained: list[Any] = []
    widget.explained.connect(explained.append)
    for x in range(100, 900, 100):
        widget.explain((150.5, x + 0.5))
    until(lambda: not widget.busy)
    assert [entry.pixel for entry in explained] == [(150, 100), (150, 800)]


def test_the_marker_can_be_moved_by_itself(open_explore: OpenExplore, until: Callable[..., None]) -> None:
    viewer, widget = open_explore()
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    explanation = widget.explanation
    marker = layer(viewer, MARKER)
    viewer.layers.selection.active = marker
    marker.mode = "select"
    assert not widget.form.pick.isChecked(), "another tool is in hand"
    native, image = canvas(viewer), viewer.layers["scene"]
    QTest.mouseMove(native, on_canvas(viewer, image, 100, 300))
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, image, 100, 300))
    for step in range(1, 11):
        QTest.mouseMove(native, on_canvas(viewer, image, 100 + 11 * step, 300 + 34 * step))
        QTest.qWait(20)
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, image, 210, 640))
    until(lambda: widget.explanation is not explanation)
    assert np.abs(np.subtract(widget.explanation.pixel, (210, 640))).max() <= 2 / viewer.scene.camera.zoom + 2
    assert len(marker.data) == 1


def test_pick_mode_and_other_tools_exclude_each_other(open_explore: OpenExplore, until: Callable[..., None]) -> None:
    viewer, widget = open_explore()
    image = viewer.layers["scene"]
    labels = viewer.add_labels(np.zeros((300, 1100), np.uint8))
    assert widget.form.pick.isChecked()
    labels.mode = "paint"
    assert not widget.form.pick.isChecked(), "whoever takes up the brush wants to paint"
    widget.form.pick.click()
    assert labels.mode == "pan_zoom"
    click(viewer, image, 120, 330)
    until(lambda: widget.explanation is not None)
    assert not labels.data.any()
    widget.form.pick.click()
    explanation = widget.explanation
    click(viewer, image, 200, 700)
    QTest.qWait(300)
    assert widget.explanation is explanation
    assert not widget.busy


def test_a_click_beside_the_image_is_reported(
    open_explore: OpenExplore, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    click(viewer, viewer.layers["scene"], -20, 330)
    assert "outside scene" in widget.form.status.text()
    assert not widget.busy
    assert errors(notes) == []
    viewer.dims.ndisplay = 3
    click(viewer, viewer.layers["scene"], 100, 330)
    assert "three dimensions" in errors(notes)[0]
    assert not widget.busy


def test_on_a_scaled_and_turned_array(
    open_explore: OpenExplore,
    until: Callable[..., None],
    earth_crop: np.ndarray,
    notes: list[tuple[str, str]],
    cache: Path,
) -> None:
    """It is saved first, once; the maps lie where its pixels are, and follow when it is moved."""
    viewer, widget = open_explore(None)
    image = viewer.add_image(
        earth_crop[:200, :300], rgb=True, name="turned", scale=(0.5, 2.0), rotate=30, translate=(10, -7)
    )
    viewer.reset_view()
    click(viewer, image, 60, 130)
    until(lambda: widget.explanation is not None)
    explanation = widget.explanation
    assert Path(explanation.request.image).parent == cache / "fctl-napari"
    assert np.abs(np.subtract(explanation.pixel, (60, 130))).max() <= 4
    for context in explanation.contexts:
        assert covers(viewer, widget, f"attention {context.name}", context.footprint)
    widget.explain((150.5, 20.5))
    until(lambda: widget.explanation is not explanation)
    assert sum("saved in the cache" in message for _, message in notes) == 1
    image.rotate = -70
    image.scale = (3.0, 1.0)
    explanation = widget.explanation
    for context in explanation.contexts:
        assert covers(viewer, widget, f"attention {context.name}", context.footprint)
        location = placed_over(image, context.footprint, context.combined.shape)
        assert np.allclose(layer(viewer, f"attention {context.name}").scale, location["scale"])
    assert errors(notes) == []


def test_a_damaged_image_is_reported(
    open_explore: OpenExplore, until: Callable[..., None], scene: Path, notes: list[tuple[str, str]]
) -> None:
    _, widget = open_explore()
    for chunk in (scene / "0").rglob("c/*/*/*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    widget.explain((100.5, 300.5))
    until(lambda: not widget.busy)
    assert len(errors(notes)) == 1
    assert "scene.ome.zarr" in errors(notes)[0]
    assert widget.form.status.text() == ""


def test_without_an_image(open_explore: OpenExplore, notes: list[tuple[str, str]]) -> None:
    _, widget = open_explore(None)
    widget.explain((1, 1))
    assert "no image to explore" in errors(notes)[-1]


def test_closing_the_dock_leaves_nothing_behind(open_explore: OpenExplore, until: Callable[..., None]) -> None:
    viewer, widget = open_explore()
    image = viewer.layers["scene"]
    callbacks = len(viewer.mouse_drag_callbacks)
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    widget.explain((200.5, 300.5))
    checkpoint = widget.form.checkpoint.name
    viewer.window.remove_dock_widget(viewer.window.dock_widgets["FCtL"])
    assert not widget.busy
    assert len(viewer.mouse_drag_callbacks) == callbacks - 1
    assert list(viewer.layers) == [image]
    image.translate = (5, 5)
    viewer.scene.camera.zoom *= 2

    widget = open_tab(viewer, "Explore")
    widget.form.checkpoint.add(checkpoint)
    widget.explain((250.5, 900.5))
    until(lambda: widget.explanation is not None)
    assert len(layer(viewer, MARKER).data) == 1
    local = widget.explanation.contexts[0]
    assert np.array_equal(layer(viewer, "attention local").data, local.combined)
    assert covers(viewer, widget, "attention local", local.footprint)
    viewer.window.remove_dock_widget(viewer.window.dock_widgets["FCtL"])
    viewer.layers.clear()  # nobody listens any more


def test_closing_the_window_leaves_nothing_behind(open_explore: OpenExplore, until: Callable[..., None]) -> None:
    viewer, widget = open_explore()
    widget.explain((100.5, 300.5))
    viewer.close()
    until(lambda: not widget.busy)
    assert session().running  # another window still uses the engine


def test_tooltips(open_explore: OpenExplore) -> None:
    _, widget = open_explore()
    fields = [f for kind in (QComboBox, QSpinBox, QAbstractButton) for f in widget.form.findChildren(kind)]
    assert len(fields) >= 15
    assert [field for field in fields if not field.toolTip() and not isinstance(field.parent(), QComboBox)] == []
