"""Truths that layers show, compared where they are seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers_errors import Judged, OpenErrors
from helpers_window import errors

from fctl_napari.plugin.errors.widget import ErrorWidget

pytestmark = pytest.mark.gui

H, W = 300, 1100


def accuracy(widget: ErrorWidget, until: Callable[..., None]) -> float:
    widget.form.where.setCurrentText("Whole image")
    widget.form.figures.compute.click()
    until(lambda: not widget.running)
    evaluation = widget.form.figures.evaluation
    assert evaluation is not None
    return float(evaluation.scores.accuracy)


def choose(widget: ErrorWidget, until: Callable[..., None], name: str) -> None:
    widget.form.truth.setCurrentText(name)
    until(lambda: not widget.running)


def test_truths_are_compared_where_they_are_seen(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    scene, store, _, called = judged
    viewer, widget = open_errors(scene, store.path)
    names = ["", *store.class_table.names]
    perfect = np.where(called == 255, 0, called + np.uint8(1)).astype(np.uint8)
    larger = np.zeros((H + 60, W + 80), np.uint8)
    larger[25 : 25 + H, 35 : 35 + W] = perfect
    doubled = perfect.repeat(3, 0).repeat(3, 1)
    cases = {
        "same": (perfect, {}),
        "larger, moved": (larger, {"translate": (-25, -35)}),
        "finer": (doubled, {"scale": (1 / 3, 1 / 3), "translate": (-1 / 3, -1 / 3)}),
        "a part": (perfect[40:200, 100:900], {"translate": (40, 100)}),
        "a plane": (perfect[None], {}),
        "levels": ([perfect, perfect[::2, ::2]], {}),
        "transposed": (np.ascontiguousarray(perfect.T), {"affine": [[0, 1, 0], [1, 0, 0], [0, 0, 1]]}),
    }
    for name, (data, place) in cases.items():
        layer = viewer.add_labels(data, name=name, features={"class": names}, **place)
        choose(widget, until, name)
        assert errors(notes) == [], name
        assert accuracy(widget, until) == 1.0, name
        overlay = widget.overlay
        assert overlay is not None
        assert not np.asarray(overlay.data[0] if overlay.multiscale else overlay.data).any(), name
        viewer.layers.remove(layer)

    # who moves the truth sees other errors
    layer = viewer.add_labels(perfect, name="moving", features={"class": names})
    choose(widget, until, "moving")
    assert accuracy(widget, until) == 1.0
    layer.translate = (0, 7)
    until(lambda: not widget.running)
    moved = perfect[:, :-7]
    seen = called[:, 7:]
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


def test_the_image_s_own_truth_is_its_own_wherever_the_image_is_moved(
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
