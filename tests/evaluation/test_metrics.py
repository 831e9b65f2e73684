from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.exceptions import InputError


def random_labels(seed: int, classes: int, size: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    ground_truth = random.integers(0, classes, size).astype(np.uint8)
    prediction = np.where(random.random(size) < 0.6, ground_truth, random.integers(0, classes, size)).astype(np.uint8)
    ground_truth[random.random(size) < 0.1] = 255
    return ground_truth, prediction


@given(seed=st.integers(0, 2**31), classes=st.integers(2, 9))
@settings(deadline=None)
def test_figures_equal_scikit_learns(seed: int, classes: int) -> None:
    from sklearn import metrics as oracle  # slow to import

    ground_truth, prediction = random_labels(seed, classes)
    kept = ground_truth != 255
    t, p = ground_truth[kept], prediction[kept]
    matrix = confusion_matrix(ground_truth, prediction, classes)
    names = ["background", *(f"c{k}" for k in range(1, classes))]
    scores = Scores.from_confusion(matrix, names)
    np.testing.assert_array_equal(matrix, oracle.confusion_matrix(t, p, labels=range(classes)))
    np.testing.assert_allclose(list(scores.iou.values()), oracle.jaccard_score(t, p, average=None))
    assert scores.miou == pytest.approx(oracle.jaccard_score(t, p, average="macro"))
    assert scores.f1 == pytest.approx(oracle.f1_score(t, p, average="macro"))
    assert scores.accuracy == pytest.approx(oracle.accuracy_score(t, p))
    assert scores.pixels == t.size
    f1 = np.array(list(scores.f1_by_class.values()))
    np.testing.assert_allclose(f1, oracle.f1_score(t, p, average=None))
    np.testing.assert_allclose(f1, [2 * i / (1 + i) for i in scores.iou.values()])
    precision, recall, _, _ = oracle.precision_recall_fscore_support(t, p, average=None)
    np.testing.assert_allclose(list(scores.precision.values()), precision)
    np.testing.assert_allclose(list(scores.recall.values()), recall)
    # As GLNet's code counts: all pixels in one matrix, and class 0 out of the mean only.
    hist = np.bincount(classes * t.astype(int) + p, minlength=classes**2).reshape(classes, classes)
    iou = np.diag(hist) / (hist.sum(1) + hist.sum(0) - np.diag(hist))
    assert scores.miou_without_background == pytest.approx(np.mean(np.nan_to_num(iou[1:])))


@given(seed=st.integers(0, 2**31), cut=st.integers(0, 4000))
@settings(deadline=None)
def test_matrices_of_parts_add_up(seed: int, cut: int) -> None:
    ground_truth, prediction = random_labels(seed, 4)
    whole = confusion_matrix(ground_truth, prediction, 4)
    parts = confusion_matrix(ground_truth[:cut], prediction[:cut], 4) + confusion_matrix(
        ground_truth[cut:], prediction[cut:], 4
    )
    np.testing.assert_array_equal(whole, parts)


def test_absent_class_does_not_count() -> None:
    ground_truth = np.array([0, 0, 1, 1], np.uint8)
    prediction = np.array([0, 1, 1, 1], np.uint8)
    scores = Scores.from_confusion(confusion_matrix(ground_truth, prediction, 3), ["unknown", "b", "c"])
    assert scores.miou == pytest.approx((1 / 2 + 2 / 3) / 2)
    for by_class in (scores.iou, scores.f1_by_class, scores.precision, scores.recall):
        assert math.isnan(by_class["c"])
    assert scores.miou_without_background == pytest.approx(2 / 3)
    assert scores.mean_ious() == {
        "mIoU of the 2 of 3 classes that occur": scores.miou,
        "mIoU without unknown": scores.miou_without_background,
    }
    document = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert document["iou"]["c"] is None
    assert set(document) == {"miou", "accuracy", "f1", "iou"}


@pytest.mark.parametrize("names", [("water", "forest"), ("class 0", "class 1"), ("urban", "agriculture")])
def test_no_class_is_left_out_where_none_is_a_background(names: tuple[str, str]) -> None:
    scores = Scores.from_confusion(np.array([[3, 1], [0, 4]]), names)
    assert scores.miou_without_background is None
    assert scores.mean_ious() == {"mIoU of all 2 classes": pytest.approx((0.75 + 0.8) / 2)}
    assert scores.headline == ("mIoU", scores.miou)


def test_one_class_beside_a_background_is_what_networks_are_compared_by() -> None:
    """As in the papers' tables of Inria Aerial, where F1 = 2 IoU / (1 + IoU)."""
    for names, matrix in (
        (("background", "building"), [[90, 1], [3, 6]]),
        (("building", "background"), [[6, 3], [1, 90]]),
    ):
        scores = Scores.from_confusion(np.array(matrix), names)
        assert scores.headline == ("IoU of building", pytest.approx(6 / 10))
        assert list(scores.mean_ious()) == ["IoU of building", "mIoU of all 2 classes"]
        assert scores.f1_by_class["building"] == pytest.approx(2 * 0.6 / 1.6)
    assert math.isnan(Scores.from_confusion(np.array([[4, 0], [0, 0]]), ("background", "building")).headline[1])


def test_the_background_is_left_out_wherever_it_stands() -> None:
    scores = Scores.from_confusion(np.diag([3, 4, 5]) + 1, ("road", "void", "field"))
    assert scores.miou_without_background == pytest.approx((scores.iou["road"] + scores.iou["field"]) / 2)
    assert list(scores.mean_ious()) == ["mIoU of all 3 classes", "mIoU without void"]
    assert scores.headline == ("mIoU", scores.miou)


def test_a_class_missed_or_invented() -> None:
    """One that is never called has no precision; one that is not in the truth has no recall."""
    scores = Scores.from_confusion(np.array([[0, 5], [0, 0]]), ["missed", "invented"])
    assert scores.iou == {"missed": 0, "invented": 0}
    assert math.isnan(scores.precision["missed"])
    assert scores.recall["missed"] == scores.precision["invented"] == 0
    assert math.isnan(scores.recall["invented"])


def test_pixels_not_computed_are_left_out() -> None:
    ground_truth = np.array([0, 1, 1], np.uint8)
    prediction = np.array([0, 255, 1], np.uint8)
    np.testing.assert_array_equal(confusion_matrix(ground_truth, prediction, 2), [[1, 0], [0, 1]])


def test_index_past_the_classes_is_an_input_error() -> None:
    with pytest.raises(InputError, match="truth holds class index 7"):
        confusion_matrix(np.array([7], np.uint8), np.array([0], np.uint8), 3)
