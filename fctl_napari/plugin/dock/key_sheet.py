"""Sheet of the keys."""

from __future__ import annotations

import html
from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QLabel, QVBoxLayout, QWidget

from fctl_napari.plugin.correct.form import KEYS as CORRECT
from fctl_napari.plugin.correct.next_list import KEYS as SUGGESTIONS
from fctl_napari.plugin.errors.list import KEYS as ERRORS
from fctl_napari.plugin.images.form import KEYS as IMAGES
from fctl_napari.plugin.layers.before_after_buttons import KEYS as COMPARE

SHEET: Mapping[str, Mapping[str, str]] = {
    "Everywhere": {
        "Q": "hide the mask, or show it",
        COMPARE["swipe"]: "compare two maps with a line that is dragged, or end that",
        COMPARE["blink"]: "compare two maps by showing them in turn, or end that",
        "?": "this sheet",
    },
    "List of images": {
        IMAGES["next"]: "next image",
        IMAGES["previous"]: "image before",
        IMAGES["done"]: "mark the image as done",
    },
    "Errors": {
        ERRORS["next"]: "next region",
        ERRORS["previous"]: "previous region",
        ERRORS["done"]: "mark it as done",
        ERRORS["wrong"]: "mark the truth as wrong",
    },
    "Errors, while points are checked": {
        "1 to 9": "the class of the point",
        "0": "not sure: leave it for later",
        ERRORS["next"]: "next point that is not checked",
        ERRORS["previous"]: "point before, to answer it anew",
    },
    "Correct": {
        CORRECT["here"]: "edit here: move the edit window to the middle of the view",
        "1 to 9": "paint the class, on the edit window",
        "0": "paint “not sure”, on the edit window",
        CORRECT["pick"]: "pick the class from the prediction",
        CORRECT["accept"]: "accept the prediction",
        CORRECT["undo"]: "undo the last stroke",
        CORRECT["redo"]: "redo it",
        SUGGESTIONS["next"]: "next suggestion of where to correct",
        SUGGESTIONS["previous"]: "previous suggestion",
        SUGGESTIONS["skip"]: "skip the suggestion",
    },
}
"""Keys and what they do, by tab."""


class KeySheet(QDialog):
    """Window that lists the keys.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of FCtL")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        rows = "".join(
            f"<tr><td colspan=2><b>{tab}</b></td></tr>"
            + "".join(
                f"<tr><td style='padding-right: 16px'>{_shown(key)}</td><td>{html.escape(what)}</td></tr>"
                for key, what in keys.items()
            )
            for tab, keys in SHEET.items()
        )
        text = QLabel(f"<table cellspacing=3>{rows}</table>")
        text.setTextFormat(Qt.TextFormat.RichText)
        QVBoxLayout(self).addWidget(text)


def _shown(key: str) -> str:
    """Return a key as it is shown, from napari's spelling."""
    return html.escape(key.replace("Control", "Ctrl").replace("-", "+"))
