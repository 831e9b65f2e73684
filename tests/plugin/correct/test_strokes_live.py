"""Classes that are painted are learned and the view is classified, after every stroke, in a real window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_correct import Until, edit, rest
from helpers_window import errors, level
from napari.layers import Labels

from fctl_napari.exceptions import FctlError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import save_checkpoint
from fctl_napari.model.config import make_config
from fctl_napari.model.model_card import Card, checkpoint_hash, read_card
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct.live_files import LiveFiles, head_name
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Opened = tuple[napari.Viewer, CorrectWidget]
Notes = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoints of the user or of other tests."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(session(), "checkpoints", [])


@pytest.fixture
def open_painted(
    open_window: Callable[..., Any], until: Until, scene: Path, awake_checkpoint: Path
) -> Callable[..., Opened]:
    """Open an image with the tab Correct and an edit window in view, and check the box."""

    def open_it(image: Any = scene) -> Opened:
        viewer = open_window()
        if isinstance(image, Path):
            viewer.open(image, plugin="fctl-napari")
        else:
            viewer.add_image(image, name="array")
        widget = open_tab(viewer, "Correct")
        assert isinstance(widget, CorrectWidget)
        widget.form.checkpoint.add(awake_checkpoint)
        viewer.reset_view()
        until(lambda: not widget.busy)
        edit(widget, until, 150, 200)
        look_at(viewer, 150, 200)
        widget.form.live.click()
        return viewer, widget

    return open_it


def look_at(viewer: napari.Viewer, y: float, x: float, rows: float = 120) -> None:
    viewer.scene.camera.zoom = viewer.canvas.size[0] / rows
    viewer.scene.camera.center = (0, y, x)


def paint(widget: CorrectWidget, until: Until, *dabs: tuple[int, int, int]) -> None:
    """Paint dabs at (y, x) px of the edit window with labels."""
    layer = widget.edit_layer
    assert layer is not None
    for y, x, label in dabs:
        layer.paint((y, x), label)
        rest(widget, until)


def files(widget: CorrectWidget) -> LiveFiles:
    found = widget._live._files
    assert found is not None
    return found


def classified(viewer: napari.Viewer, widget: CorrectWidget) -> bool:
    """Whether all in view is classified by the newest network."""
    if widget._live.busy or widget._live.layer is None:
        return False
    try:
        store = Segmentation.open(files(widget).map)
        done, cells = store.done(), store.grid.cells_in(view_region(viewer, widget.image))
        return store.checkpoint_hash == checkpoint_hash(files(widget).head) and all(done[cell] for cell in cells)
    except FctlError:  # it is being replaced
        return False


def map_layer(widget: CorrectWidget) -> Labels:
    layer = widget._live.layer
    assert layer is not None
    return layer


def test_view_follows_the_strokes(open_painted: Callable[..., Opened], until: Until, notes: Notes, scene: Path) -> None:
    viewer, widget = open_painted()
    form = widget.form
    assert form.live_line.text() == "Paint two classes."
    paint(widget, until, (100, 100, 1))
    until(lambda: form.live_line.text() == "Paint a second class.")
    assert not form.keep.isEnabled()
    paint(widget, until, (160, 160, 2))
    until(lambda: classified(viewer, widget))
    layer, learned = map_layer(widget), files(widget)
    until(lambda: "held" in form.live_line.text())
    assert (learned.head.name, learned.map.parent) == ("awake-strokes.safetensors", scene.parent)
    assert viewer.layers.index(layer) < viewer.layers.index(widget.layer), "below the corrections"
    assert form.mask.currentText() == "none", "it does not become the segmentation that is corrected by itself"
    first = checkpoint_hash(learned.head)
    y0, x0, y1, x1 = map(int, view_region(viewer, widget.image))
    assert set(np.unique(level(layer)[y0:y1, x0:x1])) == {1, 2}

    paint(widget, until, (120, 220, 3))
    until(lambda: classified(viewer, widget) and checkpoint_hash(learned.head) != first)
    assert map_layer(widget) is layer, "its content is replaced"
    until(lambda: np.isin(level(layer)[y0:y1, x0:x1], [1, 2, 3]).all())
    second = checkpoint_hash(learned.head)

    look_at(viewer, 150, 900)
    assert not classified(viewer, widget)
    until(lambda: classified(viewer, widget))
    until(lambda: bool(level(layer)[140:160, 890:910].all()))

    form.undo.click()
    rest(widget, until)
    until(lambda: classified(viewer, widget) and checkpoint_hash(learned.head) != second)
    assert 3 not in level(layer)[140:160, 890:910]

    form.live.click()
    assert widget._live.layer is None
    assert form.live_line.text() == ""
    until(lambda: not learned.head.exists() and not learned.map.exists())
    until(lambda: not [path for path in scene.parent.iterdir() if "strokes" in path.name])
    assert errors(notes) == []


def test_kept_network_is_a_checkpoint_like_any_other(
    open_painted: Callable[..., Opened], until: Until, notes: Notes, scene: Path
) -> None:
    viewer, widget = open_painted()
    form = widget.form
    paint(widget, until, (100, 100, 1), (160, 160, 2))
    until(lambda: classified(viewer, widget))
    form.keep.click()
    kept = scene.parent / "awake-strokes-1.safetensors"
    until(lambda: form.checkpoint.name == str(kept))
    assert read_card(kept).name == "awake-strokes-1"
    assert read_card(kept).config.light
    until(lambda: read_card(files(widget).head).provenance["parent"]["name"] == "awake-strokes-1")
    assert files(widget).head.name == "awake-strokes.safetensors", "learning goes on beside it"
    form.live.click()
    segment = open_tab(viewer, "Segment")
    assert segment.form.checkpoint.name == str(kept)
    until(lambda: not segment._result.finding)
    segment.form.where.setCurrentText(WHOLE)
    segment.form.run.click()
    until(lambda: not segment.running)
    store = Segmentation.open(scene.parent / "scene.awake-strokes-1.fctl.ome.zarr")
    assert store.done().all()
    assert store.class_table.names == ("red", "green", "blue")
    assert errors(notes) == []


def test_array_is_learned_from_and_closing_leaves_nothing(
    open_painted: Callable[..., Opened], until: Until, notes: Notes, earth_crop: np.ndarray
) -> None:
    viewer, widget = open_painted(earth_crop)
    paint(widget, until, (100, 100, 1), (160, 160, 2))
    until(lambda: classified(viewer, widget))
    learned = files(widget)
    assert learned.head.exists()
    viewer.close()
    until(lambda: not learned.head.exists() and not learned.map.exists())
    assert errors(notes) == []


def test_network_without_such_encoders_is_refused_in_a_sentence(
    open_painted: Callable[..., Opened], until: Until, notes: Notes, tmp_path: Path
) -> None:
    viewer, widget = open_painted()
    paint(widget, until, (100, 100, 1), (160, 160, 2))
    until(lambda: classified(viewer, widget))
    config = make_config(
        architecture="unet", encoder="unet", tile_size=64, classes=3, contexts=[], lcf=False, ale="none"
    )
    model, classes = make_network(config), read_card(files(widget).head).classes
    card = Card(name="unet", description="", config=config, classes=classes)
    widget.form.checkpoint.add(save_checkpoint(tmp_path / "unet.safetensors", model, card))
    until(lambda: "FCtL's encoders" in widget.problem)


def test_files_of_others_and_of_a_crash(scene: Path, awake_checkpoint: Path) -> None:
    assert head_name("earth") == head_name("/data/earth-strokes-12.safetensors") == "earth-strokes"
    own = scene.parent / "earth-strokes.safetensors"
    own.write_bytes(awake_checkpoint.read_bytes())
    first = LiveFiles(str(scene), "earth")
    assert first.head.name == "earth-strokes-live2.safetensors", "a file of the user is left alone"
    first.head.write_bytes(b"left by a crash")
    second = LiveFiles(str(scene), "earth")
    assert second.head.name == "earth-strokes-live3.safetensors", "another window has the name before"
    first._lock._lock.release()  # as the system does for a process that dies
    again = LiveFiles(str(scene), "earth")
    assert again.head == first.head
    assert not again.head.exists()
    for one in (second, again):
        one.release()
    assert own.read_bytes() == awake_checkpoint.read_bytes()
    assert not [path for path in scene.parent.iterdir() if "-live" in path.name]
