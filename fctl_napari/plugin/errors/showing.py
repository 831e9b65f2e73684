"""Contents of an overlay of errors: its modes, the kinds of px that it shows, and its legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fctl_napari.evaluation.error_types import (
    CONFUSED,
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    HIGHLIGHTED,
    Color,
    ErrorColors,
    Kinds,
    by_table,
    comparison_kinds,
    confusion_table,
    difference_kinds,
    error_table,
    pair_table,
)

MISSES, CONFUSION, WHO, DIFFER = "Missed and false", "Was x, called y", "Who is right", "Where they differ"
"""Modes of an overlay."""

WHO_COLORS: tuple[tuple[str, Color], ...] = (
    ("this one is right", (0, 158, 115)),
    ("the other is right", (230, 159, 0)),
    ("both are wrong", (204, 121, 167)),
    ("no ground truth here", (120, 120, 120)),
)


@dataclass(frozen=True)
class Showing:
    """Contents of an overlay.

    Attributes
    ----------
    mode : str
        ``MISSES``, ``CONFUSION``, ``WHO`` or ``DIFFER``.
    positive : int or None
        Index of the class of interest. None means all.
    pair : tuple of 2 int or None
        Class indices (true, predicted): only these pixels are shown, whatever the mode. None shows all.
    colors : ErrorColors
        Colors of missed, false and confused pixels.
    background : int or None
        Index of the class that is the background. None means that there is none.
    """

    mode: str
    positive: int | None
    pair: tuple[int, int] | None
    colors: ErrorColors
    background: int | None = None

    def kinds(self) -> Kinds:
        """Return the function that computes the contents."""
        if self.pair is not None:
            return by_table(pair_table(*self.pair))
        if self.mode == WHO:
            return comparison_kinds
        if self.mode == DIFFER:
            return difference_kinds
        if self.mode == CONFUSION:
            return by_table(confusion_table(self.positive))
        return by_table(error_table(self.positive, self.background))

    def legend(self, classes: Sequence[tuple[str, Color]]) -> list[tuple[str, Color]]:
        """Return the names and colors of kinds 1, 2, ...

        Parameters
        ----------
        classes : sequence of tuple of (str, Color)
            Name and color of the segmentation's classes, by index.

        Returns
        -------
        list of tuple of (str, Color)
            Name and color of each kind; a kind with an empty name does not occur.
        """
        colors = self.colors
        if self.pair is not None:
            was, predicted = (classes[index][0] for index in self.pair)
            never = ("", colors.highlighted)
            return [never] * (HIGHLIGHTED - 1) + [(f"was {was}, predicted {predicted}", colors.highlighted)]
        if self.mode in (CONFUSION, DIFFER):
            return [(f"predicted {name}", color) for name, color in classes]
        if self.mode == WHO:
            return list(WHO_COLORS)
        one_sided = self.positive is not None or self.background is not None
        confused = self.positive is None and (self.background is None or len(classes) > 2)
        kinds = {
            FALSE_NEGATIVE: ("missed (false negative)" if one_sided else "", colors.false_negative),
            FALSE_POSITIVE: ("false (false positive)" if one_sided else "", colors.false_positive),
            CONFUSED: ("another class" if confused else "", colors.confused),
        }
        return [kinds[kind] for kind in sorted(kinds)]
