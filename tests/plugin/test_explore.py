"""The real Explore widget, the real worker, a small network, part of the Earth scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import PIL.Image
import pytest
from looking import errors, level
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QComboBox, QSpinBox

from fctl_napari.plugin.explanation_layers import MARKER, OUTLINES
from fctl_napari.plugin.explanation_maps import (
    ALL,
    ATTENTION,
    CHANGES,
    CONTENT,
    ENHANCEMENT,
    MASK_WITHOUT,
    POSITIONAL,
    RECEIVED,
    REGION,
    VIEWS,
    WEIGHTS,
    WHAT_IF,
    WINNER,
)
from fctl_napari.plugin.explore import ExploreWidget
from fctl_napari.plugin.layers import EXPLORE
from fctl_napari.plugin.map_layers import MAP_KEY
from fctl_napari.plugin.placement import placed_over, to_pixels
from fctl_napari.plugin.regions import WHOLE
from fctl_napari.plugin.session import session
from fctl_napari.plugin.view import view_region
from fctl_napari.segmentation.maps import map_title
from fctl_napari.segmentation.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

OpenExplore = Callable[..., tuple[napari.Viewer, ExploreWidget]]
NAMES = ("local", "medium", "large")


@pytest.fixture
def open_explore(make_napari_viewer: Callable[..., Any], scene: Path, awake_checkpoint: Path) -> OpenExplore:
    """Open the scene in a window, with the widget docked, the small network chosen and Pick on."""

    def open_it(path: Path | None = scene) -> tuple[napari.Viewer, ExploreWidget]:
        viewer = make_napari_viewer(show=True)
        if path is not None:
            viewer.open(path, plugin="fctl-napari")
        _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Explore")
        widget.form.checkpoint.add(awake_checkpoint)
        widget.form.pick.click()
        return viewer, widget

    return open_it


def on_canvas(viewer: napari.Viewer, layer: napari.layers.Layer, y: float, x: float) -> QPoint:
    """Where the middle of pixel (y, x) is on the canvas."""
    world = layer.data_to_world((y, x))
    camera, (height, width) = viewer.scene.camera, viewer.canvas.size
    return QPoint(
        round((world[-1] - camera.center[-1]) * camera.zoom + width / 2),
        round((world[-2] - camera.center[-2]) * camera.zoom + height / 2),
    )


def canvas(viewer: napari.Viewer) -> Any:
    return viewer.window._qt_viewer.canvas.native


def click(viewer: napari.Viewer, layer: napari.layers.Layer, y: float, x: float) -> None:
    QTest.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, pos=on_canvas(viewer, layer, y, x))


def choose(combo: QComboBox, text: str) -> None:
    """As a user does."""
    combo.setCurrentText(text)
    assert combo.currentText() == text
    combo.textActivated.emit(text)


def layer(viewer: napari.Viewer, name: str) -> Any:
    return viewer.layers[EXPLORE + name]


def shown(viewer: napari.Viewer) -> set[str]:
    """What of ours is visible, outlines and marker apart."""
    found = {entry.name.removeprefix(EXPLORE) for entry in viewer.layers if entry.visible and EXPLORE in entry.name}
    return found - {OUTLINES, MARKER}


def covers(viewer: napari.Viewer, widget: ExploreWidget, name: str, footprint: tuple[float, ...]) -> bool:
    """Whether a layer lies where its cells do, by napari's own transforms."""
    entry, image = layer(viewer, name), widget.image
    rows, columns = entry.data.shape[:2]
    y0, x0, y1, x1 = footprint
    corners = {(-0.5, -0.5): (y0, x0), (rows - 0.5, columns - 0.5): (y1, x1), (-0.5, columns - 0.5): (y0, x1)}
    return all(
        np.allclose(entry.data_to_world(cell), image.data_to_world(np.subtract(pixel, 0.5)), atol=1e-6)
        for cell, pixel in corners.items()
    )


