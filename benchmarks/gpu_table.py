"""A table that is printed row by row, each measured when its turn comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """Row of the table, that is measured when its turn comes.

    Attributes
    ----------
    what
        What is measured.
    measure
        Function that returns what was found.
    target
        What is aimed at.
    """

    what: str
    measure: Callable[[], str]
    target: str = ""


class Table:
    """Table that is printed row by row, and written to a file.

    Parameters
    ----------
    out
        The file, or None.
    """

    def __init__(self, out: Path | None) -> None:
        self._out = out
        if out is not None:
            out.write_text("")

    def line(self, text: str) -> None:
        """Add a line at once, so that it is there whatever comes after."""
        print(text, flush=True)
        if self._out is not None:
            with self._out.open("a") as file:
                file.write(f"{text}\n")

    def row(self, *cells: str) -> None:
        """Add a row."""
        self.line(f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |")
