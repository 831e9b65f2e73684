"""Adam as torch computes it, without ``torch.optim.Optimizer``, which loads torch's compiler for 1.5 s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Adam without weight decay, with torch's default settings but the learning rate.

    Parameters
    ----------
    parameters : sequence of Tensor
        Parameters that are trained.

    Attributes
    ----------
    learning_rate : float
        Learning rate of the next step.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.learning_rate = 0.0
        self._parameters = list(parameters)
        self._state: dict[int, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Take a step.

        Parameters
        ----------
        gradients : sequence of Tensor or None
            Gradient of each parameter. Where it is None, the parameter stays as it is.
        """
        numbers = [i for i, gradient in enumerate(gradients) if gradient is not None]
        for i in numbers:
            if i not in self._state:
                zeros = torch.zeros_like(self._parameters[i], memory_format=torch.preserve_format)
                self._state[i] = {"step": torch.tensor(0.0), "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
        states = [self._state[i] for i in numbers]
        adam(
            [self._parameters[i] for i in numbers],
            [gradient for gradient in gradients if gradient is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state in the form of ``torch.optim.Adam.state_dict``.

        Returns
        -------
        dict of str to object
            The state by the numbers of the parameters.
        """
        return {"state": self._state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state.

        Parameters
        ----------
        state : dict of str to object
            A state from ``state_dict``, or from ``torch.optim.Adam.state_dict``.
        """
        self._state = {
            number: {name: value.cpu() if name == "step" else value for name, value in values.items()}
            for number, values in state["state"].items()
        }
