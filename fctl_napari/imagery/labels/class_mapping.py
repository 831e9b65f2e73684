"""Mappings from the values of a ground truth to classes, for ground truths with other indices than the network's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.files import atomic_write
from fctl_napari.imagery.labels.class_names import match_names
from fctl_napari.imagery.labels.color_key import NO_CLASS, STATE
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.imagery.level import read_padded
from fctl_napari.windows import IntWindow

MOST_VALUES = 2**16
"""Values below this are looked up in a table."""


@dataclass(frozen=True)
class ClassMapping:
    """A class for each value of a ground truth.

    Attributes
    ----------
    classes : tuple of str
        Names of class 0, 1, ... that the values are mapped to.
    values : mapping of int to int
        Class index by stored value. ``NO_CLASS`` (255) marks values that are not scored.
    stated_in : str
        File or setting that states the mapping, for messages.

    Raises
    ------
    InputError
        A value is mapped to a class that does not exist.
    """

    classes: tuple[str, ...]
    values: Mapping[int, int]
    stated_in: str = field(default="the mapping", compare=False)
    _table: NDArray[np.int16] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the indices and build the look-up table."""
        for value, index in self.values.items():
            if index != NO_CLASS and not 0 <= index < len(self.classes):
                raise InputError(
                    f"value {value} is mapped to class {index}, but there are {len(self.classes)} (0 to "
                    f"{len(self.classes) - 1}); choose one of them, or ignore the value."
                )
        small = {value: index for value, index in self.values.items() if 0 <= value < MOST_VALUES}
        table = np.full(max(small, default=0) + 1, -1, np.int16)
        for value, index in small.items():
            table[value] = index
        object.__setattr__(self, "_table", table)

    @classmethod
    def propose(
        cls,
        classes: Sequence[str],
        *,
        one_based: bool,
        names: Sequence[str] | None = None,
        values: Iterable[int] = (),
        ignored: int = 0,
        nothing: Iterable[int] = (),
    ) -> ClassMapping:
        """Propose a mapping.

        Equal names are the same class. Without names a value counts as it is. Where the ground truth has names and the
        network knows none of them, the classes are proposed by their order, which users have to be told.

        Parameters
        ----------
        classes : sequence of str
            Names of the network's classes that are scored.
        one_based : bool
            If True, value k + 1 is class k, as in label files. See ``LabelSource.one_based``.
        names : sequence of str or None, optional
            Names of the ground truth's class 0, 1, ..., where it states them. A name that the network does not know is
            ignored.
        values : iterable of int, optional
            Further values that the ground truth holds. A value that is no class is left without a class, to be decided.
        ignored : int, optional
            Number of classes that follow those of ``classes`` and are not scored.
        nothing : iterable of int, optional
            Values that are no class. See ``LabelSource.nothing``. A value that would be a class is left to be decided.

        Returns
        -------
        ClassMapping
            Proposed mapping.
        """
        classes = tuple(classes)
        first = int(one_based)
        found = {0 if one_based else NO_CLASS: NO_CLASS}
        match = match_names(names or (), classes)
        if match.matched:
            stated = {first + k: at for k, (name, at) in enumerate(zip(match.names, match.index, strict=True)) if name}
            found |= {value: NO_CLASS if at is None else at for value, at in stated.items()}
        else:
            found |= {first + k: k if k < len(classes) else NO_CLASS for k in range(len(classes) + ignored)}
            held = set(values)
            if not one_based and held and max(held - {NO_CLASS}, default=0) == len(classes) and not ignored:
                # one value more than there are classes: 0 is no class, as in napari's label layers
                found = {0: NO_CLASS, NO_CLASS: NO_CLASS} | {k + 1: k for k in range(len(classes))}
        for value in nothing:
            if found.pop(value, NO_CLASS) == NO_CLASS:
                found[value] = NO_CLASS
        return cls(classes, dict(sorted(found.items())))

    @classmethod
    def for_ground_truth(cls, ground_truth: LabelSource, classes: Sequence[str], ignored: int = 0) -> ClassMapping:
        """Propose the mapping of an opened ground truth.

        Parameters
        ----------
        ground_truth : LabelSource
            Ground truth as it is stored.
        classes : sequence of str
            Names of the network's classes that are scored.
        ignored : int, optional
            Number of classes that follow those of ``classes`` and are not scored.

        Returns
        -------
        ClassMapping
            Proposed mapping. See :meth:`propose`.
        """
        return cls.propose(
            classes,
            one_based=ground_truth.one_based,
            names=ground_truth.class_names,
            ignored=ignored,
            nothing=ground_truth.nothing,
        )

    @classmethod
    def read(cls, path: Path | str, classes: Sequence[str], ignored: Sequence[str] = ()) -> ClassMapping:
        """Read a mapping from a JSON file.

        The file holds, for example, ``{"values": {"0": "water", "7": "forest", "255": null}}``. A value of null is
        ignored.

        Parameters
        ----------
        path : Path or str
            JSON file. A class may be given by its index too.
        classes : sequence of str
            Names of the network's classes.
        ignored : sequence of str, optional
            Names of classes that are not scored. Values mapped to them count as null.

        Returns
        -------
        ClassMapping
            Mapping that the file states.

        Raises
        ------
        InputError
            The file is missing, is no mapping, or names a class that does not exist.
        """
        classes = tuple(classes)
        try:
            stated = json.loads(Path(path).read_text("utf-8"), object_pairs_hook=_once)["values"]
            values = {int(value): _index(given, classes, ignored) for value, given in stated.items()}
            if len(values) < len(stated):
                raise ValueError("a value is stated twice")
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such mapping; check the path.") from None
        except _NoClass as error:
            raise InputError(
                f"{path}: maps to {str(error)!r}, which is no class here; the classes are {', '.join(classes)}."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise InputError(
                f'{path}: is not a class mapping ({error}); write {{"values": {{"0": "name of the class", '
                f'"255": null}}}}.'
            ) from error
        return cls(classes, values, str(path))

    def save(self, path: Path | str) -> None:
        """Write the mapping to a JSON file that :meth:`read` reads.

        Parameters
        ----------
        path : Path or str
            File to write.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable.
        """
        stated = {str(v): None if k == NO_CLASS else self.classes[k] for v, k in sorted(self.values.items())}
        with atomic_write(path, "w") as file:
            json.dump({"values": stated}, file, indent=1, ensure_ascii=False)
            file.write("\n")

    def apply(self, values: NDArray[Any]) -> tuple[NDArray[np.uint8], int | None]:
        """Map values to classes.

        Parameters
        ----------
        values : ndarray of int
            Values of any shape.

        Returns
        -------
        indices : ndarray of uint8
            Class indices, of the same shape. Values that are ignored or not mapped have 255.
        stray : int or None
            A value that is not mapped, if there is one.
        """
        values = np.asarray(values)
        if values.dtype.kind == "b":
            values = values.astype(np.uint8)
        top = len(self._table)
        inside = values < top if values.dtype.kind == "u" else (values >= 0) & (values < top)
        if inside.all():
            found = self._table[values]
        else:
            found = np.full(values.shape, -1, np.int16)
            found[inside] = self._table[values[inside]]
            distinct, inverse = np.unique(values[~inside], return_inverse=True)
            by_distinct = np.array([self.values.get(int(value), -1) for value in distinct], np.int16)
            found[~inside] = by_distinct[inverse]
        unknown = found < 0
        stray = int(values[unknown][0]) if unknown.any() else None
        return found.astype(np.uint8), stray  # -1 wraps to 255


class _NoClass(Exception):
    """A name that is no class."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("something is stated twice")
    return found


def _index(given: Any, classes: tuple[str, ...], ignored: Sequence[str]) -> int:
    if given is None:
        return NO_CLASS
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    index = match_names([str(given)], [*classes, *ignored]).index[0]
    if index is None:
        raise _NoClass(str(given))
    return index if index < len(classes) else NO_CLASS


class MappedGroundTruth:
    """A ground truth whose values are mapped to the network's classes, read like a ``LabelSource``.

    Parameters
    ----------
    source : LabelSource
        Ground truth as it is stored.
    mapping : ClassMapping
        Classes of its values. Values that the source marks as no class have none as well.
    note : str, optional
        Note for users on how it is read, if not the source's own.

    Attributes
    ----------
    path
        Path of the source.
    shape
        (height, width) of the source, px.
    class_names
        Names of the classes that are mapped to.
    note : str, optional
        Note for users on how it is read. It is empty where that is plain.
    """

    def __init__(self, source: LabelSource, mapping: ClassMapping, note: str = "") -> None:
        self.source = source
        undecided = range(len(mapping.classes))
        nothing = {v: NO_CLASS for v in source.nothing if v not in mapping.values and v not in undecided}
        self.mapping = replace(mapping, values={**nothing, **mapping.values}) if nothing else mapping
        self.note = note or source.note
        self.path = source.path
        self.shape = source.shape
        self.class_names = mapping.classes

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read class indices of a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open. It may reach outside.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            Class indices. Pixels without a class and pixels outside have 255. See ``LabelSource.read``.

        Raises
        ------
        InputError
            The file is damaged here, or holds a value that is not mapped.
        """

        def inside(rows: slice, columns: slice) -> NDArray[np.uint8]:
            indices, stray = self.mapping.apply(self.source.read_values(rows, columns))
            if stray is not None:
                raise InputError(
                    f"{self.path}: holds the value {stray}, which is not mapped; give it a class in "
                    f"{self.mapping.stated_in}, or ignore it there."
                )
            return indices

        return read_padded(inside, self.shape, window, fill=NO_CLASS)

    def peek(self, rows: slice, columns: slice, level: int = 0) -> NDArray[np.uint8]:
        """Read class indices of a level for display.

        Parameters
        ----------
        rows, columns : slice
            Part to read, in px of the level.
        level : int, optional
            Level whose px i is px i * 2**level of level 0.

        Returns
        -------
        ndarray of uint8 [y, x]
            Class indices. Pixels whose value is not mapped have no class (255). See ``LabelSource.read_values``.
        """
        return self.mapping.apply(self.source.read_values(rows, columns, level))[0]


def as_classes(
    source: LabelSource,
    classes: Sequence[str],
    ignored: Sequence[str] = (),
    values: Mapping[int, int] | None = None,
    stated_in: str = "the mapping",
) -> LabelSource | MappedGroundTruth:
    """Read a ground truth as classes of a table.

    Its values are assigned by its own class names, else by the stated values, else as the table's indices.

    Parameters
    ----------
    source : LabelSource
        Ground truth as it is stored.
    classes : sequence of str
        Names of the table's classes that are scored.
    ignored : sequence of str, optional
        Names of the table's classes that follow and are not scored.
    values : mapping of int to int or None, optional
        Class index by value of a mask of one channel, where that is stated.
    stated_in : str, optional
        File or setting that states the values, for messages.

    Returns
    -------
    LabelSource or MappedGroundTruth
        The source itself where its values are the table's classes already, else the mapped source.

    Raises
    ------
    InputError
        The ground truth names its classes, and none of them is one of the table's.
    """
    own = (*classes, *ignored)
    names = source.class_names or ()
    match = match_names(names, own)
    if not match.matched:
        if values is not None and not source.by_color:
            return MappedGroundTruth(source, ClassMapping(tuple(classes), values, stated_in))
        if names:
            raise InputError(
                f"{source.path}: its classes are {', '.join(filter(None, names))}, and none of them is one of "
                f"{', '.join(own)}; rename them, or state what each value is ({STATE})."
            )
        return source
    if names == own[: len(names)]:
        return source
    first = int(source.one_based)
    found = {0 if source.one_based else NO_CLASS: NO_CLASS, **dict.fromkeys(source.nothing, NO_CLASS)}
    for k, (name, index) in enumerate(zip(names, match.index, strict=True)):
        if name:
            found[first + k] = NO_CLASS if index is None or index >= len(classes) else index
    others = ", ".join(filter(None, match.missing))
    mapping = ClassMapping(tuple(classes), found, "the names that the file gives to its values")
    return MappedGroundTruth(source, mapping, f"its {others} count as no class" if others else "")
