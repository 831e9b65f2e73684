"""The Fine-tune widget in the real window, with the real worker: a small network, part of the Earth scene."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from looking import errors, level
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QTabBar

from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.formats import open_image
from fctl_napari.imagery.pyramid import pyramid_from_array
from fctl_napari.learning.candidates import candidate_place, request_place, state_place, traces
from fctl_napari.learning.corrections import Corrections
from fctl_napari.learning.finetune_config import HEADS, PARTS
from fctl_napari.learning.gate import Verdict
from fctl_napari.model.card import checkpoint_hash, read_card
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.plugin.correct import CorrectWidget
from fctl_napari.plugin.finetune import FinetuneWidget
from fctl_napari.plugin.finetune_plot import HELD_OUT, SCENE
from fctl_napari.plugin.lineage_page import LineagePage
from fctl_napari.plugin.parts_field import ALL, SOME
from fctl_napari.plugin.segment import SegmentWidget
from fctl_napari.plugin.session import session
from fctl_napari.plugin.verdict_view import VerdictView
from fctl_napari.segmentation.grid import TileGrid, default_overlap
from fctl_napari.segmentation.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Until = Callable[..., None]
OpenFinetune = Callable[..., tuple[napari.Viewer, FinetuneWidget]]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoints of the user or of other tests."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(session(), "checkpoints", [])
    monkeypatch.setattr(session(), "painter", "ann")


@pytest.fixture
def scene(tmp_path: Path, earth_crop: np.ndarray) -> Path:
    """A smaller part of the Earth scene, so that a run over all of it is short: 192 x 448 px."""
    return convert(pyramid_from_array(earth_crop[:192, 300:748], name="scene"), tmp_path / "scene.ome.zarr", chunk=128)


@pytest.fixture
def parent(scene: Path, tiny_checkpoint: Path) -> Path:
    """The small network, beside the scene."""
    return Path(shutil.copy(tiny_checkpoint, scene.with_name("tiny.safetensors")))


@pytest.fixture
def corrected(scene: Path, parent: Path) -> Path:
    """Twelve corrected squares, of three classes, in the upper half."""
    path = scene.with_name("scene.corrections.ome.zarr")
    with Corrections.create(path, open_image(scene), read_card(parent).classes) as corrections:
        for k in range(12):
            block = np.full((24, 24), k % 3 + 1, np.uint8)
            corrections.write(8 + k // 6 * 56, 20 + k % 6 * 70, block, author="ann")
    return path


@pytest.fixture
def segmented(scene: Path, parent: Path) -> Segmentation:
    """A result by the parent, which was sure of all that it computed: stripes; the last columns are not computed."""
    image, card = open_image(scene), read_card(parent)
    store = Segmentation.create(
        scene.with_name("scene.tiny.fctl.ome.zarr"),
        image=image,
        grid=TileGrid(image.shape, 64, default_overlap(64)),
        card=card,
        checkpoint_hash=checkpoint_hash(parent),
        settings={
            **{"merge": "crop", "precision": "auto", "exact_contexts": False},
            **{"value_range": None, "bands": None},
        },
    )
    cells = [cell for cell in store.missing() if cell[1] < store.grid.cols - 2]
    for cell in cells:
        y0, x0, y1, x1 = store.grid.core(cell)
        labels = (np.arange(x0, x1) // 20 % 3 + 1 + np.zeros((y1 - y0, 1))).astype(np.uint8)
        store.write_cell(cell, labels, np.full_like(labels, 250))
    store.finish(cells)
    return store


@pytest.fixture
def open_finetune(make_napari_viewer: Callable[..., Any], until: Until, scene: Path, parent: Path) -> OpenFinetune:
    """Open the scene in a window with the widget docked, the small network and a few steps chosen."""

    def open_it(*, image: bool = True, steps: int = 8) -> tuple[napari.Viewer, FinetuneWidget]:
        viewer = make_napari_viewer(show=True)
        if image:
            viewer.open(scene, plugin="fctl-napari")
        _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Fine-tune")
        assert isinstance(widget, FinetuneWidget)
        widget.form.checkpoint.add(parent)
        widget.form.steps.setValue(steps)
        widget.form.device.setCurrentText("cpu")
        viewer.reset_view()
        until(lambda: not widget.busy)
        return viewer, widget

    return open_it


def dock(viewer: napari.Viewer, name: str) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", name, tabify=True)
    return widget


def segment(viewer: napari.Viewer, parent: Path, until: Until) -> SegmentWidget:
    """Segment the whole scene with the parent."""
    widget = dock(viewer, "Segment")
    assert isinstance(widget, SegmentWidget)
    widget.form.add_checkpoint(parent)
    widget.form.where.setCurrentText("Whole image")
    widget.start()
    until(lambda: not widget.running)
    return widget


def learn(widget: FinetuneWidget, until: Until) -> None:
    """Press Start, and wait until there is something to decide, with its result whole."""
    widget.form.start.click()
    assert widget.training
    decide(widget, until)


def decide(widget: FinetuneWidget, until: Until) -> None:
    until(lambda: widget.trial is not None)
    until(lambda: not widget.busy)


def names(folder: Path) -> set[str]:
    """What lies in a folder, without locks."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


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
    until(lambda: widget.trial is not None)
    assert errors(notes) == []
    with_strokes = Corrections.open(scene.with_name("scene.corrections.ome.zarr"))
    assert {name for name, area in with_strokes.area_by_class().items() if area} == {"red", "green", "blue"}
    settings = read_card(candidate_place(out)).provenance["finetuning"]["settings"]
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
    trial = widget.trial
    assert trial is not None
    assert form.verdict.isVisible()
    assert form.verdict.default is (form.verdict.keep if trial.waiting.verdict.keep else form.verdict.roll_back)
    for reason in trial.waiting.verdict.reasons:
        assert reason.replace(" %", "&nbsp;%") in form.verdict.reasons.text()
    assert not form.start.isEnabled()
    until(lambda: not widget.busy)
    mask, old = viewer.layers["scene by tiny-1"], viewer.layers["scene by tiny"]
    assert (mask.visible, old.visible) == (True, False)
    store = Segmentation.open(scene.with_name("scene.tiny-1.fctl.ome.zarr"))
    assert store.checkpoint_hash == checkpoint_hash(candidate_place(out))
    assert np.array_equal(level(mask), np.asarray(store.labels.levels[0][:]))
    assert level(mask).all()
    differ = np.where(level(mask) == level(old), 0, level(mask))
    assert trial.overlay is not None
    assert np.array_equal(level(trial.overlay), differ)
    assert f"{(differ > 0).mean():.1%} of the px changed" in form.verdict.changed.text()

    form.verdict.roll_back.click()
    until(lambda: not widget.busy)
    assert widget.trial is None
    assert not form.verdict.isVisible()
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
    trial = widget.trial
    assert trial is not None

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
    assert trial.overlay is not None
    assert np.array_equal(level(trial.overlay), np.where((before != after) & (before > 0), after, 0))
    waiting = checkpoint_hash(trial.waiting.path)
    form.verdict.keep.click()
    until(lambda: not widget.busy)
    kept = scene.with_name("tiny-1.safetensors")
    assert checkpoint_hash(kept) == waiting
    assert not any(place.exists() for place in traces(kept))
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
    assert state_place(out).exists()
    assert not candidate_place(out).exists()
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
    form.verdict.roll_back.click()
    until(lambda: not widget.busy)
    assert not any(place.exists() for place in traces(out))

    # stopped at once, and thrown away
    form.start.click()
    form.cancel.click()
    until(lambda: not widget.busy)
    if form.offer.isVisible():
        form.discard.click()
        until(lambda: not widget.busy)
    assert not form.offer.isVisible()
    assert not request_place(out).exists()
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
    widget.add_truth(parent)
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
    until(lambda: state_place(out).exists() and request_place(out).exists())

    viewer, widget = open_finetune(steps=8)
    assert "tiny-1 was stopped; it goes on from its last saved state" in widget.form.offered.text()
    widget.form.take_offer.click()
    decide(widget, until)
    assert widget.form.plot.losses[0][0] >= 25
    assert widget.form.plot.losses[-1][0] == 60
    assert read_card(candidate_place(out)).provenance["finetuning"]["settings"]["steps"] == 60
    viewer.close()  # undecided

    viewer, widget = open_finetune()
    form = widget.form
    assert "tiny-1, waits" in form.offered.text()
    assert not form.discard.isVisible()
    form.take_offer.click()
    assert form.verdict.isVisible()
    decide(widget, until)
    trial = widget.trial
    assert trial is not None
    assert trial.overlay is not None  # beside the parent's result, which no layer shows
    viewer.window.remove_dock_widget(widget)  # undecided again
    assert [each.name for each in viewer.layers if "tiny-1" in each.name] == []
    widget = dock(viewer, "Fine-tune")
    until(lambda: not widget.busy)
    widget.form.take_offer.click()
    until(lambda: widget.trial is not None)
    widget.form.verdict.keep.click()  # while it is being segmented
    until(lambda: not widget.busy)
    assert out.exists()
    assert not any(place.exists() for place in traces(out))
    store = Segmentation.open(scene.with_name("scene.tiny-1.fctl.ome.zarr"))
    assert (store.done() | store.inherited()).all()
    assert widget.form.checkpoint.name == str(out)
    assert errors(notes) == []


@pytest.mark.parametrize("keep", [True, False])
def test_enter_does_what_the_gate_says(qtbot: QtBot, keep: bool) -> None:
    view = VerdictView()
    qtbot.addWidget(view)
    pressed: list[str] = []
    view.keep.clicked.connect(lambda: pressed.append("keep"))
    view.roll_back.clicked.connect(lambda: pressed.append("roll back"))
    figures = {
        "before": {"held_out": {"miou": 0.25, "tiles": 2}, "scene": {"agreement": 1.0}},
        "after": {"held_out": {"miou": 0.5 if keep else 0.125}, "scene": {"agreement": 0.875}},
    }
    view.show_verdict("earth-1", figures, Verdict(keep, ("IoU did so, 12 % of it.",)))
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
