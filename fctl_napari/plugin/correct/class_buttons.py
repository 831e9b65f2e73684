"""Buttons of the classes to paint with, in their colors, with the painted area of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QLabel, QPushButton, QWidget

from fctl_napari.model.classes import NOT_SURE, ClassTable
from fctl_napari.plugin.common.card_view import color_icon
from fctl_napari.plugin.common.class_display import class_colors, displayed
from fctl_napari.plugin.layers.styles import NOT_SURE_COLOR

ONE_LINE = 24
"""Number of characters that fit beside a button."""

MOST_KEYS = 9


class ClassButtons(QWidget):
    """One button for each class, and one for "not sure".

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    chosen : Signal(int)
        The label to paint with: k + 1 for class k, 255 for not sure.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(0, 1)
        self._group = QButtonGroup(self)
        self._group.idClicked.connect(self.chosen)
        self._areas: dict[str, QLabel] = {}
        class_colors().changed.connect(self._recolor)

    @property
    def buttons(self) -> dict[int, QPushButton]:
        """The buttons by label."""
        return {self._group.id(button): button for button in self._group.buttons()}

    @property
    def areas(self) -> dict[str, str]:
        """The text of the area that is shown for each class, by its name."""
        return {name: label.text() for name, label in self._areas.items()}

    def keys(self) -> dict[str, int]:
        """Return the labels by the digit that chooses them.

        Returns
        -------
        dict of str to int
            1 to 9 choose the first classes, 0 chooses not sure. Empty if no classes are shown.
        """
        classes = [label for label in self.buttons if label != NOT_SURE][:MOST_KEYS]
        keys = {str(label): label for label in classes}
        return {**keys, "0": NOT_SURE} if self._areas else {}

    def show_classes(self, table: ClassTable | None) -> None:
        """Show the buttons of classes.

        Parameters
        ----------
        table : ClassTable or None
            The classes. None shows no buttons.
        """
        for button in self._group.buttons():
            self._group.removeButton(button)
        while self._grid.count():
            item = self._grid.takeAt(0)
            if item is not None and item.widget() is not None:
                item.widget().hide()
                item.widget().deleteLater()
        self._areas = {}
        if table is None:
            return
        entries = [(label, info.name, info.color) for label, info in enumerate(displayed(table).scored, start=1)]
        for row, (label, name, color) in enumerate([*entries, (NOT_SURE, "not sure", NOT_SURE_COLOR)]):
            key = "0" if label == NOT_SURE else str(label) if label <= MOST_KEYS else ""
            button = QPushButton(f"{name}   {key}".rstrip())
            button.setObjectName(name)
            button.setIcon(color_icon(color))
            button.setCheckable(True)
            button.setStyleSheet("text-align: left; padding-left: 8px;")
            what = "Paint pixels that are neither learned from nor scored" if label == NOT_SURE else f"Paint {name}"
            button.setToolTip(f"{what} (key {key} on the edit window)." if key else f"{what}.")
            area = QLabel("-")
            area.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            area.setToolTip(
                "Pixels corrected so far, and their area where the image says how large they are on the ground."
            )
            self._group.addButton(button, label)
            self._grid.addWidget(button, row, 0)
            self._grid.addWidget(area, row, 1)
            self._areas[name] = area

    def _recolor(self, name: str, color: tuple[int, int, int]) -> None:
        """Show the new color of a class."""
        for button in self._group.buttons():
            if button.objectName() == name:
                button.setIcon(color_icon(color))

    def show_chosen(self, label: int) -> None:
        """Show the label that is painted with.

        Parameters
        ----------
        label : int
            The label. If it is no class, none of the buttons is checked.
        """
        button = self._group.button(label)
        if button is not None:
            button.setChecked(True)
        elif self._group.checkedButton() is not None:
            self._group.setExclusive(False)
            self._group.checkedButton().setChecked(False)
            self._group.setExclusive(True)

    def show_areas(self, areas: Mapping[str, int], words: Callable[[int], str]) -> None:
        """Show the painted areas.

        Parameters
        ----------
        areas : mapping of str to int
            Painted px by the name of the class.
        words : callable
            Function of a number of px that returns what they cover on the ground, to follow it.
        """
        for name, label in self._areas.items():
            pixels = areas.get(name, 0)
            text = f"{pixels:,} px{words(pixels)}" if pixels else "-"
            label.setWordWrap(len(text) > ONE_LINE)  # the dock is narrow
            label.setText(text)
