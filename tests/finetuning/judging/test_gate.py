from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fctl_napari.finetuning.judging.evidence import BLOCK, ClassProbability
from fctl_napari.finetuning.judging.gate import BeforeAfter, Count, Figures, judge

NAMES = ("a", "b")


def figures(right=None, same=None, painted=None, doubt=None):
    """Of 100 px, so many right and so many called as by the parent; the probability of the painted class, in %."""
    count = Count(np.zeros((2, 2), np.int64), tiles=1)
    if right is not None:
        count.matrix[:] = [[right, 100 - right], [0, 100]]
    if same is not None:
        count.same, count.pixels = same, 100
        count.uncertainty = doubt
    if painted is not None:
        count.probability = ClassProbability()
        p = np.full((2, BLOCK, 3 * BLOCK), painted / 100, np.float32)
        count.probability.add(0, (0, 0), np.ones((BLOCK, 3 * BLOCK), np.uint8), p)
    return count.figures(NAMES)


def card(held_out=None, scene=None, training=None, ground_truth=None, doubt=None):
    before, after = {}, {}
    if held_out:
        before["held_out"], after["held_out"] = (figures(right=50, painted=v) for v in held_out)
    if ground_truth:
        before["truth"], after["truth"] = (figures(right=v) for v in ground_truth)
    for part, same in (("scene", scene), ("training", training)):
        if same is not None:
            before[part] = figures(same=100, doubt=doubt if part == "scene" else None)
            after[part] = figures(same=same)
    return BeforeAfter(before, after)


@pytest.mark.parametrize(
    ("given", "keep"),
    [
        (card(held_out=(20, 60), scene=95), True),
        (card(held_out=(20, 60), scene=89), False),
        (card(held_out=(20, 60), scene=89, doubt=5), False),  # the parent is sure of the scene
        (card(held_out=(20, 60), scene=89, doubt=30), True),  # where it is not, more may change
        (card(held_out=(20, 60), scene=65, doubt=30), False),
        (card(held_out=(20, 60), scene=95, training=80, doubt=30), False),
        (card(held_out=(20, 60), scene=95, training=80), False),
        (card(held_out=(60, 60), scene=99), False),
        (card(held_out=(60, 60.3), scene=99), False),  # sure, and of no use
        (card(held_out=(60, 61), scene=99), True),
        (card(held_out=(60, 20), scene=99), False),
        (card(scene=99), False),  # nothing to judge by
        (card(scene=99, ground_truth=(20, 60)), True),
        (card(scene=99, ground_truth=(60, 20)), False),
        (card(held_out=(20, 60), ground_truth=(60, 20)), True),  # held-out corrections decide where there are any
    ],
)
def test_the_gate(given, keep):
    gate_result = judge(given, None)
    assert gate_result.keep is keep
    assert gate_result.reasons
    assert all(reason.endswith(".") for reason in gate_result.reasons)


def test_a_bound_that_is_stated_holds():
    given = card(held_out=(20, 60), scene=89, doubt=30)
    assert not judge(given, 0.1).keep
    assert judge(given, 0.2).keep
    assert "the bound of 10 %." in judge(given, 0.1).reasons[1]


def test_what_is_not_measured_elsewhere_is_said():
    result = judge(card(held_out=(20, 60)), None)
    assert result.keep
    assert result.reasons[1:] == ("No tile lies away from the corrections, so it is not known how much changes there.",)
    assert len(judge(card(held_out=(20, 60), scene=95), None).reasons) == 2


def test_figures_are_for_json_and_for_a_line():
    given = card(held_out=(20, 60), scene=95, doubt=30)
    kept = json.loads(json.dumps(given.to_json(), allow_nan=False))
    assert kept["before"]["scene"] == {"tiles": 1, "agreement": 1.0, "uncertainty": 0.3}
    assert kept["after"]["scene"] == {"tiles": 1, "agreement": 0.95}
    assert kept["gain"] == pytest.approx(
        {"before": 0.2, "after": 0.6, "low": 0.4, "high": 0.4, "classes": 1, "blocks": 3}
    )
    before, after = given.miou("held_out")
    assert BeforeAfter.line(kept) == (
        f"mIoU on held-out corrections {before:.3f} -> {after:.3f}; the scene away from corrections 95.0 % as before"
    )
    assert math.isnan(given.miou("truth")[0])
    assert math.isnan(given.agreement("training"))


def test_reasons_name_the_interval_and_the_larger_bound():
    reasons = judge(card(held_out=(20, 60), scene=89, doubt=30), None).reasons
    assert reasons == (
        "The probability of the painted class on held-out corrections rose: 0.200 before, 0.600 after (90 % interval "
        "of the change +0.400 to +0.400).",
        "On the scene away from corrections 11.0 % of the px changed, which is within the bound of 30 % (more than "
        "usual, as the network before is unsure of the image).",
    )


@pytest.mark.parametrize(("classes", "keep"), [(1, False), (2, True)])
def test_more_may_change_where_corrections_of_several_classes_surely_gain(classes, keep):
    """A network that finds one class everywhere gains on it, too."""
    sides = []
    for p, same in ((0.2, 100), (0.6, 60)):
        painted = ClassProbability()
        values = np.ones((BLOCK, 6 * BLOCK), np.uint8)
        values[:, 3 * BLOCK :] = classes
        painted.add(0, (0, 0), values, np.full((2, *values.shape), p, np.float32))
        sides.append({"held_out": Figures(None, None, 1, painted), "scene": figures(same=same)})
    result = judge(BeforeAfter(*sides), None)
    assert result.keep is keep
    assert ("of which any number may" in result.reasons[1]) is keep


def test_a_change_that_is_not_sure_is_not_kept():
    """Of four blocks with changes on both sides of 0, the mean may as well be below it."""
    sides = []
    for changes in ((0, 0, 0, 0), (30, -20, 20, -15)):
        painted = ClassProbability()
        p = np.kron(np.array([changes]), np.ones((BLOCK, BLOCK))).astype(np.float32) / 100 + 0.5
        painted.add(0, (0, 0), np.ones(p.shape, np.uint8), p[None])
        sides.append({"held_out": Figures(None, None, 1, painted)})
    result = judge(BeforeAfter(*sides), 0.1)
    assert not result.keep
    assert "did not rise for sure: 0.500 before, 0.538 after" in result.reasons[0]


def test_each_image_is_trusted_by_its_own_corrections():
    sides = []
    for shares in ((0.2, 0.5), (0.7, 0.5)):  # the first image is learned, the second stays
        painted = ClassProbability()
        values = np.ones((BLOCK, 6 * BLOCK), np.uint8)
        values[:, 3 * BLOCK :] = 2
        for source, p in enumerate(shares):
            painted.add(source, (0, 0), values, np.full((2, *values.shape), p, np.float32))
        sides.append({"held_out": Figures(None, None, 1, painted)})
    found = BeforeAfter(*sides)
    assert found.trust == pytest.approx({0: 0, 1: 1})
    assert found.mean_trust == pytest.approx(0.5)
    assert found.bound() == pytest.approx(1 - 0.5 * 0.9)
