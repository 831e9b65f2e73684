"""Two maps compared on the real canvas: what is drawn left and right of the line, and in turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_window import errors
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from fctl_napari.exceptions import InputError
from fctl_napari.plugin.dock.dock import FctlDock, open_dock
from fctl_napari.plugin.layers.before_after import before_after, pair_of
from fctl_napari.plugin.layers.before_after_buttons import KEYS
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = pytest.mark.gui

SHAPE = (160, 320)
Until = Callable[..., None]
Opened = tuple[napari.Viewer, napari.layers.Labels, napari.layers.Labels]


@pytest.fixture
def two_maps(
    open_window: Callable[..., Any], make_segmentation: Callable[..., Segmentation], tmp_path: Path, until: Until
) -> Opened:
    """A map that is red everywhere, and one over it that is blue everywhere."""
    viewer = open_window()
    for name, value in (("before", 1), ("after", 3)):
        store = make_segmentation(np.full(SHAPE, value), path=tmp_path / f"{name}.ome.zarr")
        viewer.open(store.path, plugin="fctl-napari")
    before, after = (layer for layer in viewer.layers if isinstance(layer, napari.layers.Labels))
    for layer in (before, after):
        layer.opacity = 1
    viewer.reset_view()
    until(lambda: viewer.canvas.size[0] > 0)
    return viewer, before, after


def columns(viewer: napari.Viewer) -> tuple[np.ndarray, float]:
    """Colors along the middle row of the canvas, and the number of them in a px of the screen."""
    picture = viewer.screenshot(canvas_only=True, flash=False)
    return picture[picture.shape[0] // 2, :, :3].astype(int), picture.shape[1] / viewer.canvas.size[1]


def parts(viewer: napari.Viewer) -> tuple[set[int], set[int]]:
    """The columns of the canvas, in px of the screen, at which it shows the map before, and the one after."""
    colors, ratio = columns(viewer)
    before = {int(x / ratio) for x in np.flatnonzero(colors[:, 0] > colors[:, 2] + 40)}
    after = {int(x / ratio) for x in np.flatnonzero(colors[:, 2] > colors[:, 0] + 40)}
    return before, after


def test_the_canvas_is_divided_where_the_line_is(two_maps: Opened) -> None:
    viewer, before, after = two_maps
    both = parts(viewer)[1]
    assert both
    assert parts(viewer)[0] == set()
    comparison = before_after(viewer)
    comparison.toggle("swipe")
    line = comparison.divider
    assert line is not None
    width = viewer.canvas.size[1]
    for position in (width / 2, width / 3, 0, width):
        line.move_to(position)
        left, right = parts(viewer)
        assert max(left, default=-1) <= position
        assert min(right, default=width) >= position - 1
        assert len(left) + len(right) >= len(both) - 8  # nothing but the line itself covers the maps
    line.move_to(width / 2)
    viewer.scene.camera.center = (SHAPE[0] / 2, SHAPE[1] / 3)  # the line stays where it is on the screen
    viewer.scene.camera.zoom *= 1.5
    left, right = parts(viewer)
    assert max(left) <= width / 2 <= min(right) + 1
    comparison.toggle("swipe")
    assert comparison.mode == ""
    assert parts(viewer)[0] == set()
    assert (before.visible, after.visible) == (True, True)


def test_the_line_is_dragged_with_the_mouse(two_maps: Opened) -> None:
    viewer, _, _ = two_maps
    comparison = before_after(viewer)
    comparison.toggle("swipe")
    line = comparison.divider
    assert line is not None
    center, before = viewer.scene.camera.center, line.position
    start = QPoint(line.width() // 2, 40)
    QTest.mousePress(line, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    QTest.mouseMove(line, start - QPoint(60, 0))
    QTest.mouseRelease(line, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    assert abs(line.position - (before - 60)) <= 2
    assert viewer.scene.camera.center == center
    comparison.stop()


def test_the_maps_are_shown_in_turn(two_maps: Opened, until: Until) -> None:
    viewer, before, after = two_maps
    before.visible = False
    comparison = before_after(viewer)
    comparison.toggle("blink")
    for _ in range(2):
        until(lambda: bool(parts(viewer)[0]) and not parts(viewer)[1])
        until(lambda: bool(parts(viewer)[1]) and not parts(viewer)[0])
    comparison.toggle("swipe")
    assert comparison.mode == "swipe"
    comparison.stop()
    assert (before.visible, after.visible) == (False, True)
    assert parts(viewer)[1]


def test_what_lies_over_them_is_hidden_for_the_time(two_maps: Opened) -> None:
    viewer, _, _ = two_maps
    overlay = viewer.add_labels(np.full(SHAPE, 2), name="errors", metadata={"fctl_overlay": True})
    comparison = before_after(viewer)
    comparison.toggle("blink")
    assert not overlay.visible
    comparison.stop()
    assert overlay.visible


def test_it_ends_when_a_map_is_gone(two_maps: Opened) -> None:
    viewer, before, after = two_maps
    comparison = before_after(viewer)
    for mode in ("swipe", "blink"):
        comparison.toggle(mode)  # type: ignore[arg-type]
        viewer.layers.remove(after)
        assert comparison.mode == ""
        assert comparison.divider is None
        assert before.visible
        viewer.layers.append(after)


def test_one_map_has_nothing_to_be_compared_with(two_maps: Opened, notes: list[tuple[str, str]]) -> None:
    viewer, before, after = two_maps
    assert pair_of(viewer) == (before, after)
    elsewhere = viewer.add_labels(np.ones((9, 9), np.uint8), name="other", metadata={"fctl_store": "x"})
    assert pair_of(viewer) == (before, after)
    viewer.layers.remove(elsewhere)
    viewer.layers.remove(before)
    with pytest.raises(InputError, match="no two maps"):
        before_after(viewer).toggle("swipe")
    dock = open_dock(viewer)
    dock.compare("swipe")
    assert "there are no two maps of one image" in errors(notes)[-1]


def test_keys_compare(two_maps: Opened) -> None:
    viewer, _, _ = two_maps
    dock = open_dock(viewer)
    assert isinstance(dock, FctlDock)
    for mode, key in KEYS.items():
        (binding,) = (bound for bound in viewer.keymap if str(bound).replace("+", "-") == key)
        viewer.keymap[binding](viewer)
        assert before_after(viewer).mode == mode
    viewer.keymap[binding](viewer)
    assert before_after(viewer).mode == ""


def test_it_ends_in_3d_and_nothing_stays_clipped(two_maps: Opened, until: Until) -> None:
    viewer, _, _ = two_maps
    comparison = before_after(viewer)
    whole = len(parts(viewer)[1])
    for mode in ("swipe", "blink"):
        comparison.toggle(mode)  # type: ignore[arg-type]
        viewer.dims.ndisplay = 3
        assert comparison.mode == ""
        assert comparison.divider is None
        with pytest.raises(InputError, match="leave 3D"):
            comparison.toggle("swipe")
        viewer.dims.ndisplay = 2
        viewer.reset_view()
        assert parts(viewer)[0] == set()
        assert abs(len(parts(viewer)[1]) - whole) <= 2
