"""The button "New classes…" of the tab Correct: its dialog, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from fctl_napari.correcting.recoding import FORMER
from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.plugin.common.class_display import class_colors
from fctl_napari.plugin.common.notify import report, reported, say
from fctl_napari.plugin.correct.corrected_image import CorrectedImage
from fctl_napari.plugin.correct.form import CorrectForm
from fctl_napari.plugin.correct.new_classes import NewClassesDialog, PresentClasses
from fctl_napari.plugin.correct.open import Opening
from fctl_napari.plugin.correct.session import Painting
from fctl_napari.segmentation.store.store_swap import former_path


class ClassEditing(QObject):
    """Editing of the classes of the image's corrections, which are made if there are none yet.

    Parameters
    ----------
    form : CorrectForm
        Form with the button.
    corrected : CorrectedImage
        The image and its corrections.
    opening : Opening
        Opening of corrections.
    show_classes : callable
        Function of a ``Painting`` that shows its classes.
    tab : QWidget
        The tab, which is Qt's parent.

    Attributes
    ----------
    dialog : NewClassesDialog or None
        The dialog that was opened last.
    """

    def __init__(
        self,
        form: CorrectForm,
        corrected: CorrectedImage,
        opening: Opening,
        show_classes: Callable[[Painting], object],
        tab: QWidget,
    ) -> None:
        super().__init__(tab)
        self._form, self._corrected, self._opening, self._tab = form, corrected, opening, tab
        self._show_classes = show_classes
        self.dialog: NewClassesDialog | None = None
        form.new_classes.clicked.connect(self._ask)

    def _ask(self) -> None:
        """Open the dialog, as soon as all that was painted is on disk."""
        with reported(self._tab):
            image = self._form.image.require_layer("correct")
            if self._opening.busy or image is not self._corrected.image:
                raise InputError("the corrections of this image are being opened; press New classes again.")
            painting = self._corrected.painting
            if painting is None:
                self._open(None)
            else:
                painting.settle(lambda: self._open(painting))

    def _open(self, painting: Painting | None) -> None:
        """Open the dialog for the corrections that are open, or for new ones."""
        if painting is not self._corrected.painting:
            return  # another image was chosen meanwhile
        present = None
        if painting is not None:
            there = painting.corrections
            former = former_path(there.path, FORMER)
            present = PresentClasses(there.class_table, there.blank, former, there.area_by_class())
        combo = self._form.checkpoint
        card = combo.card()
        checkpoint = None if card is None else (combo.currentText(), card.classes)
        dialog = self.dialog = NewClassesDialog(present, checkpoint, self._tab)
        dialog.accepted.connect(lambda: self._accept(dialog, painting))
        dialog.open()

    def _accept(self, dialog: NewClassesDialog, painting: Painting | None) -> None:
        """Give the corrections the classes of the dialog."""
        image = self._corrected.image
        if painting is not self._corrected.painting or image is None:
            return
        with reported(self._tab):
            for one in dialog.edited.rows:
                if one.recolored:
                    class_colors().choose(one.name, one.color)
            if painting is None:
                self._opening.make(image, own=dialog.edited)
            else:
                painting.change_classes(dialog.edited, dialog.lose, lambda result: self._changed(painting, result))

    def _changed(self, painting: Painting, result: Path | FctlError | None) -> None:
        """Show the new classes, or why they could not be given."""
        if isinstance(result, FctlError):
            report(result, self._tab)
            return
        self._show_classes(painting)
        if result is not None:
            say(f"The former corrections are kept as {result.name}.")
