"""The tab Fine-tune, with the actions of its fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from fctl_napari.correcting.correction_store import corrections_state
from fctl_napari.finetuning.candidates import check_free, roll_back
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.run import FinetuneEvent
from fctl_napari.finetuning.unfinished import Waiting, open_waiting
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.last_choices import note_checkpoint, remember_choice
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.finetune.candidate_review import CandidateReview
from fctl_napari.plugin.finetune.choices import Beside, look_beside, make_request, name_of
from fctl_napari.plugin.finetune.form import FinetuneForm
from fctl_napari.plugin.finetune.runner import FINAL, FinetuneRunner, Make
from fctl_napari.plugin.finetune.words import changes, describe, offered
from fctl_napari.plugin.layers.before_after_buttons import BeforeAfterButtons
from fctl_napari.plugin.layers.ground_truth import GROUND_TRUTH_FILES
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.on_disk import known_source
from fctl_napari.progress import Progress
from fctl_napari.words import count_of

NEXT = "Next: segment the rest with it (Segment)", "Segment"
PAINT_FIRST = "Paint corrections first.", "Paint them (Correct)", "Correct"
LOOK_MS = 1000
"""Interval of checks for new strokes, ms. A check takes 0.1 ms."""


class FinetuneWidget(DockedWidget):
    """Widget that fine-tunes on corrections in another process, and offers to keep the candidate or roll it back.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that it is docked in.
    header : Header
        Fields for image, checkpoint and device, which the tabs share.
    """

    def __init__(self, napari_viewer: napari.Viewer, header: Header) -> None:
        super().__init__(napari_viewer)
        self._looking, self._preparing = Jobs(self), Jobs(self)
        self._beside: Beside | None = None
        self._corrections_state: tuple[object, ...] = ()
        self._runner: FinetuneRunner | None = None
        self._review: CandidateReview | None = None
        self._kept: CandidateReview | None = None  # the last one that was kept; its result may still grow
        self._proposed = ""
        self._loaded: tuple[str | None, str] = None, ""  # checkpoint and device that were loaded ahead
        self.form = FinetuneForm(header, BeforeAfterButtons(napari_viewer))
        self._fill(self.form)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look_for_strokes)
        self._connect()
        self.form.image.currentIndexChanged.connect(self._image_changed)
        self._timer.start()
        self.look()

    def _connect(self) -> None:
        """Connect the fields to their actions."""
        form = self.form
        form.checkpoint.currentIndexChanged.connect(self.look)
        form.open_ground_truth.clicked.connect(self._ask_ground_truth)
        form.choose_out.clicked.connect(self._ask_out)
        form.take_offer.clicked.connect(self._take_offer)
        form.discard.clicked.connect(self._discard)
        form.start.clicked.connect(self.start)
        form.pause.clicked.connect(self._pause)
        form.cancel.clicked.connect(self.cancel)
        form.gate_report.keep.clicked.connect(self._ask_to_keep)
        form.gate_report.roll_back.clicked.connect(lambda: self._decide(keep=False))
        form.lineage.wanted.connect(self.use)
        form.lineage.moved.connect(self._moved)
        remember_choice(form.steps, "finetune_steps")
        remember_choice(form.seconds, "finetune_seconds")

    # ---- the tab

    def tab_shown(self, name: str) -> None:
        """Load torch and the parent while the user looks at the form.

        Parameters
        ----------
        name : str
            Name of the tab that is shown.
        """
        if name == "Fine-tune":
            self._offer_others()
            self._load_ahead()

    def _load_ahead(self) -> None:
        """Load torch and the parent, once, if the tab is shown and there is something to learn."""
        beside = self._beside
        wanted = self.form.checkpoint.name, self.form.device.currentText()
        ready = beside is not None and any(beside.areas.values()) and wanted[0] is not None
        if ready and self.isVisible() and not self.training and wanted != self._loaded:
            self._loaded = wanted
            self._follow_window()
            with reported(self):
                session().engine().warm(self.form.checkpoint.require_name(), wanted[1], engine="torch")

    # ---- what lies beside the image

    @property
    def training(self) -> bool:
        """True while a run, or what it waits for, is running."""
        return self._runner is not None

    @property
    def candidate_review(self) -> CandidateReview | None:
        """The review of the candidate that is to be decided on."""
        return self._review

    @property
    def busy(self) -> bool:
        """True while anything is running."""
        reviews = any(
            candidate_review is not None and candidate_review.busy for candidate_review in (self._review, self._kept)
        )
        return self.training or reviews or self._looking.running or self._preparing.running or self.form.lineage.running

    @property
    def _source(self) -> ImageSource | None:
        """Source of the image that is chosen."""
        image = self.form.image.layer
        return None if image is None else known_source(image)

    def _image_changed(self) -> None:
        """Leave the review of another image's candidate, and look beside the new image."""
        if self._review is not None and self._review.image is not self.form.image.layer:
            self._leave_review(layers=True)
        self.look()

    def look(self) -> None:
        """Find the files beside the image, and read the parent."""
        self._beside = None
        self._offer_others()
        source, checkpoint = self._source, self.form.checkpoint.name
        if source is None:
            self._looking.drop()
            self._show(None)
            return

        def work(_progress: Progress) -> Beside:
            return look_beside(source, checkpoint)

        self._looking.begin(work, self._show, self._not_seen)

    def _offer_others(self) -> None:
        """Offer to learn from the other images of the list, too, if one is open."""
        listed = len(session().listed_images(self.window())) > 1
        self.form.others.setVisible(listed)
        self.form.others.setChecked(listed and self.form.others.isChecked())

    def _not_seen(self, error: BaseException) -> None:
        """Show why the files beside the image cannot be read."""
        self._show(None)
        self.form.explain(str(error))
        report(error, self)

    def _show(self, beside: Beside | None) -> None:
        """Show the files beside the image."""
        form = self.form
        self._beside = beside
        if beside is None:
            form.show_corrections(None, {}, None)
            form.parts.show_sizes({})
            self._propose("")
            form.make_offer("")
            if form.image.layer is None:
                form.explain("Open an image first.")
            else:
                form.explain(*PAINT_FIRST)
            form.lineage.show_folder(None, form.checkpoint.name)
            return
        self._corrections_state = corrections_state(beside.corrections)
        form.show_corrections(beside.corrections, beside.areas, beside.classes)
        form.parts.show_sizes(beside.sizes)
        self._propose("" if beside.out is None else str(beside.out))
        self._offer_ground_truths(beside)
        self._load_ahead()
        if not any(beside.areas.values()):
            form.explain(*PAINT_FIRST)
        else:
            form.explain("", *(() if self._kept is None else NEXT))
        self._make_offer(beside)
        form.lineage.show_folder(None if beside.out is None else beside.out.parent, form.checkpoint.name)

    def _propose(self, out: str) -> None:
        """Propose a path, unless the user has entered one."""
        if self.form.out.text() in ("", self._proposed):
            self.form.out.setText(out)
            self._proposed = out

    def _offer_ground_truths(self, beside: Beside) -> None:
        """Offer the ground truths beside the image."""
        field = self.form.ground_truth
        for ground_truth in beside.ground_truths:
            if ground_truth.path is not None and field.findData(ground_truth.path) < 0:
                field.addItem(ground_truth.name, ground_truth.path)

    def _look_for_strokes(self) -> None:
        """Update the fields if corrections have changed on disk, here or elsewhere."""
        beside, idle = self._beside, not (self.training or self._looking.running)
        if beside is not None and idle and corrections_state(beside.corrections) != self._corrections_state:
            self.look()

    def _ask_ground_truth(self) -> None:
        """Ask for a file of ground truth and choose it."""
        path, _ = QFileDialog.getOpenFileName(self, "Open a ground truth", "", GROUND_TRUTH_FILES)
        if path:
            self.add_ground_truth(path)

    def add_ground_truth(self, path: str | Path) -> None:
        """Offer a ground truth and choose it.

        Parameters
        ----------
        path : str or Path
            A file or a label group.
        """
        field = self.form.ground_truth
        if field.findData(str(path)) < 0:
            field.addItem(Path(path).name, str(path))
        field.setCurrentIndex(field.findData(str(path)))

    def _ask_out(self) -> None:
        """Ask for the path of the new checkpoint."""
        path, _ = QFileDialog.getSaveFileName(
            self, "The new checkpoint", self.form.out.text(), "Checkpoints (*.safetensors)"
        )
        if path:
            self.form.out.setText(path if path.endswith(".safetensors") else f"{path}.safetensors")

    # ---- unfinished runs

    def _make_offer(self, beside: Beside) -> None:
        """Offer to resume or review an earlier run."""
        form = self.form
        if self.training or self._review is not None:
            form.make_offer("")
        else:
            form.make_offer(*offered(beside), discard=bool(beside.cut) and not beside.waiting)

    def _take_offer(self) -> None:
        """Review the earlier candidate, or resume the earlier run."""
        beside = self._beside
        if beside is None or self.training or self._review is not None:
            return
        if beside.waiting:
            self._review_candidate(beside.waiting[0])
        elif beside.cut:
            request = beside.cut[0].request
            self._learn(lambda _source: request)

    def _discard(self) -> None:
        """Delete what is left of the interrupted run."""
        if self._beside is None or not self._beside.cut:
            return
        out = self._beside.cut[0].request.out

        def work(_progress: Progress) -> None:
            roll_back(out)

        self._preparing.begin(work, lambda _none: self.look(), self._report)

    # ---- training

    def start(self) -> None:
        """Begin a run with the settings of the fields (the Start button)."""
        if self.training or self._review is not None:
            return
        with reported(self):
            form = self.form
            form.image.require_layer("fine-tune on")
            fields: dict[str, Any] = {
                "checkpoint": form.checkpoint.require_name(),
                "parts": form.parts.parts,
                "truth": form.ground_truth.currentData(),
                "steps": form.steps.value(),
                "seconds": form.seconds.value() or None,
                "device": form.device.currentText(),
            }
            out = form.out.text().strip()
            others = session().listed_images(self.window()) if form.others.isChecked() else ()

            def request(source: ImageSource) -> FinetuneRequest:
                return make_request(source, out, fields, others)

            if out:
                check_free(out)
            self._learn(request)

    def _learn(self, make: Make) -> None:
        """Begin a run whose request a function makes."""
        image, form = self.form.image.require_layer("fine-tune on"), self.form
        self._follow_window()
        form.tabs.setCurrentIndex(0)
        form.gate_report.hide()
        form.plot.clear()
        form.make_offer("")
        form.set_state("preparing")

        def flush_strokes(then: Callable[[], object]) -> None:
            session().flush_strokes(self.window(), image, then)

        runner = self._runner = FinetuneRunner(image, flush_strokes, make, self)
        runner.waiting.connect(lambda text: form.show_progress(0, 0, text))
        runner.begun.connect(lambda: form.set_state("running"))
        runner.progressed.connect(self._show_progress)
        runner.ended.connect(self._ended)
        runner.start()

    def _show_progress(self, event: FinetuneEvent) -> None:
        """Show the progress of the run in text and plot."""
        form, progress = self.form, event.progress
        if not form.cancel.isEnabled() and event.state not in FINAL:
            return  # the run is being stopped
        if event.state not in FINAL:
            form.show_progress(*((progress.done, progress.total) if progress is not None else (0, 0)), describe(event))
        if progress is not None:
            form.explain(" ".join(progress.notes))
            form.plot.add(progress, get_theme(self._viewer.theme).text.as_hex())

    def _pause(self) -> None:
        """Pause or resume the run."""
        if self._runner is None:
            return
        if self.form.pause.text() == "Pause":
            self.form.set_state("paused")
            self._runner.pause()
        else:
            self.form.set_state("running")
            self._runner.resume()

    def cancel(self) -> None:
        """Stop the run (the Cancel button).

        The state of training is saved, and an offer to resume follows.
        """
        if self._runner is not None:
            self.form.set_state("stopping")
            self.form.status.setText("Stopping…")
            self._runner.cancel()

    def _ended(self, event: FinetuneEvent) -> None:
        """Review the candidate of a run that is done, or show how the run ended."""
        runner, self._runner = self._runner, None
        assert runner is not None
        runner.deleteLater()
        self.form.plot.draw()
        if event.state == "done" and runner.request is not None:
            out = runner.request.out
            self._preparing.begin(lambda _progress: open_waiting(out), self._review_candidate, self._not_open)
            return
        progress = event.progress
        steps = 0 if progress is None or progress.phase != "training" else progress.done
        words = "Stopped" if event.state == "cancelled" else "Failed"
        self._idle(f"{words} after {count_of(steps, 'step')}." if steps else f"{words}.")
        if event.error is not None:
            report(event.error, self)

    def _idle(self, words: str) -> None:
        """Show that nothing is running, and look beside the image again."""
        self.form.set_state("idle")
        self.form.show_progress(0, 1, words)
        self.look()

    def _not_open(self, error: BaseException) -> None:
        """Report that the candidate cannot be opened."""
        self._idle("")
        report(error, self)

    # ---- the candidate

    def _review_candidate(self, waiting: Waiting) -> None:
        """Show a candidate's gate result and begin its review."""
        image, form = self.form.image.layer, self.form
        source = self._source
        form.make_offer("")
        form.show_progress(0, 1, "")
        if image is None or source is None:  # the candidate waits on disk
            self._idle("")
            return
        self._follow_window()
        form.set_state("waiting")
        notes = waiting.card.provenance.get("finetuning", {}).get("notes", ())
        form.gate_report.show_gate_result(waiting.card.name, waiting.figures, waiting.gate_result, notes)
        form.show_report()
        parent = name_of(waiting.parent, [str(form.checkpoint.itemData(k)) for k in range(form.checkpoint.count())])
        candidate_review = self._review = CandidateReview(
            self._viewer, image, source, waiting, parent, form.device.currentText(), self
        )
        candidate_review.progressed.connect(lambda words: form.show_progress(0, 1, words))
        candidate_review.changed.connect(lambda shares: form.gate_report.show_changed(changes(shares, waiting.card)))
        candidate_review.failed.connect(self._review_failed)
        candidate_review.decided.connect(self._decided)
        candidate_review.start()

    def _review_failed(self, error: BaseException) -> None:
        """Report a failure and let the candidate be decided on again."""
        self.form.gate_report.set_open(True)
        report(error, self)

    def _ask_to_keep(self) -> None:
        """Keep the candidate, after a question if the gate advises against it."""
        review, report = self._review, self.form.gate_report
        if review is None:
            return
        if review.waiting.gate_result.keep:
            self._decide(keep=True)
        else:
            report.question.ask(
                f"Keep {review.waiting.card.name} against the gate? It stays marked in the lineage.",
                "Keep it all the same",
                lambda _text: self._decide(keep=True),
            )

    def _decide(self, *, keep: bool) -> None:
        """Carry out a decision."""
        self.form.gate_report.question.drop()
        if self._review is None:
            return
        self.form.gate_report.set_open(False)
        self.form.show_progress(0, 0, "Keeping it…" if keep else "Rolling back…")
        if keep:
            self._review.keep()
        else:
            self._review.roll_back()

    def _decided(self, kept: Path | None) -> None:
        """Show that a decision is carried out, and use the checkpoint if it is kept."""
        candidate_review, form = self._review, self.form
        self._review = None
        form.gate_report.hide()
        form.plot.clear()
        form.set_state("idle")
        name = "" if candidate_review is None else candidate_review.waiting.card.name
        form.out.setText("")  # a new name for the next round
        if kept is None:
            form.show_progress(0, 1, f"{name} is deleted; its parent is as it was.")
            if candidate_review is not None:
                candidate_review.deleteLater()
            self.look()
        else:
            form.show_progress(0, 1, f"{name} is kept: {kept}")
            form.scroll_up()
            self.use(str(kept))
            self._kept = candidate_review
            if candidate_review is not None and not session().is_segmenting(self.window()):
                candidate_review.finish()

    def use(self, checkpoint: str) -> None:
        """Choose a checkpoint here and in Segment, whose result is then shown.

        Parameters
        ----------
        checkpoint : str
            A built-in name or a file.
        """
        if Path(checkpoint).is_file():
            known = session().checkpoints
            known[:] = [*(each for each in known if each != checkpoint), checkpoint]
        before = self.form.checkpoint.name
        self.form.checkpoint.add(checkpoint)
        if self.form.checkpoint.name == before:
            self.look()
        session().offer_checkpoint(self.window(), checkpoint)

    def _moved(self, former: str, path: str) -> None:
        """Offer a renamed checkpoint in place of the former, or a deleted one no more."""
        known, field = session().checkpoints, self.form.checkpoint
        chosen = field.name == former
        known[:] = [each for each in known if each != former] + ([path] if path and former in known else [])
        note_checkpoint(path, former=former)
        field.drop(former)
        self.form.show_progress(0, 1, f"{former} is called {Path(path).stem} now." if path else f"{former} is deleted.")
        if path and chosen:
            self.use(path)
        elif path:
            field.offer([path])
        self.look()

    # ---- the end

    def _leave_review(self, *, layers: bool) -> None:
        """Leave the candidate undecided."""
        candidate_review, self._review = self._review, None
        if candidate_review is not None:
            candidate_review.leave(layers=layers)
            candidate_review.deleteLater()
            self.form.gate_report.hide()
            self.form.set_state("idle")

    def _leave(self, *, layers: bool) -> None:
        """Stop what runs and disconnect from the viewer: the dock or the window is gone.

        The run can be resumed.
        """
        self._timer.stop()
        if self._runner is not None:
            self._runner.abandon()
            self._runner = None
        self._leave_review(layers=layers)
        if self._kept is not None:
            self._kept.leave(layers=False)
        self._looking.drop()
        self._preparing.drop()
        self.form.lineage.leave()
