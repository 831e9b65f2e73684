"""Areas and accuracies from a stratified sample of points, with confidence intervals (Olofsson et al. 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fctl_napari.evaluation.points.sample_size import least_points
from fctl_napari.exceptions import InputError
from fctl_napari.words import count_of

NORMAL_95 = 1.959963984540054
"""Quantile of the normal distribution that bounds 95 % on both sides."""


@dataclass(frozen=True)
class AreaEstimate:
    """Estimates from a stratified sample, each with half the width of its 95 % confidence interval.

    Attributes
    ----------
    overall, overall_half_width : float
        Share of the mapped area that is right.
    users, users_half_width : ndarray of float64 [C]
        User's accuracy by class: share of what is mapped as the class that is the class.
    producers, producers_half_width : ndarray of float64 [C]
        Producer's accuracy by class: share of the class that is mapped as it.
    shares, shares_half_width : ndarray of float64 [C]
        Share of the mapped area that is the class, corrected for the errors of the map.
    """

    overall: float
    overall_half_width: float
    users: NDArray[np.float64]
    users_half_width: NDArray[np.float64]
    producers: NDArray[np.float64]
    producers_half_width: NDArray[np.float64]
    shares: NDArray[np.float64]
    shares_half_width: NDArray[np.float64]


def estimate_areas(counts: ArrayLike, mapped: ArrayLike, names: Sequence[str] | None = None) -> AreaEstimate:
    """Estimate areas and accuracies from the checked points of a stratified random sample.

    The strata are the classes of the map: Olofsson et al., "Good practices for estimating area and assessing accuracy
    of land change", Remote Sensing of Environment 148 (2014). Classes that are not mapped anywhere are no strata and
    are left out of the sums. What is not defined (no point of a class) is NaN. A class of which every px is checked
    adds no error.

    Parameters
    ----------
    counts : array_like of int [C, C]
        Number of points by mapped class (rows) and true class (columns).
    mapped : array_like of int [C]
        Mapped px of each class.
    names : sequence of str or None, optional
        Names of the classes, for the error. None numbers them.

    Returns
    -------
    AreaEstimate
        The estimates.

    Raises
    ------
    InputError
        A mapped class has fewer than 2 points, or points lie in a class that is not mapped.
    """
    counts, mapped = np.asarray(counts, np.float64), np.asarray(mapped, np.float64)
    points = counts.sum(1)
    if ((mapped == 0) & (points > 0)).any():
        raise InputError("points lie in a class that the map does not have; draw the points on this map.")
    strata = mapped > 0
    few = np.flatnonzero(strata & (points < np.minimum(2, mapped)))
    if len(few):
        name = few[0] if names is None else names[few[0]]
        raise InputError(
            f"class {name} has {count_of(int(points[few[0]]), 'checked point')}, and 2 are needed to know how sure its "
            "share is; check more of its points."
        )
    weights = np.where(strata, mapped / mapped.sum(), 0)
    rates = np.divide(counts, points[:, None], out=np.zeros_like(counts), where=strata[:, None])
    proportions = weights[:, None] * rates
    sampled = strata & (points < mapped)  # else there is nothing that was not looked at
    less_one = np.where(sampled, points - 1, np.inf)
    variances = rates * (1 - rates) / less_one[:, None]  # of the rates
    right = np.diag(rates)
    shares = proportions.sum(0)
    users = np.where(strata, right, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        producers = np.diag(proportions) / shares
        own = (1 - producers) ** 2 * weights**2 * np.diag(variances)
        others = producers**2 * ((weights**2)[:, None] * variances * (1 - np.eye(len(mapped)))).sum(0)
        producers_variance = (own + others) / shares**2
    return AreaEstimate(
        float((weights * right).sum()),
        NORMAL_95 * float(np.sqrt((weights**2 * np.diag(variances)).sum())),
        users,
        NORMAL_95 * np.sqrt(np.where(strata, np.diag(variances), np.nan)),
        producers,
        NORMAL_95 * np.sqrt(producers_variance),
        shares,
        NORMAL_95 * np.sqrt(((weights**2)[:, None] * variances).sum(0)),
    )


def allocate_points(mapped: ArrayLike, total: int, least: int | None = None) -> NDArray[np.int64]:
    """Share the points of a sample among the mapped classes: in proportion to area, with a least number for each.

    Parameters
    ----------
    mapped : array_like of int [C]
        Mapped px of each class.
    total : int
        Number of points. Where the least numbers exceed it, there are more.
    least : int or None, optional
        Least number of points for each mapped class, as far as it has px. None takes ``least_points``.

    Returns
    -------
    ndarray of int64 [C]
        Number of points in each class, 0 where a class is not mapped.

    Raises
    ------
    InputError
        Nothing is mapped.
    """
    mapped = np.asarray(mapped, np.int64)
    if not mapped.sum():
        raise InputError("nothing is mapped yet, so that no points can be drawn; segment the image first.")
    if least is None:
        least = least_points(total, int(np.count_nonzero(mapped)))
    points = np.minimum(np.where(mapped > 0, least, 0), mapped)
    rest = max(0, total - int(points.sum()))
    # What the least numbers leave goes to the classes that lie below their proportion.
    wanted = np.maximum(mapped / mapped.sum() * total - points, 0)
    if rest and wanted.sum() > 0:
        exact = wanted / wanted.sum() * rest
        more = np.floor(exact).astype(np.int64)
        order = np.argsort(more - exact, kind="stable")
        more[order[: rest - int(more.sum())]] += 1
        points = np.minimum(points + more, mapped)
    return points
