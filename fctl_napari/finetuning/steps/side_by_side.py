"""Parts of a run computed side by side, each by a thread of its own, in place of threads that share each part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

SIDES = 2
"""Largest number of parts that are computed at once."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class SideBySide:
    """Calls of a function on several items at once, on a CPU with more than one of torch's threads.

    A single tile is too small to be shared by threads: they wait for each other after each of some hundred operations,
    and spin meanwhile. With other work on the machine a run took four times its CPU seconds by that.

    Parameters
    ----------
    device : torch.device
        Device that computes. On a GPU one item follows the other.

    Attributes
    ----------
    sides : int
        Number of items at once.
    """

    def __init__(self, device: torch.device) -> None:
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        self.sides = min(SIDES, threads)
        self._pool = (
            ThreadPoolExecutor(self.sides, "fctl-finetune", torch.set_num_threads, (threads // self.sides,))
            if self.sides > 1
            else None
        )

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Call a function on each item.

        Parameters
        ----------
        function : callable
            Function of an item. Gradients are enabled in it as they are by default.
        items : iterable
            The items.

        Returns
        -------
        list
            Results in the order of the items.
        """
        return list(map(function, items) if self._pool is None else self._pool.map(function, items))

    def alone(self, function: Callable[[], Result]) -> Result:
        """Call a function that is not divided, without threads that wait for each other either.

        Parameters
        ----------
        function : callable
            The function.

        Returns
        -------
        object
            Its result.
        """
        return function() if self._pool is None else self._pool.submit(function).result()

    def groups(self, items: Iterable[Item]) -> Iterable[Sequence[Item]]:
        """Divide items into groups that are computed at once.

        Parameters
        ----------
        items : iterable
            The items.

        Yields
        ------
        sequence
            As many items as there are sides; the last group may be smaller.
        """
        left = iter(items)
        while group := list(islice(left, self.sides)):
            yield group

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()