def test_a_click_shows_where_the_pixel_looks(
    open_explore: OpenExplore, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    image = viewer.layers["scene"]
    before = viewer.scene.camera.center
    click(viewer, image, 120, 330)
    until(lambda: widget.explanation is not None)
    told = widget.explanation
    assert errors(notes) == []
    assert np.abs(np.subtract(told.pixel, (120, 330))).max() <= 1 / viewer.scene.camera.zoom + 1
    assert viewer.scene.camera.center == before, "a click in pick mode does not pan"
    assert [context.name for context in told.contexts] == list(NAMES)
    assert shown(viewer) == {f"attention {name}" for name in NAMES}
    for context in told.contexts:
        entry = layer(viewer, f"attention {context.name}")
        assert np.array_equal(entry.data, context.combined)
        assert covers(viewer, widget, f"attention {context.name}", context.footprint)
        assert entry.contrast_limits == [0, pytest.approx(max(c.combined.max() for c in told.contexts))]

    # outlines: each context's window, the query cell; the marker on the pixel
    outlines = layer(viewer, OUTLINES)
    drawn = [to_pixels(outlines, outlines.data_to_world(corners[0])) for corners in outlines.data]
    for window in (*(context.window for context in told.contexts), told.cell_window):
        assert any(np.allclose(corner, window[:2]) for corner in drawn)
    (point,) = layer(viewer, MARKER).data
    assert tuple(np.floor(point + 0.5)) == told.pixel
    names = [entry.name for entry in viewer.layers]
    assert names[0] == "scene"
    assert names[-2:] == [EXPLORE + OUTLINES, EXPLORE + MARKER]
    assert [widget.form.image.itemText(i) for i in range(widget.form.image.count())] == ["scene"]

    # the panel
    best = told.class_table.names[int(told.probabilities.argmax())]
    assert best in widget.form.status.text()
    assert widget.form.probabilities.texts == [
        f"{name} {share:.1%}" for name, share in zip(told.class_table.names, told.probabilities, strict=True)
    ]
    (local,) = (text for text in widget.form.scales.texts if text.startswith("local"))
    assert f"σ(z) {told.contexts[0].gate:.2f} · γ {told.contexts[0].gamma:.2f}" in local
    assert viewer.canvas.overlays.scale_bar.visible

    # another pixel: the same layers, with what is new
    layers = list(viewer.layers)
    click(viewer, image, 200, 700)
    until(lambda: widget.explanation is not told)
    assert list(viewer.layers) == layers
    for context in widget.explanation.contexts:
        assert np.array_equal(layer(viewer, f"attention {context.name}").data, context.combined)
        assert covers(viewer, widget, f"attention {context.name}", context.footprint)
    assert widget.explanation.tile != told.tile


def test_views_switch_between_groups_of_layers(
    open_explore: OpenExplore, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    form = widget.form
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    told = widget.explanation

    choose(form.part, POSITIONAL)
    for context in told.contexts:
        assert np.array_equal(layer(viewer, f"attention {context.name}").data, context.positional)
    choose(form.item, "medium")
    assert shown(viewer) == {"attention medium"}
    form.shared.click()
    medium = told.contexts[1].positional
    assert layer(viewer, "attention medium").contrast_limits == pytest.approx([medium.min(), medium.max()])
    assert form.scales.texts[0].startswith("medium")
    assert len(form.scales.texts) == 1

    form.view.setCurrentText(RECEIVED)
    assert form.item.currentText() == ALL
    choose(form.part, CONTENT)
    assert shown(viewer) == {f"received {name}" for name in NAMES}
    for context in told.contexts:
        assert np.array_equal(layer(viewer, f"received {context.name}").data, context.received_content)
        assert covers(viewer, widget, f"received {context.name}", context.footprint)

    form.view.setCurrentText(WEIGHTS)
    assert form.item.currentText() == WINNER
    assert shown(viewer) == {"weights RGB"}
    assert covers(viewer, widget, "weights RGB", told.footprint)
    picture = layer(viewer, "weights RGB").data
    weights = np.stack([context.weight for context in told.contexts])
    low, high = weights.min(), weights.max()  # one scale, so that the strongest colour is the largest weight
    for channel, context in enumerate(told.contexts):
        assert np.allclose(picture[..., channel], (context.weight - low) / (high - low) * 255, atol=0.51)
    choose(form.item, "large")
    assert shown(viewer) == {"weight large"}
    assert np.array_equal(layer(viewer, "weight large").data, told.contexts[2].weight)
    form.channel.setValue(3)
    until(lambda: widget.explanation is not told)
    assert widget.explanation.request.channel == 3
    assert not np.array_equal(widget.explanation.contexts[2].weight, told.contexts[2].weight)
    assert np.array_equal(layer(viewer, "weight large").data, widget.explanation.contexts[2].weight)

    form.view.setCurrentText(ENHANCEMENT)
    steps = widget.explanation.enhancements
    assert form.item.count() == sum(len(step.maps) for step in steps) > 1
    last = form.item.itemText(form.item.count() - 1)
    choose(form.item, last)
    assert shown(viewer) == {"ALE"}
    assert np.array_equal(layer(viewer, "ALE").data, steps[-1].maps[max(steps[-1].maps)])
    assert covers(viewer, widget, "ALE", told.footprint)

    form.view.setCurrentText(ATTENTION)  # as it was left, and up to date
    assert form.item.currentText() == "medium"
    assert not form.shared.isChecked()
    assert shown(viewer) == {"attention medium"}
    assert errors(notes) == []


def test_dragging_explains_all_the_way(
    open_explore: OpenExplore, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    image = viewer.layers["scene"]
    camera = viewer.scene.camera.center
    told: list[Any] = []
    widget.explained.connect(told.append)
    native = canvas(viewer)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, image, 50, 200))
    for step in range(30):
        QTest.mouseMove(native, on_canvas(viewer, image, 50 + 5 * step, 200 + 20 * step))
        QTest.qWait(5)
    end = on_canvas(viewer, image, 220, 800)
    QTest.mouseMove(native, end)
    QTest.qWait(20)
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=end)
    until(lambda: bool(told) and not widget.busy)
    assert np.abs(np.subtract(told[-1].pixel, (220, 800))).max() <= 1 / viewer.scene.camera.zoom + 1
    assert viewer.scene.camera.center == camera
    assert errors(notes) == []


