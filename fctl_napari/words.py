"""Words of sentences for people."""

from __future__ import annotations


def count_of(count: int, noun: str) -> str:
    """Write a count with its noun.

    Parameters
    ----------
    count : int
        Number of things.
    noun : str
        Name of one of them. Its last word gets an ending.

    Returns
    -------
    str
        ``"1 region"``, ``"12,345 regions"``.
    """
    ending = "" if count == 1 else "es" if noun.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{count:,} {noun}{ending}"
