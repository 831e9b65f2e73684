"""Classes that are carried over by their names: from masks, checkpoints and segmentations with tables of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


def plain_name(name: str) -> str:
    """Return a name without what people write one way or another: case, and spaces around or between words."""
    return " ".join(name.casefold().split())


@dataclass(frozen=True)
class NameMatch:
    """Classes of one table found among those of another, by their names.

    Attributes
    ----------
    names, others
        Of the two tables, in their orders.
    index
        For each of ``names``, where in ``others`` it stands, or None.
    """

    names: tuple[str, ...]
    others: tuple[str, ...]
    index: tuple[int | None, ...]

    @property
    def matched(self) -> tuple[str, ...]:
        """Names that both have."""
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
        """Whether both tables are the same, also in order."""
        return self.index == tuple(range(len(self.others)))


def match_names(names: Sequence[str], others: Sequence[str]) -> NameMatch:
    """Find the classes of one table in another.

    A name is found as it is written; else but for case and spaces, where that is clear.

    Parameters
    ----------
    names
        To be found.
    others
        Among which.
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
