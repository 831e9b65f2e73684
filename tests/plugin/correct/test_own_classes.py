"""Classes of one's own, from the first stroke to a network that stays, in a real window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_correct import Until, edit, rest
from helpers_new_classes import Dialog, press, type_name
from helpers_window import errors, level

from fctl_napari.evaluation import acquisition
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.finetune.widget import FinetuneWidget
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.plugin.segment.widget import SegmentWidget
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

SEA, LAND, ICE = 1, 2, 3
DABS = [(40, 40, SEA), (60, 120, LAND), (200, 60, SEA), (220, 200, LAND), (120, 180, ICE), (30, 220, ICE)]
"""Row and column in the edit window, px, and label. They need not be right."""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoints of the user or of other tests; strokes hide less of a small view from the list."""
    monkeypatch.setattr(acquisition, "NEAR", 8)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(session(), "checkpoints", [])


def test_three_classes_become_a_network_of_their_own(
    open_window: Callable[..., Any],
    until: Until,
    new_classes: Dialog,
    scene: Path,
    awake_checkpoint: Path,
    notes: list[tuple[str, str]],
) -> None:
    viewer = open_window()
    viewer.open(scene, plugin="fctl-napari")
    correct = open_tab(viewer, "Correct")
    assert isinstance(correct, CorrectWidget)
    correct.form.checkpoint.add(awake_checkpoint)
    viewer.reset_view()
    rest(correct, until)
    make_classes(correct, new_classes, until)
    paint(viewer, correct, until)
    see_the_view_classified(viewer, correct, until)
    step_to_a_doubtful_region(correct, until)
    head = keep_head(correct, until)
    segment(viewer, head, scene, until)
    network = finetune(viewer, head, until)
    card = read_card(network)
    assert not card.config.light, "a whole network now"
    assert card.classes.names == ("sea", "land", "ice")
    assert card.provenance["parent"] == {"name": read_card(head).name, "hash": checkpoint_hash(head)}
    assert session().checkpoints[0] == str(network)
    assert errors(notes) == []


def make_classes(correct: CorrectWidget, new_classes: Dialog, until: Until) -> None:
    dialog = new_classes(correct)
    dialog.start.setCurrentText("none")
    dialog.start.textActivated.emit("none")
    for name in ("sea", "land", "ice"):
        press(dialog, "Add")
        type_name(dialog, name)
    press(dialog, "OK")
    until(lambda: correct.corrections is not None)
    rest(correct, until)
    assert list(correct.form.classes.areas)[:3] == ["sea", "land", "ice"]


def paint(viewer: napari.Viewer, correct: CorrectWidget, until: Until) -> None:
    layer = edit(correct, until, 150, 300)
    layer.brush_size = 24
    viewer.scene.camera.zoom = viewer.canvas.size[0] / 240
    viewer.scene.camera.center = (0, 150, 300)
    correct.form.live.click()
    for y, x, label in DABS:
        layer.paint((y, x), label)
    rest(correct, until)


def see_the_view_classified(viewer: napari.Viewer, correct: CorrectWidget, until: Until) -> None:
    live = correct._live
    until(lambda: not live.busy and live.layer is not None and "held" in correct.form.live_line.text())
    until(lambda: set(np.unique(level(live.layer)[100:200, 250:350])) - {0} != set())
    until(lambda: correct.form.live_line.text().endswith("."))
    assert set(np.unique(level(live.layer))) <= {0, SEA, LAND, ICE}
    assert live.layer in viewer.layers


def step_to_a_doubtful_region(correct: CorrectWidget, until: Until) -> None:
    page, live = correct.form.next, correct._live
    page.next.click()
    rest(correct, until)
    assert correct._next._path == live.store, "the map of the strokes is looked at"
    assert page.current is not None
    y, x = page.current.region.point
    labels = level(live.layer)
    assert labels[y, x] == page.current.region.predicted + 1


def keep_head(correct: CorrectWidget, until: Until) -> Path:
    correct.form.keep.click()
    until(lambda: correct.form.checkpoint.name.endswith("awake-strokes-1.safetensors"))
    head = Path(correct.form.checkpoint.name)
    correct.form.live.click()
    until(lambda: not correct._live.busy and correct._live.layer is None)
    assert correct._next._path is None, "nothing is listed any more"
    return head


def segment(viewer: napari.Viewer, head: Path, scene: Path, until: Until) -> None:
    widget = open_tab(viewer, "Segment")
    assert isinstance(widget, SegmentWidget)
    assert widget.form.checkpoint.name == str(head)
    until(lambda: not widget._result.finding)
    widget.form.where.setCurrentText(WHOLE)
    widget.form.run.click()
    until(lambda: not widget.running)
    store = Segmentation.open(scene.parent / "scene.awake-strokes-1.fctl.ome.zarr")
    assert store.done().all()
    assert store.class_table.names == ("sea", "land", "ice")
    assert (store.labels.read((0, 0, *store.shape)) > 0).all()


def finetune(viewer: napari.Viewer, head: Path, until: Until) -> Path:
    widget = open_tab(viewer, "Fine-tune")
    assert isinstance(widget, FinetuneWidget)
    until(lambda: not widget.busy and widget.form.start.isEnabled())
    assert widget.form.checkpoint.name == str(head)
    out = Path(widget.form.out.text())
    widget.form.steps.setValue(4)
    widget.form.start.click()
    until(lambda: widget.candidate_review is not None)
    until(lambda: not widget.busy)
    report = widget.form.gate_report
    report.keep.click()
    if report.question.isVisible():
        report.question.yes.click()
    until(lambda: out.exists() and widget.candidate_review is None)
    until(lambda: not widget.busy)
    return out
