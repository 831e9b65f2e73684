"""The probability of painted classes on held-out corrections, and the interval of its change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fctl_napari.finetuning.judging.evidence import BLOCK, FEWEST, SYSTEMATIC, ClassProbability, Gain, gain_of

TILE = 4 * BLOCK


def probability_of(painted: NDArray[np.uint8], p: NDArray[np.float32], corner: Any = (0, 0)) -> ClassProbability:
    found = ClassProbability()
    found.add(0, corner, painted, p)
    return found


def drawn(seed: int, shift: float = 0.0) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Painted classes of a tile, with probabilities of three classes before and after."""
    rng = np.random.default_rng(seed)
    painted = np.kron(rng.integers(0, 4, (8, 8)), np.ones((TILE // 8, TILE // 8))).astype(np.uint8)
    before = rng.dirichlet([1, 1, 1], (TILE, TILE)).transpose(2, 0, 1).astype(np.float32)
    by_block = np.kron(rng.normal(shift, 0.1, (4, 4)), np.ones((BLOCK, BLOCK)))
    return painted, before, np.clip(before + by_block, 0, 1).astype(np.float32)


@given(st.integers(0, 1000), st.floats(-0.2, 0.2))
def test_the_gain_is_the_mean_over_classes_and_its_interval_holds_it(seed: int, shift: float) -> None:
    painted, before, after = drawn(seed, shift)
    gain = gain_of(probability_of(painted, before), probability_of(painted, after))
    expected = [np.mean([p[k - 1][painted == k].mean() for k in np.unique(painted) if k]) for p in (before, after)]
    assert gain is not None
    assert (gain.before, gain.after) == pytest.approx(expected, abs=1e-5)
    assert gain.low <= gain.change <= gain.high


def test_tiles_that_share_a_block_add_up_to_it() -> None:
    painted, before, after = drawn(3)
    whole = gain_of(probability_of(painted, before), probability_of(painted, after))
    halves = []
    for p in (before, after):
        found = ClassProbability()
        for part in (slice(0, 40), slice(40, TILE)):
            found.add(0, (0, part.start), painted[:, part], p[:, :, part])
        halves.append(found)
    assert gain_of(*halves) == whole


def test_more_strokes_make_a_change_surer() -> None:
    """Of blocks that differ as much from each other, the mean of sixteen times as many is four times as sure."""
    rng = np.random.default_rng(0)
    widths = []
    for side in (4, 16):
        painted = np.ones((side * BLOCK, side * BLOCK), np.uint8)
        before = np.full((1, *painted.shape), 0.5, np.float32)
        change = np.kron(rng.normal(0.02, 0.1, (side, side)), np.ones((BLOCK, BLOCK))).astype(np.float32)
        gain = gain_of(probability_of(painted, before), probability_of(painted, before + change))
        assert gain is not None
        widths.append(gain.high - gain.low)
    assert 2.5 < widths[0] / widths[1] < 6


def test_nothing_painted_is_no_evidence() -> None:
    nothing = np.zeros((TILE, TILE), np.uint8)
    p = np.full((2, TILE, TILE), 0.5, np.float32)
    assert gain_of(probability_of(nothing, p), probability_of(nothing, p)) is None


@given(st.floats(-0.5, 0.9), st.floats(0, 0.3), st.integers(1, 4), st.integers(1, 9))
def test_the_parent_is_trusted_less_the_surer_the_gain(low: float, more: float, classes: int, blocks: int) -> None:
    gain = Gain(0.3, 0.3 + low, low, low + 0.1, classes, blocks)
    other = Gain(0.3, 0.3 + low + more, low + more, low + more + 0.1, classes, blocks)
    assert 0 <= other.trust <= gain.trust <= 1
    if classes == 1 or blocks < FEWEST or low <= SYSTEMATIC[0]:
        assert gain.trust == 1
    elif low >= SYSTEMATIC[1]:
        assert gain.trust == 0


@pytest.mark.parametrize(("p", "rose"), [(0.34, False), (0.55, True)])
def test_two_dots_say_little(p: float, rose: bool) -> None:
    """One block of each class says nothing of the spread: much has to change, and the parent stays trusted."""
    painted = np.zeros((TILE, TILE), np.uint8)
    painted[4, 4], painted[-4, -4] = 1, 2
    sides = [np.full((2, TILE, TILE), value, np.float32) for value in (0.3, p)]
    gain = gain_of(*(probability_of(painted, side) for side in sides))
    assert gain is not None
    assert gain.low > 0
    assert gain.rose is rose
    assert gain.trust == 1
