"""Reading ahead: what the next steps need is loaded by threads while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Loaded = TypeVar("Loaded")


class Prefetch(Generic[Loaded]):
    """Iterate over steps; each gives its parts as (number, what was loaded), in order, waiting where necessary.

    Parameters
    ----------
    load
        Loads a part by its number; called in threads.
    parts
        The numbers of a step's parts.
    steps
        The steps, in order.
    ahead
        How many steps are loaded besides the present one.
    threads
        How many parts are loaded at once.
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Iterator[tuple[int, Loaded]]]:
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
    """Hand each part over and forget it."""
    while waiting:
        number, future = waiting.popleft()
        yield number, future.result()
