"""Areas with confidence intervals: the published example, and estimators that are right on average."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fctl_napari.evaluation.points.area_estimation import allocate_points, estimate_areas
from fctl_napari.evaluation.points.point_sample import count_classes, draw_points
from fctl_napari.exceptions import InputError

COUNTS = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
MAPPED = [200_000, 150_000, 3_200_000, 6_450_000]
"""Tables 8 and 9 of Olofsson et al. 2014: deforestation, forest gain, stable forest, stable non-forest; px of 30 m."""


class Map:
    """Labels in memory."""

    def __init__(self, values: np.ndarray, chunk: int = 16) -> None:
        self.values = values
        self.chunk = chunk
        self.shape = values.shape

    def read(self, window: tuple[int, int, int, int]) -> np.ndarray:
        y0, x0, y1, x1 = window
        return self.values[y0:y1, x0:x1]


def test_the_published_example() -> None:
    found = estimate_areas(COUNTS, MAPPED)
    hectares = sum(MAPPED) * 0.09
    assert found.shares * hectares == pytest.approx([21_158, 11_686, 285_770, 581_386], rel=1e-3)
    assert found.shares_half_width * hectares == pytest.approx([6_158, 3_756, 15_510, 16_282], rel=1e-3)
    assert found.users == pytest.approx([0.88, 0.73, 0.93, 0.96], abs=0.005)
    assert found.users_half_width == pytest.approx([0.07, 0.10, 0.04, 0.02], abs=0.005)
    assert found.producers == pytest.approx([0.75, 0.85, 0.93, 0.96], abs=0.005)
    assert found.overall == pytest.approx(0.95, abs=0.005)
    assert found.overall_half_width == pytest.approx(0.02, abs=0.005)


def test_intervals_of_producers_accuracies_are_those_of_a_linear_approximation() -> None:
    weights, points = np.array(MAPPED) / sum(MAPPED), np.sum(COUNTS, 1)
    rates = np.array(COUNTS) / points[:, None]

    def producers(change: np.ndarray) -> np.ndarray:
        proportions = weights[:, None] * (rates + change)
        return np.diag(proportions) / proportions.sum(0)

    variances = np.zeros(4)
    for i, j in np.ndindex(4, 4):
        step = np.zeros((4, 4))
        step[i, j] = 1e-6
        slope = (producers(step) - producers(-step)) / 2e-6
        variances += slope**2 * rates[i, j] * (1 - rates[i, j]) / (points[i] - 1)
    found = estimate_areas(COUNTS, MAPPED).producers_half_width
    assert found == pytest.approx(1.959964 * np.sqrt(variances), rel=1e-4)


def test_a_class_that_is_nowhere_has_no_share() -> None:
    found = estimate_areas([[9, 1, 0], [2, 8, 0], [0, 0, 0]], [50, 50, 0])
    assert found.shares[2] == 0
    assert np.isnan(found.users[2])
    assert np.isnan(found.producers[2])
    assert found.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([[1, 0], [0, 9]], "class a has 1 checked point, and 2 are needed"),
        ([[9, 0], [0, 0]], "class b has 0 checked points, and 2 are needed"),
    ],
)
def test_too_few_points_are_refused(counts: list[list[int]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        estimate_areas(counts, [50, 50], ["a", "b"])


def test_a_class_of_which_every_px_is_checked_has_no_error_of_sampling() -> None:
    found = estimate_areas([[0, 1], [0, 9]], [1, 99])  # one px of a class, and 2 points are not to be had
    assert found.shares == pytest.approx([0, 1])
    assert found.shares_half_width.tolist() == [0, 0]
    assert estimate_areas([[9, 0], [0, 9]], [50, 50]).overall == 1


def test_points_of_another_map_are_refused() -> None:
    with pytest.raises(InputError, match="draw the points on this map"):
        estimate_areas([[9, 0], [0, 9]], [50, 0])


@settings(max_examples=60, deadline=None)
@given(
    mapped=st.lists(st.integers(0, 10**9), min_size=1, max_size=8).filter(any),
    total=st.integers(0, 2000),
    least=st.integers(0, 100),
)
def test_each_class_gets_its_least_number_and_the_rest_by_area(mapped: list[int], total: int, least: int) -> None:
    points = allocate_points(mapped, total, least)
    assert (points <= mapped).all()
    assert (points >= np.minimum(least, mapped)).all()
    floor = np.minimum(np.where(np.array(mapped) > 0, least, 0), mapped).sum()
    assert points.sum() <= max(total, floor)
    if min(one for one in mapped if one) >= total + least:
        assert points.sum() == max(total, floor)


def test_nothing_mapped_is_refused() -> None:
    with pytest.raises(InputError, match="segment the image first"):
        allocate_points([0, 0], 100)


def test_points_lie_on_their_class_and_each_px_has_the_same_chance() -> None:
    values = np.zeros((60, 90), np.uint8)
    values[:, :30], values[:20, 30:], values[50:, 80:] = 1, 2, 3
    counts = count_classes(Map(values), 3)
    assert counts.mapped.tolist() == [1800, 1200, 100]
    hits = np.zeros(values.shape)
    for seed in range(300):
        points = draw_points(Map(values), counts, 60, least=10, seed=seed)
        y, x, label = points.T
        assert (values[y, x] == label + 1).all()
        assert len(np.unique(points[:, :2], axis=0)) == len(points)
        hits[y, x] += 1
    wanted = allocate_points(counts.mapped, 60, 10)
    for k, area in enumerate(counts.mapped):
        rate = 300 * wanted[k] / area
        drawn = hits[values == k + 1]
        assert drawn.mean() == pytest.approx(rate)
        assert drawn.var() < 2 * rate  # about binomial: no px is favored
    again = draw_points(Map(values), counts, 60, least=10, seed=299)
    assert np.array_equal(again, points)


def test_intervals_hold_the_true_area_nineteen_times_in_twenty() -> None:
    generator = np.random.default_rng(1)
    true = generator.choice(3, (200, 200), p=[0.6, 0.3, 0.1]).astype(np.uint8)
    wrong = generator.random(true.shape) < 0.2
    mapped = np.where(wrong, generator.choice(3, true.shape), true).astype(np.uint8)
    counts = count_classes(Map(mapped + np.uint8(1)), 3)
    shares = np.bincount(true.ravel(), minlength=3) / true.size
    held = np.zeros(3)
    for seed in range(200):
        y, x, label = draw_points(Map(mapped + np.uint8(1)), counts, 300, least=50, seed=seed).T
        table = np.zeros((3, 3), int)
        np.add.at(table, (label, true[y, x]), 1)
        found = estimate_areas(table, counts.mapped)
        held += np.abs(found.shares - shares) <= found.shares_half_width
    assert (held / 200 > 0.88).all()
