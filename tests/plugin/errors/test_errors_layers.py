"""Ground truths that layers show, compared where they are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers_errors import Judged, OpenErrors
from helpers_window import errors

from fctl_napari.plugin.errors.widget import ErrorWidget

pytestmark = pytest.mark.gui


def accuracy(widget: ErrorWidget, until: Callable[..., None]) -> float:
    widget.form.where.setCurrentText("Whole image")
    widget.form.figures.compute.click()
    until(lambda: not widget.running)
    evaluation = widget.form.figures.evaluation
    assert evaluation is not None
    return float(evaluation.scores.accuracy)


def choose(widget: ErrorWidget, until: Callable[..., None], name: str) -> None:
    widget.form.ground_truth.setCurrentText(name)
    until(lambda: not widget.running)


def perfect_labels(predicted: np.ndarray) -> np.ndarray:
    """Labels of a layer that says what the segmentation says."""
    return np.where(predicted == 255, 0, predicted + np.uint8(1)).astype(np.uint8)


CASES: dict[str, tuple[Callable[[np.ndarray], Any], dict[str, Any]]] = {
    "same": (lambda labels: labels, {}),
    "larger, moved": (lambda labels: np.pad(labels, ((25, 35), (35, 45))), {"translate": (-25, -35)}),
    "finer": (
        lambda labels: labels.repeat(3, 0).repeat(3, 1),
        {"scale": (1 / 3, 1 / 3), "translate": (-1 / 3, -1 / 3)},
    ),
    "a part": (lambda labels: labels[40:200, 100:900], {"translate": (40, 100)}),
    "a plane": (lambda labels: labels[None], {}),
    "levels": (lambda labels: [labels, labels[::2, ::2]], {}),
    "transposed": (
        lambda labels: np.ascontiguousarray(labels.T),
        {"affine": [[0, 1, 0], [1, 0, 0], [0, 0, 1]]},
    ),
}
"""How a layer has the labels, and where it lies so that it shows them over their pixels."""
BY_DAY = ("larger, moved", "transposed")


@pytest.mark.parametrize(
    "names",
    [BY_DAY, pytest.param(tuple(name for name in CASES if name not in BY_DAY), marks=pytest.mark.nightly)],
    ids=["by day", "the others"],
)
def test_ground_truths_are_compared_where_they_are_seen(
    names: tuple[str, ...],
    open_errors: OpenErrors,
    judged: Judged,
    until: Callable[..., None],
    notes: list[tuple[str, str]],
) -> None:
    """By day two cases, and the tests of ``test_resampled_labels``, stand in for the others."""
    scene, store, _, predicted = judged
    viewer, widget = open_errors(scene, store.path)
    for name in names:
        make, location = CASES[name]
        features = {"class": ["", *store.class_table.names]}
        layer = viewer.add_labels(make(perfect_labels(predicted)), name=name, features=features, **location)
        choose(widget, until, name)
        assert errors(notes) == [], name
        assert accuracy(widget, until) == 1.0, name
        overlay = widget.overlay
        assert overlay is not None
        assert not np.asarray(overlay.data[0] if overlay.multiscale else overlay.data).any(), name
        viewer.layers.remove(layer)


def test_who_moves_the_ground_truth_sees_other_errors(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    scene, store, _, predicted = judged
    viewer, widget = open_errors(scene, store.path)
    perfect = perfect_labels(predicted)
    layer = viewer.add_labels(perfect, name="moving", features={"class": ["", *store.class_table.names]})
    choose(widget, until, "moving")
    layer.translate = (0, 7)
    until(lambda: not widget.running)
    moved, seen = perfect[:, :-7], predicted[:, 7:]
    scored = (moved > 0) & (seen != 255)
    assert accuracy(widget, until) == pytest.approx(float((moved - 1 == seen)[scored].mean()), abs=1e-9)
    layer.rotate = 12
    until(lambda: not widget.running)
    assert "rotated or sheared" in errors(notes)[-1]
    assert widget.comparison is None
    layer.rotate, layer.translate = 0, (0, 0)
    until(lambda: not widget.running)
    assert accuracy(widget, until) == 1.0


def test_two_segmentations_that_lie_apart_are_not_compared(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    scene, store, _, _ = judged
    viewer, widget = open_errors(scene, store.path)
    viewer.open(store.path, plugin="fctl-napari")
    second = viewer.layers[-1]
    second.name = "the other"
    second.translate = (3, 0)
    widget.form.second.setCurrentText("the other")
    until(lambda: not widget.running)
    assert "lies elsewhere" in errors(notes)[-1]
    second.translate = (0, 0)
    until(lambda: not widget.running)
    assert widget.comparison is not None
    assert widget.comparison.second is not None


def test_the_image_s_own_ground_truth_is_its_own_wherever_the_image_is_moved(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    scene, store, _, _ = judged
    viewer, widget = open_errors(scene, store.path)
    before = accuracy(widget, until)
    for name in ("scene", store.path.name):
        viewer.layers[name].scale, viewer.layers[name].rotate = (0.5, 0.5), 30
    until(lambda: not widget.running)
    assert accuracy(widget, until) == before
    viewer.layers["truth"].translate = (40, 60)  # moved by hand: it counts where it is seen
    until(lambda: not widget.running)
    assert "rotated or sheared" in errors(notes)[-1]
