"""The Fine-tune widget: what its fields do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from fctl_napari.finetuning.candidates import check_free, roll_back
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.run import FinetuneEvent
from fctl_napari.finetuning.unfinished import Waiting, open_waiting
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.finetune.candidate_review import Trial
from fctl_napari.plugin.finetune.choices import Beside, look_beside, make_request, name_of, painted_state
from fctl_napari.plugin.finetune.form import FinetuneForm
from fctl_napari.plugin.finetune.runner import FINAL, Lesson, Make
from fctl_napari.plugin.finetune.words import changes, describe, offered
from fctl_napari.plugin.layers.image_source import ImageSource, image_source
from fctl_napari.plugin.segment.widget import SegmentWidget

LOOK_MS = 1000
"""How often it is looked whether more was painted; that takes 0.1 ms."""


class FinetuneWidget(DockedWidget):
    """Learns from corrections in another process, and lets the new network be kept or rolled back.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._looking, self._preparing = Jobs(self), Jobs(self)
        self._beside: Beside | None = None
        self._painted: tuple[object, ...] = ()
        self._lesson: Lesson | None = None
        self._trial: Trial | None = None
        self._kept: Trial | None = None  # the last that was kept; its result may still grow
        self._proposed = ""
        self.form = FinetuneForm()
        self._fill(self.form)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look_for_strokes)
        self._connect()
        self.form.image.follow(napari_viewer, self._image_changed)
        self._timer.start()
        self.look()

    def _connect(self) -> None:
        form = self.form
        form.checkpoint.currentIndexChanged.connect(self.look)
        form.open_truth.clicked.connect(self._ask_truth)
        form.choose_out.clicked.connect(self._ask_out)
        form.take_offer.clicked.connect(self._take_offer)
        form.discard.clicked.connect(self._discard)
        form.start.clicked.connect(self.start)
        form.pause.clicked.connect(self._pause)
        form.cancel.clicked.connect(self.cancel)
        form.verdict.keep.clicked.connect(lambda: self._decide(keep=True))
        form.verdict.roll_back.clicked.connect(lambda: self._decide(keep=False))
        form.lineage.wanted.connect(self.use)

    # ---- what there is

    @property
    def training(self) -> bool:
        """Whether a run, or what it waits for, is under way."""
        return self._lesson is not None

    @property
    def trial(self) -> Trial | None:
        """The new network that is to be decided on."""
        return self._trial

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        trials = any(trial is not None and trial.busy for trial in (self._trial, self._kept))
        return self.training or trials or self._looking.running or self._preparing.running or self.form.lineage.running

    @property
    def _source(self) -> ImageSource | None:
        image = self.form.image.layer
        return None if image is None else image_source(image)

    def _image_changed(self) -> None:
        if self._trial is not None and self._trial.image is not self.form.image.layer:
            self._leave_trial(layers=True)
        self.look()

    def look(self) -> None:
        """Look at what lies beside the image, and at the parent."""
        self._beside = None
        source, checkpoint = self._source, self.form.checkpoint.name
        if source is None:
            self._looking.drop()
            self._show(None)
            return

        def work(_progress: object, _cancelled: object) -> Beside:
            return look_beside(source, checkpoint)

        self._looking.begin(work, self._show, self._not_seen)

    def _not_seen(self, error: BaseException) -> None:
        self._show(None)
        self.form.explain(str(error))
        report(error)

    def _show(self, beside: Beside | None) -> None:
        form = self.form
        self._beside = beside
        if beside is None:
            form.show_corrections(None, {}, None)
            form.parts.show_sizes({})
            self._propose("")
            form.make_offer("")
            form.explain("Open an image first." if form.image.layer is None else "Paint corrections first (Correct).")
            form.lineage.show_folder(None, form.checkpoint.name)
            return
        self._painted = painted_state(beside.corrections)
        form.show_corrections(beside.corrections, beside.areas, beside.classes)
        form.parts.show_sizes(beside.sizes)
        self._propose("" if beside.out is None else str(beside.out))
        self._offer_truths(beside)
        form.explain("" if any(beside.areas.values()) else "Paint corrections first (Correct widget).")
        self._make_offer(beside)
        form.lineage.show_folder(None if beside.out is None else beside.out.parent, form.checkpoint.name)

    def _propose(self, out: str) -> None:
        """Propose a place, unless the user has named one."""
        if self.form.out.text() in ("", self._proposed):
            self.form.out.setText(out)
            self._proposed = out

    def _offer_truths(self, beside: Beside) -> None:
        field = self.form.truth
        for truth in beside.truths:
            if truth.path is not None and field.findData(truth.path) < 0:
                field.addItem(truth.name, truth.path)

    def _look_for_strokes(self) -> None:
        """See whether more was painted since, here or elsewhere."""
        beside, idle = self._beside, not (self.training or self._looking.running)
        if beside is not None and idle and painted_state(beside.corrections) != self._painted:
            self.look()

    def _ask_truth(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a truth", "", "Labels (*.png *.tif *.tiff)")
        if path:
            self.add_truth(path)

    def add_truth(self, path: str | Path) -> None:
        """Offer a truth file or label group, and choose it."""
        field = self.form.truth
        if field.findData(str(path)) < 0:
            field.addItem(Path(path).name, str(path))
        field.setCurrentIndex(field.findData(str(path)))

    def _ask_out(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "The new checkpoint", self.form.out.text(), "Checkpoints (*.safetensors)"
        )
        if path:
            self.form.out.setText(path if path.endswith(".safetensors") else f"{path}.safetensors")

    # ---- what was left

    def _make_offer(self, beside: Beside) -> None:
        form = self.form
        if self.training or self._trial is not None:
            form.make_offer("")
        else:
            form.make_offer(*offered(beside), discard=bool(beside.cut) and not beside.waiting)

    def _take_offer(self) -> None:
        beside = self._beside
        if beside is None or self.training or self._trial is not None:
            return
        if beside.waiting:
            self._put_on_trial(beside.waiting[0])
        elif beside.cut:
            request = beside.cut[0].request
            self._learn(lambda _source: request)

    def _discard(self) -> None:
        if self._beside is None or not self._beside.cut:
            return
        out = self._beside.cut[0].request.out

        def work(_progress: object, _cancelled: object) -> None:
            roll_back(out)

        self._preparing.begin(work, lambda _none: self.look(), report)

    # ---- learning

    def start(self) -> None:
        """Learn as the fields say (the Start button)."""
        if self.training or self._trial is not None:
            return
        with reported():
            form = self.form
            form.image.require_layer("fine-tune on")
            fields: dict[str, Any] = {
                "checkpoint": form.checkpoint.require_name(),
                "parts": form.parts.parts,
                "truth": form.truth.currentData(),
                "steps": form.steps.value(),
                "seconds": form.seconds.value() or None,
                "device": form.device.currentText(),
            }
            out = form.out.text().strip()

            def request(source: ImageSource) -> FinetuneRequest:
                return make_request(source, out, fields)

            if out:
                check_free(out)
            self._learn(request)

    def _learn(self, make: Make) -> None:
        """Begin with what ``make`` makes the request of."""
        image, form = self.form.image.require_layer("fine-tune on"), self.form
        self._follow_window()
        form.tabs.setCurrentIndex(0)
        form.verdict.hide()
        form.plot.clear()
        form.make_offer("")
        form.set_state("preparing")
        painters = [widget for widget in self.window().findChildren(CorrectWidget) if widget.image is image]
        lesson = self._lesson = Lesson(image, painters, make, self)
        lesson.waiting.connect(lambda text: form.show_progress(0, 0, text))
        lesson.begun.connect(lambda: form.set_state("running"))
        lesson.told.connect(self._told)
        lesson.ended.connect(self._ended)
        lesson.start()

    def _told(self, event: FinetuneEvent) -> None:
        form, news = self.form, event.progress
        if not form.cancel.isEnabled() and event.state not in FINAL:
            return  # it is being stopped
        if event.state not in FINAL:
            form.show_progress(*((news.done, news.total) if news is not None else (0, 0)), describe(event))
        if news is not None:
            form.explain(" ".join(news.notes))
            form.plot.add(news, get_theme(self._viewer.theme).text.as_hex())

    def _pause(self) -> None:
        if self._lesson is None:
            return
        if self.form.pause.text() == "Pause":
            self.form.set_state("paused")
            self._lesson.pause()
        else:
            self.form.set_state("running")
            self._lesson.go_on()

    def cancel(self) -> None:
        """Stop; what was learnt is saved, and offered to be gone on with (the Cancel button)."""
        if self._lesson is not None:
            self.form.set_state("stopping")
            self.form.status.setText("Stopping…")
            self._lesson.cancel()

    def _ended(self, event: FinetuneEvent) -> None:
        lesson, self._lesson = self._lesson, None
        assert lesson is not None
        lesson.deleteLater()
        self.form.plot.draw()
        if event.state == "done" and lesson.request is not None:
            out = lesson.request.out
            self._preparing.begin(lambda _progress, _cancelled: open_waiting(out), self._put_on_trial, self._not_open)
            return
        news = event.progress
        steps = 0 if news is None or news.phase != "training" else news.done
        words = "Stopped" if event.state == "cancelled" else "Failed"
        self._idle(f"{words} after {steps} steps." if steps else f"{words}.")
        if event.error is not None:
            report(event.error)

    def _idle(self, words: str) -> None:
        self.form.set_state("idle")
        self.form.show_progress(0, 1, words)
        self.look()

    def _not_open(self, error: BaseException) -> None:
        self._idle("")
        report(error)

    # ---- the new network

    def _put_on_trial(self, waiting: Waiting) -> None:
        image, form = self.form.image.layer, self.form
        source = self._source
        form.make_offer("")
        form.show_progress(0, 1, "")
        if image is None or source is None:  # it waits on disk
            self._idle("")
            return
        self._follow_window()
        form.set_state("waiting")
        notes = waiting.card.provenance.get("finetuning", {}).get("notes", ())
        form.verdict.show_verdict(waiting.card.name, waiting.figures, waiting.verdict, notes)
        parent = name_of(waiting.parent, [str(form.checkpoint.itemData(k)) for k in range(form.checkpoint.count())])
        trial = self._trial = Trial(self._viewer, image, source, waiting, parent, form.device.currentText(), self)
        trial.told.connect(lambda words: form.show_progress(0, 1, words))
        trial.changed.connect(lambda shares: form.verdict.show_changed(changes(shares, waiting.card)))
        trial.failed.connect(self._trial_failed)
        trial.decided.connect(self._decided)
        trial.start()

    def _trial_failed(self, error: BaseException) -> None:
        self.form.verdict.set_open(True)
        report(error)

    def _decide(self, *, keep: bool) -> None:
        if self._trial is None:
            return
        self.form.verdict.set_open(False)
        self.form.show_progress(0, 0, "Keeping it…" if keep else "Rolling back…")
        if keep:
            self._trial.keep()
        else:
            self._trial.roll_back()

    def _decided(self, kept: Path | None) -> None:
        trial, form = self._trial, self.form
        self._trial = None
        form.verdict.hide()
        form.plot.clear()
        form.set_state("idle")
        name = "" if trial is None else trial.waiting.card.name
        form.out.setText("")  # a new name for the next round
        if kept is None:
            form.show_progress(0, 1, f"{name} is gone; its parent is as it was.")
            if trial is not None:
                trial.deleteLater()
            self.look()
        else:
            form.show_progress(0, 1, f"{name} is kept: {kept}")
            self.use(str(kept))
            self._kept = trial
            if trial is not None and not any(each.running for each in self._segmenters()):
                trial.finish()

    def _segmenters(self) -> list[SegmentWidget]:
        return self.window().findChildren(SegmentWidget)

    def use(self, checkpoint: str) -> None:
        """Choose a checkpoint (a built-in name or a file) here and in Segment, whose result is then shown."""
        if Path(checkpoint).is_file():
            known = session().checkpoints
            known[:] = [*(each for each in known if each != checkpoint), checkpoint]
        before = self.form.checkpoint.name
        self.form.checkpoint.add(checkpoint)
        if self.form.checkpoint.name == before:
            self.look()
        for widget in self._segmenters():
            widget.form.add_checkpoint(checkpoint)

    # ---- the end

    def _leave_trial(self, *, layers: bool) -> None:
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.leave(layers=layers)
            trial.deleteLater()
            self.form.verdict.hide()
            self.form.set_state("idle")

    def _leave(self, *, layers: bool) -> None:
        """Stop what runs, which can be gone on with, and listen to nothing any more: the dock or the window is gone."""
        self._timer.stop()
        if self._lesson is not None:
            self._lesson.abandon()
            self._lesson = None
        self._leave_trial(layers=layers)
        if self._kept is not None:
            self._kept.leave(layers=False)
        self._looking.drop()
        self._preparing.drop()
        self.form.lineage.leave()
        self.form.image.leave()
