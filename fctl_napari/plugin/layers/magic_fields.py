"""Fields of values and paths in forms that magicgui makes of public functions (no napari)."""

from __future__ import annotations

from ast import literal_eval
from typing import Any

from magicgui.types import Undefined
from magicgui.widgets import FileEdit, LineEdit


class ValueEdit(LineEdit):
    """A number, several of them, or names, as Python writes them. An empty field means what it means to leave it out.

    What cannot be read so is passed on as text: the function says what it takes.

    Parameters
    ----------
    value : object, optional
        What is shown first.
    nullable : bool, optional
        If True, an empty field means None.
    **kwargs : object
        See ``LineEdit``.
    """

    def __init__(self, value: Any = Undefined, nullable: bool = False, **kwargs: Any) -> None:
        self._default = "" if value is Undefined else value
        super().__init__(value="", nullable=nullable, **kwargs)
        self.set_value(value)

    def get_value(self) -> Any:
        """Return the value.

        Returns
        -------
        object
            The value. Of an empty field it is None, or else what was shown first; it is the empty text where there is
            neither.
        """
        text = str(super().get_value()).strip()
        if not text:
            return None if self._nullable else self._default
        try:
            return literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text

    def set_value(self, value: Any) -> None:
        """Show a value.

        Parameters
        ----------
        value : object
            The value.
        """
        super().set_value("" if value is None or value is Undefined else str(value))


class PathEdit(FileEdit):
    """A file or folder. An empty field is not the current folder, which its path would be."""

    def get_value(self) -> Any:
        """Return the path.

        Returns
        -------
        Path, str or None
            The path. Of an empty field it is None where that may be left out, else the empty text.
        """
        empty = not str(self.line_edit.value).strip()
        return "" if empty and not self._nullable else super().get_value()
