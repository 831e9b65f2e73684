"""A run of the tab Fine-tune that is paused, cancelled, refused, or left."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import napari
import numpy as np
import pytest
from helpers_finetune import OpenFinetune, Until, decide, dock, keep, names, segment
from helpers_window import errors
from qtpy.QtTest import QTest

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.finetuning.candidates import candidate_path, request_path, state_path, traces
from fctl_napari.finetuning.request import PARTS, FinetuneRequest
from fctl_napari.finetuning.unfinished import remember
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.finetune import runner
from fctl_napari.plugin.finetune.parts_field import ALL, SOME
from fctl_napari.plugin.finetune.widget import FinetuneWidget
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine", "short_stages")]


def begin(widget: FinetuneWidget, until: Until, losses: int) -> None:
    """Press Start, and wait until there are so many losses."""
    widget.form.start.click()
    until(lambda: len(widget.form.plot.losses) >= losses)


def test_pause_and_resume(
    open_finetune: OpenFinetune, until: Until, corrected: Path, notes: list[tuple[str, str]]
) -> None:
    _, widget = open_finetune(steps=60)
    form = widget.form
    begin(widget, until, losses=3)
    form.pause.click()
    assert form.pause.text() == "Go on"
    until(lambda: form.status.text().startswith("Paused"))
    QTest.qWait(300)  # the step under way ends
    step = form.plot.losses[-1][0]
    QTest.qWait(300)
    assert form.plot.losses[-1][0] == step < 60
    assert form.status.text().startswith("Paused")
    form.pause.click()
    assert form.pause.text() == "Pause"
    until(lambda: form.plot.losses[-1][0] > step)
    form.cancel.click()
    until(lambda: not widget.busy)
    assert errors(notes) == []


def test_what_was_cancelled_is_offered_and_resumed(
    open_finetune: OpenFinetune, until: Until, scene: Path, corrected: Path, notes: list[tuple[str, str]]
) -> None:
    _, widget = open_finetune(steps=32)
    form = widget.form
    begin(widget, until, losses=3)
    form.cancel.click()
    until(lambda: not widget.busy)
    out = Path(form.out.text()).with_name("tiny-1.safetensors")
    assert form.status.text().startswith("Stopped after")
    assert state_path(out).exists()
    assert not candidate_path(out).exists()
    assert form.start.isEnabled()
    assert form.offer.isVisible()
    assert "tiny-1 was stopped" in form.offered.text()
    assert form.out.text() == str(scene.with_name("tiny-2.safetensors"))  # that name is taken
    stopped = form.plot.losses[-1][0]

    form.take_offer.click()
    until(lambda: bool(form.plot.losses))
    assert form.plot.losses[0][0] >= stopped
    until(lambda: widget.candidate_review is not None)
    assert form.plot.losses[-1][0] == 32
    form.gate_report.roll_back.click()  # while it is being segmented
    until(lambda: not widget.busy)
    assert not any(location.exists() for location in traces(out))
    assert errors(notes) == []


def test_what_was_cancelled_at_once_is_thrown_away(
    open_finetune: OpenFinetune, until: Until, corrected: Path, notes: list[tuple[str, str]]
) -> None:
    _, widget = open_finetune(steps=32)
    form = widget.form
    out = Path(form.out.text())
    form.start.click()
    form.cancel.click()
    until(lambda: not widget.busy and (form.offer.isVisible() or not request_path(out).exists()))
    if form.offer.isVisible():
        form.discard.click()
        until(lambda: not widget.busy)
    assert not form.offer.isVisible()
    assert not request_path(out).exists()
    assert errors(notes) == []


def test_what_is_cancelled_while_its_request_is_written_is_offered(
    open_finetune: OpenFinetune, until: Until, corrected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = Event(), Event()

    def slow_disk(request: FinetuneRequest) -> None:
        writing.set()
        assert go_on.wait(30)
        remember(request)

    monkeypatch.setattr(runner, "remember", slow_disk)
    _, widget = open_finetune()
    form = widget.form
    form.start.click()
    until(writing.is_set)
    form.cancel.click()
    QTest.qWait(300)
    assert widget.busy
    go_on.set()
    until(lambda: not widget.busy)
    assert form.offer.isVisible()
    assert "tiny-1 was stopped" in form.offered.text()


def refused(widget: FinetuneWidget, until: Until, notes: list[tuple[str, str]], words: str) -> None:
    """Press Start, which is answered by one message with the words."""
    form, count = widget.form, len(errors(notes))
    form.start.click()
    until(lambda: not widget.busy)
    assert len(errors(notes)) == count + 1
    assert words in errors(notes)[-1]
    assert form.start.isEnabled()
    assert not form.cancel.isEnabled()
    form.out.setText("")


def correct_square(scene: Path, table: ClassTable) -> Path:
    """Store corrections of one small square."""
    path = scene.with_name("scene.corrections.ome.zarr")
    with Corrections.create(path, open_image(scene), table) as corrections:
        corrections.write(20, 20, np.full((9, 9), 1, np.uint8), author="ann")
    return path


def test_missing_image_and_unfit_corrections_are_reported(
    open_finetune: OpenFinetune, until: Until, scene: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_finetune(image=False)
    assert widget.form.guide.text() == "Open an image first."
    widget.form.start.click()
    assert "there is no image" in errors(notes)[-1]
    viewer.open(scene, plugin="fctl-napari")
    until(lambda: not widget.busy)
    refused(widget, until, notes, "there are no corrections yet")
    sea_and_land = tuple(ClassInfo(name=name, color=(9, 9, k)) for k, name in enumerate(("sea", "land")))
    correct_square(scene, ClassTable(classes=sea_and_land))
    refused(widget, until, notes, "sea")


def test_corrections_that_are_being_made_are_seen_once_they_are_there(
    open_finetune: OpenFinetune, until: Until, corrected: Path, notes: list[tuple[str, str]]
) -> None:
    labels = LabelPyramid.open(corrected, "r+")
    facts = labels.attributes["fctl"]
    labels.set_attributes({"fctl": {"kind": facts["kind"]}})  # as before the last write that makes them
    _, widget = open_finetune()
    assert errors(notes) == []
    assert widget.form.corrections.text().startswith("none yet")
    labels.set_attributes({"fctl": facts})
    until(lambda: widget.form.corrections.text().startswith("6,912 px"), 20)


def test_bad_settings_are_reported(
    open_finetune: OpenFinetune, until: Until, scene: Path, parent: Path, notes: list[tuple[str, str]]
) -> None:
    correct_square(scene, read_card(parent).classes)
    _, widget = open_finetune()
    form = widget.form
    form.out.setText(str(parent))
    refused(widget, until, notes, "checkpoints are not overwritten")
    form.out.setText(str(parent.with_name("new.pth")))
    refused(widget, until, notes, "checkpoints end in .safetensors")
    form.parts.choice.setCurrentText(SOME)
    for box in form.parts.boxes.values():
        box.setChecked(False)
    assert form.parts.share.text() == "nothing learns: choose a part"
    refused(widget, until, notes, "part")
    form.parts.choice.setCurrentText(ALL)
    assert form.parts.parts == PARTS
    assert form.parts.share.text().startswith("100.0% of")
    widget.add_ground_truth(parent)
    refused(widget, until, notes, "tiny.safetensors")
    assert not [name for name in names(scene.parent) if "candidate" in name]


@pytest.fixture
def stopped(
    open_finetune: OpenFinetune, until: Until, scene: Path, parent: Path, corrected: Path
) -> tuple[Path, OpenFinetune]:
    """A run of sixty steps whose window was closed after the 26th, and how to open another window."""
    viewer, widget = open_finetune(steps=60)
    segment(viewer, parent, until)
    out = scene.with_name("tiny-1.safetensors")
    widget.form.start.click()
    until(lambda: bool(widget.form.plot.losses) and widget.form.plot.losses[-1][0] > 26)  # it is saved every 25
    viewer.close()
    until(lambda: state_path(out).exists() and request_path(out).exists())
    return out, open_finetune


@pytest.mark.nightly  # four windows, and a run of sixty steps that is cut in the middle
def test_closing_the_window_loses_nothing(
    stopped: tuple[Path, OpenFinetune], until: Until, scene: Path, notes: list[tuple[str, str]]
) -> None:
    """By day ``test_what_was_cancelled_is_offered_and_resumed`` stands in."""
    out, open_again = stopped
    viewer, widget = open_again(steps=8)
    assert "tiny-1 was stopped; it can be resumed from its last saved state" in widget.form.offered.text()
    widget.form.take_offer.click()
    decide(widget, until)
    assert widget.form.plot.losses[0][0] >= 25
    assert widget.form.plot.losses[-1][0] == 60
    assert read_card(candidate_path(out)).provenance["finetuning"]["settings"]["steps"] == 60
    viewer.close()  # undecided

    viewer, widget = open_again()
    form = widget.form
    assert "tiny-1, waits" in form.offered.text()
    assert not form.discard.isVisible()
    form.take_offer.click()
    assert form.gate_report.isVisible()
    decide(widget, until)
    assert widget.candidate_review is not None
    assert widget.candidate_review.overlay is not None  # beside the parent's result, which no layer shows
    viewer.window.remove_dock_widget(viewer.window.dock_widgets["FCtL"])  # undecided again
    assert [each.name for each in viewer.layers if "tiny-1" in each.name] == []
    keep_while_it_is_segmented(viewer, until)
    assert out.exists()
    assert not any(location.exists() for location in traces(out))
    store = Segmentation.open(scene.with_name("scene.tiny-1.fctl.ome.zarr"))
    assert (store.done() | store.inherited()).all()
    assert errors(notes) == []


def keep_while_it_is_segmented(viewer: napari.Viewer, until: Until) -> None:
    """Keep the candidate that waits, in a widget docked anew."""
    widget = dock(viewer, "Fine-tune")
    until(lambda: not widget.busy)
    widget.form.take_offer.click()
    until(lambda: widget.candidate_review is not None)
    keep(widget.form.gate_report)
    until(lambda: not widget.busy)
    assert Path(widget.form.checkpoint.name).name == "tiny-1.safetensors"
