"""Line that shows an error beside the buttons that caused it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QWidget

from fctl_napari.plugin.common.form_layout import wrapped
from fctl_napari.plugin.common.notify import action_first


class Problem(QFrame):
    """An error, what to do first, and a button that removes it.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    sentence : str
        The error that is shown. Empty if there is none.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sentence = ""
        self.setObjectName("problem")
        self.setStyleSheet("#problem { border: 1px solid #c0392b; border-radius: 3px; }")
        self._text = wrapped("The last error.")
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        close = QPushButton("\u2715")
        close.setToolTip("Remove this message.")
        close.setFixedSize(20, 20)
        close.clicked.connect(lambda: self.show_sentence(""))
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 4, 4, 4)
        row.addWidget(self._text, stretch=1)
        row.addWidget(close, alignment=Qt.AlignmentFlag.AlignTop)
        self.hide()

    def show_sentence(self, sentence: str) -> None:
        """Show an error.

        Parameters
        ----------
        sentence : str
            The error. An empty one removes what is shown.
        """
        self.sentence = sentence
        self._text.setText(action_first(sentence) if sentence else "")
        self.setVisible(bool(sentence))
