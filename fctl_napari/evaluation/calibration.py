"""Calibration: whether the network is right as often as it is confident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of the reliability diagram, as in Guo et al. (2017); each holds 17 of the 255 stored levels."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """How often the network was right, by how confident it was.

    Attributes
    ----------
    pixels, right
        int64 [256]: scored pixels, and the right ones of them, whose stored confidence is k, that is k / 255. Pixels
        without a confidence (k = 0) are left out of the figures.
    """

    pixels: NDArray[np.int64]
    right: NDArray[np.int64]

    def reliability(self, bins: int = BINS) -> Reliability:
        """Sum up bins of equal width; bin m holds confidences in (m / bins, (m + 1) / bins]."""
        levels = np.arange(1, 256)
        # In whole numbers, since 17 / 255 and 1 / 15 are not the same float everywhere.
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
        """Expected calibration error, 0..1: mean over the pixels of their bin's |accuracy - confidence|, or NaN."""
        found = self.reliability(bins)
        total = found.pixels.sum()
        gaps = np.abs(found.accuracy - found.confidence)
        return float(np.nansum(gaps * found.pixels) / total) if total else float("nan")


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram.

    Attributes
    ----------
    edges
        float64 [bins + 1], of confidence.
    pixels
        int64 [bins].
    accuracy, confidence
        float64 [bins]: share of the bin's pixels that are right, and their mean confidence; NaN in an empty bin.
    """

    edges: NDArray[np.float64]
    pixels: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def to_json(self) -> list[dict[str, Any]]:
        """One ``{"from", "to", "pixels", "accuracy", "confidence"}`` for each bin that has pixels."""
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
