"""The gate of fine-tuning: figures before and after, and whether the new network is to be kept (no torch)."""

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
    "truth": "the truth of the scene",
}
"""What is measured on, for people."""


@dataclass(frozen=True)
class Figures:
    """What a network does on one set of tiles.

    Attributes
    ----------
    scores
        Against truth or corrections; None where there are none.
    agreement
        Share of px called as by the parent, 0..1; None where that is not asked.
    tiles
        How many.
    """

    scores: Scores | None
    agreement: float | None
    tiles: int

    def to_json(self) -> dict[str, Any]:
        """Plain values for a card."""
        out: dict[str, Any] = {"tiles": self.tiles}
        if self.agreement is not None:
            out["agreement"] = plain(self.agreement)
        if self.scores is not None:
            out |= self.scores.to_json() | {"pixels": self.scores.pixels}
        return out


@dataclass
class Count:
    """Counts px of one set of tiles.

    Attributes
    ----------
    matrix
        Confusion matrix, rows truth; empty where there is no truth.
    same, pixels
        How many px are called as by the parent, of how many.
    tiles
        How many.
    """

    matrix: np.ndarray
    same: int = 0
    pixels: int = 0
    tiles: int = 0

    def figures(self, names: tuple[str, ...]) -> Figures:
        """Compute the figures; ``names`` are the classes'."""
        scores = Scores.from_confusion(self.matrix, names) if self.matrix.any() else None
        return Figures(scores, self.same / self.pixels if self.pixels else None, self.tiles)


@dataclass(frozen=True)
class BeforeAfter:
    """The card of a fine-tuning run: the parent's figures and the new network's, by the keys of ``WORDS``."""

    before: dict[str, Figures]
    after: dict[str, Figures]

    def miou(self, part: str) -> tuple[float, float]:
        """Mean IoU before and after; NaN where it was not measured."""
        found = [side.get(part) for side in (self.before, self.after)]
        first, second = (f.scores.miou if f is not None and f.scores is not None else math.nan for f in found)
        return first, second

    def agreement(self, part: str) -> float:
        """Agreement with the parent afterwards; NaN where it was not measured."""
        figures = self.after.get(part)
        return math.nan if figures is None or figures.agreement is None else figures.agreement

    def to_json(self) -> dict[str, Any]:
        """Plain values for a card."""
        return {
            side: {part: figures.to_json() for part, figures in parts.items()}
            for side, parts in (("before", self.before), ("after", self.after))
        }

    @staticmethod
    def line(figures: dict[str, Any]) -> str:
        """Put what ``to_json`` gave into a line."""
        words = []
        for part, name in WORDS.items():
            before, after = (figures[side].get(part, {}) for side in ("before", "after"))
            if after.get("miou") is not None and before.get("miou") is not None:
                words.append(f"mIoU on {name} {before['miou']:.3f} -> {after['miou']:.3f}")
            elif after.get("agreement") is not None:
                words.append(f"{name} {100 * after['agreement']:.1f} % as before")
        return "; ".join(words)


@dataclass(frozen=True)
class Verdict:
    """Whether to keep the new network, and why, in sentences for people."""

    keep: bool
    reasons: tuple[str, ...] = field(default=())


def judge(card: BeforeAfter, bound: float) -> Verdict:
    """Keep what is better on corrections it has not seen, and says nearly the same elsewhere.

    Parameters
    ----------
    card
        Figures before and after.
    bound
        Agreement with the parent, away from corrections and on the training scenes, has to stay above 1 - this.
    """
    reasons, keep = [], True
    part = "held_out" if not math.isnan(card.miou("held_out")[1]) else "truth"
    before, after = card.miou(part)
    if math.isnan(after):
        keep = False
        reasons.append("There are no held-out corrections and no truth, so nobody can say whether it is better.")
    else:
        better = after > before
        keep = keep and better
        change = "rose" if better else "did not rise"
        reasons.append(f"IoU on {WORDS[part]} {change}: {before:.3f} before, {after:.3f} after.")
    for part in ("scene", "training"):
        agreement = card.agreement(part)
        if not math.isnan(agreement):
            held = 1 - agreement < bound
            keep = keep and held
            words = "which is within" if held else "which is beyond"
            reasons.append(
                f"On {WORDS[part]} {100 * (1 - agreement):.1f} % of the px changed, {words} the bound of "
                f"{100 * bound:.0f} %."
            )
    return Verdict(keep, tuple(reasons))
