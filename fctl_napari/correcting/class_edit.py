"""Editing of the classes of corrections: the table as it is edited, and its application to what is painted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fctl_napari.class_colors import Color, another_color
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import NOT_SURE, ClassInfo, ClassTable
from fctl_napari.progress import Progress

MOST_CLASSES = 250
NOT_SURE_NAME = "not sure"
"""Name of the value 255 in lists and figures, which no class can have."""


@dataclass(frozen=True)
class EditedRow:
    """One class of an edited table.

    Attributes
    ----------
    name : str
        Name of the class. It may be empty or be used twice until the table is applied.
    color : tuple of 3 int
        (red, green, blue), 0..255.
    sources : tuple of str, optional
        Names of the present classes whose px become this class.
    recolored : bool, optional
        True if the user chose the color.
    """

    name: str
    color: Color
    sources: tuple[str, ...] = ()
    recolored: bool = False


@dataclass(frozen=True)
class EditedTable:
    """A class table while it is edited. Each edit returns another table.

    Attributes
    ----------
    rows : tuple of EditedRow
        Classes that can be painted, in the order of their indices. A present class is a source of one of them at most.
    present : tuple of str, optional
        Names of the classes that the corrections have at present, in order.
    ignored : tuple of ClassInfo, optional
        Classes that are neither painted nor edited.
    """

    rows: tuple[EditedRow, ...]
    present: tuple[str, ...] = ()
    ignored: tuple[ClassInfo, ...] = ()

    @classmethod
    def begin(cls, table: ClassTable | None, present: ClassTable | None = None) -> EditedTable:
        """Begin with the classes of a table.

        Parameters
        ----------
        table : ClassTable or None
            Classes to begin with. None begins without any.
        present : ClassTable or None, optional
            Classes that the corrections have at present, which become those of the same names. None if there are none.

        Returns
        -------
        EditedTable
            Table to edit.
        """
        names = () if present is None else present.names
        if table is None:
            return cls((), names)
        rows = (EditedRow(info.name, info.color, (info.name,) if info.name in names else ()) for info in table.scored)
        return cls(tuple(rows), names, tuple(info for info in table if info.ignored))

    def add(self, name: str = "") -> EditedTable:
        """Append a class, with a color of its own.

        Parameters
        ----------
        name : str, optional
            Name of the class. The default is a number that is free: ``class 3``.

        Returns
        -------
        EditedTable
            Edited table.
        """
        name = name or self._free_name("class", len(self.rows) + 1)
        return replace(self, rows=(*self.rows, self._new_row(name)))

    def rename(self, index: int, name: str) -> EditedTable:
        """Rename a class. Its px stay with it.

        Parameters
        ----------
        index : int
            Index of the class.
        name : str
            New name, whose spaces at the ends do not count.

        Returns
        -------
        EditedTable
            Edited table.
        """
        return self._with(index, replace(self.rows[index], name=name.strip()))

    def recolor(self, index: int, color: Color) -> EditedTable:
        """Choose the color of a class.

        Parameters
        ----------
        index : int
            Index of the class.
        color : tuple of 3 int
            (red, green, blue), 0..255.

        Returns
        -------
        EditedTable
            Edited table.
        """
        return self._with(index, replace(self.rows[index], color=color, recolored=True))

    def remove(self, indices: Collection[int]) -> EditedTable:
        """Remove classes. Their px become nothing.

        Parameters
        ----------
        indices : collection of int
            Indices of the classes.

        Returns
        -------
        EditedTable
            Edited table.
        """
        return replace(self, rows=tuple(row for index, row in enumerate(self.rows) if index not in indices))

    def merge(self, indices: Collection[int]) -> EditedTable:
        """Merge classes into the first of them, which keeps its name and color.

        Parameters
        ----------
        indices : collection of int
            Indices of the classes, at least one.

        Returns
        -------
        EditedTable
            Edited table.
        """
        first, *others = sorted(set(indices))
        sources = tuple(source for index in (first, *others) for source in self.rows[index].sources)
        return self._with(first, replace(self.rows[first], sources=sources)).remove(others)

    def merge_present(self, source: str, name: str) -> EditedTable:
        """Give the px of a present class to a class of the table.

        Parameters
        ----------
        source : str
            Name of the present class.
        name : str
            Name of the class that takes its px.

        Returns
        -------
        EditedTable
            Edited table.

        Raises
        ------
        InputError
            One of them is missing.
        """
        names = [row.name for row in self.rows]
        if source not in self.present:
            raise InputError(f"{source} is no class of the corrections; theirs are {', '.join(self.present)}.")
        if name not in names:
            raise InputError(f"{name} is no class of the new table; its classes are {', '.join(names)}.")
        rows = [replace(row, sources=tuple(s for s in row.sources if s != source)) for row in self.rows]
        taker = names.index(name)
        rows[taker] = replace(rows[taker], sources=(*rows[taker].sources, source))
        return replace(self, rows=tuple(rows))

    def split(self, index: int) -> EditedTable:
        """Split a class into two. Its px stay with the first. The second is appended, without px.

        Parameters
        ----------
        index : int
            Index of the class.

        Returns
        -------
        EditedTable
            Edited table.
        """
        return replace(self, rows=(*self.rows, self._new_row(self._free_name(self.rows[index].name, 2))))

    @property
    def problem(self) -> str:
        """Sentence that says what is missing. Empty if the table can be applied."""
        names = [row.name for row in self.rows]
        twice = next((name for name in names if names.count(name) > 1), None)
        if not all(names):
            return f"Class {names.index('') + 1} has no name yet."
        if twice is not None:
            return f"Two classes are named {twice}: give one of them another name, or merge them."
        if NOT_SURE_NAME in names:
            return f"{NOT_SURE_NAME} is always there, beside the classes: give this class another name."
        if len(names) < 2:
            return "A network tells at least two classes apart: add another one."
        if len(self._all()) > MOST_CLASSES:
            return f"There are at most {MOST_CLASSES} classes: remove some."
        return ""

    @property
    def table(self) -> ClassTable:
        """The class table.

        Returns
        -------
        ClassTable
            Classes as edited.

        Raises
        ------
        InputError
            Something is missing, see :attr:`problem`.
        """
        if self.problem:
            raise InputError(self.problem)
        return ClassTable(classes=tuple(self._all()))

    @property
    def values(self) -> NDArray[np.uint8]:
        """New value of each value of the corrections, uint8 [256]. Present classes without a row become 0."""
        found = np.zeros(256, np.uint8)
        found[NOT_SURE] = NOT_SURE
        for value, row in enumerate(self.rows, start=1):
            for source in row.sources:
                found[self.present.index(source) + 1] = value
        return found

    @property
    def keeps_indices(self) -> bool:
        """True if all present classes keep their index, so that what is painted stays as it is."""
        kept = np.arange(len(self.present) + 1)
        return bool(np.array_equal(self.values[: len(kept)], kept))

    def lost(self, areas: Mapping[str, int]) -> dict[str, int]:
        """Count the painted px that would become nothing.

        Parameters
        ----------
        areas : mapping of str to int
            Painted px by the name of the present class.

        Returns
        -------
        dict of str to int
            Number of px by the name of the present class, without those that lose none.
        """
        kept = {source for row in self.rows for source in row.sources}
        return {name: areas[name] for name in self.present if name not in kept and areas.get(name)}

    def _with(self, index: int, row: EditedRow) -> EditedTable:
        """Return the table with another row at an index."""
        return replace(self, rows=(*self.rows[:index], row, *self.rows[index + 1 :]))

    def _new_row(self, name: str) -> EditedRow:
        """Return a row whose color no other has."""
        return EditedRow(name, another_color([row.color for row in self.rows], name))

    def _free_name(self, name: str, number: int) -> str:
        """Return a name with the first number, from a given one, that no row has."""
        names = {row.name for row in self.rows}
        while f"{name} {number}" in names:
            number += 1
        return f"{name} {number}"

    def _all(self) -> list[ClassInfo]:
        """Return all classes, the ignored ones last. An ignored one of a name that is painted now is left out."""
        names = {row.name for row in self.rows}
        scored = [ClassInfo(name=row.name, color=row.color) for row in self.rows]
        return [*scored, *(info for info in self.ignored if info.name not in names)]


def apply_edit(
    corrections: Corrections, edited: EditedTable, *, lose: Iterable[str] = (), progress: Progress | None = None
) -> Path | None:
    """Give corrections an edited class table of the user's own.

    Where all that may be painted keeps its index, only the table changes, and all can be undone. Otherwise the
    corrections are written anew, and undo begins anew.

    Parameters
    ----------
    corrections : Corrections
        Corrections, open for writing.
    edited : EditedTable
        New table.
    lose : iterable of str, optional
        Names of the present classes whose px may become nothing.
    progress : Progress or None, optional
        See ``Corrections.recode``.

    Returns
    -------
    Path or None
        Where the former corrections are kept. None if they were not written anew.

    Raises
    ------
    InputError
        The table is none yet, px would be lost, or the corrections have got other classes since.
    OutputError
        The disk is full or the location is not writable. All is as before then.
    """
    table = edited.table
    if corrections.blank:
        corrections.set_own_classes(table)
        return None
    if edited.present != corrections.class_table.names:
        raise InputError(f"{corrections.path}: has got other classes meanwhile; edit its classes again.")
    lost = {name: pixels for name, pixels in edited.lost(corrections.area_by_class()).items() if name not in lose}
    if lost:
        raise InputError(
            f"{corrections.path}: {lost_words(lost)} would be lost; say which class they become (--merge OLD=NEW), or "
            "keep their class."
        )
    if edited.keeps_indices:
        corrections.set_own_classes(table)
        return None
    return corrections.recode(table, edited.values, progress)


def lost_words(lost: Mapping[str, int]) -> str:
    """Describe px by class.

    Parameters
    ----------
    lost : mapping of str to int
        Number of px by the name of the class, not empty.

    Returns
    -------
    str
        Words such as ``"1,200 px of water and 3 px of road"``.
    """
    words = [f"{pixels:,} px of {name}" for name, pixels in lost.items()]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
