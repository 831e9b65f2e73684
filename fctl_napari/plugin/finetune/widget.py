"""The tab Fine-tune: what its parts do together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari

from fctl_napari.finetuning.candidates import roll_back
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.unfinished import Waiting, open_waiting
from fctl_napari.model.free_path import check_free
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.last_choices import note_checkpoint, remember_choice
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.finetune.beside_image import BesideImage
from fctl_napari.plugin.finetune.candidate_review import CandidateReview
from fctl_napari.plugin.finetune.choices import Beside, make_request
from fctl_napari.plugin.finetune.decision import CandidateDecision
from fctl_napari.plugin.finetune.file_fields import FileFields
from fctl_napari.plugin.finetune.form import FinetuneForm
from fctl_napari.plugin.finetune.runner import Make
from fctl_napari.plugin.finetune.shown_run import ShownRun
from fctl_napari.plugin.finetune.words import offered
from fctl_napari.plugin.layers.before_after_buttons import BeforeAfterButtons
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.progress import Progress

NEXT = "Next: segment the rest with it (Segment)", "Segment"
PAINT_FIRST = "Paint corrections first.", "Paint them (Correct)", "Correct"


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
        self._preparing = Jobs(self)
        self._loaded: tuple[str | None, str] = None, ""  # checkpoint and device that were loaded ahead
        form = self.form = FinetuneForm(header, BeforeAfterButtons(napari_viewer))
        self._fill(form)
        self._files = FileFields(form)
        self._run = ShownRun(napari_viewer, form, self)
        self._decision = CandidateDecision(napari_viewer, form, self)
        self._beside = BesideImage(form.image, lambda: self.training, self)
        self._connect()
        self.look()

    def _connect(self) -> None:
        """Connect the fields and what stands behind them."""
        form = self.form
        self._beside.seen.connect(self._show)
        self._beside.failed.connect(self._not_seen)
        self._beside.corrections_changed.connect(self.look)
        self._run.done.connect(self._run_done)
        self._run.stopped.connect(self._run_stopped)
        self._decision.decided.connect(self._decided)
        form.image.currentIndexChanged.connect(self._image_changed)
        form.checkpoint.currentIndexChanged.connect(self.look)
        form.take_offer.clicked.connect(self._take_offer)
        form.discard.clicked.connect(self._discard)
        form.start.clicked.connect(self.start)
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
        beside = self._beside.files
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
        return self._run.running

    @property
    def candidate_review(self) -> CandidateReview | None:
        """The review of the candidate that is to be decided on."""
        return self._decision.review

    @property
    def busy(self) -> bool:
        """True while anything is running."""
        looking = self._beside.running or self._preparing.running or self.form.lineage.running
        return self.training or self._decision.busy or looking

    def _image_changed(self) -> None:
        """Leave the review of another image's candidate, and look beside the new image."""
        review = self._decision.review
        if review is not None and review.image is not self.form.image.layer:
            self._decision.put_off(layers=True)
        self.look()

    def look(self) -> None:
        """Find the files beside the image, and read the parent."""
        self._offer_others()
        self._beside.look(self.form.checkpoint.name)

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
        if beside is None:
            form.show_corrections(None, {}, None)
            form.parts.show_sizes({})
            self._files.propose_out("")
            form.make_offer("")
            if form.image.layer is None:
                form.explain("Open an image first.")
            else:
                form.explain(*PAINT_FIRST)
            form.lineage.show_folder(None, form.checkpoint.name)
            return
        form.show_corrections(beside.corrections, beside.areas, beside.classes)
        form.parts.show_sizes(beside.sizes)
        self._files.propose_out("" if beside.out is None else str(beside.out))
        self._files.offer_ground_truths(beside)
        self._load_ahead()
        if not any(beside.areas.values()):
            form.explain(*PAINT_FIRST)
        else:
            form.explain("", *(NEXT if self._decision.kept else ()))
        self._make_offer(beside)
        form.lineage.show_folder(None if beside.out is None else beside.out.parent, form.checkpoint.name)

    def add_ground_truth(self, path: str | Path) -> None:
        """Offer a ground truth and choose it.

        Parameters
        ----------
        path : str or Path
            A file or a label group.
        """
        self._files.add_ground_truth(path)

    # ---- unfinished runs

    def _make_offer(self, beside: Beside) -> None:
        """Offer to resume or review an earlier run."""
        form = self.form
        if self.training or self._decision.review is not None:
            form.make_offer("")
        else:
            form.make_offer(*offered(beside), discard=bool(beside.cut) and not beside.waiting)

    def _take_offer(self) -> None:
        """Review the earlier candidate, or resume the earlier run."""
        beside = self._beside.files
        if beside is None or self.training or self._decision.review is not None:
            return
        if beside.waiting:
            self._review_candidate(beside.waiting[0])
        elif beside.cut:
            request = beside.cut[0].request
            self._learn(lambda _source: request)

    def _discard(self) -> None:
        """Delete what is left of the interrupted run."""
        beside = self._beside.files
        if beside is None or not beside.cut:
            return
        out = beside.cut[0].request.out

        def work(_progress: Progress) -> None:
            roll_back(out)

        self._preparing.begin(work, lambda _none: self.look(), self._report)

    # ---- training

    def start(self) -> None:
        """Begin a run with the settings of the fields (the Start button)."""
        if self.training or self._decision.review is not None:
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
        self._follow_window()
        self._run.start(make)

    def cancel(self) -> None:
        """Stop the run (the Cancel button).

        The state of training is saved, and an offer to resume follows.
        """
        self._run.cancel()

    def _run_done(self, out: Path) -> None:
        """Review the candidate of a run that is done."""
        self._preparing.begin(lambda _progress: open_waiting(out), self._review_candidate, self._not_open)

    def _run_stopped(self, words: str, error: BaseException | None) -> None:
        """Show how a run without a candidate has ended."""
        self._idle(words)
        if error is not None:
            report(error, self)

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
        source = self._beside.source
        form.make_offer("")
        form.show_progress(0, 1, "")
        if image is None or source is None:  # the candidate waits on disk
            self._idle("")
            return
        self._follow_window()
        self._decision.begin(image, source, waiting)

    def _decided(self, name: str, kept: Path | None) -> None:
        """Show that a decision is carried out, and use the checkpoint if it is kept."""
        form = self.form
        form.out.setText("")  # a new name for the next round
        if kept is None:
            form.show_progress(0, 1, f"{name} is deleted; its parent is as it was.")
            self.look()
        else:
            form.show_progress(0, 1, f"{name} is kept: {kept}")
            form.scroll_up()
            self.use(str(kept))

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

    def _leave(self, *, layers: bool) -> None:
        """Stop what runs and disconnect from the viewer: the dock or the window is gone.

        The run can be resumed.
        """
        self._beside.leave()
        self._run.leave()
        self._decision.leave(layers=layers)
        self._preparing.drop()
        self.form.lineage.leave()
