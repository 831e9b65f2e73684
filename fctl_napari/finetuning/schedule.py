"""The course of the learning rate in fine-tuning (no torch)."""

from __future__ import annotations


def schedule(step: int, steps: int, spent: float = 0.0) -> float:
    """Factor of the learning rate: up over the first tenth, so that Adam gets to know the gradients; then down to 0.

    Parameters
    ----------
    step, steps
        How many are done, of how many.
    spent
        Share of the time that is gone, if time is limited.
    """
    rise = max(steps // 10, 1)
    return float(min((step + 1) / rise, 1) * (1 - min(max(step / steps, spent), 1)) ** 0.9)
