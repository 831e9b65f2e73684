"""Counts of a map for its report: who said each class, and how sure the network is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.final_map import FinalMap
from fctl_napari.correcting.provenance import PROVENANCE, Provenance
from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation


@dataclass(frozen=True)
class ReportCounts:
    """Numbers of px of a map.

    Attributes
    ----------
    by_provenance : ndarray of int64 [C + 1, 5]
        Px by value of the map (0 = no class, k + 1 = class k) and value of ``PROVENANCE``.
    by_confidence : ndarray of int64 [256]
        Px that have a class by the network alone, by confidence. Index 0 counts nothing.
    """

    by_provenance: NDArray[np.int64]
    by_confidence: NDArray[np.int64]

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Px of each class, int64 [C]."""
        total: NDArray[np.int64] = self.by_provenance[1:].sum(1)
        return total

    @property
    def without_class(self) -> int:
        """Px without a class."""
        return int(self.by_provenance[0].sum())

    def share_below(self, confidence: float) -> float | None:
        """Return the share of px below a confidence.

        Parameters
        ----------
        confidence : float
            Limit, 0..1.

        Returns
        -------
        float or None
            Share of the px that have a class by the network alone. None if there are none.
        """
        total = int(self.by_confidence.sum())
        return float(self.by_confidence[np.arange(256) < 255 * confidence].sum()) / total if total else None


def count_map(source: Segmentation | FinalMap, progress: Progress | None = None) -> ReportCounts:
    """Count the px of a map block by block.

    Parameters
    ----------
    source : Segmentation or FinalMap
        The map.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    ReportCounts
        The counts.

    Raises
    ------
    Cancelled
        ``progress`` raised it.
    """
    kinds, classes = len(PROVENANCE), len(source.class_table.names)
    provenance = Provenance(source)
    counts, confidences = np.zeros(256 * kinds, np.int64), np.zeros(256, np.int64)
    for block in iter_blocks((0, 0, *source.shape), source.labels.chunk, progress=progress):
        labels = source.labels.read(block)
        both = labels.astype(np.uint16) * np.uint16(kinds) + provenance.read(block)
        counts += np.bincount(both.ravel(), minlength=256 * kinds)
        confidences += np.bincount(source.confidence.read(block)[labels > 0], minlength=256)
    confidences[0] = 0
    return ReportCounts(counts.reshape(256, kinds)[: classes + 1], confidences)
