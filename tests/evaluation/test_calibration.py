from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fctl_napari.evaluation.calibration import Calibration


def plain_ece(levels: np.ndarray, right: np.ndarray, bins: int) -> float:
    """ECE pixel by pixel, with exact comparisons: a level's confidence is level / 255."""
    gaps = 0.0
    for m in range(bins):
        inside = (levels * bins > 255 * m) & (levels * bins <= 255 * (m + 1))
        if inside.any():
            gaps += abs(right[inside].mean() - (levels[inside] / 255).mean()) * inside.sum()
    return gaps / len(levels)


@given(seed=st.integers(0, 2**31), bins=st.integers(1, 40), size=st.integers(1, 3000))
@settings(deadline=None)
def test_ece_equals_the_plain_computation(seed: int, bins: int, size: int) -> None:
    random = np.random.default_rng(seed)
    levels = random.integers(1, 256, size)
    right = random.random(size) < levels / 300
    calibration = Calibration(np.bincount(levels, minlength=256), np.bincount(levels[right], minlength=256))
    assert calibration.ece(bins) == pytest.approx(plain_ece(levels, right, bins), abs=1e-12)
    found = calibration.reliability(bins)
    assert found.pixels.sum() == size
    filled = found.pixels > 0
    assert (found.confidence[filled] > found.edges[:-1][filled] - 1e-12).all()
    assert (found.confidence[filled] <= found.edges[1:][filled] + 1e-12).all()


def test_nothing_measured() -> None:
    empty = np.zeros(256, np.int64)
    assert math.isnan(Calibration(empty, empty).ece())
    unknown = empty.copy()
    unknown[0] = 9  # pixels without a confidence
    assert math.isnan(Calibration(unknown, unknown).ece())
