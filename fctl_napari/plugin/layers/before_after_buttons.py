"""Buttons that compare two maps on the canvas."""

from __future__ import annotations

from functools import partial

import napari
from qtpy.QtWidgets import QHBoxLayout, QWidget

from fctl_napari.plugin.common.form_layout import button
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.layers.before_after import Mode, before_after

KEYS: dict[Mode, str] = {"swipe": "Shift-W", "blink": "Shift-B"}
"""Keys of the viewer while the dock is there; napari 0.9 uses none of them."""

TOOLTIPS: dict[Mode, str] = {
    "swipe": f"Compare before and after: drag the line between them (key {KEYS['swipe']}). Press again to end it.",
    "blink": f"Compare before and after: show them in turn (key {KEYS['blink']}). Press again to end it.",
}


class BeforeAfterButtons(QWidget):
    """The buttons Swipe and Blink.

    They compare the uppermost visible map with the next below it.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    parent : QWidget or None, optional
        Qt's parent.
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.swipe, self.blink = button("Swipe", TOOLTIPS["swipe"]), button("Blink", TOOLTIPS["blink"])
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for made, toggle in (
            (self.swipe, partial(self._toggle, "swipe")),
            (self.blink, partial(self._toggle, "blink")),
        ):
            made.setCheckable(True)
            made.clicked.connect(toggle)
            layout.addWidget(made)
        before_after(viewer).changed.connect(self._show_mode)

    def _toggle(self, mode: Mode, _on: bool = False) -> None:
        """Begin or end a comparison."""
        with reported(self):
            before_after(self._viewer).toggle(mode)
        self._show_mode()

    def _show_mode(self) -> None:
        """Show which comparison is on."""
        mode = before_after(self._viewer).mode
        self.swipe.setChecked(mode == "swipe")
        self.blink.setChecked(mode == "blink")
