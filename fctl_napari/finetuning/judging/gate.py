"""The gate of fine-tuning: figures before and after, and the decision whether to keep the candidate (no torch)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fctl_napari.evaluation.metrics import Scores, plain
from fctl_napari.finetuning.judging.evidence import FEWEST, LEAST, LEAST_OF_FEW, LEVEL, ClassProbability, Gain, gain_of

USUAL = 0.1
"""Share of the px that may change away from corrections, and on the training scenes, where none is stated."""

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
    probability : ClassProbability or None
        Probability of the painted classes, on held-out corrections.
    uncertainty : float or None
        Share of px that the parent itself expects to be wrong, 1 less its mean confidence, 0..1. None if it is not
        measured.
    """

    scores: Scores | None
    agreement: float | None
    tiles: int
    probability: ClassProbability | None = None
    uncertainty: float | None = None

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
        if self.uncertainty is not None:
            out["uncertainty"] = plain(self.uncertainty)
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
    probability : ClassProbability or None
        Probability of the painted classes, where these are measured.
    uncertainty : float or None
        Sum of the parent's uncertainty over the compared pixels, where it is measured.
    """

    matrix: np.ndarray
    same: int = 0
    pixels: int = 0
    tiles: int = 0
    probability: ClassProbability | None = None
    uncertainty: float | None = None

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
        agreement = self.same / self.pixels if self.pixels else None
        uncertainty = self.uncertainty / self.pixels if self.uncertainty is not None and self.pixels else None
        return Figures(scores, agreement, self.tiles, self.probability, uncertainty)


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

    @cached_property
    def gain(self) -> Gain | None:
        """Change of the probability of the painted class on held-out corrections, or None without any."""
        before, after = self._corrected
        return None if before is None or after is None else gain_of(before, after)

    @cached_property
    def trust(self) -> dict[int, float]:
        """Trust in the parent on each corrected image with held-out corrections, by its number, see ``Gain.trust``."""
        before, after = self._corrected
        if before is None or after is None:
            return {}
        gains = {source: gain_of(before.of(source), after.of(source)) for source in sorted(before.sources)}
        return {source: gain.trust for source, gain in gains.items() if gain is not None}

    @property
    def mean_trust(self) -> float:
        """Mean trust over these images, 0..1, which counts for the others. Without any it is 1."""
        return float(np.mean(list(self.trust.values()))) if self.trust else 1.0

    @property
    def _corrected(self) -> tuple[ClassProbability | None, ClassProbability | None]:
        before, after = (
            side["held_out"].probability if "held_out" in side else None for side in (self.before, self.after)
        )
        return before, after

    def bound(self) -> float:
        """Return the share of px that may change away from the corrections where none is stated.

        A network that is unsure of an image, as of one unlike those that it was trained on, gets better by changing
        more of it. So does one that is sure and errs throughout: the less it is to be trusted, see ``Gain.trust``, the
        more may change.

        Returns
        -------
        float
            ``USUAL``, or the parent's uncertainty where that is larger, and of what is left the share by which trust
            falls short of 1; 0..1.
        """
        usual = self.uncertain()
        return 1 - self.mean_trust * (1 - usual)

    def uncertain(self) -> float:
        """Return the share of px that may change for the parent's uncertainty alone.

        Returns
        -------
        float
            ``USUAL``, or the parent's uncertainty where that is larger, 0..1.
        """
        figures = self.before.get("scene")
        return max(USUAL, 0.0 if figures is None or figures.uncertainty is None else figures.uncertainty)

    def to_json(self) -> dict[str, Any]:
        """Convert the figures to plain values for a model card.

        Returns
        -------
        dict of str to object
            Figures by ``"before"`` and ``"after"`` and by the keys of ``WORDS``, and the ``"gain"`` on held-out
            corrections.
        """
        found: dict[str, Any] = {
            side: {part: figures.to_json() for part, figures in parts.items()}
            for side, parts in (("before", self.before), ("after", self.after))
        }
        gain = self.gain
        return found if gain is None else found | {"gain": asdict(gain)}

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


def judge(card: BeforeAfter, bound: float | None) -> GateResult:
    """Decide whether to keep a candidate.

    It is kept if it surely gives the painted class of held-out corrections a higher probability, and changes little
    elsewhere. Without held-out corrections, it has to be better on the ground truth.

    Parameters
    ----------
    card : BeforeAfter
        Figures before and after.
    bound : float or None
        Bound of the share of pixels, 0..1, that may change away from corrections and on the training scenes. None for
        ``USUAL``, where of the corrected image more may change if there are reasons, see ``BeforeAfter.bound``.

    Returns
    -------
    GateResult
        The decision and its reasons.
    """
    keep, reason = _on_corrections(card)
    reasons = [reason]
    stated = USUAL if bound is None else bound
    for part, most in (("scene", card.bound() if bound is None else bound), ("training", stated)):
        agreement = card.agreement(part)
        if part == "scene" and math.isnan(agreement):
            reasons.append("No tile lies away from the corrections, so it is not known how much changes there.")
        if not math.isnan(agreement):
            held = 1 - agreement < most or most == 1
            keep = keep and held
            words = "which is within" if held else "which is beyond"
            bound_words = f"{words} the bound of {100 * most:.0f} %"
            if most == 1:
                bound_words = "of which any number may, as the network before errs throughout the image"
            elif most >= stated + 0.005:  # as it is rounded
                why = "errs beyond the corrections" if card.mean_trust < 1 else "is unsure of the image"
                bound_words += f" (more than usual, as the network before {why})"
            reasons.append(f"On {WORDS[part]} {100 * (1 - agreement):.1f} % of the px changed, {bound_words}.")
    return GateResult(keep, tuple(reasons))


def _on_corrections(card: BeforeAfter) -> tuple[bool, str]:
    """Return whether a candidate is better on held-out corrections, or else on the ground truth, and a sentence."""
    gain = card.gain
    if gain is not None:
        words = "rose" if gain.rose else "fell" if gain.change < -LEAST else "did not rise for sure"
        sure = f"{LEVEL:.0f} % interval of the change {gain.low:+.3f} to {gain.high:+.3f}"
        if gain.blocks < FEWEST:
            sure = f"so few px are held out that it has to rise by {LEAST_OF_FEW:.2f}"
        return gain.rose, (
            f"The probability of the painted class on {WORDS['held_out']} {words}: {gain.before:.3f} before, "
            f"{gain.after:.3f} after ({sure})."
        )
    before, after = card.miou("truth")
    if math.isnan(after):
        return False, "There are no held-out corrections and no ground truth, so it is not known whether it is better."
    change = "rose" if after > before else "was right before, and cannot rise" if before == 1 else "did not rise"
    return after > before, f"IoU on {WORDS['truth']} {change}: {before:.3f} before, {after:.3f} after."
