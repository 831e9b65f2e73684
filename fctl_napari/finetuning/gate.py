"""The gate of fine-tuning: figures before and after, and the decision whether to keep the candidate (no torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fctl_napari.evaluation.metrics import Scores, plain

WORDS = {
    "held_out": "held-out corrections",
    "scene": "the scene away from corrections",
    "training": "the training scenes",
    "truth": "the ground truth of the scene",
}
"""Names of the sets of tiles that are measured on, for people."""


@dataclass(frozen=True)
class Figures:
    """Figures of a network on one set of tiles.

    Attributes
    ----------
    scores : Scores or None
        Scores against ground truth or corrections, or None if there are none.
    agreement : float or None
        Share of pixels that are classified as by the parent, 0..1, or None if it is not measured.
    tiles : int
        Number of tiles.
    """

    scores: Scores | None
    agreement: float | None
    tiles: int

    def to_json(self) -> dict[str, Any]:
        """Convert the figures to plain values for a model card.

        Returns
        -------
        dict of str to object
            Values by name. What was not measured is left out.
        """
        out: dict[str, Any] = {"tiles": self.tiles}
        if self.agreement is not None:
            out["agreement"] = plain(self.agreement)
        if self.scores is not None:
            out |= self.scores.to_json() | {"pixels": self.scores.pixels}
        return out


@dataclass
class Count:
    """Pixel counts of one set of tiles.

    Attributes
    ----------
    matrix : ndarray of int64 [C, C]
        Confusion matrix with the ground truth in rows, all 0 if there is no ground truth.
    same : int
        Number of pixels that are classified as by the parent.
    pixels : int
        Number of pixels that were compared with the parent.
    tiles : int
        Number of tiles.
    """

    matrix: np.ndarray
    same: int = 0
    pixels: int = 0
    tiles: int = 0

    def figures(self, names: tuple[str, ...]) -> Figures:
        """Compute the figures.

        Parameters
        ----------
        names : tuple of str
            Names of the classes, in order.

        Returns
        -------
        Figures
            The figures.
        """
        scores = Scores.from_confusion(self.matrix, names) if self.matrix.any() else None
        return Figures(scores, self.same / self.pixels if self.pixels else None, self.tiles)


@dataclass(frozen=True)
class BeforeAfter:
    """Figures of a fine-tuning run before and after it.

    Attributes
    ----------
    before : dict of str to Figures
        Figures of the parent, by the keys of ``WORDS``.
    after : dict of str to Figures
        Figures of the new network, by the keys of ``WORDS``.
    """

    before: dict[str, Figures]
    after: dict[str, Figures]

    def miou(self, part: str) -> tuple[float, float]:
        """Return the mean IoU before and after.

        Parameters
        ----------
        part : str
            A key of ``WORDS``.

        Returns
        -------
        before : float
            Mean IoU of the parent, 0..1, NaN if it was not measured.
        after : float
            Mean IoU of the new network, 0..1, NaN if it was not measured.
        """
        found = [side.get(part) for side in (self.before, self.after)]
        first, second = (f.scores.miou if f is not None and f.scores is not None else math.nan for f in found)
        return first, second

    def agreement(self, part: str) -> float:
        """Return the agreement of the new network with its parent.

        Parameters
        ----------
        part : str
            A key of ``WORDS``.

        Returns
        -------
        float
            Share of pixels, 0..1, NaN if it was not measured.
        """
        figures = self.after.get(part)
        return math.nan if figures is None or figures.agreement is None else figures.agreement

    def to_json(self) -> dict[str, Any]:
        """Convert the figures to plain values for a model card.

        Returns
        -------
        dict of str to object
            Figures by ``"before"`` and ``"after"`` and by the keys of ``WORDS``.
        """
        return {
            side: {part: figures.to_json() for part, figures in parts.items()}
            for side, parts in (("before", self.before), ("after", self.after))
        }

    @staticmethod
    def line(figures: dict[str, Any]) -> str:
        """Format what ``to_json`` returned as a line.

        Parameters
        ----------
        figures : dict of str to object
            Figures from ``to_json``.

        Returns
        -------
        str
            The changes, separated by semicolons.
        """
        words = []
        for part, name in WORDS.items():
            before, after = (figures[side].get(part, {}) for side in ("before", "after"))
            if after.get("miou") is not None and before.get("miou") is not None:
                words.append(f"mIoU on {name} {before['miou']:.3f} -> {after['miou']:.3f}")
            elif after.get("agreement") is not None:
                words.append(f"{name} {100 * after['agreement']:.1f} % as before")
        return "; ".join(words)


@dataclass(frozen=True)
class GateResult:
    """Decision of the gate.

    Attributes
    ----------
    keep : bool
        True if the candidate is to be kept.
    reasons : tuple of str
        Reasons, as sentences for people.
    """

    keep: bool
    reasons: tuple[str, ...] = field(default=())


def judge(card: BeforeAfter, bound: float) -> GateResult:
    """Decide whether to keep a candidate.

    It is kept if it is better on corrections that it was not trained on and changes little elsewhere. Without held-out
    corrections, it has to be better on the ground truth.

    Parameters
    ----------
    card : BeforeAfter
        Figures before and after.
    bound : float
        Bound of the share of pixels, 0..1, that may change away from corrections and on the training scenes.

    Returns
    -------
    GateResult
        The decision and its reasons.
    """
    reasons, keep = [], True
    part = "held_out" if not math.isnan(card.miou("held_out")[1]) else "truth"
    before, after = card.miou(part)
    if math.isnan(after):
        keep = False
        reasons.append(
            "There are no held-out corrections and no ground truth, so it is not known whether it is better."
        )
    else:
        better = after > before
        keep = keep and better
        change = "rose" if better else "was right before, and cannot rise" if before == 1 else "did not rise"
        reasons.append(f"IoU on {WORDS[part]} {change}: {before:.3f} before, {after:.3f} after.")
    for part in ("scene", "training"):
        agreement = card.agreement(part)
        if part == "scene" and math.isnan(agreement):
            reasons.append("No tile lies away from the corrections, so it is not known how much changes there.")
        if not math.isnan(agreement):
            held = 1 - agreement < bound
            keep = keep and held
            words = "which is within" if held else "which is beyond"
            reasons.append(
                f"On {WORDS[part]} {100 * (1 - agreement):.1f} % of the px changed, {words} the bound of "
                f"{100 * bound:.0f} %."
            )
    return GateResult(keep, tuple(reasons))
