"""The Fine-tune widget in the real window, with the real worker: a small network, part of the Earth scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_finetune import OpenFinetune, Until, dock, learn, names, segment
from helpers_window import errors, level
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QTabBar

from fctl_napari.corrections.corrections import Corrections
from fctl_napari.finetuning.candidates import candidate_path, traces
from fctl_napari.finetuning.gate import GateResult
from fctl_napari.finetuning.request import HEADS
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.finetune.gate_report import GateReport
from fctl_napari.plugin.finetune.lineage_page import LineagePage
from fctl_napari.plugin.finetune.plot import HELD_OUT, SCENE
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


def test_paint_learn_and_roll_back(
    open_finetune: OpenFinetune, until: Until, scene: Path, parent: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_finetune()
    form = widget.form
    assert form.hint.text().startswith("Paint corrections first")
    segment(viewer, parent, until)
    correct = dock(viewer, "Correct")
    assert isinstance(correct, CorrectWidget)
    until(lambda: not correct.busy)
    correct.edit_here((96, 220))
    until(lambda: not correct.busy and correct.edit_layer is not None)
    until(lambda: form.corrections.text() == "nothing is painted yet")
    layer = correct.edit_layer
    assert layer is not None
    layer.brush_size = 20
    for k in range(10):
        layer.paint((30 + k // 5 * 130, 40 + k % 5 * 80), k % 3 + 1)
    before = names(scene.parent)
    out = Path(form.out.text())
    assert out == scene.with_name("tiny-1.safetensors")
    form.start.click()  # the strokes are not on disk yet
    assert not form.start.isEnabled()
    assert form.cancel.isEnabled()
    until(lambda: widget.candidate_review is not None)
    assert errors(notes) == []
    with_strokes = Corrections.open(scene.with_name("scene.corrections.ome.zarr"))
    assert {name for name, area in with_strokes.area_by_class().items() if area} == {"red", "green", "blue"}
    settings = read_card(candidate_path(out)).provenance["finetuning"]["settings"]
    assert settings["corrections"] == "scene.corrections.ome.zarr"
    assert settings["parts"] == list(HEADS)

    # what was watched while it learnt
    plot = form.plot
    assert plot.losses
    assert plot.losses[-1][0] == 8
    assert plot.base[SCENE] == 1
    assert 0 <= plot.base[HELD_OUT] <= 1
    assert plot.measured[HELD_OUT][-1][0] == 8
    assert plot.isVisible()

    # what is to be decided
    candidate_review = widget.candidate_review
    assert candidate_review is not None
    assert form.gate_report.isVisible()
    assert form.gate_report.default is (
        form.gate_report.keep if candidate_review.waiting.gate_result.keep else form.gate_report.roll_back
    )
    for reason in candidate_review.waiting.gate_result.reasons:
        assert reason.replace(" %", "&nbsp;%") in form.gate_report.reasons.text()
    (note,) = candidate_review.waiting.card.provenance["finetuning"]["notes"]
    assert note.startswith("The checkpoint does not say what it was trained on")
    assert note in form.gate_report.reasons.text()
    assert not form.start.isEnabled()
    until(lambda: not widget.busy)
    mask, old = viewer.layers["scene by tiny-1"], viewer.layers["scene by tiny"]
    assert (mask.visible, old.visible) == (True, False)
    store = Segmentation.open(scene.with_name("scene.tiny-1.fctl.ome.zarr"))
    assert store.checkpoint_hash == checkpoint_hash(candidate_path(out))
    assert np.array_equal(level(mask), np.asarray(store.labels.levels[0][:]))
    assert level(mask).all()
    differ = np.where(level(mask) == level(old), 0, level(mask))
    assert candidate_review.overlay is not None
    assert np.array_equal(level(candidate_review.overlay), differ)
    assert f"{(differ > 0).mean():.1%} of the px changed" in form.gate_report.changed.text()

    form.gate_report.roll_back.click()
    until(lambda: not widget.busy)
    assert widget.candidate_review is None
    assert not form.gate_report.isVisible()
    assert names(scene.parent) == before
    assert [each.name for each in viewer.layers if "tiny-1" in each.name] == []
    assert old.visible
    assert form.start.isEnabled()
    assert form.out.text() == str(out)
    assert errors(notes) == []


def test_what_is_kept_is_used(
    open_finetune: OpenFinetune,
    until: Until,
    scene: Path,
    parent: Path,
    corrected: Path,
    segmented: Segmentation,
    notes: list[tuple[str, str]],
) -> None:
    viewer, widget = open_finetune()
    form = widget.form
    assert form.corrections.text().startswith("6,912 px")
    segmenter = dock(viewer, "Segment")
    segmenter.form.add_checkpoint(parent)
    until(lambda: "scene by tiny" in viewer.layers)
    learn(widget, until)
    candidate_review = widget.candidate_review
    assert candidate_review is not None

    # computed anew is what corrections touch; the rest stays, and what the parent has not computed is left out
    store = Segmentation.open(scene.with_name("scene.tiny-1.fctl.ome.zarr"))
    there, painted = segmented.done(), Corrections.open(corrected)
    affected = [cell for cell in np.argwhere(there) if painted.read(store.grid.window(tuple(cell))).any()]
    assert 0 < len(affected) < there.sum()
    assert np.argwhere(store.done()).tolist() == [cell.tolist() for cell in affected]
    assert np.array_equal(store.inherited(), there & ~store.done())
    assert form.status.text().endswith(f"The other {there.sum() - len(affected)} stay as the parent called them.")
    before, after = (level(viewer.layers[name]) for name in ("scene by tiny", "scene by tiny-1"))
    for cell in np.argwhere(store.inherited()):
        y0, x0, y1, x1 = store.grid.core(tuple(cell))
        assert np.array_equal(before[y0:y1, x0:x1], after[y0:y1, x0:x1])
    assert (after == 0).any()
    assert candidate_review.overlay is not None
    assert np.array_equal(level(candidate_review.overlay), np.where((before != after) & (before > 0), after, 0))
    waiting = checkpoint_hash(candidate_review.waiting.path)
    form.gate_report.keep.click()
    until(lambda: not widget.busy)
    kept = scene.with_name("tiny-1.safetensors")
    assert checkpoint_hash(kept) == waiting
    assert not any(location.exists() for location in traces(kept))
    assert segmenter.form.checkpoint.name == form.checkpoint.name == str(kept)
    assert segmenter.form.result.text() == str(scene.with_name("scene.tiny-1.fctl.ome.zarr"))
    until(lambda: segmenter.form.status.text().endswith("more are those of tiny."))
    mask = viewer.layers["scene by tiny-1"]
    assert mask.visible
    assert np.array_equal(level(mask), after)
    assert [each.name for each in viewer.layers if each.name.startswith("changes")] == []
    assert form.out.text() == str(scene.with_name("tiny-2.safetensors"))

    # the family
    until(lambda: not widget.busy)
    tree = form.lineage.tree
    eldest = tree.topLevelItem(0)
    assert (eldest.text(0), eldest.childCount()) == ("tiny", 1)
    assert eldest.child(0).text(0) == "tiny-1"
    assert eldest.child(0).font(0).bold()
    told = read_card(kept).figures["finetuning"]
    assert eldest.child(0).text(1) == " → ".join(
        f"{told[side]['held_out']['miou']:.3f}" for side in ("before", "after")
    )
    tree.setCurrentItem(eldest)
    form.lineage.use.click()
    assert segmenter.form.checkpoint.name == form.checkpoint.name == str(parent)
    until(lambda: not widget.busy)
    assert tree.topLevelItem(0).font(0).bold()

    # what is opened later knows it
    later = dock(viewer, "Explore")
    assert later.form.checkpoint.findData(str(kept)) >= 0
    assert later.form.checkpoint.name == str(parent)  # what was used last
    assert errors(notes) == []


@pytest.mark.parametrize("keep", [True, False])
def test_enter_does_what_the_gate_says(qtbot: QtBot, keep: bool) -> None:
    view = GateReport()
    qtbot.addWidget(view)
    pressed: list[str] = []
    view.keep.clicked.connect(lambda: pressed.append("keep"))
    view.roll_back.clicked.connect(lambda: pressed.append("roll back"))
    figures = {
        "before": {"held_out": {"miou": 0.25, "tiles": 2}, "scene": {"agreement": 1.0}},
        "after": {"held_out": {"miou": 0.5 if keep else 0.125}, "scene": {"agreement": 0.875}},
    }
    view.show_gate_result("earth-1", figures, GateResult(keep, ("IoU did so, 12 % of it.",)))
    qtbot.waitExposed(view)
    view.activateWindow()
    qtbot.waitUntil(view.default.hasFocus)
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Return)
    assert pressed == (["keep"] if keep else ["roll back"])
    assert ("+0.250" if keep else "-0.125") in view.figures.text()
    assert "87.5&nbsp;%" in view.figures.text()


def test_a_folder_without_checkpoints_shows_the_parent_s_family(qtbot: QtBot, until: Until, tmp_path: Path) -> None:
    page = LineagePage()
    qtbot.addWidget(page)
    page.show_folder(tmp_path, "earth")
    until(lambda: not page.running)
    assert page.tree.topLevelItem(0).text(0) == "earth"
    wanted: list[str] = []
    page.wanted.connect(wanted.append)
    assert not page.use.isEnabled()
    page.tree.setCurrentItem(page.tree.topLevelItem(0))
    page.use.click()
    assert wanted == ["earth"]


def test_everything_has_a_tooltip(open_finetune: OpenFinetune) -> None:
    _, widget = open_finetune(image=False)
    fields = [f for kind in (QComboBox, QAbstractSpinBox, QAbstractButton) for f in widget.form.findChildren(kind)]
    inner = (QComboBox, QAbstractSpinBox, QTabBar)  # what Qt puts into its own widgets
    assert [field for field in fields if not field.toolTip() and not isinstance(field.parent(), inner)] == []
    assert len(fields) > 20
