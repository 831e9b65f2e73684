"""The tab Fine-tune in the real window, with the real worker: a small network, part of the Earth scene."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
from helpers_finetune import OpenFinetune, Until, dock, keep, learn, names
from helpers_window import errors, level
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QTabBar, QVBoxLayout, QWidget

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.finetuning.candidates import candidate_path, traces
from fctl_napari.finetuning.judging.gate import GateResult
from fctl_napari.finetuning.request import HEADS
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.finetune.gate_report import GateReport
from fctl_napari.plugin.finetune.lineage_page import LineagePage
from fctl_napari.plugin.finetune.plot import HELD_OUT, SCENE, FinetunePlot
from fctl_napari.plugin.finetune.widget import FinetuneWidget
from fctl_napari.plugin.segment.widget import SegmentWidget
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


def test_strokes_that_are_not_on_disk_yet_are_learnt(
    open_finetune: OpenFinetune, until: Until, scene: Path, parent: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_finetune(steps=2)
    form = widget.form
    assert form.guide.text().startswith("Paint corrections first")
    correct = dock(viewer, "Correct")
    assert isinstance(correct, CorrectWidget)
    correct.form.checkpoint.add(parent)
    until(lambda: not correct.busy)
    correct.edit_here((96, 220))
    until(lambda: not correct.busy and correct.edit_layer is not None)
    until(lambda: form.corrections.text() == "nothing is painted yet")
    layer = correct.edit_layer
    assert layer is not None
    layer.brush_size = 20
    for k in range(10):
        layer.paint((30 + k // 5 * 130, 40 + k % 5 * 80), k % 3 + 1)
    out = Path(form.out.text())
    assert out == scene.with_name("tiny-1.safetensors")
    form.start.click()
    assert not form.start.isEnabled()
    assert form.cancel.isEnabled()
    until(lambda: widget.candidate_review is not None)
    assert errors(notes) == []
    with_strokes = Corrections.open(scene.with_name("scene.corrections.ome.zarr"))
    assert {name for name, area in with_strokes.area_by_class().items() if area} == {"red", "green", "blue"}
    settings = read_card(candidate_path(out)).provenance["finetuning"]["settings"]
    assert settings["corrections"] == "scene.corrections.ome.zarr"
    assert settings["parts"] == list(HEADS)


Reviewed = tuple[napari.Viewer, FinetuneWidget, SegmentWidget]


@pytest.fixture
def reviewed(
    open_finetune: OpenFinetune, until: Until, corrected: Path, parent: Path, segmented: Segmentation
) -> Reviewed:
    """A candidate to decide on, with its result beside the parent's, and the widgets that show them."""
    viewer, widget = open_finetune()
    assert widget.form.corrections.text().startswith("6,912 px")
    segmenter = dock(viewer, "Segment")
    segmenter.form.add_checkpoint(parent)
    until(lambda: "scene by tiny" in viewer.layers)
    dock(viewer, "Fine-tune")
    learn(widget, until)
    return viewer, widget, segmenter


def assert_computed_anew(
    viewer: napari.Viewer, widget: FinetuneWidget, scene: Path, corrections: Corrections, parents: Segmentation
) -> None:
    """What corrections touch is computed anew; the rest stays, and what the parent has not computed is left out."""
    candidate_review = widget.candidate_review
    assert candidate_review is not None
    store = Segmentation.open(scene.with_name("scene.tiny-1.fctl.ome.zarr"))
    assert store.checkpoint_hash == checkpoint_hash(candidate_review.waiting.path)
    there = parents.done()
    affected = [cell for cell in np.argwhere(there) if corrections.read(store.grid.window(tuple(cell))).any()]
    assert 0 < len(affected) < there.sum()
    assert np.argwhere(store.done()).tolist() == [cell.tolist() for cell in affected]
    assert np.array_equal(store.inherited(), there & ~store.done())
    rest = there.sum() - len(affected)
    assert widget.form.status.text().endswith(f"The other {rest} stay as the parent predicted them.")

    old, mask = viewer.layers["scene by tiny"], viewer.layers["scene by tiny-1"]
    assert (mask.visible, old.visible) == (True, False)
    before, after = level(old), level(mask)
    assert np.array_equal(after, np.asarray(store.labels.levels[0][:]))
    for cell in np.argwhere(store.inherited()):
        y0, x0, y1, x1 = store.grid.core(tuple(cell))
        assert np.array_equal(before[y0:y1, x0:x1], after[y0:y1, x0:x1])
    assert (after == 0).any()
    changed = (before != after) & (before > 0)
    assert candidate_review.overlay is not None
    assert np.array_equal(level(candidate_review.overlay), np.where(changed, after, 0))
    assert f"{changed.sum() / (after > 0).sum():.1%} of the px changed" in widget.form.gate_report.changed.text()


def assert_plotted(plot: FinetunePlot) -> None:
    """Losses and held-out figures were shown while it learnt."""
    assert plot.losses
    assert plot.losses[-1][0] == 8
    assert plot.base[SCENE] == 1
    assert 0 <= plot.base[HELD_OUT] <= 1
    assert plot.measured[HELD_OUT][-1][0] == 8
    assert plot.isVisible()


