"""Kinds of errors equal what they are by definition, pixel by pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fctl_napari.evaluation.error_types import (
    BOTH_WRONG,
    COLOR_BLIND,
    CONFUSED,
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    FIRST_RIGHT,
    HIGHLIGHTED,
    NOT_JUDGED,
    NOTHING,
    PAPER,
    SECOND_RIGHT,
    by_table,
    comparison_kinds,
    confusion_table,
    difference_kinds,
    error_table,
    pair_table,
)

CLASSES = st.sampled_from([0, 1, 2, 3, 249, 255])
PIXELS = st.lists(st.tuples(CLASSES, CLASSES, CLASSES), min_size=1, max_size=40)


def columns(pixels: list[tuple[int, int, int]]) -> list[np.ndarray]:
    return list(np.array(pixels, np.uint8).T.copy())


@settings(max_examples=60, deadline=None)
@given(pixels=PIXELS, positive=st.sampled_from([None, 0, 1, 3]), background=st.sampled_from([None, 0, 2]))
def test_errors_are_misses_and_false_finds(
    pixels: list[tuple[int, int, int]], positive: int | None, background: int | None
) -> None:
    ground_truth, predicted, other = columns(pixels)
    found = by_table(error_table(positive, background))(ground_truth, predicted, other)
    for was, says, kind in zip(ground_truth.tolist(), predicted.tolist(), found.tolist(), strict=True):
        if was == says or 255 in (was, says):
            expected = NOTHING
        elif positive is None:
            expected = FALSE_NEGATIVE if says == background else FALSE_POSITIVE if was == background else CONFUSED
        else:
            expected = FALSE_NEGATIVE if was == positive else FALSE_POSITIVE if says == positive else NOTHING
        assert kind == expected


@settings(max_examples=60, deadline=None)
@given(pixels=PIXELS, only=st.sampled_from([None, 0, 2]), pair=st.tuples(CLASSES, CLASSES))
def test_confusions_and_pairs(pixels: list[tuple[int, int, int]], only: int | None, pair: tuple[int, int]) -> None:
    ground_truth, predicted, other = columns(pixels)
    wrong = (ground_truth != predicted) & (ground_truth != 255) & (predicted != 255)
    if only is not None:
        wrong &= ground_truth == only
    found = by_table(confusion_table(only))(ground_truth, predicted, other)
    assert np.array_equal(found, np.where(wrong, predicted.astype(int) + 1, NOTHING))
    lit = by_table(pair_table(*pair))(ground_truth, predicted, other)
    assert np.array_equal(lit, np.where((ground_truth == pair[0]) & (predicted == pair[1]), HIGHLIGHTED, NOTHING))


@settings(max_examples=60, deadline=None)
@given(pixels=PIXELS)
def test_who_is_right(pixels: list[tuple[int, int, int]]) -> None:
    for (ground_truth, first, second), kind in zip(pixels, comparison_kinds(*columns(pixels)).tolist(), strict=True):
        if first == second or 255 in (first, second):
            assert kind == NOTHING
        elif ground_truth == 255:
            assert kind == NOT_JUDGED
        else:
            assert kind == {first: FIRST_RIGHT, second: SECOND_RIGHT}.get(ground_truth, BOTH_WRONG)


def test_colors() -> None:
    assert (PAPER.false_negative, PAPER.false_positive) == ((0, 0, 255), (255, 0, 0))
    # Okabe and Ito's blue, vermillion and reddish purple
    assert COLOR_BLIND.false_negative == (0, 114, 178)
    assert COLOR_BLIND.false_positive == (213, 94, 0)
    assert COLOR_BLIND.confused == (204, 121, 167)


def test_differences_have_the_first_one_s_class():
    first, second = np.array([0, 1, 2, 255, 1], np.uint8), np.array([0, 2, 255, 1, 0], np.uint8)
    assert difference_kinds(first, first, second).tolist() == [0, 2, 0, 0, 2]
