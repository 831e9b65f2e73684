"""Callbacks that stop long work."""

from __future__ import annotations

from collections.abc import Callable

from fctl_napari.exceptions import Cancelled


def stop_after(pieces: int, counts: list[tuple[int, int]] | None = None) -> Callable[[int, int], None]:
    """A ``Progress`` that stops the work after so many pieces, and keeps the counts before that."""
    kept: list[tuple[int, int]] = [] if counts is None else counts
    left = [pieces]

    def progress(done: int, total: int, /) -> None:
        if left[0] == 0:
            raise Cancelled("stopped.")
        left[0] -= 1
        kept.append((done, total))

    return progress
