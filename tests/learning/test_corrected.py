from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label, regionprops

from fctl_napari.imagery.labels import LabelPyramid
from fctl_napari.learning.corrected import APART, LabelCorrections, join_near, lesson, meet, only, split

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
def test_a_lesson_is_what_was_painted_without_what_is_hidden(seed, corner, hidden):
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 1, 2, 255], (50, 70)).astype(np.uint8)
    window = (*corner, corner[0] + 32, corner[1] + 32)
    found = lesson(Array(values), window, hidden)
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
