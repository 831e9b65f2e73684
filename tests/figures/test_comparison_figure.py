from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fctl_napari.evaluation.error_types import PAPER
from fctl_napari.figures.comparison import IN_CLASS_COLORS, comparison_figure, error_picture
from fctl_napari.model.classes import ClassInfo, ClassTable, shown_classes

TABLE = ClassTable(
    classes=tuple(
        ClassInfo(name=n, color=c) for n, c in (("sea", (0, 90, 200)), ("wood", (0, 120, 0)), ("sand", (230, 200, 120)))
    )
)
GRAY = np.full((1, 6, 3), 100, np.uint8)
TRUTH = np.array([[0, 0, 1, 1, 2, 255]], np.uint8)
MASK = np.array([[0, 1, 0, 1, 1, 1]], np.uint8)


PAIR = ClassTable(classes=(ClassInfo(name="background", color=(0, 0, 0)), ClassInfo(name="wood", color=(0, 120, 0))))


def test_errors_of_land_cover_have_the_color_of_the_predicted_class() -> None:
    picture = error_picture(GRAY, MASK, TRUTH, TABLE)[0]
    right = tuple(picture[0])
    sea, wood, _ = (info.color for info in shown_classes(TABLE))
    assert [tuple(px) for px in picture] == [right, wood, sea, right, wood, right]


def test_errors_beside_a_background_are_misses_and_false_finds() -> None:
    picture = error_picture(GRAY[:, :4], MASK[:, :4], TRUTH[:, :4], PAIR)[0]
    right = tuple(picture[0])
    assert [tuple(px) for px in picture] == [right, PAPER.false_positive, PAPER.false_negative, right]


def test_errors_of_one_class() -> None:
    picture = error_picture(GRAY, MASK, TRUTH, TABLE, positive=1)[0]
    colors = [tuple(p) for p in picture]
    assert colors[1] == PAPER.false_positive
    assert colors[2] == PAPER.false_negative
    assert colors[4] == PAPER.false_positive
    assert colors[0] == colors[3] == colors[5]


@pytest.mark.parametrize("shape", [(60, 60), (40, 120), (30, 5000)])
def test_the_figure_shows_every_class_and_the_errors(shape: tuple[int, int]) -> None:
    ground_truth = np.zeros(shape, np.uint8)
    ground_truth[:, shape[1] // 2 :] = 1
    mask = np.zeros_like(ground_truth)
    mask[: shape[0] // 2] = 1
    figure = comparison_figure(np.full((*shape, 3), 90, np.uint8), mask, ground_truth, TABLE)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["sea", "wood", "sand"]
    assert [axes.get_title() for axes in figure.axes] == ["image", "mask", "truth", IN_CLASS_COLORS]
    figure = comparison_figure(np.full((*shape, 3), 90, np.uint8), mask, ground_truth, PAIR)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["background", "wood", "missed (false negative)", "false (false positive)"]
    assert [axes.get_title() for axes in figure.axes] == ["image", "mask", "truth", "FP/FN"]
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    drawn = np.asarray(Image.open(buffer).convert("RGB")).reshape(-1, 3)
    for color in (PAPER.false_negative, PAPER.false_positive, *(info.color for info in shown_classes(PAIR))):
        assert (drawn == color).all(axis=1).sum() > 50


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        comparison_figure(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((5, 4), np.uint8), TABLE)
