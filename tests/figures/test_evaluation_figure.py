from __future__ import annotations

import dataclasses
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from fctl_napari.evaluation.calibration import Calibration
from fctl_napari.evaluation.evaluation import Evaluation
from fctl_napari.exceptions import OutputError
from fctl_napari.figures.evaluation import (
    draw_confusion,
    draw_reliability,
    evaluation_figure,
    row_shares,
    short_count,
)
from fctl_napari.figures.files import save_figure

MATRIX = np.array([[1500, 500, 0], [0, 12_000_000, 0], [0, 0, 0]], np.int64)


@pytest.fixture
def evaluation() -> Evaluation:
    levels = np.zeros(256, np.int64)
    levels[[60, 250]] = 3000, 12_000_000 - 1000
    return Evaluation(
        names=("sea", "wood", "sand"),
        region=(0, 0, 4000, 4000),
        confusion=MATRIX,
        calibration=Calibration(levels, levels // 2),
        boundary_px=15,
        boundary_iou={"sea": 0.25, "wood": 0.5, "sand": float("nan")},
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00k"),
        (12_345, "12.3k"),
        (99_960, "100k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (4_560_000, "4.56M"),
        (2**50, "1126T"),
    ],
)
def test_counts_are_short(count: int, text: str) -> None:
    assert short_count(count) == text


def test_confusion_matrix_shows_shares_and_counts() -> None:
    figure = Figure()
    axes = figure.subplots()
    draw_confusion(axes, MATRIX, ("sea", "wood", "sand"))
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array(), row_shares(MATRIX))
    np.testing.assert_allclose(row_shares(MATRIX), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    texts = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert (texts[0, 0], texts[0, 1], texts[1, 1]) == ("1.50k", "500", "12.0M")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sea", "wood", "sand"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "truth")


def test_reliability_takes_the_theme_s_ink(evaluation: Evaluation) -> None:
    axes = Figure().subplots()
    draw_reliability(axes, evaluation.calibration, ink="#ff0000")
    points = axes.lines[1]
    np.testing.assert_allclose(points.get_xdata(), [60 / 255, 250 / 255])
    np.testing.assert_allclose(points.get_ydata(), [0.5, 0.5])
    assert f"{evaluation.calibration.ece():.4f}" in axes.get_title()
    for item in (axes.title, axes.xaxis.label, *axes.get_xticklabels(), *axes.legend_.get_texts()):
        assert to_rgb(item.get_color()) == (1, 0, 0)


def test_figure_is_drawn_and_saved(evaluation: Evaluation, tmp_path: Path) -> None:
    figure = evaluation_figure(evaluation, "land")
    classes, confusion, reliability = figure.axes
    assert classes.get_title() == f"mIoU of the 2 of 3 classes that occur {evaluation.scores.miou:.4f}"
    void = dataclasses.replace(evaluation, names=("void", "wood", "sand"), boundary_iou=None)
    title = evaluation_figure(void, "land").axes[0].get_title()
    assert f"without void {void.scores.iou['wood']:.4f}" in title
    assert [text.get_text() for text in classes.get_legend().get_texts()] == ["IoU", "F1", "boundary IoU, 15 px"]
    assert confusion.get_title().startswith("accuracy")
    assert reliability.get_title().startswith("ECE")
    save_figure(figure, tmp_path / "f.png")
    save_figure(figure, tmp_path / "f.svg")
    drawn = np.asarray(Image.open(BytesIO((tmp_path / "f.png").read_bytes())).convert("RGB"))
    assert drawn.std() > 10
    assert "<svg" in (tmp_path / "f.svg").read_text()
    with pytest.raises(OutputError, match="PNG, SVG or PDF"):
        save_figure(figure, tmp_path / "f.bmp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.png", "f.svg"]
