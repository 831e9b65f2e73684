"""Schedule of the learning rate in fine-tuning (no torch)."""

from __future__ import annotations


def schedule(step: int, steps: int, spent: float = 0.0) -> float:
    """Compute the factor of the learning rate.

    It rises over the first tenth of the steps, while Adam's estimates of the gradients settle, and then falls to 0.

    Parameters
    ----------
    step : int
        Number of finished steps.
    steps : int
        Number of all steps.
    spent : float, optional
        Share of the time that is over, 0..1, if time is limited.

    Returns
    -------
    float
        Factor, 0..1.
    """
    rise = max(steps // 10, 1)
    return float(min((step + 1) / rise, 1) * (1 - min(max(step / steps, spent), 1)) ** 0.9)
