"""Table of the images of a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QColor

from fctl_napari.plugin.common.tables import Rows
from fctl_napari.plugin.images.states import ImageState

DONE_COLOR, PROBLEM_COLOR = QColor(128, 128, 128), QColor(0xC0, 0x39, 0x2B)


@dataclass
class ImageRow:
    """One image of the list.

    Attributes
    ----------
    location : str
        Path of the image.
    name : str
        Its place in the folder.
    done : bool
        True if people are done with it.
    state : ImageState or None
        Its state on disk. None if it was not read yet.
    failure : str
        Why it could not be segmented or shown. Empty if nothing failed.
    """

    location: str
    name: str
    done: bool = False
    state: ImageState | None = field(default=None, repr=False)
    failure: str = ""

    @property
    def problem(self) -> str:
        """Error of the image, or an empty text."""
        return self.failure or ("" if self.state is None else self.state.problem)

    @property
    def word(self) -> str:
        """Its state in a word."""
        if self.done:
            return "done"
        if self.failure:
            return "failed"
        return "…" if self.state is None else self.state.word()

    @property
    def sentence(self) -> str:
        """Description of all that is known of it."""
        words = self.problem or ("its state is being read" if self.state is None else self.state.sentence())
        return f"{self.location}\n{words}{', marked as done' if self.done else ''}"


class ImageTable(Rows[ImageRow]):
    """Images and their states as rows.

    Thousands cost nothing until they are drawn.
    """

    def __init__(self) -> None:
        super().__init__(("Image", "State"), ())

    def row_changed(self, number: int) -> None:
        """Draw a row again.

        Parameters
        ----------
        number : int
            Index of the row.
        """
        self.dataChanged.emit(self.index(number, 0), self.index(number, 1))

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the content of a cell."""
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.name if index.column() == 0 else row.word
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.sentence
        if role == Qt.ItemDataRole.ForegroundRole and (row.problem or row.done):
            return PROBLEM_COLOR if row.problem else DONE_COLOR
        return super().data(index, role)
