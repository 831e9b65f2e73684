"""Colors in which classes are shown: the user's own, those of the class table, or map-like ones."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal

from fctl_napari.class_colors import display_colors
from fctl_napari.exceptions import FctlError
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.notify import report
from fctl_napari.remembered_colors import load_colors, remember_colors

Color = tuple[int, int, int]


class ClassColors(QObject):
    """Colors that the user chose, kept in a file.

    Attributes
    ----------
    changed : Signal(str, object)
        The color of a class was chosen; carries the name of the class and (red, green, blue).
    """

    changed = Signal(str, object)

    def __init__(self) -> None:
        super().__init__()
        self._chosen: dict[str, Color] | None = None

    @property
    def chosen(self) -> dict[str, Color]:
        """Chosen colors by the names of classes, read once. If they cannot be read, none are chosen."""
        if self._chosen is None:
            try:
                self._chosen = load_colors()
            except FctlError as error:
                self._chosen = {}
                report(error)
        return self._chosen

    def choose(self, name: str, color: Color) -> None:
        """Choose and remember the color of a class.

        Parameters
        ----------
        name : str
            Name of the class.
        color : tuple of 3 int
            (red, green, blue), 0..255.

        Raises
        ------
        FctlError
            It cannot be remembered.
        """
        self._chosen = remember_colors({name: color})
        self.changed.emit(name, color)


_colors: ClassColors | None = None


def class_colors() -> ClassColors:
    """Return the colors that the user chose."""
    global _colors
    if _colors is None:
        _colors = ClassColors()
    return _colors


def displayed(table: ClassTable) -> ClassTable:
    """Return a table with the colors in which its classes are shown.

    Parameters
    ----------
    table : ClassTable
        The classes.

    Returns
    -------
    ClassTable
        The same classes, see ``ClassTable.displayed``.
    """
    return table.displayed(class_colors().chosen)


def displayed_colors(classes: list[tuple[str, Color]]) -> list[tuple[str, Color]]:
    """Return classes with the colors in which they are shown.

    Parameters
    ----------
    classes : list of tuple of (str, Color)
        Names and colors, (red, green, blue) 0..255.

    Returns
    -------
    list of tuple of (str, Color)
        The same names, see ``display_colors``.
    """
    colors = display_colors(classes, class_colors().chosen)
    return [(name, color) for (name, _), color in zip(classes, colors, strict=True)]
