from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fctl_napari.finetuning.gate import BeforeAfter, Count, judge

NAMES = ("a", "b")


def figures(right=None, same=None):
    """Of 100 px, so many right and so many called as by the parent."""
    count = Count(np.zeros((2, 2), np.int64), tiles=1)
    if right is not None:
        count.matrix[:] = [[right, 100 - right], [0, 100]]
    if same is not None:
        count.same, count.pixels = same, 100
    return count.figures(NAMES)


def card(held_out=None, scene=None, training=None, truth=None):
    before, after = {}, {}
    for part, values in (("held_out", held_out), ("truth", truth)):
        if values:
            before[part], after[part] = (figures(right=v) for v in values)
    for part, same in (("scene", scene), ("training", training)):
        if same is not None:
            before[part], after[part] = figures(same=100), figures(same=same)
    return BeforeAfter(before, after)


@pytest.mark.parametrize(
    ("given", "keep"),
    [
        (card(held_out=(20, 60), scene=95), True),
        (card(held_out=(20, 60), scene=89), False),
        (card(held_out=(20, 60), scene=95, training=80), False),
        (card(held_out=(60, 60), scene=99), False),
        (card(held_out=(60, 20), scene=99), False),
        (card(scene=99), False),  # nothing to judge by
        (card(scene=99, truth=(20, 60)), True),
        (card(scene=99, truth=(60, 20)), False),
        (card(held_out=(20, 60), truth=(60, 20)), True),  # held-out corrections decide where there are any
    ],
)
def test_the_gate(given, keep):
    verdict = judge(given, 0.1)
    assert verdict.keep is keep
    assert verdict.reasons
    assert all(reason.endswith(".") for reason in verdict.reasons)


def test_figures_are_for_json_and_for_a_line():
    given = card(held_out=(20, 60), scene=95)
    kept = json.loads(json.dumps(given.to_json(), allow_nan=False))
    assert kept["after"]["scene"] == {"tiles": 1, "agreement": 0.95}
    before, after = given.miou("held_out")
    assert BeforeAfter.line(kept) == (
        f"mIoU on held-out corrections {before:.3f} -> {after:.3f}; the scene away from corrections 95.0 % as before"
    )
    assert math.isnan(given.miou("truth")[0])
    assert math.isnan(given.agreement("training"))
