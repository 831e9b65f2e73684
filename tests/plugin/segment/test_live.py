"""Live mode: the network works where one looks, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_window import Open, errors, level, mask_of

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.plugin.segment.widget import SegmentWidget
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.cells_in_view import LIVE_TILES

pytestmark = [pytest.mark.gui, pytest.mark.slow, pytest.mark.usefixtures("warm_engine")]


def look_at(viewer: napari.Viewer, y: float, x: float, rows: float) -> None:
    """Show so many rows of an image that lies where napari puts it."""
    viewer.scene.camera.zoom = viewer.canvas.size[0] / rows
    viewer.scene.camera.center = (0, y - 0.5, x - 0.5)


def cells_in_view(viewer: napari.Viewer, widget: SegmentWidget) -> list[tuple[int, int]]:
    store = Segmentation.open(widget.form.result.text())
    return sorted(store.grid.cells_in(view_region(viewer, widget.image)))


def done_cells(widget: SegmentWidget) -> list[tuple[int, int]]:
    store = Segmentation.open(widget.form.result.text())
    return sorted(map(tuple, np.argwhere(store.done()).tolist()))


def covered(viewer: napari.Viewer, widget: SegmentWidget) -> bool:
    """Whether all in view is on disk: reports of the view before may still come in when it has moved."""
    return set(cells_in_view(viewer, widget)) <= set(done_cells(widget))


def seen_all(widget: SegmentWidget) -> Callable[[], bool]:
    """Return a condition: what is reported from now on says that all in view is done."""
    reported: list[Any] = []
    widget.progressed.connect(reported.append)

    def condition() -> bool:
        view = reported[-1].view if reported else None
        return view is not None and view.total > 0 and view.done == view.total and view.waiting == 0

    return condition


def stop_live(widget: SegmentWidget, until: Callable[..., None]) -> None:
    widget.form.live.click()
    until(lambda: not widget.running)
    assert not widget.form.live.isChecked()
    assert widget.form.run.isEnabled()


def test_what_is_in_view_is_computed_and_nothing_else(
    open_scene: Open, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_scene()
    form = widget.form
    look_at(viewer, 150, 200, rows=100)
    condition = seen_all(widget)
    form.live.click()
    assert widget.live
    assert form.run.isEnabled(), "live mode makes way for a run"
    until(condition)
    first = cells_in_view(viewer, widget)
    assert done_cells(widget) == first
    assert f"In view {len(first)} of {len(first)} tiles, 0 waiting" in form.status.text()
    assert "CPU" in form.status.text()
    assert " MB" in form.status.text()
    until(lambda: (level(mask_of(viewer)) > 0).any())
    before = level(mask_of(viewer)).copy()

    look_at(viewer, 150, 800, rows=100)
    until(lambda: covered(viewer, widget))
    second = cells_in_view(viewer, widget)
    assert not set(first) & set(second)
    assert done_cells(widget) == sorted(first + second)
    until(lambda: np.array_equal(level(mask_of(viewer))[before > 0], before[before > 0]))
    stop_live(widget, until)
    assert errors(notes) == []
    assert (level(mask_of(viewer)) > 0).any(axis=0)[780:820].all()


def test_beside_the_image_and_back(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    look_at(viewer, 5000, 5000, rows=100)
    reported: list[Any] = []
    widget.progressed.connect(reported.append)
    widget.form.live.click()
    until(lambda: bool(reported) and reported[-1].device is not None)
    assert done_cells(widget) == []
    condition = seen_all(widget)
    look_at(viewer, 100, 100, rows=60)
    until(condition)
    assert done_cells(widget) == cells_in_view(viewer, widget)
    stop_live(widget, until)


def test_too_many_tiles_are_offered_not_begun(
    open_scene: Open, until: Callable[..., None], make_rgb: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    large = convert(pyramid_from_array(make_rgb(1400, 1400), name="large"), tmp_path / "large.ome.zarr", chunk=128)
    viewer, widget = open_scene(large)
    form = widget.form
    viewer.reset_view()
    form.live.click()
    until(lambda: form.offer.isVisible())
    assert len(cells_in_view(viewer, widget)) > LIVE_TILES

    def offered() -> str:  # the window may still be laid out
        return f"Run the {len(cells_in_view(viewer, widget)) - len(done_cells(widget))} tiles in view\n"

    until(lambda: form.offer.text().startswith(f"{offered()}speed not known yet, up to"))
    assert done_cells(widget) == []
    condition = seen_all(widget)
    look_at(viewer, 500, 500, rows=100)
    until(condition)
    until(lambda: not form.offer.isVisible())
    look_at(viewer, 700, 700, rows=1300)
    until(lambda: form.offer.isVisible())
    done = done_cells(widget)
    assert len(cells_in_view(viewer, widget)) - len(done) > LIVE_TILES
    until(lambda: form.offer.text().startswith(f"{offered()}about "))
    form.offer.click()
    until(lambda: widget.running and not widget.live)
    until(lambda: len(done_cells(widget)) > len(done))
    form.cancel.click()
    until(lambda: widget.live)  # what was on comes back
    stop_live(widget, until)


def test_a_run_comes_first_and_live_mode_comes_back(open_scene: Open, strip: Path, until: Callable[..., None]) -> None:
    viewer, widget = open_scene(strip)
    form = widget.form
    look_at(viewer, 56, 200, rows=60)
    form.live.click()
    until(lambda: widget.live)
    form.where.setCurrentText(WHOLE)
    states: list[str] = []
    widget.finished.connect(lambda progress: states.append(progress.state))
    form.run.click()
    until(lambda: "done" in states)
    assert states == ["cancelled", "done"]
    assert Segmentation.open(form.result.text()).done().all()
    until(lambda: widget.live)
    assert form.live.isChecked()
    assert len(viewer.layers) == 3
    stop_live(widget, until)


def test_starting_afresh_is_asked_for_once(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    form = widget.form
    look_at(viewer, 150, 200, rows=60)
    condition = seen_all(widget)
    form.fresh.setChecked(True)
    form.live.click()
    until(condition)
    assert not form.fresh.isChecked()
    first = done_cells(widget)
    look_at(viewer, 150, 800, rows=60)
    form.run.click()  # of the view; what live mode made must not be thrown away
    until(lambda: widget.live and len(done_cells(widget)) > len(first))
    assert set(first) <= set(done_cells(widget))
    stop_live(widget, until)


def test_another_checkpoint_means_another_result(
    open_scene: Open, until: Callable[..., None], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model, card = load_checkpoint(tiny_checkpoint)
    other = save_checkpoint(tmp_path / "other.safetensors", model, card.model_copy(update={"name": "other"}))
    assert read_card(other).name == "other"
    viewer, widget = open_scene()
    form = widget.form
    look_at(viewer, 150, 200, rows=60)
    condition = seen_all(widget)
    form.live.click()
    until(condition)
    first, location = mask_of(viewer), form.result.text()
    form.add_checkpoint(other)
    assert form.result.text() != location
    until(lambda: "scene by other" in viewer.layers)
    assert widget.live
    until(lambda: done_cells(widget) == cells_in_view(viewer, widget))
    assert not first.visible
    assert viewer.layers["scene by other"].visible
    stop_live(widget, until)


def test_closing_the_image_ends_it(open_scene: Open, until: Callable[..., None], notes: list[tuple[str, str]]) -> None:
    viewer, widget = open_scene()
    look_at(viewer, 150, 200, rows=250)
    reported: list[Any] = []
    widget.progressed.connect(reported.append)
    widget.form.live.click()
    until(lambda: any(event.view and event.view.done for event in reported))
    viewer.layers.remove("scene")
    until(lambda: not widget.running)
    assert not widget.form.live.isChecked()
    assert errors(notes) == []


# -- any view, any layer --------------------------------------------------------------------------------------------


def placed_alike(mask: napari.layers.Labels, image: napari.layers.Image) -> bool:
    corners = [(0.0, 0.0), (0.0, 100.0), (50.0, 7.0)]
    return all(np.allclose(mask.data_to_world(corner), image.data_to_world(corner)) for corner in corners)


def center_on(viewer: napari.Viewer, image: napari.layers.Image, y: float, x: float, pixels: float) -> None:
    """Show about so many px around pixel (y, x) of an image, wherever it lies."""
    camera = viewer.scene.camera
    camera.zoom = min(viewer.canvas.size) / (pixels * float(np.max(np.abs(image.scale))))
    camera.center = (0, *image.data_to_world((y, x))[-2:])


def computed_about_the_view(viewer: napari.Viewer, widget: SegmentWidget) -> bool:
    """All in view, and little else: the canvas may have been larger before the panel had its text."""
    view, done = set(cells_in_view(viewer, widget)), set(done_cells(widget))
    return view <= done and len(done) <= 2 * len(view)


@pytest.mark.parametrize(
    "location",
    [
        pytest.param({"scale": (0.25, 0.25), "translate": (1000.0, -40.0)}, marks=pytest.mark.nightly),
        pytest.param({"rotate": 30.0}, marks=pytest.mark.nightly),
        {"scale": (2.0, 2.0), "rotate": -90.0, "translate": (5.0, 5.0)},
    ],
)
def test_live_on_scaled_moved_and_turned_layers(
    location: dict[str, Any], open_scene: Open, until: Callable[..., None]
) -> None:
    """By day the layer that is scaled, turned and moved at once stands in for the others."""
    viewer, widget = open_scene()
    image = viewer.layers["scene"]
    for name, value in location.items():
        setattr(image, name, value)
    center_on(viewer, image, 150, 300, 70)
    condition = seen_all(widget)
    widget.form.live.click()
    until(condition)
    assert computed_about_the_view(viewer, widget)
    assert placed_alike(mask_of(viewer), image)
    image.translate = np.add(image.translate, 60 * image.scale)  # the layer moves under the view
    until(lambda: covered(viewer, widget))
    stop_live(widget, until)


def test_live_in_two_dimensions_of_three(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    stack = viewer.add_image(np.zeros((5, 40, 40), np.uint8), name="stack")
    assert viewer.dims.ndim == 3
    viewer.layers.move(viewer.layers.index(stack), 0)
    image = viewer.layers["scene"]
    viewer.layers.selection.active = image
    center_on(viewer, image, 150, 300, 70)
    condition = seen_all(widget)
    widget.form.live.click()
    until(condition)
    assert computed_about_the_view(viewer, widget)
    viewer.dims.set_point(0, 3)
    assert placed_alike(mask_of(viewer), image)
    stop_live(widget, until)


def test_live_on_an_array_among_several_images(
    open_scene: Open, until: Callable[..., None], earth_crop: np.ndarray
) -> None:
    viewer, widget = open_scene()
    dask_array = pytest.importorskip("dask.array")
    array = viewer.add_image(
        dask_array.from_array(earth_crop[:200, :400], chunks=(100, 100, 3)), rgb=True, name="array", translate=(400, 0)
    )
    widget.form.image.setCurrentText("array")
    assert widget.image is array
    center_on(viewer, array, 100, 200, 60)
    condition = seen_all(widget)
    widget.form.live.click()
    until(condition)
    store = Segmentation.open(widget.form.result.text())
    assert store.shape == (200, 400)
    assert computed_about_the_view(viewer, widget)
    assert placed_alike(mask_of(viewer), array)
    stop_live(widget, until)


def test_two_windows_share_a_worker(open_scene: Open, until: Callable[..., None], rgb_png: Path) -> None:
    (first, one), (second, two) = open_scene(), open_scene(rgb_png)
    conditions = [seen_all(one), seen_all(two)]
    for viewer, widget in ((first, one), (second, two)):
        center_on(viewer, widget.image, 60, 100, 50)
        widget.form.live.click()
    for condition in conditions:
        until(condition)
    for viewer, widget in ((first, one), (second, two)):
        assert computed_about_the_view(viewer, widget)
        assert len([layer for layer in viewer.layers if isinstance(layer, napari.layers.Labels)]) == 1
        stop_live(widget, until)


def test_closing_the_window_ends_it(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    look_at(viewer, 150, 200, rows=250)
    reported: list[Any] = []
    widget.progressed.connect(reported.append)
    widget.form.live.click()
    until(lambda: any(event.view and event.view.done for event in reported))
    run = widget._runner.run._run
    viewer.close()
    until(lambda: run.wait(0).state == "cancelled", 20)
