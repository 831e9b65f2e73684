"""Areas and accuracies of a map that follow from its checked points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.ground_truth import Comparable
from fctl_napari.evaluation.points.area_estimation import AreaEstimate, estimate_areas
from fctl_napari.evaluation.points.checked_points import CheckedPoints
from fctl_napari.evaluation.points.point_sample import MapCounts
from fctl_napari.exceptions import InputError
from fctl_napari.words import count_of


@dataclass(frozen=True)
class PointEstimate:
    """Areas and accuracies of a map by its checked points.

    Attributes
    ----------
    names : tuple of str
        Names of the classes.
    mapped : ndarray of int64 [C]
        Mapped px of each class.
    counts : ndarray of int64 [C, C]
        Number of checked points by mapped class (rows) and true class (columns).
    estimate : AreaEstimate
        Shares and accuracies with their intervals.
    unchecked : int
        Number of points that are not checked.
    """

    names: tuple[str, ...]
    mapped: NDArray[np.int64]
    counts: NDArray[np.int64]
    estimate: AreaEstimate
    unchecked: int

    @property
    def px(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Error-adjusted px of each class, and half the width of their intervals."""
        return self.of(float(self.mapped.sum()))

    def of(self, total: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the error-adjusted area of each class, and half the width of its interval.

        Parameters
        ----------
        total : float
            Mapped area of all classes, in any unit.

        Returns
        -------
        areas, half_widths : ndarray of float64 [C]
            In the same unit. Px count alike, so that a class gets its share of the px.
        """
        return self.estimate.shares * total, self.estimate.shares_half_width * total

    def notes(self) -> list[str]:
        """Describe what the intervals do not say.

        Returns
        -------
        list of str
            Sentences: points that are left out, and classes without an error, whose interval is empty. Of these at most
            3 in n are wrong, with 95 % confidence (the rule of three).
        """
        found = []
        if self.unchecked:
            verb = "is" if self.unchecked == 1 else "are"
            found.append(f"{count_of(self.unchecked, 'point')} {verb} not checked, and left out.")
        for name, row, px in zip(self.names, self.counts, self.mapped.tolist(), strict=True):
            number = int(row.sum())
            if 0 < number < px and row.max() == number:
                share = min(100.0, 300 / number)
                found.append(
                    f"All {number} points in {name} are {self.names[int(row.argmax())]}: ± 0 means that up to "
                    f"{share:.0f} % of it may be another class, not that none is."
                )
        return found

    def table(self, hectares: float | None = None) -> list[tuple[str, ...]]:
        """Return the figures as texts, each estimate with half the width of its 95 % interval.

        Parameters
        ----------
        hectares : float or None, optional
            Mapped hectares of all classes. None leaves hectares out.

        Returns
        -------
        list of tuple of str
            Headings, then a row for each class, whose name comes last.
        """
        one = self.estimate
        columns = {"px": (*self.px, ".0f"), "share": (one.shares, one.shares_half_width, ".4f")}
        if hectares is not None:
            columns["hectares"] = (*self.of(hectares), ".2f")
        columns["user's accuracy"] = (one.users, one.users_half_width, ".4f")
        columns["producer's accuracy"] = (one.producers, one.producers_half_width, ".4f")
        lines: list[tuple[str, ...]] = [("points", "mapped px", *columns, "class")]
        for k, name in enumerate(self.names):
            figures = (
                "-" if np.isnan(values[k]) else f"{values[k]:{form}} ± {widths[k]:{form}}"
                for values, widths, form in columns.values()
            )
            lines.append((str(self.counts[k].sum()), str(self.mapped[k]), *figures, name))
        return lines

    def sentences(self) -> list[str]:
        """Return the accuracy of the whole map, from what it is known, and what the intervals do not say.

        Returns
        -------
        list of str
            One sentence a line.
        """
        one, number = self.estimate, count_of(int(self.counts.sum()), "checked point")
        return [
            f"accuracy {one.overall:.4f} ± {one.overall_half_width:.4f}",
            f"by {number}, corrected for the errors of the map, with 95 % intervals",
            *self.notes(),
        ]

    def to_json(self, hectares: float | None = None) -> dict[str, Any]:
        """Return the figures as plain values.

        Parameters
        ----------
        hectares : float or None, optional
            Mapped hectares of all classes. None leaves hectares out.

        Returns
        -------
        dict of str to object
            Figures by class, each with half the width of its 95 % interval; None where a figure is not defined.
        """
        one = self.estimate
        columns = {
            "share": (one.shares, one.shares_half_width),
            "px": self.px,
            **({} if hectares is None else {"hectares": self.of(hectares)}),
            "users_accuracy": (one.users, one.users_half_width),
            "producers_accuracy": (one.producers, one.producers_half_width),
        }
        return {
            "accuracy": one.overall,
            "accuracy_half_width": one.overall_half_width,
            "checked": int(self.counts.sum()),
            "unchecked": self.unchecked,
            "notes": self.notes(),
            "counts": self.counts.tolist(),
            "classes": {
                name: {
                    "mapped_px": int(self.mapped[k]),
                    "points": int(self.counts[k].sum()),
                    **{key: _plain(values[k]) for key, (values, _) in columns.items()},
                    **{f"{key}_half_width": _plain(widths[k]) for key, (_, widths) in columns.items()},
                }
                for k, name in enumerate(self.names)
            },
        }


def estimate_points(points: CheckedPoints, source: Comparable, counts: MapCounts, path: Path) -> PointEstimate:
    """Estimate areas and accuracies of a map from its checked points.

    Parameters
    ----------
    points : CheckedPoints
        The points.
    source : Comparable
        Their map.
    counts : MapCounts
        Its px by class.
    path : Path
        File of the points, for the error.

    Returns
    -------
    PointEstimate
        The estimates. Points that are not checked are left out.

    Raises
    ------
    InputError
        The points are of another map, a true class is none of it, or too few are checked.
    """
    points.require_map(source, counts, path)
    names = source.class_table.names
    table = np.zeros((len(names), len(names)), np.int64)
    for point in points.points:
        if point.true is None:
            continue
        if point.true not in names:
            raise InputError(
                f"{path}: point {point.id} is {point.true}, which is no class of the map; its classes are "
                f"{', '.join(names)}."
            )
        table[names.index(point.mapped), names.index(point.true)] += 1
    try:
        estimate = estimate_areas(table, counts.mapped, names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return PointEstimate(names, counts.mapped, table, estimate, len(points.points) - points.checked)


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