def test_a_candidate_is_reviewed_and_rolled_back(
    reviewed: Reviewed,
    until: Until,
    scene: Path,
    corrected: Path,
    segmented: Segmentation,
    notes: list[tuple[str, str]],
) -> None:
    viewer, widget, _ = reviewed
    form, report, candidate_review = widget.form, widget.form.gate_report, widget.candidate_review
    assert candidate_review is not None
    assert_plotted(form.plot)
    assert_computed_anew(viewer, widget, scene, Corrections.open(corrected), segmented)
    result = candidate_review.waiting.gate_result
    assert report.isVisible()
    assert report.default is (report.keep if result.keep else report.roll_back)
    for reason in result.reasons:
        assert reason.replace(" %", "&nbsp;%") in report.reasons.text()
    unjudged, unknown = candidate_review.waiting.card.provenance["finetuning"]["notes"]
    assert unjudged.startswith("So few regions are held out that only ")
    assert unknown.startswith("The checkpoint does not say what it was trained on")
    assert all(note in report.reasons.text() for note in (unjudged, unknown))
    assert not form.start.isEnabled()

    report.roll_back.click()
    until(lambda: not widget.busy)
    assert widget.candidate_review is None
    assert not report.isVisible()
    files = {"scene.ome.zarr", "tiny.safetensors", "scene.corrections.ome.zarr", "scene.tiny.fctl.ome.zarr"}
    assert names(scene.parent) - {"cache", "data"} == files
    assert [each.name for each in viewer.layers if "tiny-1" in each.name] == []
    assert viewer.layers["scene by tiny"].visible
    assert form.start.isEnabled()
    assert form.out.text() == str(scene.with_name("tiny-1.safetensors"))
    assert errors(notes) == []


def test_what_is_kept_is_used(
    reviewed: Reviewed, until: Until, scene: Path, parent: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget, segmenter = reviewed
    form = widget.form
    assert widget.candidate_review is not None
    waiting, result = checkpoint_hash(widget.candidate_review.waiting.path), level(viewer.layers["scene by tiny-1"])
    keep(form.gate_report)
    until(lambda: not widget.busy)
    kept = scene.with_name("tiny-1.safetensors")
    assert checkpoint_hash(kept) == waiting
    assert not any(location.exists() for location in traces(kept))
    assert segmenter.form.checkpoint.name == form.checkpoint.name == str(kept)
    assert segmenter.form.result.text() == str(scene.with_name("scene.tiny-1.fctl.ome.zarr"))
    until(lambda: segmenter.form.status.text().endswith("more are those of tiny."))
    mask = viewer.layers["scene by tiny-1"]
    assert mask.visible
    assert np.array_equal(level(mask), result)
    assert [each.name for each in viewer.layers if each.name.startswith("changes")] == []
    assert form.out.text() == str(scene.with_name("tiny-2.safetensors"))
    until(lambda: not widget.busy)
    assert_of_the_family(widget, kept)
    form.lineage.use.click()  # the parent again
    assert segmenter.form.checkpoint.name == form.checkpoint.name == str(parent)
    until(lambda: not widget.busy)
    assert form.lineage.tree.topLevelItem(0).font(0).bold()

    # what is opened later knows it
    later = dock(viewer, "Explore")
    assert later.form.checkpoint.findData(str(kept)) >= 0
    assert later.form.checkpoint.name == str(parent)  # what was used last
    assert errors(notes) == []


def assert_of_the_family(widget: FinetuneWidget, kept: Path) -> None:
    """The page of the lineage shows the kept checkpoint below its parent, which is chosen then."""
    tree = widget.form.lineage.tree
    eldest = tree.topLevelItem(0)
    assert (eldest.text(0), eldest.childCount()) == ("tiny", 1)
    assert eldest.child(0).text(0).removeprefix("\u26a0 ") == "tiny-1"
    assert eldest.child(0).font(0).bold()
    figures = read_card(kept).figures["finetuning"]
    assert eldest.child(0).text(1) == " → ".join(
        f"{figures[side]['held_out']['miou']:.3f}" for side in ("before", "after")
    )
    tree.setCurrentItem(eldest)


@pytest.mark.parametrize("keep", [True, False])
def test_enter_does_what_the_gate_says(qtbot: QtBot, keep: bool) -> None:
    view, window = GateReport(QWidget()), QWidget()
    column = QVBoxLayout(window)
    column.addWidget(view)
    column.addWidget(view.decision)
    qtbot.addWidget(window)
    window.show()
    pressed: list[str] = []
    view.keep.clicked.connect(lambda: pressed.append("keep"))
    view.roll_back.clicked.connect(lambda: pressed.append("roll back"))
    figures = {
        "before": {"held_out": {"miou": 0.25, "tiles": 2}, "scene": {"agreement": 1.0}},
        "after": {"held_out": {"miou": 0.5 if keep else 0.125}, "scene": {"agreement": 0.875}},
    }
    view.show_gate_result("earth-1", figures, GateResult(keep, ("IoU did so, 12 % of it.",)))
    qtbot.waitExposed(window)
    window.activateWindow()
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
