"""A run of the Fine-tune widget that is paused, cancelled, refused, or left."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers_finetune import OpenFinetune, Until, decide, dock, names, segment
from helpers_window import errors
from qtpy.QtTest import QTest

from fctl_napari.corrections.corrections import Corrections
from fctl_napari.finetuning.candidates import candidate_path, request_path, state_path, traces
from fctl_napari.finetuning.request import PARTS
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.finetune.parts_field import ALL, SOME
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


def test_pause_cancel_and_go_on(
    open_finetune: OpenFinetune, until: Until, scene: Path, corrected: Path, notes: list[tuple[str, str]]
) -> None:
    _, widget = open_finetune(steps=60)
    form = widget.form
    form.start.click()
    until(lambda: len(form.plot.losses) > 2)
    form.pause.click()
    assert form.pause.text() == "Go on"
    until(lambda: form.status.text().startswith("Paused"))
    QTest.qWait(700)
    step = form.plot.losses[-1][0]
    QTest.qWait(700)
    assert form.plot.losses[-1][0] == step < 60
    assert form.status.text().startswith("Paused")
    form.pause.click()
    assert form.pause.text() == "Pause"
    until(lambda: form.plot.losses[-1][0] > step)
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
    decide(widget, until)
    assert form.plot.losses[-1][0] == 60
    form.gate_report.roll_back.click()
    until(lambda: not widget.busy)
    assert not any(location.exists() for location in traces(out))

    # stopped at once, and thrown away
    form.start.click()
    form.cancel.click()
    until(lambda: not widget.busy)
    if form.offer.isVisible():
        form.discard.click()
        until(lambda: not widget.busy)
    assert not form.offer.isVisible()
    assert not request_path(out).exists()
    assert errors(notes) == []


def test_bad_input_is_told(
    open_finetune: OpenFinetune,
    until: Until,
    scene: Path,
    parent: Path,
    plain_checkpoint: Path,
    notes: list[tuple[str, str]],
) -> None:
    viewer, widget = open_finetune(image=False)
    form = widget.form
    assert form.hint.text() == "Open an image first."
    form.start.click()
    assert "there is no image" in errors(notes)[-1]
    viewer.open(scene, plugin="fctl-napari")
    until(lambda: not widget.busy)

    def refused(words: str) -> None:
        count = len(errors(notes))
        form.start.click()
        until(lambda: not widget.busy)
        assert len(errors(notes)) == count + 1
        assert words in errors(notes)[-1]
        assert form.start.isEnabled()
        assert not form.cancel.isEnabled()
        form.out.setText("")

    refused("there are no corrections yet")
    path = scene.with_name("scene.corrections.ome.zarr")
    others = ClassTable(classes=tuple(ClassInfo(name=name, color=(9, 9, k)) for k, name in enumerate(("sea", "land"))))
    with Corrections.create(path, open_image(scene), others) as corrections:
        corrections.write(20, 20, np.full((9, 9), 1, np.uint8), author="ann")
    refused("sea")
    shutil.rmtree(path)
    with Corrections.create(path, open_image(scene), read_card(parent).classes) as corrections:
        corrections.write(20, 20, np.full((9, 9), 1, np.uint8), author="ann")
    form.out.setText(str(parent))
    refused("checkpoints are not overwritten")
    form.out.setText(str(parent.with_name("new.pth")))
    refused("checkpoints end in .safetensors")
    form.parts.choice.setCurrentText(SOME)
    for box in form.parts.boxes.values():
        box.setChecked(False)
    assert form.parts.share.text() == "nothing learns: choose a part"
    refused("part")
    form.parts.choice.setCurrentText(ALL)
    assert form.parts.parts == PARTS
    assert form.parts.share.text().startswith("100.0% of")
    widget.add_ground_truth(parent)
    refused("tiny.safetensors")
    assert not [name for name in names(scene.parent) if "candidate" in name]


@pytest.mark.nightly  # four windows, and a run of sixty steps that is cut in the middle
def test_closing_the_window_loses_nothing(
    open_finetune: OpenFinetune, until: Until, scene: Path, parent: Path, corrected: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_finetune(steps=60)
    segment(viewer, parent, until)
    out = scene.with_name("tiny-1.safetensors")
    widget.form.start.click()
    until(lambda: bool(widget.form.plot.losses) and widget.form.plot.losses[-1][0] > 26)  # it is saved every 25
    viewer.close()
    until(lambda: state_path(out).exists() and request_path(out).exists())

    viewer, widget = open_finetune(steps=8)
    assert "tiny-1 was stopped; it can be resumed from its last saved state" in widget.form.offered.text()
    widget.form.take_offer.click()
    decide(widget, until)
    assert widget.form.plot.losses[0][0] >= 25
    assert widget.form.plot.losses[-1][0] == 60
    assert read_card(candidate_path(out)).provenance["finetuning"]["settings"]["steps"] == 60
    viewer.close()  # undecided

    viewer, widget = open_finetune()
    form = widget.form
    assert "tiny-1, waits" in form.offered.text()
    assert not form.discard.isVisible()
    form.take_offer.click()
    assert form.gate_report.isVisible()
    decide(widget, until)
    candidate_review = widget.candidate_review
    assert candidate_review is not None
    assert candidate_review.overlay is not None  # beside the parent's result, which no layer shows
    viewer.window.remove_dock_widget(widget)  # undecided again
    assert [each.name for each in viewer.layers if "tiny-1" in each.name] == []
    widget = dock(viewer, "Fine-tune")
    until(lambda: not widget.busy)
    widget.form.take_offer.click()
    until(lambda: widget.candidate_review is not None)
    widget.form.gate_report.keep.click()  # while it is being segmented
    until(lambda: not widget.busy)
    assert out.exists()
    assert not any(location.exists() for location in traces(out))
    store = Segmentation.open(scene.with_name("scene.tiny-1.fctl.ome.zarr"))
    assert (store.done() | store.inherited()).all()
    assert widget.form.checkpoint.name == str(out)
    assert errors(notes) == []
