"""Selection of the best network among those that a fine-tuning run measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fctl_napari.finetuning.judging.gate import BeforeAfter, judge

_PASSED = 2.0
"""Rank, before its step is added, of a network that passes the gate. No sum of probability and agreement exceeds it."""


class Selection:
    """The best network so far.

    Parameters
    ----------
    bound : float or None
        Bound of the gate, see ``judge``.

    Attributes
    ----------
    rank : float
        Rank of the best network.
    step : int
        Its step.
    weights : dict of str to Tensor
        Its trained weights.
    worse : int
        Number of networks that were measured since.
    """

    def __init__(self, bound: float | None) -> None:
        self._bound = bound
        self.rank = -1.0
        self.step = 0
        self.weights: dict[str, Tensor] = {}
        self.worse = 0

    def consider(self, figures: BeforeAfter, step: int, weights: Mapping[str, Tensor]) -> None:
        """Keep the newest weights that pass the gate, or, while none have passed, the best measured ones.

        The newest are kept because few held-out corrections cannot distinguish good networks, while the falling
        learning rate makes the last steps the steadiest. The best are those with the largest sum of the probability of
        the painted class on held-out corrections and of the agreement with the parent elsewhere. Without held-out
        corrections the last weights are kept, and the gate decides whether they are better than the parent.

        Parameters
        ----------
        figures : BeforeAfter
            Figures of the parent and of the network.
        step : int
            Step of the network.
        weights : mapping of str to Tensor
            Its trained weights, which are copied.
        """
        gain = figures.gain
        if gain is None or judge(figures, self._bound).keep:
            rank = _PASSED + step
        else:
            agreements = [f.agreement for f in figures.after.values() if f.agreement is not None]
            rank = gain.after + min(agreements, default=1.0)
        if rank <= self.rank:
            self.worse += 1
            return
        self.rank, self.step, self.worse = rank, step, 0
        self.weights = {name: weight.detach().clone() for name, weight in weights.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what ``load_state_dict`` takes up.

        Returns
        -------
        dict of str to object
            The state.
        """
        return {"best": self.rank, "best_step": self.step, "best_weights": self.weights, "worse": self.worse}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state, which may hold other things too.

        Parameters
        ----------
        state : mapping of str to object
            State from ``state_dict``.
        """
        self.rank, self.step, self.worse = state["best"], state["best_step"], state["worse"]
        self.weights = state["best_weights"]
