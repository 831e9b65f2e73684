"""Evidence of held-out corrections: the probability of the painted classes, and how sure its change is (no torch).

The probability of the painted class changes with every px, where the predicted class changes only with those at the
edge between two classes: with a few strokes it tells better from worse where the IoU is noise.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fctl_napari.finetuning.correction_sources import NOTHING

BLOCK = 32
"""Side of the blocks that are taken for independent of each other, px."""

RESAMPLES = 400
"""Number of bootstrap resamples."""

LEVEL = 90.0
"""Confidence level of the interval, %."""

LEAST = 0.005
"""Least change that counts: a smaller one is of no use, however sure it is."""

FEWEST = 3
"""Fewest blocks of a class whose spread says how sure a change is."""

LEAST_OF_FEW = 0.05
"""Least change that counts where there are fewer."""

SYSTEMATIC = (0.1, 0.2)
"""Sure gain on held-out corrections from which on the parent is trusted less on an image, and no longer at all."""


@dataclass(frozen=True)
class Gain:
    """Change of the probability of the painted class, the mean over classes.

    Attributes
    ----------
    before, after : float
        Probability that the parent and the new network give to the painted class, 0..1.
    low, high : float
        Interval of the change at ``LEVEL``, by resampling blocks.
    classes : int
        Number of painted classes.
    blocks : int
        Number of blocks of the class that has the fewest.
    """

    before: float
    after: float
    low: float
    high: float
    classes: int
    blocks: int

    @property
    def change(self) -> float:
        """The change, -1..1."""
        return self.after - self.before

    @property
    def rose(self) -> bool:
        """True if the change counts, and its whole interval lies above 0."""
        return self.low > 0 and self.change >= (LEAST if self.blocks >= FEWEST else LEAST_OF_FEW)

    @property
    def trust(self) -> float:
        """Trust in the parent where its image was not corrected, 0..1.

        If what was learned from some corrections surely holds for others that were held out, the parent errs throughout
        the image and not at the strokes alone. Of a single class this does not count, as a network that finds it
        everywhere gains as well.

        Returns
        -------
        float
            The trust: 1 up to the first gain in ``SYSTEMATIC``, 0 from the second on.
        """
        if self.classes < 2 or self.blocks < FEWEST:
            return 1.0
        least, most = SYSTEMATIC
        return float(np.clip((most - self.low) / (most - least), 0, 1))


@dataclass
class ClassProbability:
    """Probability that a network gives to the painted classes, by class and block of ``BLOCK`` px.

    Attributes
    ----------
    sums : dict of (int, int, int, int) to list of float
        Number of px and sum of probabilities, by (source, row of the block, its column, class).
    """

    sums: dict[tuple[int, int, int, int], list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0.0, 0.0]), repr=False
    )

    def add(self, source: int, corner: tuple[int, int], corrected: NDArray[np.uint8], p: NDArray[np.float32]) -> None:
        """Add the held-out corrections of a tile.

        Parameters
        ----------
        source : int
            Number of the image.
        corner : tuple of 2 int
            First row and column of the tile in its image, px.
        corrected : ndarray of uint8 [T, T]
            0 not scored, k + 1 class k.
        p : ndarray of float32 [C, T, T]
            Probabilities of the classes.
        """
        y, x = np.nonzero(corrected != NOTHING)
        classes = corrected[y, x].astype(np.int64) - 1
        keys = np.stack([(y + corner[0]) // BLOCK, (x + corner[1]) // BLOCK, classes], 1)
        blocks, which = np.unique(keys, axis=0, return_inverse=True)
        which = which.ravel()
        pixels = np.bincount(which, minlength=len(blocks))
        sums = np.bincount(which, weights=p[classes, y, x], minlength=len(blocks))
        for (row, column, k), number, total in zip(blocks.tolist(), pixels.tolist(), sums.tolist(), strict=True):
            block = self.sums[source, row, column, k]
            block[0] += number
            block[1] += total

    @property
    def sources(self) -> set[int]:
        """Numbers of the images of which something is held out."""
        return {key[0] for key in self.sums}

    def of(self, source: int) -> ClassProbability:
        """Return the part of one image.

        Parameters
        ----------
        source : int
            Number of the image.

        Returns
        -------
        ClassProbability
            The part. It is empty if nothing of the image is held out.
        """
        found = ClassProbability()
        found.sums.update({key: block for key, block in self.sums.items() if key[0] == source})
        return found

    def mean(self) -> float:
        """Compute the mean over classes, which count alike.

        Returns
        -------
        float
            Probability of the painted class, 0..1. NaN if nothing is painted.
        """
        by_class: dict[int, NDArray[np.float64]] = {}
        for (*_, k), block in self.sums.items():
            by_class[k] = by_class.get(k, np.zeros(2)) + block
        return float(np.mean([total / pixels for pixels, total in by_class.values()])) if by_class else float("nan")


def gain_of(before: ClassProbability, after: ClassProbability) -> Gain | None:
    """Compute the change between two networks on the same corrections, with its interval.

    Classes count alike, and the blocks of each class are drawn with replacement.

    Parameters
    ----------
    before, after : ClassProbability
        Those of the parent and of the new network.

    Returns
    -------
    Gain or None
        The change. None if nothing is painted.
    """
    keys = sorted(before.sums)
    if not keys:
        return None
    classes = np.array([key[3] for key in keys])
    pixels = np.array([before.sums[key][0] for key in keys])
    change = np.array([after.sums[key][1] - before.sums[key][1] for key in keys])
    by_class = [np.flatnonzero(classes == k) for k in np.unique(classes)]
    rng = np.random.default_rng(0)
    resampled = np.zeros(RESAMPLES)
    for blocks in by_class:
        for number in range(RESAMPLES):
            drawn = blocks[rng.integers(0, len(blocks), len(blocks))]
            resampled[number] += change[drawn].sum() / pixels[drawn].sum() / len(by_class)
    low, high = np.percentile(resampled, [50 - LEVEL / 2, 50 + LEVEL / 2]).tolist()
    return Gain(before.mean(), after.mean(), low, high, len(by_class), min(map(len, by_class)))
