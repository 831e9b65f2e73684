from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fctl_napari.analysis import metrics
from fctl_napari.analysis.metrics import Scores, confusion_matrix, evaluate
from fctl_napari.errors import InputError
from fctl_napari.imagery.labels import LabelPyramid
from fctl_napari.imagery.truth import LabelSource, open_truth

MakeSegmentation = Callable[..., object]


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Labels (0 = not computed) and truth (255 = ignored) of 300 x 420 px."""
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, (300, 420)).astype(np.uint8)
    labels = np.where(random.random(truth.shape) < 0.7, truth + 1, random.integers(1, 4, truth.shape)).astype(np.uint8)
    truth[random.random(truth.shape) < 0.05] = 255
    labels[200:230] = 0
    return labels, truth


def saved(truth: np.ndarray, path: Path) -> LabelSource:
    Image.fromarray(truth).save(path)
    return open_truth(path)


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
    monkeypatch.setattr(metrics, "BLOCK", block)
    labels, truth = pair
    found = evaluate(make_segmentation(labels), saved(truth, tmp_path / "truth.png"), region)
    y0, x0, y1, x1 = region or (0, 0, *truth.shape)
    matrix = confusion_matrix(truth[y0:y1, x0:x1], labels[y0:y1, x0:x1] - np.uint8(1), 3)
    assert found == Scores.from_confusion(matrix, ("red", "green", "blue"))


def test_truth_of_another_size(
    tmp_path: Path, make_segmentation: MakeSegmentation, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    labels, truth = pair
    with pytest.raises(InputError, match=r"299 x 420 px .* 300 x 420"):
        evaluate(make_segmentation(labels), saved(truth[:-1], tmp_path / "truth.png"))


def test_truth_of_other_classes(
    tmp_path: Path, make_segmentation: MakeSegmentation, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    labels, _ = pair
    classes = [{"name": n, "color": (9, 9, 9)} for n in ("oak", "elm", "fir")]
    LabelPyramid.create(tmp_path / "truth", labels.shape, classes=classes).write(0, 0, labels)
    with pytest.raises(InputError, match="oak, elm, fir"):
        evaluate(make_segmentation(labels), open_truth(tmp_path / "truth"))


def test_nothing_to_score(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    truth = saved(np.zeros((40, 40), np.uint8), tmp_path / "truth.png")
    with pytest.raises(InputError, match="nothing to score"):
        evaluate(make_segmentation(np.zeros((40, 40), np.uint8)), truth)
