"""Prefetching: threads load what the next steps need while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Loaded = TypeVar("Loaded")


class Prefetch(Generic[Loaded]):
    """An iterator over steps whose parts are loaded ahead by threads.

    Each step yields its parts as (number, loaded object), in order, waiting where necessary.

    Parameters
    ----------
    load : callable
        Loads a part by its number. It is called in threads.
    parts : callable
        Returns the numbers of a step's parts.
    steps : iterable of int
        Steps, in order.
    ahead : int
        Number of steps that are loaded besides the present one.
    threads : int
        Number of parts that are loaded at once.
    """

    def __init__(
        self,
        load: Callable[[int], Loaded],
        parts: Callable[[int], Iterable[int]],
        steps: Iterable[int],
        ahead: int,
        threads: int,
    ) -> None:
        self._load = load
        self._parts = parts
        self._steps = iter(steps)
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fctl-data")
        self._waiting: deque[deque[tuple[int, Future[Loaded]]]] = deque()

    def __enter__(self) -> Prefetch[Loaded]:
        """Return the iterator."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the threads and cancel what is not loaded yet."""
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Iterator[tuple[int, Loaded]]]:
        """Iterate over the steps.

        Yields
        ------
        iterator of tuple of (int, Loaded)
            Number and loaded object of each part of a step.
        """
        while True:
            while len(self._waiting) <= self._ahead:
                step = next(self._steps, None)
                if step is None:
                    break
                self._waiting.append(deque((n, self._pool.submit(self._load, n)) for n in self._parts(step)))
            if not self._waiting:
                return
            yield _in_turn(self._waiting.popleft())


def _in_turn(waiting: deque[tuple[int, Future[Loaded]]]) -> Iterator[tuple[int, Loaded]]:
    """Yield each part and release it."""
    while waiting:
        number, future = waiting.popleft()
        yield number, future.result()
