from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_progress import stop_after
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.evaluation import blockwise
from fctl_napari.evaluation.agreement import compare
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.segmentation.store.store import Segmentation

MakeSegmentation = Callable[..., Segmentation]

Three = tuple[np.ndarray, np.ndarray, np.ndarray]

SHAPE = (230, 310)
REGION = (11, 3, 229, 309)


@pytest.fixture
def three() -> Three:
    """Labels of two segmentations (0 = not computed) and a ground truth (255 = ignored)."""
    random = np.random.default_rng(5)
    ground_truth = random.integers(0, 3, SHAPE).astype(np.uint8)
    labels = [
        np.where(random.random(SHAPE) < right, ground_truth, random.integers(0, 3, SHAPE)).astype(np.uint8)
        + np.uint8(1)
        for right in (0.5, 0.7)
    ]
    labels[0][:20] = 0
    labels[1][:, 300:] = 0
    ground_truth[100:120] = 255
    return labels[0], labels[1], ground_truth


@pytest.fixture
def first(make_segmentation: MakeSegmentation, three: Three, tmp_path: Path) -> Segmentation:
    return make_segmentation(three[0], path=tmp_path / "first.ome.zarr")


@pytest.fixture
def second(make_segmentation: MakeSegmentation, three: Three, tmp_path: Path) -> Segmentation:
    return make_segmentation(three[1], path=tmp_path / "second.ome.zarr")


@pytest.fixture
def values_there(three: Three, monkeypatch: pytest.MonkeyPatch) -> Three:
    """Both masks and the ground truth of ``REGION``, k + 1 for class k; the package counts in small blocks."""
    monkeypatch.setattr(blockwise, "BLOCK", 97)
    y0, x0, y1, x1 = REGION
    first, second, ground_truth = three
    a, b, t = (values[y0:y1, x0:x1].astype(int) for values in (first, second, ground_truth + np.uint8(1)))
    return a, b, t


def test_comparison_equals_the_plain_computation(
    first: Segmentation, second: Segmentation, values_there: Three
) -> None:
    from sklearn import metrics as oracle  # slow to import

    a, b, _ = values_there
    found = compare(first, second, region=REGION)
    assert found.ground_truth is None
    both = (a > 0) & (b > 0)
    np.testing.assert_array_equal(found.confusion, oracle.confusion_matrix(a[both], b[both]))
    assert found.share == pytest.approx((a == b)[both].mean())
    np.testing.assert_allclose(list(found.scores.iou.values()), oracle.jaccard_score(a[both], b[both], average=None))


def test_ground_truth_decides_as_in_the_plain_computation(
    first: Segmentation, second: Segmentation, three: Three, values_there: Three, tmp_path: Path
) -> None:
    from sklearn import metrics as oracle  # slow to import

    a, b, t = values_there
    Image.fromarray(three[2]).save(tmp_path / "truth.png")
    found = compare(first, second, open_ground_truth(tmp_path / "truth.png"), REGION)
    assert found.ground_truth is not None
    judged = (a > 0) & (b > 0) & (t > 0)
    right_a, right_b = (a == t)[judged], (b == t)[judged]
    assert found.ground_truth.pixels == {
        "both wrong": (~right_a & ~right_b).sum(),
        "only the first is right": (right_a & ~right_b).sum(),
        "only the second is right": (~right_a & right_b).sum(),
        "both right": (right_a & right_b).sum(),
    }
    assert found.ground_truth.first.accuracy == pytest.approx(right_a.mean())
    assert found.ground_truth.second.miou == pytest.approx(oracle.jaccard_score(t[judged], b[judged], average="macro"))
    for k, row in enumerate(found.ground_truth.outcomes):
        assert row.sum() == (t[judged] == k + 1).sum()
        assert row[3] == (right_a & right_b)[t[judged] == k + 1].sum()
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["truth"]["pixels"] == found.ground_truth.pixels


def test_classes_in_another_order_are_compared_by_their_names(
    make_segmentation: MakeSegmentation, first: Segmentation, second: Segmentation, three: Three, tmp_path: Path
) -> None:
    labels = np.array([0, 2, 3, 1], np.uint8)[three[1]]
    other = make_segmentation(labels, names=("blue", "red", "green"), path=tmp_path / "other.ome.zarr")
    expected = compare(first, second, region=REGION)
    found = compare(first, other, region=REGION)
    assert found.names == ("blue", "red", "green")
    np.testing.assert_array_equal(found.confusion, expected.confusion[np.ix_([2, 0, 1], [2, 0, 1])])
    assert found.scores.iou == pytest.approx(expected.scores.iou)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_compared_with_itself_it_agrees(make_segmentation: MakeSegmentation, tmp_path: Path, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (60, 70)).astype(np.uint8)
    folder = tmp_path / str(seed)
    store = make_segmentation(labels, path=folder) if not folder.exists() else Segmentation.open(folder)
    Image.fromarray(labels - np.uint8(1)).save(tmp_path / "truth.png")
    found = compare(store, store, open_ground_truth(tmp_path / "truth.png"))
    assert found.share == 1
    assert found.ground_truth is not None
    assert found.ground_truth.pixels["both right"] == (labels > 0).sum() == sum(found.ground_truth.pixels.values())
    assert evaluate(store, open_ground_truth(tmp_path / "truth.png"), boundary_px=3).mean_boundary_iou == 1


def test_what_cannot_be_compared(make_segmentation: MakeSegmentation, three: Three, tmp_path: Path) -> None:
    one, two, ground_truth = three
    first = make_segmentation(one, path=tmp_path / "a.ome.zarr")
    with pytest.raises(InputError, match="100 x 310 px"):
        compare(make_segmentation(one[:100], path=tmp_path / "b.ome.zarr"), first)
    with pytest.raises(InputError, match="sky"):
        compare(make_segmentation(one, names=("red", "green", "sky"), path=tmp_path / "c.ome.zarr"), first)
    second = make_segmentation(two, path=tmp_path / "d.ome.zarr")
    with pytest.raises(InputError, match="segmented in both"):
        compare(first, second, region=(0, 0, 20, 310))
    Image.fromarray(ground_truth).save(tmp_path / "truth.png")
    with pytest.raises(InputError, match="labels no pixel"):
        compare(first, second, open_ground_truth(tmp_path / "truth.png"), (100, 0, 120, 310))
    with pytest.raises(Cancelled):
        compare(first, second, progress=stop_after(0))
