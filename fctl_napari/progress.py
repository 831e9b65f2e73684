"""Callback by which long work reports its progress, and by which it is stopped."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Callback of long work, called in the thread that works.

    The work calls it with (0, total) before the first piece, and after each piece. The callback stops the work by
    raising ``Cancelled``.
    """

    def __call__(self, done: int, total: int, /) -> None:
        """Take the counts.

        Parameters
        ----------
        done : int
            Number of pieces that are done.
        total : int
            Number of all pieces.

        Raises
        ------
        Cancelled
            The work shall stop.
        """


class NotedProgress(Protocol):
    """Callback of long work that takes a note beside the counts, such as the loss or the rate."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None:
        """Take the counts and the note.

        Parameters
        ----------
        done : int
            Number of pieces that are done.
        total : int
            Number of all pieces.
        note : str, optional
            Note for people.

        Raises
        ------
        Cancelled
            The work shall stop.
        """


def no_progress(_done: int, _total: int, _note: str = "", /) -> None:
    """Ignore the counts.

    Parameters
    ----------
    _done, _total : int
        Number of pieces that are done, and of all.
    _note : str, optional
        Note beside them.
    """
