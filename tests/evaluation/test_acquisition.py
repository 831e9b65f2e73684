"""Regions by expected gain: the same as by labelling all at once, however the image is walked and whatever changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers_progress import stop_after
from scipy.ndimage import binary_dilation, gaussian_filter
from skimage.measure import label, regionprops

from fctl_napari.evaluation import acquisition, blockwise
from fctl_napari.evaluation.acquisition import Suggestion, find_next, renewed, whole_cells
from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.level import read_padded
from fctl_napari.segmentation.store.map_names import ENTROPY, MAPS
from fctl_napari.segmentation.store.store import Segmentation

MakeSegmentation = Callable[..., Segmentation]
SHAPE = (330, 420)


@dataclass
class PixelEdit:
    """Corrections, as far as they matter here."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape

    def read(self, window: tuple[int, int, int, int]) -> np.ndarray:
        return read_padded(lambda rows, columns: self.values[rows, columns], self.values.shape, window)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squares and blocks that this little image has several of, and that do not fit each other."""
    monkeypatch.setattr(acquisition, "CELL", 64)
    monkeypatch.setattr(acquisition, "NEAR", 5)
    monkeypatch.setattr(acquisition, "HALF", 200)
    monkeypatch.setattr(blockwise, "BLOCK", 97)


def smooth(random: np.random.Generator, sigma: float) -> np.ndarray:
    return gaussian_filter(random.normal(size=SHAPE), sigma)


@pytest.fixture
def scene(make_segmentation: MakeSegmentation) -> Segmentation:
    """Three classes in blobs, a doubt that varies smoothly; the last columns are not computed."""
    random = np.random.default_rng(0)
    labels = np.digitize(smooth(random, 12), [-0.01, 0.02]) + 1
    labels[:, 400:] = 0
    uncertainty = smooth(random, 4)
    uncertainty = (uncertainty - uncertainty.min()) / np.ptp(uncertainty)
    return make_segmentation(labels, confidence=np.clip(255 * (1 - 0.7 * uncertainty), 1, 255))


def expected(store: Segmentation, painted: np.ndarray | None = None) -> list[tuple]:
    """(window, point, px, class, entropy, gain) of every region, by labelling the whole image."""
    whole = (0, 0, *store.shape)
    labels, sure = store.labels.read(whole), store.confidence.read(whole) / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.nan_to_num(-sure * np.log2(sure) - (1 - sure) * np.log2(1 - sure))
    entropy = np.rint(255 * np.where(sure < 0.5, 1, bits))
    known = labels > 0
    lowest = min(t for t in range(256) if (entropy[known] >= t).sum() <= 0.2 * known.sum())
    doubtful = known & (entropy >= lowest)
    if painted is not None:
        doubtful &= ~binary_dilation(painted > 0, np.ones((11, 11)))
    rows, columns = np.indices(labels.shape) // 64
    found = []
    for region in regionprops(label(np.where(doubtful, 1 + labels + 10 * (rows * 100 + columns), 0), connectivity=1)):
        if region.area < 16:
            continue
        rows_, columns_ = region.coords.T
        point = min(zip(rows_.tolist(), columns_.tolist(), strict=True))
        mean = float(entropy[rows_, columns_].mean()) / 255
        share = (labels == labels[point]).sum() / known.sum()
        n = len(rows_)
        gain = mean * (1 - share) ** 0.5 * n / (n + 200)
        found.append((region.bbox, point, n, int(labels[point]) - 1, mean, gain))
    return sorted(found, key=lambda one: (-one[-1], one[1]))


def assert_same(found: list[Suggestion], wanted: list[tuple]) -> None:
    regions = [one.region for one in found]
    assert [(r.window, r.point, r.pixels, r.predicted) for r in regions] == [one[:4] for one in wanted]
    assert [(one.entropy, one.gain) for one in found] == [pytest.approx(one[4:]) for one in wanted]
    assert all(one.region.ground_truth is None and one.region.confidence == 1 - one.entropy for one in found)


def test_regions_and_their_gain(scene: Segmentation) -> None:
    wanted = expected(scene)
    assert len({one[3] for one in wanted}) == 3
    assert len(wanted) > 30
    found = find_next(scene)
    assert_same(found, wanted)
    assert_same(find_next(scene, most=7), wanted[:7])
    sizes = [one.region.pixels for one in found]
    assert sizes != sorted(sizes, reverse=True)


def test_what_is_corrected_and_around_it_is_left_out(scene: Segmentation) -> None:
    before = find_next(scene)
    y0, x0, y1, x1 = before[0].region.window
    values = np.zeros(SHAPE, np.uint8)
    values[y0:y1, x0:x1] = 2
    values[60:70, 120:140] = 255  # "not sure" is said, too
    after = find_next(scene, PixelEdit(values))
    assert_same(after, expected(scene, values))
    assert before[0] not in after
    assert find_next(scene, PixelEdit(np.ones(SHAPE, np.uint8))) == []
    assert_same(find_next(scene, PixelEdit(np.zeros(SHAPE, np.uint8))), expected(scene))


@pytest.mark.parametrize("seed", range(6))
def test_only_where_a_stroke_fell_is_looked_again(scene: Segmentation, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.zeros(SHAPE, np.uint8)
    listed = find_next(scene, PixelEdit(values))
    for _ in range(3):
        y, x = random.integers(0, SHAPE[0] - 1), random.integers(0, SHAPE[1] - 1)
        y1, x1 = min(y + random.integers(1, 70), SHAPE[0]), min(x + random.integers(1, 70), SHAPE[1])
        values[y:y1, x:x1] = random.integers(0, 4)  # 0: an eraser brings regions back
        cells = whole_cells((y, x, y1, x1), SHAPE)
        listed = renewed(listed, find_next(scene, PixelEdit(values), cells), cells)
        assert listed == find_next(scene, PixelEdit(values))


def test_the_entropy_of_the_maps_counts_where_there_are_maps(make_segmentation: MakeSegmentation) -> None:
    labels = np.full(SHAPE, 1)
    labels[:, 300:] = 2
    segmentation = make_segmentation(labels, confidence=np.full(SHAPE, 255))
    assert find_next(segmentation) == []  # sure everywhere
    values = np.full(SHAPE, 1, np.uint8)
    values[10:30, 10:50] = 120
    values[10:30, 320:360] = 100
    stored = LabelPyramid.create(segmentation.path / MAPS / ENTROPY, SHAPE)
    stored.write(0, 0, values)
    stored.update_levels((0, 0, *SHAPE))
    segmentation.maps[ENTROPY] = stored
    rare, common = find_next(segmentation, smallest=300)
    assert (rare.region.predicted, common.region.predicted) == (1, 0)  # the rarer class, though the other is less sure
    assert (rare.entropy, rare.rarity) == (100 / 255, pytest.approx((300 / 420) ** 0.5))
    assert (common.entropy, common.rarity) == (120 / 255, pytest.approx((120 / 420) ** 0.5))


def test_a_single_class_and_nothing_computed(make_segmentation: MakeSegmentation, tmp_path: Path) -> None:
    sure = np.full(SHAPE, 255)
    sure[:50] = 130
    assert {one.gain for one in find_next(make_segmentation(np.ones(SHAPE), confidence=sure))} == {0.0}
    assert find_next(make_segmentation(np.zeros(SHAPE), path=tmp_path / "empty.ome.zarr")) == []


def test_bad_input(scene: Segmentation) -> None:
    with pytest.raises(InputError, match="5 x 6 px"):
        find_next(scene, PixelEdit(np.zeros((5, 6), np.uint8)))
    with pytest.raises(InputError, match="holds no pixel"):
        find_next(scene, region=(0, 900, 10, 999))
    with pytest.raises(Cancelled):
        find_next(scene, progress=stop_after(0))