def test_only_the_newest_wish_waits(open_explore: OpenExplore, until: Callable[..., None]) -> None:
    _, widget = open_explore()
    told: list[Any] = []
    widget.explained.connect(told.append)
    for x in range(100, 900, 100):
        widget.explain((150.5, x + 0.5))
    until(lambda: not widget.busy)
    assert [entry.pixel for entry in told] == [(150, 100), (150, 800)]


def test_the_marker_can_be_moved_by_itself(open_explore: OpenExplore, until: Callable[..., None]) -> None:
    viewer, widget = open_explore()
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    told = widget.explanation
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
    until(lambda: widget.explanation is not told)
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
    told = widget.explanation
    click(viewer, image, 200, 700)
    QTest.qWait(300)
    assert widget.explanation is told
    assert not widget.busy


def test_beside_the_image_is_said(
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


def test_what_if_a_part_is_left_out(
    open_explore: OpenExplore, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    form = widget.form
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    assert widget.explanation.without is None
    for name in ("large", "gpe", "ale"):
        form.without[name].click()
    until(lambda: widget.explanation.without is not None and not widget.busy)
    told = widget.explanation
    assert set(told.request.without.names) == {"large", "gpe", "ale"}
    assert form.view.currentText() == WHAT_IF
    assert form.item.currentText() == CHANGES
    assert shown(viewer) == {CHANGES}
    differs = told.labels != told.without.labels
    changes = layer(viewer, CHANGES).data
    assert differs.any(), "a network with random weights changes somewhere"
    assert np.array_equal(changes > 0, differs)
    assert np.array_equal(changes[differs], told.without.labels[differs])
    assert covers(viewer, widget, CHANGES, told.tile)
    assert f"{differs.sum()} of {differs.size} px" in form.changed.text()
    assert [text.split()[1:] for text in form.probabilities.texts] == [
        [f"{a:.1%}", "→", f"{b:.1%}"] for a, b in zip(told.probabilities, told.without.probabilities, strict=True)
    ]
    choose(form.item, MASK_WITHOUT)
    assert shown(viewer) == {MASK_WITHOUT}
    assert np.array_equal(layer(viewer, MASK_WITHOUT).data, told.without.labels)

    for name in ("large", "gpe", "ale"):
        form.without[name].click()
    until(lambda: widget.explanation.without is None and not widget.busy)
    assert form.changed.text() == ""
    assert shown(viewer) == {"mask"}
    assert np.array_equal(layer(viewer, "mask").data, told.labels)
    assert errors(notes) == []


def test_maps_of_a_region(
    open_explore: OpenExplore, until: Callable[..., None], scene: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    form = widget.form
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    ended: list[Any] = []
    widget.computed.connect(ended.append)
    viewer.scene.camera.center = (0, 150, 400)
    viewer.scene.camera.zoom = viewer.canvas.size[0] / 150
    region = view_region(viewer, widget.image)
    form.compute.click()
    assert form.view.currentText() == REGION
    assert form.cancel.isEnabled()
    assert not form.compute.isEnabled()
    until(lambda: bool(ended))
    assert errors(notes) == []
    assert ended[0].state == "done"
    assert form.compute.isEnabled()
    assert form.region_status.text().startswith("Done")

    store = Segmentation.open(scene.with_name("scene.awake.maps.fctl.ome.zarr"))
    assert sorted(map(tuple, np.argwhere(store.done()).tolist())) == sorted(store.grid.cells_in(region))
    titles = [form.item.itemText(index) for index in range(form.item.count())]
    assert titles == ["entropy", "margin", *(f"weight of {name}" for name in NAMES)]
    layers = {entry.metadata[MAP_KEY]: entry for entry in viewer.layers if MAP_KEY in entry.metadata}
    assert list(layers) == list(store.maps)
    for name, entry in layers.items():
        assert np.array_equal(level(entry), np.asarray(store.maps[name].levels[0][:]))
        choose(form.item, map_title(name))
        assert [other for other, found in layers.items() if found.visible] == [name]
        assert form.scales.texts[0].startswith(map_title(name))
    assert not [entry for entry in viewer.layers if isinstance(entry, napari.layers.Labels)]
    assert layers["weight_large"].colormap.name != "fctl plasma 0.000 1.000"
    form.shared.click()
    assert layers["weight_large"].colormap.name == "fctl plasma 0.000 1.000"

    form.view.setCurrentText(ATTENTION)
    assert not any(entry.visible for entry in layers.values())
    assert shown(viewer) == {f"attention {name}" for name in NAMES}
    form.compute.click()  # all is there: nothing is computed again, and the same layers show it
    until(lambda: len(ended) == 2)
    assert {entry.metadata.get(MAP_KEY) for entry in viewer.layers} == {*layers, None}
    assert layers["weight_large"].visible
    assert errors(notes) == []


def test_maps_of_a_drawn_region_and_cancel(
    open_explore: OpenExplore, until: Callable[..., None], scene: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    form = widget.form
    ended: list[Any] = []
    widget.computed.connect(ended.append)
    form.draw.click()
    assert not form.pick.isChecked()
    (region,) = (entry for entry in viewer.layers if isinstance(entry, napari.layers.Shapes))
    region.add_rectangles(np.array([[100, 100], [100, 200], [180, 200], [180, 100]]))
    form.compute.click()
    until(lambda: bool(ended))
    store = Segmentation.open(scene.with_name("scene.awake.maps.fctl.ome.zarr"))
    assert store.done().sum() == len(store.grid.cells_in((100, 100, 181, 201)))
    assert form.item.currentText() == "entropy"
    (entropy,) = (entry for entry in viewer.layers if entry.metadata.get(MAP_KEY) == "entropy")
    assert entropy.visible
    assert (level(entropy) > 0).any()
    assert not (level(entropy) > 0).all()

    form.where.setCurrentText(WHOLE)
    form.compute.click()
    until(lambda: form.progress.maximum() > 1 and form.progress.value() > 4)
    form.cancel.click()
    until(lambda: len(ended) == 2)
    assert ended[1].state == "cancelled"
    assert errors(notes) == []


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_figure_is_saved(
    open_explore: OpenExplore, until: Callable[..., None], tmp_path: Path, notes: list[tuple[str, str]], kind: str
) -> None:
    _, widget = open_explore()
    assert not widget.form.save.isEnabled()
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    assert widget.form.save.isEnabled()
    saved: list[str] = []
    widget.saved.connect(saved.append)
    path = tmp_path / f"figure.{kind}"
    widget.save_figure(str(path))
    until(lambda: bool(saved))
    assert errors(notes) == []
    if kind == "png":
        assert min(PIL.Image.open(path).size) > 300
    else:
        assert "<svg" in path.read_text()
    widget.save_figure(str(tmp_path / "figure.doc"))
    until(lambda: bool(errors(notes)))
    assert "figure.doc" in errors(notes)[0]


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
    told = widget.explanation
    assert Path(told.request.image).parent == cache / "fctl-napari"
    assert np.abs(np.subtract(told.pixel, (60, 130))).max() <= 4
    for context in told.contexts:
        assert covers(viewer, widget, f"attention {context.name}", context.footprint)
    widget.explain((150.5, 20.5))
    until(lambda: widget.explanation is not told)
    assert sum("saved in the cache" in message for _, message in notes) == 1
    image.rotate = -70
    image.scale = (3.0, 1.0)
    told = widget.explanation
    for context in told.contexts:
        assert covers(viewer, widget, f"attention {context.name}", context.footprint)
        place = placed_over(image, context.footprint, context.combined.shape)
        assert np.allclose(layer(viewer, f"attention {context.name}").scale, place["scale"])
    assert errors(notes) == []


def test_a_network_without_contexts_says_so(
    open_explore: OpenExplore, until: Callable[..., None], plain_checkpoint: Path, notes: list[tuple[str, str]]
) -> None:
    _, widget = open_explore()
    form = widget.form
    form.checkpoint.add(plain_checkpoint)
    assert "no contexts" in form.lacks.text()
    model = form.view.model()
    usable = [VIEWS[index] for index in range(form.view.count()) if model.item(index).isEnabled()]
    assert ATTENTION not in usable
    assert form.view.currentText() in usable
    assert not any(box.isEnabled() for box in form.without.values())
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    assert widget.explanation.contexts == ()
    assert len(form.probabilities.texts) == 3
    assert errors(notes) == []


def test_another_checkpoint_asks_again(
    open_explore: OpenExplore, until: Callable[..., None], bare_checkpoint: Path, notes: list[tuple[str, str]]
) -> None:
    """One without GPE and ALE: attention is by content, and the panel says so."""
    viewer, widget = open_explore()
    form = widget.form
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    choose(form.part, POSITIONAL)
    form.checkpoint.add(bare_checkpoint)
    assert "GPE" in form.lacks.text()
    assert "ALE" in form.lacks.text()
    assert not form.without["gpe"].isEnabled()
    assert not form.without["ale"].isEnabled()
    assert form.without["large"].isEnabled()
    until(lambda: widget.explanation.request.checkpoint == str(bare_checkpoint))
    assert widget.explanation.contexts[0].positional is None
    assert shown(viewer) == {f"attention {name}" for name in NAMES}
    assert all("σ" not in text for text in form.scales.texts)
    assert errors(notes) == []


def test_what_is_wrong_is_said(
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
    viewer.window.remove_dock_widget(widget)
    assert not widget.busy
    assert len(viewer.mouse_drag_callbacks) == callbacks - 1
    image.translate = (5, 5)
    viewer.scene.camera.zoom *= 2

    # a new panel goes on with the layers that are there
    names = [entry.name for entry in viewer.layers]
    checkpoint = widget.form.checkpoint.name
    _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Explore")
    widget.form.checkpoint.add(checkpoint)
    widget.explain((250.5, 900.5))
    until(lambda: widget.explanation is not None)
    assert [entry.name for entry in viewer.layers] == names
    assert len(layer(viewer, MARKER).data) == 1
    local = widget.explanation.contexts[0]
    assert np.array_equal(layer(viewer, "attention local").data, local.combined)
    assert covers(viewer, widget, "attention local", local.footprint)
    viewer.window.remove_dock_widget(widget)
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
