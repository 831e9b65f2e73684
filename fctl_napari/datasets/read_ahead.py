"""Parallel reading of files, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from fctl_napari.cores import usable_cores

T = TypeVar("T")
R = TypeVar("R")

MOST_THREADS = 8
"""Largest number of threads. Decoders release the interpreter's lock only part of the time, so more would block."""


def reading_threads() -> int:
    """Return the number of files that are read at once."""
    return min(usable_cores(), MOST_THREADS)


def read_ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Apply a function to items in threads and yield its results in order.

    As many results are in memory as there are threads, and one more. An exception of ``work`` is raised when its item's
    turn comes.

    Parameters
    ----------
    work : callable
        Function of an item. It is called in threads.
    items : iterable of T
        Items, in order.

    Yields
    ------
    R
        Result for each item.
    """
    threads = reading_threads()
    left = iter(items)
    with ThreadPoolExecutor(threads, "fctl-read") as pool:
        running: deque[Future[R]] = deque(pool.submit(work, item) for item in islice(left, threads))
        try:
            while running:
                result = running.popleft().result()
                running.extend(pool.submit(work, item) for item in islice(left, 1))
                yield result
        finally:
            for future in running:
                future.cancel()
