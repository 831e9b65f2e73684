"""Class table that belongs to a checkpoint, a segmentation and a ground truth."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fctl_napari.class_colors import Color, display_colors, new_colors
from fctl_napari.exceptions import InputError, reason_of
from fctl_napari.remembered_colors import load_colors

NOT_COMPUTED = 0
"""Value of label files and layers where nothing has been computed or labeled; value k + 1 is class k."""

NOT_SURE = 255
"""Value of corrections (label files that people painted) that is neither trained on nor scored."""

IGNORE = 255
"""Value of exported masks and ground-truth images (class indices) where there is no class."""

BACKGROUND_NAMES = frozenset(
    (
        "background",
        "clutter/background",
        "ignore",
        "ignored",
        "no data",
        "nodata",
        "nothing",
        "undefined",
        "unknown",
        "unlabeled",
        "unlabelled",
        "void",
    )
)
"""Names by which a table says that a class is what the other classes are not."""


class ClassInfo(BaseModel):
    """One class.

    Attributes
    ----------
    name : str
        Name in legends, and key among figures.
    color : tuple of 3 int
        (red, green, blue), 0..255.
    ignored : bool
        If True, the class is neither trained on nor scored (the ground truth's "unlabeled", say), and never predicted.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    color: tuple[int, int, int]
    ignored: bool = False


class ClassTable(BaseModel):
    """Classes in the order of their indices.

    Index k is value k of a ground-truth image and value k + 1 of a label file. Ignored classes come last, so that the
    network's outputs are the first ``len(scored)`` indices.

    Attributes
    ----------
    classes : tuple of ClassInfo
        The classes, ignored ones last.
    """

    model_config = ConfigDict(frozen=True)

    classes: tuple[ClassInfo, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> ClassTable:
        names = [c.name for c in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"class names must differ, got {names}")
        flags = [c.ignored for c in self.classes]
        if flags != sorted(flags):
            raise ValueError("ignored classes must come last")
        if len(self.classes) > 250:
            raise ValueError("at most 250 classes fit into uint8 labels")
        return self

    @property
    def scored(self) -> tuple[ClassInfo, ...]:
        """Classes that a network predicts and that metrics count."""
        return tuple(c for c in self.classes if not c.ignored)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scored classes."""
        return tuple(c.name for c in self.scored)

    @property
    def background(self) -> int | None:
        """Index of the scored class that is the background, see :func:`background_of`."""
        return background_of(self.names)

    @property
    def foreground(self) -> int | None:
        """Index of the only scored class beside the background, see :func:`foreground_of`."""
        return foreground_of(self.names)

    @property
    def colors(self) -> list[tuple[int, int, int]]:
        """Colors (red, green, blue) of all classes, ignored ones too, by which a mask of colors is read."""
        return [c.color for c in self.classes]

    def extended(self, other: ClassTable, only: Collection[str] | None = None) -> ClassTable:
        """Return this table with the classes of another one that it lacks.

        Parameters
        ----------
        other : ClassTable
            Table whose classes are added. Classes are matched by name, and a class of both tables takes its color.
        only : collection of str, optional
            Names of the classes that are taken from ``other``; by default all.

        Returns
        -------
        ClassTable
            The scored classes of this table keep their indices. Those of ``other`` come after them.

        Raises
        ------
        InputError
            The classes of both tables are too many.
        """
        theirs = {info.name: info for info in other if only is None or info.name in only}
        scored = [
            info.model_copy(update={"color": theirs[info.name].color}) if info.name in theirs else info
            for info in self.scored
        ]
        scored += [info for info in theirs.values() if not info.ignored and info.name not in self.names]
        taken = {info.name for info in scored}
        ignored = {i.name: i for i in [*self, *theirs.values()] if i.ignored and i.name not in taken}
        try:
            return ClassTable(classes=(*scored, *ignored.values()))
        except ValueError as error:
            raise InputError(f"the classes of both are too many: {str(error).splitlines()[0]}.") from error

    def displayed(self, chosen: Mapping[str, Color] | None = None) -> ClassTable:
        """Return this table with the colors in which its classes are shown.

        Masks of colors are read by those of the table itself.

        Parameters
        ----------
        chosen : mapping of str to tuple of 3 int or None, optional
            Colors that the user chose, by name.

        Returns
        -------
        ClassTable
            The same classes, see ``display_colors``.
        """
        colors = display_colors([(info.name, info.color) for info in self], chosen)
        shown = (info.model_copy(update={"color": color}) for info, color in zip(self, colors, strict=True))
        return ClassTable(classes=tuple(shown))

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassInfo]:  # type: ignore[override]
        return iter(self.classes)

    @classmethod
    def read(cls, path: Path | str) -> ClassTable:
        """Read a class table from JSON: ``{"classes": [{"name": "water", "color": [0, 0, 255]}, ...]}``.

        Parameters
        ----------
        path : Path or str
            JSON file.

        Returns
        -------
        ClassTable
            The class table.

        Raises
        ------
        InputError
            The file is missing or is not a class table.
        """
        try:
            return cls.model_validate({"classes": json.loads(Path(path).read_text("utf-8"))["classes"]})
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such class table; check the path.") from None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InputError(
                f"{path}: is not a class table ({reason_of(error)}); see sample_data/classes.json."
            ) from error


def background_of(names: Sequence[str]) -> int | None:
    """Find the class that is the background.

    Parameters
    ----------
    names : sequence of str
        Names of class 0, 1, ...

    Returns
    -------
    int or None
        Index of the first class whose name says so, in any case: one of ``BACKGROUND_NAMES``. None if there is none, as
        in a table of land cover.
    """
    words = (" ".join(name.casefold().replace("_", " ").replace("-", " ").split()) for name in names)
    return next((index for index, name in enumerate(words) if name in BACKGROUND_NAMES), None)


def foreground_of(names: Sequence[str]) -> int | None:
    """Find the only class beside the background.

    Parameters
    ----------
    names : sequence of str
        Names of class 0, 1, ...

    Returns
    -------
    int or None
        Index of the class. None without a background, and where several classes are beside it.
    """
    background = background_of(names)
    return None if background is None or len(names) != 2 else 1 - background


def shown_classes(table: ClassTable) -> ClassTable:
    """Return a class table in the colors in which its classes are shown, with those that the user chose.

    Parameters
    ----------
    table : ClassTable
        Class table.

    Returns
    -------
    ClassTable
        The same classes.

    Raises
    ------
    InputError
        The user's file of colors is damaged.
    """
    return table.displayed(load_colors())


def numbered_classes(count: int) -> ClassTable:
    """Make a table of classes ``class 0``, ``class 1``, ... with colors that differ.

    Parameters
    ----------
    count : int
        Number of classes.

    Returns
    -------
    ClassTable
        The class table.
    """
    names = [f"class {k}" for k in range(count)]
    rows = [{"name": name, "color": color} for name, color in zip(names, new_colors(names), strict=True)]
    return ClassTable.model_validate({"classes": rows})


def value_names(table: ClassTable) -> dict[int, str]:
    """Return the names of the values of corrections.

    Parameters
    ----------
    table : ClassTable
        Classes of the corrections.

    Returns
    -------
    dict of int to str
        Names by value: k + 1 for class k, and 255 for "not sure".
    """
    return {**{k + 1: name for k, name in enumerate(table.names)}, NOT_SURE: "not sure"}
