"""The real widget, the real worker, a small network, part of the Earth scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
import tifffile
from helpers_window import Open, errors, level, mask_of, shown
from PIL import Image
from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit

from fctl_napari.imagery.open import open_image
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.layers.image_identity import identities
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.roi import DRAWN, VIEW, WHOLE
from fctl_napari.plugin.segment.form import SegmentForm
from fctl_napari.plugin.segment.widget import SegmentWidget
from fctl_napari.segmentation.jobs import loaded_networks
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


@pytest.fixture
def scene(strip: Path) -> Path:
    """A smaller scene."""
    return strip


def look_closely(viewer: napari.Viewer) -> IntWindow:
    """Show about a hundred columns in the middle, and return what is in view."""
    camera, size = viewer.scene.camera, np.array(viewer.canvas.size)
    camera.center = (0, 55.5, 549.5)
    camera.zoom = size.max() / 100
    half_height, half_width = size / camera.zoom / 2
    return round(56 - half_height), round(550 - half_width), round(56 + half_height), round(550 + half_width)


def run(widget: SegmentWidget, where: str, until: Callable[..., None]) -> Segmentation:
    """Segment the region to the end, and return the result."""
    widget.form.where.setCurrentText(where)
    widget.form.run.click()
    until(lambda: not widget.running)
    return Segmentation.open(widget.form.result.text())


def begin(widget: SegmentWidget, until: Callable[..., None]) -> None:
    """Begin to segment the whole image, and wait until some of it is done."""
    widget.form.where.setCurrentText(WHOLE)
    widget.form.run.click()
    until(lambda: widget.form.progress.maximum() > 1 and widget.form.progress.value() > 0)


def test_the_network_is_loaded_while_the_user_looks(
    load_ahead: Callable[[SegmentWidget], None],
    open_scene: Open,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tiny_checkpoint: Path,
) -> None:
    monkeypatch.setattr(SegmentWidget, "_load_ahead", load_ahead)
    _, widget = open_scene()
    widget.form.checkpoint.setCurrentText("earth")
    widget.form.add_checkpoint(tiny_checkpoint)
    client = session().engine()._workers.client()

    def loaded() -> list[str]:
        return [found.network.checkpoint for found in loaded_networks.loaded.values()]

    until(lambda: str(tiny_checkpoint) in client.submit(loaded, pure=False).result())
    assert not widget.running


@pytest.mark.usefixtures("layer_controls")
def test_whole_image_grows_into_layers(
    open_scene: Open, until: Callable[..., None], notes: list[tuple[str, str]], scene: Path
) -> None:
    viewer, widget = open_scene()
    form = widget.form
    form.where.setCurrentText(WHOLE)
    fills: list[float] = []
    form.run.click()
    assert not form.run.isEnabled()
    assert form.cancel.isEnabled()

    def watch() -> bool:
        masks = [layer for layer in viewer.layers if isinstance(layer, napari.layers.Labels)]
        if masks:
            fills.append(float((np.asarray(masks[0].data[-1]) > 0).mean()))
        return not widget.running

    until(watch)
    assert errors(notes) == []
    assert [fill for fill in fills if 0 < fill < 1], "the mask came all at once"
    assert form.run.isEnabled()
    assert form.status.text().startswith("Done")
    store = Segmentation.open(form.result.text())
    assert store.path == scene.with_name("scene.tiny.fctl.ome.zarr")
    assert store.done().all()
    assert_shows_result(viewer, form, store)
    assert_colored_by_class(viewer, store)


def assert_shows_result(viewer: napari.Viewer, form: SegmentForm, store: Segmentation) -> None:
    """Mask, confidence and shares of the classes are those of the result on disk."""
    mask = mask_of(viewer)
    expected = np.asarray(store.labels.levels[0][:])
    assert np.array_equal(level(mask), expected)
    assert expected.min() == 1
    assert mask.name == "scene by tiny"
    assert list(mask.features["class"]) == ["", "red", "green", "blue"]
    confidence = viewer.layers["scene by tiny confidence"]
    assert np.array_equal(level(confidence), np.asarray(store.confidence.levels[0][:]))

    assert form.scales.texts == []
    confidence.visible = True
    assert form.scales.texts == ["confidence 0 1 1 is sure"]
    confidence.visible = False

    shares = np.bincount(expected.ravel(), minlength=4)[1:] / expected.size
    coarse = np.array(mask.data[-1])
    counted = np.bincount(coarse.ravel(), minlength=4)[1:] / coarse.size
    assert form.legend.shares == [f"{share:.1%}" for share in counted]
    assert np.abs(counted - shares).max() < 0.01
    assert np.array_equal(coarse, expected[::2, ::2])


def assert_colored_by_class(viewer: napari.Viewer, store: Segmentation) -> None:
    """On the screen each pixel has the color of its class, exactly where it lies."""
    mask_of(viewer).opacity = 1.0
    viewer.scene.camera.zoom = 8.0
    rng = np.random.default_rng(0)
    colors = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)])
    for y, x in zip(rng.integers(30, 82, 4), rng.integers(30, 1070, 4), strict=True):
        viewer.scene.camera.center = (0, y, x)
        assert np.abs(shown(viewer, y, x) - colors[store.labels.read((y, x, y + 1, x + 1))[0, 0]]).max() < 3


def test_view_only_then_the_rest(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    view = look_closely(viewer)
    store = run(widget, VIEW, until)
    cells = store.grid.cells_in(view)
    assert 0 < len(cells) < store.done().size
    assert sorted(map(tuple, np.argwhere(store.done()).tolist())) == sorted(cells)
    labels = level(mask_of(viewer))
    y0, x0, y1, x1 = store.grid.core(cells[0])
    assert (labels[y0:y1, x0:x1] > 0).all()
    assert labels[0, 0] == 0

    before = labels.copy()
    run(widget, WHOLE, until)
    after = level(mask_of(viewer))
    assert (after > 0).all()
    assert np.array_equal(after[before > 0], before[before > 0])
    assert len(viewer.layers) == 3  # the same layers went on


def test_drawn_region_on_a_scaled_layer(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    image = viewer.layers["scene"]
    image.scale, image.translate = (0.5, 0.5), (100, 40)
    form = widget.form
    form.draw.click()
    assert form.where.currentText() == DRAWN
    shapes = viewer.layers.selection.active
    assert shapes.mode == "add_rectangle"
    # pixels (50, 200) to (90, 260), in the world
    corners = (np.array([[49.5, 199.5], [89.5, 259.5]]) * 0.5 + (100, 40)) / shapes.scale
    shapes.add_rectangles(corners)
    form.run.click()
    until(lambda: not widget.running)
    store = Segmentation.open(form.result.text())
    assert sorted(map(tuple, np.argwhere(store.done()).tolist())) == sorted(store.grid.cells_in((50, 200, 90, 260)))
    mask = mask_of(viewer)
    assert np.allclose(mask.data_to_world((7, 9)), image.data_to_world((7, 9)))


def test_cancel_keeps_what_is_done_and_run_resumes(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    form = widget.form
    begin(widget, until)
    form.cancel.click()
    assert form.status.text() == "Stopping…"
    until(lambda: not widget.running)
    assert form.status.text().startswith("Cancelled")
    done = Segmentation.open(form.result.text()).done()
    assert 0 < done.sum() < done.size
    first = level(mask_of(viewer))
    assert (first > 0).any()
    form.run.click()
    until(lambda: not widget.running)
    assert Segmentation.open(form.result.text()).done().all()
    assert np.array_equal(level(mask_of(viewer))[first > 0], first[first > 0])


def test_what_exists_is_shown_again(open_scene: Open, until: Callable[..., None], notes: list[tuple[str, str]]) -> None:
    first, widget = open_scene()
    look_closely(first)
    run(widget, VIEW, until)
    expected, result = level(mask_of(first)), widget.form.result.text()
    first.close()

    viewer, widget = open_scene()
    until(lambda: len(viewer.layers) == 3)
    assert np.array_equal(level(mask_of(viewer)), expected)
    assert "already" in widget.form.status.text()
    assert widget.form.result.text() == result
    assert errors(notes) == []

    # the store opens by itself, too; a confidence is no image to segment
    confidence, mask = viewer.open(result, plugin="fctl-napari")
    assert np.array_equal(level(mask), expected)
    assert not confidence.visible
    assert [widget.form.image.itemText(i) for i in range(widget.form.image.count())] == ["scene"]


def test_closing_the_dock_stops_the_run(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    begin(widget, until)
    job = widget._runner.run._run
    viewer.window.remove_dock_widget(viewer.window.dock_widgets["FCtL"])
    assert not widget.running
    assert job.wait(10).state == "cancelled"
    viewer.layers.clear()  # nobody listens to the window any more


def test_closing_the_window_stops_the_run(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    begin(widget, until)
    job = widget._runner.run._run
    viewer.close()
    until(lambda: not widget.running)
    assert job.wait(10).state == "cancelled"
    assert session().running  # another window still uses the engine


def test_an_array_is_saved_first(
    open_scene: Open, until: Callable[..., None], earth_crop: np.ndarray, cache: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_scene(None)
    array = earth_crop[:64, :90, 1].astype(np.uint16) * 10
    viewer.add_image(array, name="plain", contrast_limits=(0, 2550))
    form = widget.form
    store = run(widget, WHOLE, until)
    assert errors(notes) == []
    assert store.path.parent == cache / "fctl-napari"
    assert store.done().all()
    assert np.array_equal(level(mask_of(viewer)), np.asarray(store.labels.levels[0][:]))
    assert sum("saved in the cache" in message for _, message in notes) == 1

    array[50, 50] += 1  # other pixels are another image, whose result is not resumed
    form.result.clear()
    form.run.click()
    until(lambda: not widget.running)
    assert Path(form.result.text()) != store.path
    assert errors(notes) == []
    assert sum("saved in the cache" in message for _, message in notes) == 1  # said once of a layer


def test_other_data_in_a_layer_are_another_image(
    open_scene: Open, until: Callable[..., None], earth_crop: np.ndarray, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_scene(None)
    layer = viewer.add_image(earth_crop[:64, :90], rgb=True, name="plain")
    first = run(widget, WHOLE, until)
    until(lambda: identities().names(layer) is not None)
    before = identities().names(layer)
    layer.data = earth_crop[100:164, 500:590]
    layer.data = earth_crop[100:164, 600:690]  # while the fingerprint of what was there a moment is computed
    assert widget.form.result.text() == ""
    second = run(widget, WHOLE, until)
    assert errors(notes) == []
    assert sum("saved in the cache" in message for _, message in notes) == 2  # it is another array
    assert second.path != first.path
    assert second.done().all()
    until(lambda: identities().names(layer) is not None)
    assert second.facts["image"]["fingerprint"] in identities().names(layer)
    assert not before & identities().names(layer)


@pytest.mark.parametrize("kind", ["array", "layer"])
def test_other_data_in_the_layer_of_a_file_are_an_image_of_their_own(
    open_scene: Open,
    until: Callable[..., None],
    earth_crop: np.ndarray,
    tmp_path: Path,
    notes: list[tuple[str, str]],
    kind: str,
) -> None:
    for name, left in (("one", 0), ("two", 600)):
        Image.fromarray(earth_crop[:64, left : left + 90]).save(tmp_path / f"{name}.png")
    viewer, widget = open_scene(tmp_path / "one.png")
    layer = viewer.layers["one"]
    first = run(widget, WHOLE, until)
    assert first.image_path == str(tmp_path / "one.png")
    before, of_file = identities().names(layer), list(layer.data)
    if kind == "array":
        layer.data = [earth_crop[:64, 600:690]]
    else:
        viewer.open(tmp_path / "two.png", plugin="fctl-napari")
        until(lambda: widget.image is viewer.layers["two"])
        viewer.layers.selection.active = layer
        until(lambda: widget.image is layer)
        layer.data = viewer.layers["two"].data
    assert image_source(layer) is None
    assert widget.image is layer
    assert Path(widget.form.result.text()) != first.path
    second = run(widget, WHOLE, until)
    assert errors(notes) == []
    assert second.path != first.path
    until(lambda: identities().names(layer) is not None)
    assert second.facts["image"]["fingerprint"] in identities().names(layer)
    assert not before & identities().names(layer)
    pixels = open_image(second.image_path).read((0, 0, 64, 90))
    assert np.array_equal(pixels, earth_crop[:64, 600:690])
    layer.data = of_file
    assert image_source(layer) is not None
    assert Path(widget.form.result.text()) == first.path


def test_run_waits_for_the_pyramid(
    open_scene: Open, until: Callable[..., None], tmp_path: Path, notes: list[tuple[str, str]]
) -> None:
    path = tmp_path / "wide.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (300, 4300, 3), np.uint8))
    viewer, widget = open_scene(path)
    viewer.scene.camera.zoom = 20
    widget.form.run.click()
    until(lambda: not widget.running)
    assert errors(notes) == []
    store = Segmentation.open(tmp_path / "wide.tiny.fctl.ome.zarr")
    assert store.image_path == str(path) + ".pyramid.ome.zarr"
    assert 0 < store.done().sum() < store.done().size
    assert (level(mask_of(viewer)) > 0).any()


def test_a_result_by_another_checkpoint_is_refused(
    open_scene: Open, until: Callable[..., None], notes: list[tuple[str, str]], scene: Path
) -> None:
    _, widget = open_scene()
    other = scene.with_name("text.ome.zarr")
    other.mkdir()
    (other / "note.txt").write_text("mine")
    widget.form.result.setText(str(other))
    widget.form.run.click()
    until(lambda: not widget.running)
    (message,) = errors(notes)
    assert "text.ome.zarr" in message
    assert (other / "note.txt").read_text() == "mine"


def test_what_is_missing_is_reported(
    open_window: Callable[..., napari.Viewer], notes: list[tuple[str, str]], tmp_path: Path
) -> None:
    viewer = open_window()
    widget = open_tab(viewer, "Segment")
    widget.form.run.click()
    assert "no image" in errors(notes)[-1]
    viewer.add_image(np.zeros((50, 60), np.uint8))
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    widget.form.add_checkpoint(bad)
    assert "bad.safetensors" in errors(notes)[-1]
    assert widget.card is None
    assert not widget.running


def test_card_and_tooltips(open_scene: Open) -> None:
    _, widget = open_scene()
    text = widget.form.card.text
    for word in ("red", "green", "blue", "rgb(255, 0, 0)", "efficientnet_lite0", "64 px", "tile, x2, whole image"):
        assert word in text
    fields = [f for kind in (QComboBox, QLineEdit, QAbstractButton) for f in widget.form.findChildren(kind)]
    assert len(fields) >= 9
    assert [field for field in fields if not field.toolTip() and not isinstance(field.parent(), QComboBox)] == []
