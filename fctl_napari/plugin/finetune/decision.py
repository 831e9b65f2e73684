"""The decision on a candidate: it is reviewed, and then kept or rolled back."""

from __future__ import annotations

from pathlib import Path

import napari
from napari.layers import Image
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from fctl_napari.finetuning.unfinished import Waiting
from fctl_napari.plugin.common.notify import report
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.finetune.candidate_review import CandidateReview
from fctl_napari.plugin.finetune.choices import name_of
from fctl_napari.plugin.finetune.form import FinetuneForm
from fctl_napari.plugin.finetune.words import changes
from fctl_napari.plugin.layers.image_source import ImageSource


class CandidateDecision(QObject):
    """One candidate at a time, with the gate's report on it and the buttons that decide.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows the candidate's result.
    form : FinetuneForm
        Form with report and buttons.
    tab : QWidget
        The tab, which is Qt's parent.

    Attributes
    ----------
    decided : Signal(str, object)
        A decision is carried out; carries the candidate's name, and the ``Path`` of the checkpoint that is kept, or
        None if it is deleted.
    """

    decided = Signal(str, object)

    def __init__(self, viewer: napari.Viewer, form: FinetuneForm, tab: QWidget) -> None:
        super().__init__(tab)
        self._viewer, self._form, self._tab = viewer, form, tab
        self._review: CandidateReview | None = None
        self._kept: CandidateReview | None = None  # the last one that was kept; its result may still grow
        form.gate_report.keep.clicked.connect(self._ask_to_keep)
        form.gate_report.roll_back.clicked.connect(lambda: self._decide(keep=False))

    @property
    def review(self) -> CandidateReview | None:
        """The review of the candidate that is to be decided on."""
        return self._review

    @property
    def kept(self) -> bool:
        """True once a candidate was kept."""
        return self._kept is not None

    @property
    def busy(self) -> bool:
        """True while something is computed for a candidate, or a decision is carried out."""
        return any(review is not None and review.busy for review in (self._review, self._kept))

    def begin(self, image: Image, source: ImageSource, waiting: Waiting) -> None:
        """Show a candidate's gate result and begin its review.

        Parameters
        ----------
        image : Image
            Image layer that its result lies on.
        source : ImageSource
            File of the image.
        waiting : Waiting
            The candidate.
        """
        form = self._form
        form.set_state("waiting")
        notes = waiting.card.provenance.get("finetuning", {}).get("notes", ())
        form.gate_report.show_gate_result(waiting.card.name, waiting.figures, waiting.gate_result, notes)
        form.show_report()
        parent = name_of(waiting.parent, [str(form.checkpoint.itemData(k)) for k in range(form.checkpoint.count())])
        review = self._review = CandidateReview(
            self._viewer, image, source, waiting, parent, form.device.currentText(), self
        )
        review.progressed.connect(lambda words: form.show_progress(0, 1, words))
        review.changed.connect(lambda shares: form.gate_report.show_changed(changes(shares, waiting.card)))
        review.failed.connect(self._failed)
        review.decided.connect(self._decided)
        review.start()

    def put_off(self, *, layers: bool) -> None:
        """Leave the candidate undecided. It waits on disk.

        Parameters
        ----------
        layers : bool
            If True, remove its layers.
        """
        review, self._review = self._review, None
        if review is not None:
            review.leave(layers=layers)
            review.deleteLater()
            self._form.gate_report.hide()
            self._form.set_state("idle")

    def leave(self, *, layers: bool) -> None:
        """Stop what runs as the dock or the window is gone.

        Parameters
        ----------
        layers : bool
            If True, remove the layers of a candidate that is undecided.
        """
        self.put_off(layers=layers)
        if self._kept is not None:
            self._kept.leave(layers=False)

    def _failed(self, error: BaseException) -> None:
        """Report a failure and let the candidate be decided on again."""
        self._form.gate_report.set_open(True)
        report(error, self)

    def _ask_to_keep(self) -> None:
        """Keep the candidate, after a question if the gate advises against it."""
        review = self._review
        if review is None:
            return
        if review.waiting.gate_result.keep:
            self._decide(keep=True)
        else:
            self._form.gate_report.question.ask(
                f"Keep {review.waiting.card.name} against the gate? It stays marked in the lineage.",
                "Keep it all the same",
                lambda _text: self._decide(keep=True),
            )

    def _decide(self, *, keep: bool) -> None:
        """Carry out a decision."""
        self._form.gate_report.question.drop()
        if self._review is None:
            return
        self._form.gate_report.set_open(False)
        self._form.show_progress(0, 0, "Keeping it…" if keep else "Rolling back…")
        if keep:
            self._review.keep()
        else:
            self._review.roll_back()

    def _decided(self, kept: Path | None) -> None:
        """Show that a decision is carried out."""
        review, form = self._review, self._form
        self._review = None
        form.gate_report.hide()
        form.plot.clear()
        form.set_state("idle")
        name = "" if review is None else review.waiting.card.name
        if kept is None:
            if review is not None:
                review.deleteLater()
            self.decided.emit(name, None)
            return
        self.decided.emit(name, kept)
        self._kept = review
        if review is not None and not session().is_segmenting(self._tab.window()):
            review.finish()
