from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_progress import stop_after
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.evaluation import blockwise
from fctl_napari.evaluation.boundary_iou import BoundaryCounter
from fctl_napari.evaluation.calibration import Calibration
from fctl_napari.evaluation.evaluation import Evaluation, evaluate
from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import Window

MakeSegmentation = Callable[..., Segmentation]

NAMES = ("red", "green", "blue")


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Labels (0 = not computed) and truth (255 = ignored) of 300 x 420 px, in patches of some px."""
    random = np.random.default_rng(3)
    ground_truth = random.integers(0, 3, (15, 21)).astype(np.uint8).repeat(20, 0).repeat(20, 1)
    labels = np.roll(ground_truth, (4, -3), (0, 1)) + np.uint8(1)
    labels[random.random(ground_truth.shape) < 0.002] = 2
    ground_truth[random.random(ground_truth.shape) < 0.001] = 255
    labels[200:230] = 0
    return labels, ground_truth


def saved(ground_truth: np.ndarray, path: Path) -> LabelSource:
    Image.fromarray(ground_truth).save(path)
    return open_ground_truth(path)


def eroded(mask: np.ndarray, times: int) -> np.ndarray:
    """Erode by 3 x 3; outside there is nothing."""
    for _ in range(times):
        padded = np.pad(mask, 1)
        shifted = [padded[y : y + mask.shape[0], x : x + mask.shape[1]] for y in range(3) for x in range(3)]
        mask = np.logical_and.reduce(shifted)
    return mask


def plain_boundary_iou(
    ground_truth: np.ndarray, predicted: np.ndarray, classes: int, px: int, region: tuple
) -> np.ndarray:
    """Boundary IoU with whole masks, as it is defined; pixels that are not judged belong to any mask."""
    judged = (ground_truth != 255) & (predicted != 255)
    y0, x0, y1, x1 = region
    found = []
    for k in range(classes):
        bands = []
        for classes_of in (ground_truth, predicted):
            mask = (classes_of == k) & judged
            bands.append((mask & ~eroded(mask | ~judged, px))[y0:y1, x0:x1])
        union = (bands[0] | bands[1]).sum()
        found.append((bands[0] & bands[1]).sum() / union if union else math.nan)
    return np.array(found)


@pytest.mark.parametrize("block", [97, 2048])
@pytest.mark.parametrize("region", [None, (31, 40, 290, 401)])
def test_blocks_add_up_to_the_whole(
    tmp_path: Path,
    make_segmentation: MakeSegmentation,
    pair: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    block: int,
    region: tuple[int, int, int, int] | None,
) -> None:
    monkeypatch.setattr(blockwise, "BLOCK", block)
    labels, ground_truth = pair
    sure = np.random.default_rng(4).integers(1, 256, labels.shape).astype(np.uint8)
    told: list[tuple[int, int]] = []
    segmentation = make_segmentation(labels, confidence=sure)
    found = evaluate(
        segmentation,
        saved(ground_truth, tmp_path / "truth.png"),
        region,
        boundary_px=5,
        progress=lambda done, total: told.append((done, total)),
    )
    y0, x0, y1, x1 = region or (0, 0, *ground_truth.shape)
    part = np.s_[y0:y1, x0:x1]
    predicted = labels - np.uint8(1)
    blocks = 6 if block == 97 else 1
    assert told == [(k, blocks) for k in range(blocks + 1)]
    assert found.scores == Scores.from_confusion(confusion_matrix(ground_truth[part], predicted[part], 3), NAMES)
    assert found.boundary_iou is not None
    expected = plain_boundary_iou(ground_truth, predicted, 3, 5, (y0, x0, y1, x1))
    np.testing.assert_array_equal(list(found.boundary_iou.values()), expected)
    assert 0.1 < found.mean_boundary_iou < 0.9
    judged = (ground_truth[part] != 255) & (predicted[part] != 255)
    right = judged & (ground_truth[part] == predicted[part])
    np.testing.assert_array_equal(found.calibration.pixels, np.bincount(sure[part][judged], minlength=256))
    np.testing.assert_array_equal(found.calibration.right, np.bincount(sure[part][right], minlength=256))


@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    px=st.integers(1, 6),
    step=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    patch=st.integers(1, 9),
    cut=st.tuples(st.integers(0, 15), st.integers(0, 15), st.integers(0, 15), st.integers(0, 15)),
)
@settings(deadline=None)
def test_boundary_iou_of_any_blocks_is_that_of_the_whole(
    seed: int, shape: tuple[int, int], px: int, step: tuple[int, int], patch: int, cut: tuple[int, int, int, int]
) -> None:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 3, (shape[0] // patch + 1, shape[1] // patch + 1)).astype(np.uint8)
    ground_truth = coarse.repeat(patch, 0).repeat(patch, 1)[: shape[0], : shape[1]]
    predicted = np.roll(ground_truth, 1, 0)
    unjudged = random.random(shape) < 0.02
    ground_truth[unjudged] = predicted[unjudged] = 255
    top, left = min(cut[0], shape[0] - 1), min(cut[1], shape[1] - 1)
    within = (top, left, max(shape[0] - cut[2], top + 1), max(shape[1] - cut[3], left + 1))
    y0, x0, y1, x1 = extent = Window(*within).padded(px).clip(shape)
    counter = BoundaryCounter(3, px, within, extent)
    for y in range(y0, y1, step[0]):
        for x in range(x0, x1, step[1]):
            block = (y, x, min(y + step[0], y1), min(x + step[1], x1))
            part = np.s_[block[0] : block[2], block[1] : block[3]]
            counter.add(block, ground_truth[part], predicted[part])
    np.testing.assert_array_equal(counter.iou(), plain_boundary_iou(ground_truth, predicted, 3, px, within))


def test_without_boundary(
    tmp_path: Path, make_segmentation: MakeSegmentation, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    labels, ground_truth = pair
    found = evaluate(make_segmentation(labels), saved(ground_truth, tmp_path / "truth.png"), boundary_px=None)
    assert found.boundary_iou is found.mean_boundary_iou is None
    assert found.to_json()["boundary_iou"] is None
    assert "boundary" not in found.to_csv()


def test_figures_as_text(tmp_path: Path) -> None:
    matrix = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]], np.int64)
    pixels = np.bincount([255] * 7 + [51], minlength=256)
    right = np.bincount([255] * 7, minlength=256)
    found = Evaluation(
        names=("a", "b, c", "d"),
        region=(0, 0, 2, 4),
        confusion=matrix,
        calibration=Calibration(pixels, right),
        boundary_px=2,
        boundary_iou={"a": 0.5, "b, c": 1.0, "d": math.nan},
    )
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["confusion"] == matrix.tolist()
    assert document["precision"] == {"a": 1, "b, c": 0.8, "d": None}
    assert document["recall"] == {"a": 0.75, "b, c": 1, "d": None}
    assert document["miou"] == pytest.approx((0.75 + 0.8) / 2)
    assert "miou_without_background" not in document
    background = dataclasses.replace(found, names=("background", "b, c", "d"))
    assert background.to_json()["miou_without_background"] == pytest.approx(0.8)
    assert document["mean_boundary_iou"] == 0.75
    assert document["ece"] == pytest.approx(0.2 / 8)
    assert [entry["pixels"] for entry in document["reliability"]] == [1, 7]
    found.save_json(tmp_path / "new" / "figures.json")
    assert json.loads((tmp_path / "new" / "figures.json").read_text()) == document
    rows = list(csv.reader(found.to_csv().splitlines()))
    assert rows[0] == ["class", "IoU", "F1", "precision", "recall", "boundary IoU"]
    assert rows[2][:2] == ["b, c", "0.8"]
    assert rows[3] == ["d", "", "", "", "", ""]
    assert rows[-3:] == [["a", "3", "1", "0"], ["b, c", "0", "4", "0"], ["d", "0", "0", "0"]]


def test_stopping(tmp_path: Path, make_segmentation: MakeSegmentation, pair: tuple[np.ndarray, np.ndarray]) -> None:
    labels, ground_truth = pair
    counts: list[tuple[int, int]] = []
    with pytest.raises(Cancelled):
        evaluate(
            make_segmentation(labels),
            saved(ground_truth, tmp_path / "truth.png"),
            progress=stop_after(1, counts),
        )
    assert [done for done, _ in counts] == [0]


def test_ground_truth_of_another_size(
    tmp_path: Path, make_segmentation: MakeSegmentation, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    labels, ground_truth = pair
    with pytest.raises(InputError, match=r"299 x 420 px .* 300 x 420"):
        evaluate(make_segmentation(labels), saved(ground_truth[:-1], tmp_path / "truth.png"))


def test_ground_truth_of_other_classes(
    tmp_path: Path, make_segmentation: MakeSegmentation, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    labels, _ = pair
    classes = [{"name": n, "color": (9, 9, 9)} for n in ("oak", "elm", "fir")]
    LabelPyramid.create(tmp_path / "truth", labels.shape, classes=classes).write(0, 0, labels)
    with pytest.raises(InputError, match="oak, elm, fir"):
        evaluate(make_segmentation(labels), open_ground_truth(tmp_path / "truth"))


def test_nothing_to_score(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    ground_truth = saved(np.zeros((40, 40), np.uint8), tmp_path / "truth.png")
    with pytest.raises(InputError, match="nothing to score"):
        evaluate(make_segmentation(np.zeros((40, 40), np.uint8)), ground_truth)


def test_region_outside(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    ground_truth = saved(np.zeros((40, 40), np.uint8), tmp_path / "truth.png")
    with pytest.raises(InputError, match="holds no pixel"):
        evaluate(make_segmentation(np.ones((40, 40), np.uint8)), ground_truth, (50, 0, 60, 10))
