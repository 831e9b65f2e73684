"""What several people painted, put together: what is new, what agrees, what contradicts."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from helpers_corrections import SHAPE, TABLE, blank, with_author
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fctl_napari.correcting import merge as correction_merge
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.merge import MergeReport, Policy, merge
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import ClassTable

Stroke = tuple[int, int, int, int, int]
NAMES = {1: "sea", 2: "wood", 3: "town", 255: "not sure"}


@pytest.fixture(scope="module")
def new_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    folder, numbers = tmp_path_factory.mktemp("merge"), itertools.count()
    return lambda: folder / f"{next(numbers)}.ome.zarr"


def make(path: Path, author: str, strokes: list[Stroke]) -> Corrections:
    with Corrections.create(path, blank(), TABLE) as corrections:
        for number, (y, x, height, width, value) in enumerate(strokes):
            block = np.full((min(height, SHAPE[0] - y), min(width, SHAPE[1] - x)), value, np.uint8)
            corrections.write(y, x, block, mask=np.ones(block.shape, bool), author=f"{author} {number % 2}")
    return Corrections.open(path)


strokes = st.lists(
    st.tuples(
        st.integers(0, SHAPE[0] - 1),
        st.integers(0, SHAPE[1] - 1),
        st.integers(1, 700),
        st.integers(1, 400),
        st.sampled_from([1, 2, 3, 255]),
    ),
    max_size=4,
)


@settings(max_examples=12, deadline=None)
@given(mine=strokes, theirs=strokes, policy=st.sampled_from(["mine", "theirs", "not sure"]))
def test_a_merge_is_pixel_by_pixel_what_the_policy_says(
    new_path: Callable[[], Path], mine: list[Stroke], theirs: list[Stroke], policy: Policy
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correction_merge, "BLOCK", 512)  # several blocks
        other = make(new_path(), "bob", theirs)
        path = make(new_path(), "ann", mine).path
        with Corrections.open(path, "r+") as into:
            before, there = with_author(into), with_author(other)
            report = merge(into, [other], policy=policy)
            after = with_author(into)
            again = merge(into, [other], policy=policy)
            np.testing.assert_array_equal(with_author(into), after)
            if report.stroke is not None:
                assert again.stroke is None
                assert into.undo() is not None
                np.testing.assert_array_equal(with_author(into), before)
    clash = (before[0] != 0) & (there[0] != 0) & (before[0] != there[0])
    new = (before[0] == 0) & (there[0] != 0)
    taken = new | (clash if policy != "mine" else False)
    expected = np.where(taken, there, before)
    if policy == "not sure":
        expected[0][clash] = 255
        changed = clash & (before[0] != 255)
        expected[1] = np.where(clash & ~changed, before[1], expected[1])
    np.testing.assert_array_equal(after, expected)
    assert report.added == {NAMES[v]: n for v in NAMES if (n := int((there[0][new] == v).sum()))}
    assert report.agreed == int(((before[0] == there[0]) & (before[0] != 0)).sum())
    labels, count = ndimage.label(clash)
    points = [tuple(np.argwhere(labels == number)[0].tolist()) for number in range(1, count + 1)]
    boxes = [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in ndimage.find_objects(labels)]
    assert [(c.point, c.window) for c in report.conflicts] == sorted(zip(points, boxes, strict=True))
    for conflict in report.conflicts:
        inside = labels == labels[conflict.point]
        assert conflict.pixels == inside.sum()
        assert conflict.mine == {NAMES[v]: n for v in NAMES if (n := int((before[0][inside] == v).sum()))}
        assert conflict.theirs == {NAMES[v]: n for v in NAMES if (n := int((there[0][inside] == v).sum()))}
    assert report.policy == policy


def test_several_are_taken_one_after_the_other(new_path: Callable[[], Path]) -> None:
    bob = make(new_path(), "bob", [(0, 0, 50, 50, 1)])
    cem = make(new_path(), "cem", [(25, 0, 50, 50, 2), (900, 0, 10, 10, 255)])
    seen: list[tuple[int, int]] = []
    with Corrections.create(new_path(), blank(), TABLE) as into:
        report = merge(into, [bob, cem], progress=lambda done, total: seen.append((done, total)))
        assert report.added == {"sea": 2500, "wood": 1250, "not sure": 100}
        (conflict,) = report.conflicts
        assert (conflict.source, conflict.window) == (str(cem.path), (25, 0, 50, 50))
        assert (conflict.mine, conflict.theirs) == ({"sea": 1250}, {"wood": 1250})
        assert into.regions()[0].authors == {"bob 0": 2500, "cem 0": 1250}
        assert report.stroke is not None
        assert (report.stroke.pixels, report.stroke.kind) == (3850, "merge")
        assert into.undo() is not None
        assert into.regions() == [], "a merge is undone as one"
    assert seen == [(1, 2), (2, 2)]
    assert json.dumps(asdict(report))


def test_others_are_refused_before_anything_is_taken(new_path: Callable[[], Path]) -> None:
    bob = make(new_path(), "bob", [(0, 0, 50, 50, 1)])
    elsewhere = Corrections.create(new_path(), blank(seed=1), TABLE)
    with Corrections.create(new_path(), blank(), TABLE) as into:
        with pytest.raises(InputError, match="another image"):
            merge(into, [bob, elsewhere])
        assert merge(into, []) == MergeReport()
        assert into.regions() == []
    elsewhere.close()


def test_classes_of_others_are_found_by_their_names_and_added(new_path: Callable[[], Path]) -> None:
    bob = make(new_path(), "bob", [(0, 0, 50, 50, 1), (100, 0, 10, 10, 2)])  # sea, wood
    names = ("unused", "moor", "wood", "sea")
    table = ClassTable.model_validate({"classes": [{"name": n, "color": (k, 0, 9)} for k, n in enumerate(names)]})
    with Corrections.create(new_path(), blank(), table) as cem:
        cem.write(0, 0, np.full((25, 50), 4, np.uint8), author="cem")  # sea
        cem.write(25, 0, np.full((25, 50), 3, np.uint8), author="cem")  # wood
        cem.write(500, 0, np.full((5, 50), 2, np.uint8), author="cem")  # moor
    with Corrections.create(new_path(), blank(), TABLE) as into:
        report = merge(into, [bob, Corrections.open(cem.path)])
        assert into.class_table.names == ("sea", "wood", "town", "moor"), "what is not painted is not added"
        assert report.added == {"sea": 2500, "wood": 100, "moor": 250}
        assert report.agreed == 1250
        (conflict,) = report.conflicts
        assert (conflict.mine, conflict.theirs) == ({"sea": 1250}, {"wood": 1250})
        assert into.area_by_class() == {"sea": 2500, "wood": 100, "town": 0, "moor": 250, "not sure": 0}
