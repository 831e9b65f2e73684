"""Matching of classes by name between masks, checkpoints and segmentations that have their own class tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


def plain_name(name: str) -> str:
    """Normalize a class name for comparison.

    Parameters
    ----------
    name : str
        Name as it is written.

    Returns
    -------
    str
        Name in lower case (case-folded), with single spaces between words and none around.
    """
    return " ".join(name.casefold().split())


@dataclass(frozen=True)
class NameMatch:
    """Classes of one table found among those of another by their names.

    Attributes
    ----------
    names : tuple of str
        Names of the table whose classes are looked up, in its order.
    others : tuple of str
        Names of the table that is searched, in its order.
    index : tuple of int or None
        For each of ``names``, its index in ``others``, or None.
    """

    names: tuple[str, ...]
    others: tuple[str, ...]
    index: tuple[int | None, ...]

    @property
    def matched(self) -> tuple[str, ...]:
        """Names that both tables have."""
        return tuple(name for name, index in zip(self.names, self.index, strict=True) if index is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names that the other table does not have."""
        return tuple(name for name, index in zip(self.names, self.index, strict=True) if index is None)

    @property
    def unused(self) -> tuple[str, ...]:
        """Names that only the other table has."""
        return tuple(name for index, name in enumerate(self.others) if index not in self.index)

    @property
    def same(self) -> bool:
        """True if both tables are the same, in the same order."""
        return self.index == tuple(range(len(self.others)))


def match_names(names: Sequence[str], others: Sequence[str]) -> NameMatch:
    """Find the classes of one table in another.

    A name is matched exactly. Otherwise it is matched without regard to case and spaces, where that is unambiguous.

    Parameters
    ----------
    names : sequence of str
        Names to find.
    others : sequence of str
        Names to search.

    Returns
    -------
    NameMatch
        Index of each name among the others.
    """
    alike = Counter(map(plain_name, others)), Counter(map(plain_name, names))
    exact = {name: index for index, name in enumerate(others)}
    plain = {plain_name(name): index for index, name in enumerate(others)}

    def find(name: str) -> int | None:
        if name in exact:
            return exact[name]
        key = plain_name(name)
        return plain.get(key) if alike[0][key] == 1 and alike[1][key] == 1 else None

    return NameMatch(tuple(names), tuple(others), tuple(find(name) for name in names))
