"""Guide of a tab: what is missing, or the next step, with a button that leads there."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from fctl_napari.plugin.common.form_layout import button, wrapped


class Guide(QWidget):
    """A sentence, and a button that leads to another tab.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    wanted : Signal(str)
        The button was pressed; carries the name of the tab that it leads to.
    """

    wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tab = ""
        self._text = wrapped("What is missing, or what comes next.")
        self.step = button("", "")
        self.step.clicked.connect(lambda: self.wanted.emit(self._tab))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._text)
        column.addWidget(self.step)
        self.say("")

    def text(self) -> str:
        """Return the sentence."""
        return self._text.text()

    def say(self, text: str, caption: str = "", tab: str = "") -> None:
        """Show a sentence and a button.

        Parameters
        ----------
        text : str
            The sentence. An empty one is not shown.
        caption : str, optional
            Caption of the button. An empty one shows no button.
        tab : str, optional
            Name of the tab that the button leads to.
        """
        self._tab = tab
        self._text.setText(text)
        self._text.setVisible(bool(text))
        self.step.setText(caption)
        self.step.setToolTip(f"Go to the tab {tab or 'that comes next'}.")
        self.step.setVisible(bool(caption))
        self.setVisible(bool(text or caption))
