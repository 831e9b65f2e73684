"""Words of sentences for people."""

from __future__ import annotations

LONGEST_NAME = 100
"""Largest number of characters of a name that others chose."""


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


def size_of(nbytes: float) -> str:
    """Write a number of bytes.

    Parameters
    ----------
    nbytes : float
        Bytes.

    Returns
    -------
    str
        ``"1.2 GB"``, ``"37 MB"``, ``"1 MB"`` for less, and ``"0 MB"`` for none.
    """
    megabytes = nbytes / 1e6
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{max(1, round(megabytes)) if nbytes > 0 else 0} MB"


def plain_name(text: str) -> str:
    """Make a name from elsewhere fit for a line: without control characters, and not too long.

    Parameters
    ----------
    text : str
        The name.

    Returns
    -------
    str
        At most ``LONGEST_NAME`` characters; empty if none can be shown.
    """
    shown = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"


def percent_of(share: float) -> str:
    """Write a share.

    Parameters
    ----------
    share : float
        The share, 0..1.

    Returns
    -------
    str
        ``"12 %"``, and ``"less than 1 %"`` for one that would be 0 %.
    """
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.005 else "less than 1 %"
