"""Writing in threads beside a computation, a few things at a time (no torch)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Writing:
    """Context manager that writes in threads, a few things at a time.

    The block ends when everything is written, or raises the error of a write.

    Parameters
    ----------
    threads : int
        Number of threads that write. As many writes again may wait before ``start`` does. With 0 ``start`` writes by
        itself: where the network needs all cores, one more thread only disturbs it.
    """

    def __init__(self, threads: int) -> None:
        self._most = 2 * threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fctl-write") if threads else None
        self._under_way: deque[Future[Any]] = deque()

    def start(self, write: Callable[..., Any], *arguments: Any) -> None:
        """Begin a write.

        Where too many are under way, this waits for the oldest, and raises what that raised.

        Parameters
        ----------
        write : callable
            Function that writes.
        *arguments : object
            Arguments of the function.
        """
        if self._pool is None:
            write(*arguments)
            return
        if len(self._under_way) >= self._most:
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(write, *arguments))

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        if kind is None:
            for future in self._under_way:
                future.result()
