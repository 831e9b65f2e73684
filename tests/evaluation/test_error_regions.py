from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers_progress import stop_after
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.measure import label, regionprops

from fctl_napari.evaluation import blockwise, connected_components
from fctl_napari.evaluation.connected_components import RegionFinder
from fctl_napari.evaluation.error_regions import Region, find_disagreements, find_errors, find_uncertain, order
from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.segmentation.store.map_names import MAPS
from fctl_napari.segmentation.store.store import Segmentation

MakeSegmentation = Callable[..., Segmentation]


def whole_regions(values: np.ndarray, weights: np.ndarray, origin: tuple[int, int] = (0, 0)) -> list[tuple]:
    """(value, pixels, weight, first pixel, bounding box) of each region, by labelling all at once."""
    y, x = origin
    found = []
    for region in regionprops(label(values, background=0, connectivity=1)):
        rows, columns = region.coords.T
        y0, x0, y1, x1 = region.bbox
        first = min(zip(rows.tolist(), columns.tolist(), strict=True))
        box = (y0 + y, x0 + x, y1 + y, x1 + x)
        value, weight = int(values[first]), int(weights[rows, columns].sum())
        found.append((value, len(rows), weight, (first[0] + y, first[1] + x), box))
    return sorted(found, key=lambda region: (-region[1], region[3]))


@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    step=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    share=st.sampled_from([0.1, 0.5, 0.6, 0.9]),
    origin=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    smallest=st.integers(1, 5),
    most=st.sampled_from([0, 1, 5, 10_000]),
)
@settings(deadline=None)
def test_any_blocks_give_the_regions_of_the_whole(
    seed: int,
    shape: tuple[int, int],
    step: tuple[int, int],
    share: float,
    origin: tuple[int, int],
    smallest: int,
    most: int,
) -> None:
    random = np.random.default_rng(seed)
    values = np.where(random.random(shape) < share, random.choice([7, 7, 7, 258], shape), 0).astype(np.uint16)
    weights = random.integers(0, 256, shape).astype(np.uint8)
    (oy, ox), (height, width) = origin, shape
    finder = RegionFinder((oy, ox, oy + height, ox + width), 60, smallest=smallest, most=most)
    for y in range(0, height, step[0]):
        for x in range(0, width, step[1]):
            part = np.s_[y : y + step[0], x : x + step[1]]
            block = (oy + y, ox + x, oy + min(y + step[0], height), ox + min(x + step[1], width))
            finder.add(block, values[part], weights[part])
    found = [
        (value, pixels, weight, divmod(first, 60), tuple(box))
        for value, pixels, weight, first, *box in finder.finish().tolist()
    ]
    everything = whole_regions(values, weights, origin)
    large = [region for region in everything if region[1] >= smallest]
    assert found == large[:most]
    assert finder.found == len(large)
    assert finder.small == len(everything) - len(large)
    assert finder.pixels == np.count_nonzero(values)


