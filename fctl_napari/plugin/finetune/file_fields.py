"""Fields for the files of a fine-tuning: a ground truth to measure on, and the new checkpoint."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog

from fctl_napari.plugin.finetune.choices import Beside
from fctl_napari.plugin.finetune.form import FinetuneForm
from fctl_napari.plugin.layers.ground_truth import GROUND_TRUTH_FILES


class FileFields(QObject):
    """Proposals and file dialogs of the fields for files.

    Parameters
    ----------
    form : FinetuneForm
        Form with the fields, which is Qt's parent.
    """

    def __init__(self, form: FinetuneForm) -> None:
        super().__init__(form)
        self._form = form
        self._proposed = ""
        form.open_ground_truth.clicked.connect(self._ask_ground_truth)
        form.choose_out.clicked.connect(self._ask_out)

    def propose_out(self, out: str) -> None:
        """Propose a path of the new checkpoint, unless the user has entered one.

        Parameters
        ----------
        out : str
            The path. Empty to propose none.
        """
        if self._form.out.text() in ("", self._proposed):
            self._form.out.setText(out)
            self._proposed = out

    def offer_ground_truths(self, beside: Beside) -> None:
        """Offer the ground truths beside the image.

        Parameters
        ----------
        beside : Beside
            Files beside the image.
        """
        field = self._form.ground_truth
        for ground_truth in beside.ground_truths:
            if ground_truth.path is not None and field.findData(ground_truth.path) < 0:
                field.addItem(ground_truth.name, ground_truth.path)

    def add_ground_truth(self, path: str | Path) -> None:
        """Offer a ground truth and choose it.

        Parameters
        ----------
        path : str or Path
            A file or a label group.
        """
        field = self._form.ground_truth
        if field.findData(str(path)) < 0:
            field.addItem(Path(path).name, str(path))
        field.setCurrentIndex(field.findData(str(path)))

    def _ask_ground_truth(self) -> None:
        """Ask for a file of ground truth and choose it."""
        path, _ = QFileDialog.getOpenFileName(self._form, "Open a ground truth", "", GROUND_TRUTH_FILES)
        if path:
            self.add_ground_truth(path)

    def _ask_out(self) -> None:
        """Ask for the path of the new checkpoint."""
        path, _ = QFileDialog.getSaveFileName(
            self._form, "The new checkpoint", self._form.out.text(), "Checkpoints (*.safetensors)"
        )
        if path:
            self._form.out.setText(path if path.endswith(".safetensors") else f"{path}.safetensors")
