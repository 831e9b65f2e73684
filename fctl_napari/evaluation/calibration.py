"""Calibration: how well the network's confidence matches its accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of the reliability diagram, as in Guo et al. (2017); each holds 17 of the 255 stored levels."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Accuracy of the network by its confidence.

    Attributes
    ----------
    pixels, right : ndarray of int64 [256]
        Number of scored pixels, and of the right ones among them, whose stored confidence is k, that is k / 255. Pixels
        without a confidence (k = 0) are left out of the figures.
    """

    pixels: NDArray[np.int64]
    right: NDArray[np.int64]

    def reliability(self, bins: int = BINS) -> Reliability:
        """Summarize the confidences in bins of equal width.

        Parameters
        ----------
        bins : int, optional
            Number of bins. Bin m holds confidences in (m / bins, (m + 1) / bins].

        Returns
        -------
        Reliability
            The reliability diagram.
        """
        levels = np.arange(1, 256)
        # Computed in integers, since 17 / 255 and 1 / 15 are not the same float everywhere.
        bin_of = (levels * bins - 1) // 255
        pixels = np.bincount(bin_of, self.pixels[1:], bins)
        right = np.bincount(bin_of, self.right[1:], bins)
        confidence = np.bincount(bin_of, self.pixels[1:] * levels, bins)
        blank = np.full(bins, np.nan)
        return Reliability(
            edges=np.arange(bins + 1) / bins,
            pixels=pixels.astype(np.int64),
            accuracy=np.divide(right, pixels, out=blank.copy(), where=pixels > 0),
            confidence=np.divide(confidence, 255 * pixels, out=blank, where=pixels > 0),
        )

    def ece(self, bins: int = BINS) -> float:
        """Compute the expected calibration error.

        Parameters
        ----------
        bins : int, optional
            Number of bins, as for :meth:`reliability`.

        Returns
        -------
        float
            Mean over the pixels of their bin's |accuracy - confidence|, 0..1. NaN if there are no pixels.
        """
        found = self.reliability(bins)
        total = found.pixels.sum()
        gaps = np.abs(found.accuracy - found.confidence)
        return float(np.nansum(gaps * found.pixels) / total) if total else float("nan")


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram.

    Attributes
    ----------
    edges : ndarray of float64 [bins + 1]
        Edges of the bins of confidence, 0..1.
    pixels : ndarray of int64 [bins]
        Number of pixels in each bin.
    accuracy, confidence : ndarray of float64 [bins]
        Share of the bin's pixels that are right, and their mean confidence; NaN in an empty bin.
    """

    edges: NDArray[np.float64]
    pixels: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def to_json(self) -> list[dict[str, Any]]:
        """Return one ``{"from", "to", "pixels", "accuracy", "confidence"}`` for each bin that has pixels."""
        return [
            {
                "from": float(self.edges[k]),
                "to": float(self.edges[k + 1]),
                "pixels": int(self.pixels[k]),
                "accuracy": float(self.accuracy[k]),
                "confidence": float(self.confidence[k]),
            }
            for k in np.flatnonzero(self.pixels)
        ]
