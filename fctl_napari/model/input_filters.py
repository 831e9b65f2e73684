"""Filters of a convolution that takes pixels, for other bands than those that they were learned on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def refit_filters(weight: Tensor, given: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Arrange filters by the names of bands.

    A new band takes the mean filter, and all are weighted so that the sum over bands stays what it was. So a band that
    decides is learned within few steps. A network that works without the band is set back at first, which filters of 0
    would spare it (``benchmarks/new_band.py``).

    Parameters
    ----------
    weight : Tensor of float [O, len(given), k, k]
        Filters of the convolution.
    given : sequence of str
        Names of their bands.
    wanted : sequence of str
        Names of the bands of the new convolution.

    Returns
    -------
    Tensor of float [O, len(wanted), k, k]
        The filters of bands of the same name, and the mean filter for the others, times len(given) / len(wanted).
    """
    known, mean = list(given), weight.mean(1)
    filters = [weight[:, known.index(name)] if name in known else mean for name in wanted]
    return torch.stack(filters, 1) * (len(given) / len(wanted))
