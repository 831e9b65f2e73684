"""Which class each value of a truth stands for: truths that count otherwise than the network does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.errors import InputError
from fctl_napari.files import atomic_write
from fctl_napari.imagery.level import IntWindow, read_padded
from fctl_napari.imagery.truth import NO_CLASS, LabelSource

MOST_VALUES = 2**16
"""Smaller values are looked up in a table."""


@dataclass(frozen=True)
class ClassMapping:
    """A class for each value of a truth.

    Attributes
    ----------
    classes
        Names of class 0, 1, ... that the values are mapped to.
    values
        Class index by value as it is stored; ``NO_CLASS`` (255) for values that are not scored.

    Raises
    ------
    InputError
        A value is mapped to a class that there is not.
    """

    classes: tuple[str, ...]
    values: Mapping[int, int]
    _table: NDArray[np.int16] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
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
    ) -> ClassMapping:
        """Propose a mapping: same names are the same class; without names a value counts as it is.

        Parameters
        ----------
        classes
            Names of the network's classes that are scored.
        one_based
            Whether value k + 1 is class k, as in label files; see ``LabelSource.one_based``.
        names
            Of the truth's class 0, 1, ..., where it states them. One that the network does not know is ignored.
        values
            Others that the truth holds; one that is no class is left without a class, to be decided.
        ignored
            How many classes follow those of ``classes`` that are not scored.
        """
        classes = tuple(classes)
        first = int(one_based)
        found = {0 if one_based else NO_CLASS: NO_CLASS}
        index_of = {_plain(name): index for index, name in enumerate(classes)}
        shared = names is not None and any(_plain(name) in index_of for name in names)
        if shared and names is not None:
            found |= {first + k: index_of.get(_plain(name), NO_CLASS) for k, name in enumerate(names)}
        else:
            found |= {first + k: k if k < len(classes) else NO_CLASS for k in range(len(classes) + ignored)}
            held = set(values)
            if not one_based and held and max(held - {NO_CLASS}, default=0) == len(classes) and not ignored:
                # one value more than there are classes: 0 is "nothing", as in napari's label layers
                found = {0: NO_CLASS, NO_CLASS: NO_CLASS} | {k + 1: k for k in range(len(classes))}
        return cls(classes, dict(sorted(found.items())))

    @classmethod
    def for_truth(cls, truth: LabelSource, classes: Sequence[str], ignored: int = 0) -> ClassMapping:
        """Propose the mapping of an opened truth; see :meth:`propose`."""
        return cls.propose(classes, one_based=truth.one_based, names=truth.class_names, ignored=ignored)

    @classmethod
    def read(cls, path: Path | str, classes: Sequence[str]) -> ClassMapping:
        """Read a mapping: ``{"values": {"0": "water", "7": "forest", "255": null}}``; null is ignored.

        Parameters
        ----------
        path
            The JSON file. A class may be given by its index too.
        classes
            Names of the network's classes.

        Raises
        ------
        InputError
            The file is missing or is no mapping, or names a class that there is not.
        """
        classes = tuple(classes)
        try:
            stated = json.loads(Path(path).read_text("utf-8"))["values"]
            values = {int(value): _index(given, classes) for value, given in stated.items()}
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
        return cls(classes, values)

    def save(self, path: Path | str) -> None:
        """Write the mapping, as :meth:`read` reads it.

        Raises
        ------
        OutputError
            The disk is full or the place is not writable.
        """
        stated = {str(v): None if k == NO_CLASS else self.classes[k] for v, k in sorted(self.values.items())}
        with atomic_write(path, "w") as file:
            json.dump({"values": stated}, file, indent=1, ensure_ascii=False)
            file.write("\n")

    def apply(self, values: NDArray[Any]) -> tuple[NDArray[np.uint8], int | None]:
        """Look values up.

        Parameters
        ----------
        values
            Integers of any shape.

        Returns
        -------
        Class indices, uint8, 255 for what is ignored and for what is not mapped; and a value that is not mapped, or
        None.
        """
        values = np.asarray(values)
        if values.dtype.kind == "b":
            values = values.view(np.uint8)
        top = len(self._table)
        if values.size and int(values.max()) < top and (values.dtype.kind == "u" or int(values.min()) >= 0):
            found = self._table[values]
        else:
            distinct, inverse = np.unique(values, return_inverse=True)
            by_distinct = np.array([self.values.get(int(value), -1) for value in distinct], np.int16)
            found = by_distinct[inverse].reshape(values.shape)
        unknown = found < 0
        stray = int(values[unknown][0]) if unknown.any() else None
        return found.astype(np.uint8), stray  # -1 wraps to 255


class _NoClass(Exception):
    """A name that no class bears."""


def _index(given: Any, classes: tuple[str, ...]) -> int:
    if given is None:
        return NO_CLASS
    if isinstance(given, int):
        return given
    names = [_plain(name) for name in classes]
    if _plain(str(given)) not in names:
        raise _NoClass(str(given))
    return names.index(_plain(str(given)))


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


class MappedTruth:
    """A truth whose values are mapped to the network's classes; it is read like a ``LabelSource``.

    Parameters
    ----------
    source
        The truth as it is stored.
    mapping
        Which class its values stand for.

    Attributes
    ----------
    path, shape
        Of the source.
    class_names
        Of the classes that are mapped to.
    """

    def __init__(self, source: LabelSource, mapping: ClassMapping) -> None:
        self.source = source
        self.mapping = mapping
        self.path = source.path
        self.shape = source.shape
        self.class_names = mapping.classes

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read class indices; see ``LabelSource.read``.

        Raises
        ------
        InputError
            The file is damaged here, or holds a value that is not mapped.
        """

        def inside(rows: slice, columns: slice) -> NDArray[np.uint8]:
            indices, stray = self.mapping.apply(self.source.read_values(rows, columns))
            if stray is not None:
                raise InputError(
                    f"{self.path}: holds the value {stray}, which is not mapped; give it a class in the mapping, or "
                    "ignore it."
                )
            return indices

        return read_padded(inside, self.shape, window, fill=NO_CLASS)

    def peek(self, rows: slice, columns: slice, level: int = 0) -> NDArray[np.uint8]:
        """Read class indices of a level for display: what is not mapped has none (255); see ``read_values``."""
        return self.mapping.apply(self.source.read_values(rows, columns, level))[0]
