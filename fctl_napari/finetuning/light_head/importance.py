"""Importance of contexts for a light head: what it loses when their features are those of other cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from fctl_napari.finetuning.light_head.fit import FittedHead, LabelledCells

REPEATS = 5
"""Number of permutations over which the loss is averaged."""


def context_importance(
    head: FittedHead,
    cells: LabelledCells,
    widths: Mapping[str, int],
    contexts: Collection[str],
    generator: torch.Generator,
) -> dict[str, float]:
    """Measure how much accuracy each context's own features are worth, by permuting them among cells.

    What the contexts give to the tile's features through LCF and ALE stays as it is.

    Parameters
    ----------
    head : FittedHead
        The head.
    cells : LabelledCells
        Cells to measure on, best such that the head was not fitted to.
    widths : mapping of str to int
        Number of features of each source, in their order.
    contexts : collection of str
        Sources that are contexts.
    generator : torch.Generator
        Source of chance.

    Returns
    -------
    dict of str to float
        Accuracy that is lost, by the name of the context. It is below 0 where the features mislead.
    """
    before = _accuracy(head, cells.features, cells.pixels)
    lost: dict[str, float] = {}
    start = 0
    for name, width in widths.items():
        columns = slice(start, start + width)
        start += width
        if name not in contexts:
            continue
        after = 0.0
        for _ in range(REPEATS):
            order = torch.randperm(len(cells.features), generator=generator)
            mixed = cells.features.clone()
            mixed[:, columns] = cells.features[order, columns]
            after += _accuracy(head, mixed, cells.pixels) / REPEATS
        lost[name] = before - after
    return lost


def _accuracy(head: FittedHead, features: Tensor, pixels: Tensor) -> float:
    """Compute the share of px that are right, counting every class alike."""
    predicted = head.scores(features).argmax(1)
    right = pixels.gather(1, predicted[:, None])[:, 0]
    right_of_class = torch.zeros(pixels.shape[1]).index_add_(0, predicted, right)
    there = pixels.sum(0) > 0
    return float((right_of_class[there] / pixels.sum(0)[there]).mean())
