"""Reading ahead: several files at once, their results in order."""

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
"""Decoders let go of the interpreter's lock only part of the time: more threads than this wait for each other."""


def reading_threads() -> int:
    """How many files are read at once."""
    return min(usable_cores(), MOST_THREADS)


def ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield ``work(item)`` in order, with as many in memory as there are threads, and one more.

    Raises
    ------
    Whatever ``work`` raises, when its turn comes.
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
