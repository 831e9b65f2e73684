"""Question beside the buttons that cause it, which is answered in place."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from fctl_napari.plugin.common.form_layout import button, wrapped

LAID_OUT_MS = 50
"""Delay until Qt has laid out a question that was hidden, ms."""

TOOLTIPS = {"yes": "Do it.", "no": "Leave everything as it is.", "text": "Enter confirms, Escape leaves it as it is."}


class Question(QWidget):
    """Question with two buttons, hidden until something is asked.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    yes, no : QPushButton
        The buttons.
    text : QLineEdit
        Field for an answer in words, which only some questions have.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sentence = wrapped()
        self._then: Callable[[str], object] | None = None
        self.text = QLineEdit()
        self.text.setToolTip(TOOLTIPS["text"])
        self.yes, self.no = button("", TOOLTIPS["yes"]), button("Cancel", TOOLTIPS["no"])
        self.yes.clicked.connect(self._confirm)
        self.no.clicked.connect(self.drop)
        self.text.returnPressed.connect(self._confirm)
        buttons = QHBoxLayout()
        buttons.addWidget(self.yes)
        buttons.addWidget(self.no)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._sentence)
        column.addWidget(self.text)
        column.addLayout(buttons)
        self.drop()

    @property
    def sentence(self) -> str:
        """The question that is shown, or an empty text."""
        return self._sentence.text()

    def ask(self, sentence: str, caption: str, then: Callable[[str], object], *, text: str | None = None) -> None:
        """Ask a question in place of an earlier one.

        Parameters
        ----------
        sentence : str
            The question.
        caption : str
            Caption of the button that confirms.
        then : callable
            Called with the text of the field once it is confirmed.
        text : str or None, optional
            First text of the field. None shows no field.
        """
        self._then = then
        self._sentence.setText(sentence)
        self.yes.setText(caption)
        self.text.setVisible(text is not None)
        self.text.setText(text or "")
        self.show()
        if text is None:
            self.no.setFocus()
        else:
            self.text.setFocus()
            self.text.selectAll()
        QTimer.singleShot(LAID_OUT_MS, self, self._scroll_here)

    def drop(self) -> None:
        """Hide the question without an answer."""
        self._then = None
        self._sentence.setText("")
        self.hide()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Drop the question on Escape."""
        if event.key() == Qt.Key.Key_Escape:
            self.drop()
        else:
            super().keyPressEvent(event)

    def _scroll_here(self) -> None:
        """Bring the question into sight where it lies in something that scrolls."""
        around = self.parentWidget()
        while around is not None and not isinstance(around, QScrollArea):
            around = around.parentWidget()
        if around is not None:
            around.ensureWidgetVisible(self)

    def _confirm(self) -> None:
        """Hide the question and carry the answer out."""
        then, text = self._then, self.text.text().strip()
        self.drop()
        if then is not None:
            then(text)
