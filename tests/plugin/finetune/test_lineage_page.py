"""Checkpoints kept against the gate, renamed, deleted, and offered beside an image and after a restart."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_finetune import OpenFinetune, Until, dock, learn
from helpers_window import errors
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QTreeWidgetItem

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.finetuning.candidates import candidate_path
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.plugin.common.last_choices import recent_checkpoints
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.finetune.widget import FinetuneWidget
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


def item_of(widget: FinetuneWidget, name: str) -> QTreeWidgetItem:
    """The item of a checkpoint in the lineage."""
    (item,) = widget.form.lineage.tree.findItems(name, Qt.MatchFlag.MatchStartsWith | Qt.MatchFlag.MatchRecursive, 0)
    return item


def offered(widget: FinetuneWidget) -> list[str]:
    """The checkpoints that can be chosen."""
    field = widget.form.checkpoint
    return [str(field.itemData(index)) for index in range(field.count())]


def test_a_candidate_that_the_gate_rejects_is_kept_only_after_a_question(
    open_finetune: OpenFinetune, until: Until, scene: Path, parent: Path, notes: list[tuple[str, str]]
) -> None:
    path = scene.with_name("scene.corrections.ome.zarr")
    with Corrections.create(path, open_image(scene), read_card(parent).classes) as corrections:
        corrections.write(20, 20, np.full((9, 9), 1, np.uint8), author="ann")  # too little to hold any of it out
    _, widget = open_finetune(steps=2)
    learn(widget, until)
    report, out = widget.form.gate_report, scene.with_name("tiny-1.safetensors")
    assert report.default is report.roll_back
    assert not report.question.isVisible()
    report.keep.click()
    assert report.question.isVisible()
    assert "against the gate" in report.question.sentence
    report.question.no.click()
    assert not report.question.isVisible()
    assert candidate_path(out).exists()
    report.keep.click()
    report.question.yes.click()
    until(lambda: not widget.busy)
    assert out.exists()
    item = item_of(widget, "\u26a0 tiny-1")
    assert "kept against the gate" in item.toolTip(0)
    assert errors(notes) == []


@pytest.fixture
def child(scene: Path, parent: Path) -> Path:
    """Another network beside the scene, which is the newest."""
    import torch

    from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint

    model, card = load_checkpoint(parent)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    of = {"name": "tiny", "hash": checkpoint_hash(parent)}
    path = scene.with_name("fields.safetensors")
    save_checkpoint(path, model, card.model_copy(update={"name": "fields", "provenance": {"parent": of}}))
    return path


def test_a_checkpoint_is_renamed_and_deleted_in_the_lineage(
    open_finetune: OpenFinetune, until: Until, scene: Path, parent: Path, child: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_finetune()
    page = widget.form.lineage
    widget.form.tabs.setCurrentWidget(page)
    page.tree.setCurrentItem(item_of(widget, "fields"))
    page.use.click()
    until(lambda: not widget.busy)
    assert recent_checkpoints()[0] == str(child)

    page.tree.setCurrentItem(item_of(widget, "fields"))
    page.rename.click()
    assert page.question.text.text() == "fields"
    page.question.text.setText("tiny")  # taken
    QTest.keyClick(page.question.text, Qt.Key.Key_Return)
    until(lambda: bool(errors(notes)))
    assert "tiny.safetensors: exists" in errors(notes)[-1]
    assert child.exists()

    page.rename.click()
    page.question.text.setText("crops")
    QTest.keyClick(page.question.text, Qt.Key.Key_Return)
    renamed = scene.with_name("crops.safetensors")
    until(lambda: renamed.exists() and not widget.busy)
    assert widget.form.checkpoint.name == str(renamed)
    assert str(child) not in [*offered(widget), *recent_checkpoints(), *session().checkpoints]
    assert dock(viewer, "Segment").form.checkpoint.name == str(renamed)

    dock(viewer, "Fine-tune")
    until(lambda: not widget.busy)
    page.tree.setCurrentItem(item_of(widget, "crops"))
    page.delete.click()
    assert "crops.safetensors" in page.question.sentence
    QTest.keyClick(page.question.no, Qt.Key.Key_Escape)
    assert not page.question.isVisible()
    assert renamed.exists()
    page.delete.click()
    page.question.yes.click()
    until(lambda: not renamed.exists() and not widget.busy)
    assert widget.form.checkpoint.name is None
    assert str(renamed) not in offered(widget)
    assert page.tree.findItems("crops", Qt.MatchFlag.MatchStartsWith | Qt.MatchFlag.MatchRecursive, 0) == []
    assert parent.exists()


def test_the_result_of_a_renamed_checkpoint_is_found(
    open_finetune: OpenFinetune, until: Until, scene: Path, parent: Path, segmented: Segmentation
) -> None:
    viewer, widget = open_finetune()
    page = widget.form.lineage
    page.tree.setCurrentItem(item_of(widget, "tiny"))
    page.rename.click()
    page.question.text.setText("land")
    page.question.yes.click()
    until(lambda: scene.with_name("land.safetensors").exists() and not widget.busy)
    segmenter = dock(viewer, "Segment")
    until(lambda: segmenter.form.result.text() == str(segmented.path))
    until(lambda: "tiles are there already" in segmenter.form.status.text())


def test_built_in_checkpoints_can_only_be_used(open_finetune: OpenFinetune, until: Until) -> None:
    _, widget = open_finetune(image=False)
    widget.form.checkpoint.setCurrentIndex(widget.form.checkpoint.findData("earth"))
    until(lambda: not widget.busy)
    page = widget.form.lineage
    page.tree.setCurrentItem(item_of(widget, "earth"))
    assert page.use.isEnabled()
    assert not page.rename.isEnabled()
    assert not page.delete.isEnabled()


def test_checkpoints_beside_the_image_are_offered(
    open_window: Callable[..., Any], until: Until, scene: Path, parent: Path, child: Path
) -> None:
    candidate_path(child).write_bytes(child.read_bytes())
    scene.with_name("letter.safetensors").write_bytes(b"Dear Ann")
    viewer = open_window()
    widget = dock(viewer, "Fine-tune")
    assert str(child) not in offered(widget)
    viewer.open(scene, plugin="fctl-napari")
    until(lambda: str(child) in offered(widget))
    assert str(parent) in offered(widget)
    assert not [name for name in offered(widget) if "candidate" in name or "letter" in name]


def test_recently_used_checkpoints_are_offered_in_the_next_window(
    open_window: Callable[..., Any], scene: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    mine = Path(shutil.copy(tiny_checkpoint, tmp_path / "elsewhere.safetensors"))
    first = dock(open_window(), "Segment")
    first.form.checkpoint.add(mine)
    session().checkpoints.clear()
    second = dock(open_window(), "Segment")
    assert second.form.checkpoint.findData(str(mine)) >= 0
    assert second.form.checkpoint.name != str(mine)  # which image it is for is not known
