from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label, regionprops

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.regions import CorrectedBox
from fctl_napari.finetuning.correction_sources import LabelCorrections, open_corrections
from fctl_napari.finetuning.targets import APART, join_near, meet, only, split, target_of
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.model_card import Card
from fctl_napari.model.presets import preset

sides = st.integers(1, 60)
boxes = st.lists(
    st.tuples(st.integers(0, 900), st.integers(0, 900), sides, sides).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
    ),
    max_size=12,
)


class Array:
    """Corrections in memory."""

    def __init__(self, values):
        self.values = values
        self.shape = values.shape

    def read(self, window):
        y0, x0, y1, x1 = window
        out = np.zeros((y1 - y0, x1 - x0), np.uint8)
        ys, xs = np.arange(y0, y1), np.arange(x0, x1)
        inside_y, inside_x = (ys >= 0) & (ys < self.shape[0]), (xs >= 0) & (xs < self.shape[1])
        out[np.ix_(inside_y, inside_x)] = self.values[np.ix_(ys[inside_y], xs[inside_x])]
        return out

    def boxes(self):
        return [r.bbox for r in regionprops(label(self.values > 0, connectivity=1))]


@given(boxes, st.floats(0.05, 0.95), st.integers(0, 99))
def test_no_region_is_on_both_sides_and_none_is_near_the_other_side(found, share, seed):
    parted = split(found, share, seed)
    assert sorted(parted.training + parted.held_out) == sorted(found)
    for a in parted.training:
        wide = (a[0] - APART, a[1] - APART, a[2] + APART, a[3] + APART)
        assert not any(meet(wide, b) for b in parted.held_out)
    groups = join_near(found, APART)
    if len(groups) > 1:
        assert parted.training
        assert parted.held_out
        assert not parted.note
    assert split(found, share, seed) == parted


def test_one_region_is_not_held_out_and_that_is_said():
    parted = split([(0, 0, 10, 10), (0, 12, 10, 20)], 0.5, 0)
    assert (len(parted.training), parted.held_out) == (2, ())
    assert "one region" in parted.note
    assert split([(0, 0, 10, 10), (500, 500, 510, 510)], 0, 0).held_out == ()


@given(st.integers(0, 2**31), st.tuples(st.integers(-20, 50), st.integers(-20, 60)), boxes)
@settings(max_examples=50, deadline=None)
def test_targets_are_what_was_painted_without_what_is_hidden(seed, corner, hidden):
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 1, 2, 255], (50, 70)).astype(np.uint8)
    window = (*corner, corner[0] + 32, corner[1] + 32)
    found = target_of(Array(values), window, hidden)
    for i in range(0, 32, 5):
        for j in range(0, 32, 5):
            y, x = corner[0] + i, corner[1] + j
            outside = not (0 <= y < 50 and 0 <= x < 70)
            if outside or (values[y, x] and any(b[0] <= y < b[2] and b[1] <= x < b[3] for b in hidden)):
                assert found[i, j] == 255
            else:
                assert found[i, j] == values[y, x]
    kept = only(found, window, hidden)
    inside = np.zeros((200, 200), bool)
    for y0, x0, y1, x1 in hidden:
        inside[y0 + 50 : y1 + 50, x0 + 50 : x1 + 50] = True
    mask = inside[corner[0] + 50 : corner[0] + 82, corner[1] + 50 : corner[1] + 82]
    assert np.array_equal(kept, np.where(mask, found, 0))


@pytest.mark.parametrize("seed", range(3))
def test_boxes_of_a_label_image_are_those_of_its_connected_regions(tmp_path, seed):
    rng = np.random.default_rng(seed)
    values = np.kron(rng.choice([0, 0, 0, 1, 2, 255], (20, 30)), np.ones((13, 13))).astype(np.uint8)
    labels = LabelPyramid.create(tmp_path / "c.ome.zarr", values.shape, chunk=64)
    labels.write(0, 0, values)
    found = LabelCorrections(labels)
    assert found.boxes() == sorted(Array(values).boxes())
    assert found.shape == values.shape
    assert np.array_equal(found.read((5, 7, 99, 120)), values[5:99, 7:120])


def painted_boxes(*classes: str) -> list[CorrectedBox]:
    """Regions far from each other; of each the classes, one letter each."""
    return [CorrectedBox((0, 100 * i, 20, 100 * i + 20), each) for i, each in enumerate(classes)]


