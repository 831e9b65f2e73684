"""Buttons of classes to choose one of, in their colors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget

from fctl_napari.model.classes import NOT_SURE, ClassTable
from fctl_napari.plugin.common.card_view import color_icon
from fctl_napari.plugin.common.class_display import class_colors, displayed
from fctl_napari.plugin.layers.styles import NOT_SURE_COLOR

ONE_LINE = 24
"""Number of characters that fit beside a button."""

MOST_KEYS = 9


@dataclass(frozen=True)
class ButtonWords:
    """Words of the buttons' tooltips.

    Attributes
    ----------
    class_ : str
        What the button of a class does, with ``{}`` for its name.
    not_sure : str
        What the button "not sure" does.
    where : str
        Where the keys act.
    area : str
        What the figure beside a button is. Empty where there is none.
    """

    class_: str
    not_sure: str
    where: str
    area: str = ""


class ClassButtons(QWidget):
    """One button for each class, and one for "not sure".

    Parameters
    ----------
    words : ButtonWords
        Words of the tooltips.
    columns : int, optional
        Number of buttons beside each other.
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    chosen : Signal(int)
        The label that is chosen: k + 1 for class k, 255 for not sure.
    """

    chosen = Signal(int)

    def __init__(self, words: ButtonWords, columns: int = 1, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words, self._columns = words, columns
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setHorizontalSpacing(4)
        for column in range(columns):
            self._grid.setColumnStretch(column, 1)
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
        return {**keys, "0": NOT_SURE} if self.buttons else {}

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
        for number, (label, name, color) in enumerate([*entries, (NOT_SURE, "not sure", NOT_SURE_COLOR)]):
            key = "0" if label == NOT_SURE else str(label) if label <= MOST_KEYS else ""
            button = QPushButton(f"{name}   {key}".rstrip())
            button.setObjectName(name)
            button.setIcon(color_icon(color))
            button.setCheckable(True)
            if self._columns > 1:  # so that long names do not widen the dock
                button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setStyleSheet("text-align: left; padding-left: 8px;")
            what = self._words.not_sure if label == NOT_SURE else self._words.class_.format(name)
            button.setToolTip(f"{what} (key {key} {self._words.where})." if key else f"{what}.")
            self._group.addButton(button, label)
            row, column = divmod(number, self._columns)
            self._grid.addWidget(button, row, column)
            if not self._words.area:
                continue
            area = QLabel("-")
            area.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            area.setToolTip(self._words.area)
            self._grid.addWidget(area, row, self._columns)
            self._areas[name] = area

    def _recolor(self, name: str, color: tuple[int, int, int]) -> None:
        """Show the new color of a class."""
        for button in self._group.buttons():
            if button.objectName() == name:
                button.setIcon(color_icon(color))

    def show_chosen(self, label: int) -> None:
        """Show the label that is chosen.

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