def test_a_spiral_through_many_blocks_is_one_region() -> None:
    values = np.zeros((65, 65), np.uint8)
    y = x = 0
    steps = [64, 64, 64, *(n for n in range(62, 0, -2) for _ in range(2))]
    for turns, n in enumerate(steps):
        dy, dx = ((0, 1), (1, 0), (0, -1), (-1, 0))[turns % 4]
        for _ in range(n):
            values[y, x] = 1
            y, x = y + dy, x + dx
    finder = RegionFinder((0, 0, 65, 65), 65, smallest=1, most=10)
    for top in range(0, 65, 4):
        for left in range(0, 65, 5):
            part = np.s_[top : top + 4, left : left + 5]
            block = (top, left, min(top + 4, 65), min(left + 5, 65))
            finder.add(block, values[part], values[part])
    assert [row[:4] for row in finder.finish().tolist()] == [(1, values.sum(), values.sum(), 0)]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far more regions than asked for: single pixels, and some larger ones late."""
    monkeypatch.setattr(connected_components, "SPARE", 10)
    values = np.zeros((64, 64), np.uint8)
    values[::2, ::2] = 1
    values[60, 10:14] = 1
    values[40, 20:23] = 1
    finder = RegionFinder((0, 0, 64, 64), 64, smallest=1, most=2)
    for top in range(0, 64, 8):
        for left in range(0, 64, 8):
            part = np.s_[top : top + 8, left : left + 8]
            finder.add((top, left, top + 8, left + 8), values[part], values[part])
            assert len(finder._kept) <= 2 + 10
    assert [row[1] for row in finder.finish().tolist()] == [5, 3]
    assert finder.found == label(values, connectivity=1).max()


@pytest.fixture
def labels() -> np.ndarray:
    """300 x 420 px: class 0 with a part that is not computed."""
    labels = np.ones((300, 420), np.uint8)
    labels[:, 400:] = 0
    return labels


def saved(ground_truth: np.ndarray, path: Path) -> Path:
    Image.fromarray(ground_truth).save(path)
    return path


def test_errors_are_found_with_their_facts(
    tmp_path: Path, make_segmentation: MakeSegmentation, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blockwise, "BLOCK", 97)
    ground_truth = np.zeros(labels.shape, np.uint8)
    sure = np.full(labels.shape, 100, np.uint8)
    ground_truth[150:250, 100:300] = 1  # over block borders
    ground_truth[10:20, 10:20] = 2
    ground_truth[20:30, 20:30] = 2  # touches the other at a corner: a region of its own
    ground_truth[0:5, 50:55] = 255  # ignored
    ground_truth[0:50, 390:420] = 2  # part of it is not computed
    ground_truth[100, 5:9] = 2  # too small
    sure[10:20, 10:20] = 255
    labels[200:210, 150:160] = 3
    segmentation = make_segmentation(labels, confidence=sure)
    found = find_errors(segmentation, open_ground_truth(saved(ground_truth, tmp_path / "t.png")))
    assert list(found) == [
        Region((150, 100, 250, 300), (150, 100), 19900, 1, 0, 100 / 255),
        Region((0, 390, 50, 400), (0, 390), 500, 2, 0, 100 / 255),
        Region((10, 10, 20, 20), (10, 10), 100, 2, 0, 1.0),
        Region((20, 20, 30, 30), (20, 20), 100, 2, 0, 100 / 255),
        Region((200, 150, 210, 160), (200, 150), 100, 1, 2, 100 / 255),
    ]
    assert (found.found, found.small, found.pixels) == (5, 1, 19900 + 500 + 300 + 4)
    part = find_errors(segmentation, open_ground_truth(tmp_path / "t.png"), (5, 5, 25, 395), smallest=2, most=2)
    assert [(r.window, r.pixels) for r in part] == [((5, 390, 25, 395), 100), ((10, 10, 20, 20), 100)]
    assert part.found == 3


def test_ignored_classes_and_wrong_ground_truths(
    tmp_path: Path, make_segmentation: MakeSegmentation, labels: np.ndarray
) -> None:
    segmentation = make_segmentation(labels)
    with pytest.raises(InputError, match="class index 9"):
        find_errors(segmentation, open_ground_truth(saved(np.full(labels.shape, 9, np.uint8), tmp_path / "t.png")))
    with pytest.raises(InputError, match="10 x 10 px"):
        find_errors(segmentation, open_ground_truth(saved(np.zeros((10, 10), np.uint8), tmp_path / "s.png")))
    with pytest.raises(Cancelled):
        find_errors(segmentation, open_ground_truth(saved(labels * 0, tmp_path / "u.png")), progress=stop_after(0))


def test_uncertain_regions(make_segmentation: MakeSegmentation, labels: np.ndarray) -> None:
    sure = np.full(labels.shape, 200, np.uint8)
    sure[50:60, 190:200] = 127  # 0.498
    sure[80:90, 100:110] = 128  # 0.502
    sure[150:160, 10:20] = 60
    labels[155:160, 10:20] = 2
    segmentation = make_segmentation(labels, confidence=sure)
    found = find_uncertain(segmentation)
    assert [(r.window, r.ground_truth, r.predicted) for r in found] == [
        ((50, 190, 60, 200), None, 0),
        ((150, 10, 155, 20), None, 0),
        ((155, 10, 160, 20), None, 1),
    ]
    assert [r.confidence for r in found] == pytest.approx([127 / 255, 60 / 255, 60 / 255])
    assert len(find_uncertain(segmentation, threshold=0.51)) == 4
    assert [r.pixels for r in order(found, "confidence")] == [50, 50, 100]


@pytest.mark.parametrize("measure", ["entropy", "margin"])
def test_uncertain_regions_by_maps(make_segmentation: MakeSegmentation, labels: np.ndarray, measure: str) -> None:
    segmentation = make_segmentation(labels)
    with pytest.raises(InputError, match=f"no map of the {measure}.* --maps"):
        find_uncertain(segmentation, measure=measure)
    values = np.full(labels.shape, 100, np.uint8)
    values[30:40, 180:200] = 20
    values[100:110, 0:8] = 230
    values[labels == 0] = 0
    stored = LabelPyramid.create(segmentation.path / MAPS / measure, labels.shape)
    stored.write(0, 0, values)
    segmentation.maps[measure] = stored
    (found,) = find_uncertain(segmentation, measure=measure)
    if measure == "entropy":  # above 0.5
        assert (found.window, found.confidence) == ((100, 0, 110, 8), 25 / 255)
    else:  # below 0.2
        assert (found.window, found.confidence) == ((30, 180, 40, 200), 20 / 255)


def test_disagreements(tmp_path: Path, make_segmentation: MakeSegmentation, labels: np.ndarray) -> None:
    other = labels.copy()
    other[30:40, 30:60] = 2
    first = make_segmentation(labels, path=tmp_path / "a.ome.zarr")
    # the same classes in another order: red is 3, green 1, blue 2
    second = make_segmentation(
        np.array([0, 3, 1, 2], np.uint8)[other], names=("green", "blue", "red"), path=tmp_path / "b.ome.zarr"
    )
    (region,) = find_disagreements(first, second)
    assert region == Region((30, 30, 40, 60), (30, 30), 300, 2, 0, 200 / 255)
    third = make_segmentation(labels, names=("red", "green", "sea"), path=tmp_path / "c.ome.zarr")
    with pytest.raises(InputError, match="sea"):
        find_disagreements(first, third)


def test_order() -> None:
    regions = [
        Region((0, 0, 1, 9), (0, 0), 9, 1, 0, 0.5),
        Region((2, 0, 3, 5), (2, 0), 5, 0, 2, 0.9),
        Region((4, 0, 5, 7), (4, 0), 7, 0, 1, 0.7),
        Region((6, 0, 7, 7), (6, 0), 7, 1, 0, 0.9),
    ]
    by_size, by_class = order(regions, "size"), order(regions, "class")
    assert [r.pixels for r in by_size] == [9, 7, 7, 5]
    assert [r.confidence for r in order(regions, "confidence")] == [0.9, 0.9, 0.7, 0.5]
    assert [(r.ground_truth, r.predicted, r.pixels) for r in by_class] == [(0, 1, 7), (0, 2, 5), (1, 0, 9), (1, 0, 7)]
    for by in ("size", "confidence", "class"):
        assert order(reversed(regions), by) == order(regions, by)
    assert all(a.point < b.point for a, b in pairwise(by_size) if a.pixels == b.pixels)