@given(st.lists(st.text("rgb", max_size=3), min_size=1, max_size=12), st.floats(0.05, 0.95), st.integers(0, 99))
def test_every_class_is_learnt_and_what_names_none_judges_nothing(classes, share, seed):
    found = painted_boxes(*classes)
    parted = split(found, share, seed)
    assert sorted(parted.training + parted.held_out) == sorted(found)
    assert {name for box in parted.training for name in box.classes} == {name for box in found for name in box.classes}
    assert all(box.classes for box in parted.held_out)
    if any(classes):
        assert any(box.classes for box in parted.training)
    assert split(found, share, seed) == parted
    named = [each for each in classes if each]
    regions = {name: sum(name in each for each in named) for name in "rgb"}
    judged = {name for box in parted.held_out for name in box.classes}
    if len(named) > 1 and 1 not in regions.values():
        assert parted.held_out
        assert (parted.note == "") == (judged == {name for each in named for name in each})
    else:
        assert parted.note
        assert all(name in parted.note for name, count in regions.items() if count == 1 and len(named) > 1)


def test_classes_that_could_be_judged_and_are_not_are_named():
    parted = split(painted_boxes(*"rrgg"), 0.2, 0)
    ((judged,),) = (box.classes for box in parted.held_out)
    other = {"r": "g", "g": "r"}[judged]
    assert f"only {judged} can be judged, not {other}" in parted.note


@pytest.mark.parametrize("seed", range(5))
def test_as_many_classes_are_held_out_as_there_is_room_for(seed):
    parted = split(painted_boxes(*"rrrrrrgggbb"), 0.27, seed)
    assert sorted("".join(box.classes) for box in parted.held_out) == ["b", "g", "r"]
    assert parted.note == ""
    parted = split(painted_boxes(*"rrrrg"), 0.2, seed)
    assert [set(box.classes) for box in parted.held_out] == [{"r"}]
    assert parted.note == (
        "There is only one region of g: it is learned from and not held out, so the gate cannot judge it; correct a "
        "second region."
    )
    parted = split(painted_boxes(*"rrrrgb"), 0.2, seed)
    assert parted.note.startswith("There is only one region each of b and g: they are learned from and not held out")
    parted = split(painted_boxes("r", "g"), 0.2, seed)
    assert parted.held_out == ()
    assert parted.note.startswith("Every region is the only one of a class (g, r), so none are held out: ")
    parted = split(painted_boxes("r", ""), 0.2, seed)
    assert parted.held_out == ()
    assert parted.note.startswith("Only one region was given a class, so none are held out: ")


def test_regions_near_each_other_count_as_one_of_a_class():
    near = [CorrectedBox((0, x, 20, x + 20), "g") for x in (0, 25)]
    far = [CorrectedBox((0, x, 20, x + 20), "r") for x in (300, 500, 700)]
    for seed in range(5):
        parted = split([*near, *far], 0.5, seed)
        assert {name for box in parted.held_out for name in box.classes} == {"r"}
        assert "only one region of g" in parted.note


NAMES = ("sea", "wood", "town")


def table(*names, ignored=()):
    return ClassTable(classes=[ClassInfo(name=n, color=(0, 0, 0), ignored=n in ignored) for n in (*names, *ignored)])


@pytest.mark.parametrize("kind", ["corrections", "labels"])
def test_classes_of_a_checkpoint_are_found_by_their_names(tmp_path, kind):
    rng = np.random.default_rng(0)
    values = np.kron(rng.choice([0, 0, 1, 2, 3, 255], (10, 15)), np.ones((13, 13))).astype(np.uint8)
    image = pyramid_from_array(np.zeros((*values.shape, 3), np.uint8), name="image")
    path = tmp_path / "c.ome.zarr"
    if kind == "corrections":
        with Corrections.create(path, image, table(*NAMES)) as made:
            made.write(0, 0, values, author="ann")
    else:
        made = LabelPyramid.create(path, values.shape, classes=[{"name": n, "color": (0, 0, 0)} for n in NAMES])
        made.write(0, 0, values)
    window = (0, 0, *values.shape)
    for classes, new in (
        (table(*NAMES), {}),
        (table("town", "sea", "moor", "wood"), {1: 2, 2: 4, 3: 1}),
        (table("wood", "lake"), {1: 255, 2: 1, 3: 255}),
        (table("wood", "town", ignored=("sea",)), {1: 255, 2: 1, 3: 2}),
    ):
        card = Card(name="net", config=preset("fctl_lite", classes=len(classes.names)), classes=classes)
        found = open_corrections(path, image, card)
        lut = np.arange(256, dtype=np.uint8)
        for old, value in new.items():
            lut[old] = value
        assert np.array_equal(found.read(window), lut[values])
        boxes = found.boxes()
        for y0, x0, y1, x1 in boxes:
            assert values[y0:y1, x0:x1].any()
        painted = label(values > 0, connectivity=1)
        for box, region in zip(sorted(boxes), sorted(regionprops(painted), key=lambda r: r.bbox), strict=True):
            own = set(values[box[0] : box[2], box[1] : box[3]][region.image].tolist())
            whole = set(np.unique(values[box[0] : box[2], box[1] : box[3]]).tolist())
            there = {NAMES.index(name) + 1 for name in box.classes}
            assert own - {0, 255} <= there <= whole
