"""Corrections whose classes are not those that are chosen: nothing stands still, and no class becomes another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_correct import OpenCorrect, Until, edit, rest, synchronized
from helpers_window import errors

from fctl_napari.correcting.acceptance import accept
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.plugin.correct.brush import class_under
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.progress import no_progress
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = pytest.mark.gui

Alone = Callable[[], tuple[napari.Viewer, CorrectWidget]]


@pytest.fixture
def open_alone(open_window: Callable[..., Any], until: Until, scene: Path) -> Alone:
    """Open the scene without a segmentation."""

    def open_it() -> tuple[napari.Viewer, CorrectWidget]:
        viewer = open_window()
        viewer.open(scene, plugin="fctl-napari")
        widget = open_tab(viewer, "Correct")
        viewer.reset_view()
        until(lambda: not widget.busy)
        return viewer, widget

    return open_it


def offered(widget: CorrectWidget) -> list[str]:
    return list(widget.form.classes.areas)


def test_corrections_that_are_blank_get_the_classes_that_are_chosen(
    open_alone: Alone, until: Until, tiny_checkpoint: Path, notes: list[tuple[str, str]], scene: Path
) -> None:
    viewer, widget = open_alone()
    widget.form.checkpoint.add("earth")
    rest(widget, until)
    edit(widget, until, 60, 60)
    assert offered(widget)[0] == "water"
    widget.form.checkpoint.add(tiny_checkpoint)
    rest(widget, until)
    until(lambda: widget.edit_layer is not None)  # it is where it was
    layer = widget.edit_layer
    assert layer is not None
    assert offered(widget) == ["red", "green", "blue", "not sure"]
    layer.paint((10, 10), 2)
    rest(widget, until)
    assert widget.corrections is not None
    assert widget.corrections.area_by_class()["green"] > 0
    assert errors(notes) == []
    viewer.close()
    _, widget = open_alone()
    widget.form.checkpoint.add(tiny_checkpoint)
    edit(widget, until, 60, 60)
    assert offered(widget) == ["red", "green", "blue", "not sure"]
    assert errors(notes) == []


def test_painted_classes_stay_and_those_that_are_chosen_come_after_them(
    open_alone: Alone, until: Until, tiny_checkpoint: Path, notes: list[tuple[str, str]], scene: Path
) -> None:
    table = ClassTable(classes=tuple(ClassInfo(name=n, color=(k, 9, 9)) for k, n in enumerate(("blue", "reef"))))
    path = scene.with_name("scene.corrections.ome.zarr")
    with Corrections.create(path, open_image(scene), table) as made:
        made.write(0, 0, np.array([[1, 2]], np.uint8), author="ann")
    _, widget = open_alone()
    widget.form.checkpoint.add(tiny_checkpoint)
    rest(widget, until)
    assert offered(widget) == ["blue", "reef", "not sure"], "nobody asked for others yet"
    assert "lack red, green: press Edit here" in widget.form.guide.text()
    assert "no class of the checkpoint: reef" in widget.form.guide.text()
    layer = edit(widget, until, 60, 60)
    rest(widget, until)
    assert offered(widget) == ["blue", "reef", "red", "green", "not sure"]
    assert "lack" not in widget.form.guide.text()
    assert "no class of the checkpoint: reef" in widget.form.guide.text()
    widget.form.classes.buttons[3].click()
    layer = widget.edit_layer
    assert layer is not None
    assert layer.selected_label == 3
    layer.paint((50, 50), 3)
    rest(widget, until)
    assert widget.corrections is not None
    areas = widget.corrections.area_by_class()
    assert (areas["blue"], areas["reef"]) == (1, 1)
    assert areas["red"] > 0
    widget.form.undo.click()
    rest(widget, until)
    widget.form.undo.click()  # painted before the classes came
    rest(widget, until)
    assert not synchronized(widget.corrections).any()
    assert errors(notes) == []


@pytest.fixture
def other_order(scene: Path, make_segmentation: Callable[..., Segmentation]) -> Segmentation:
    """A segmentation of the scene: its upper half is blue, its lower one moor."""
    values = np.full((300, 1100), 1, np.uint8)
    values[150:] = 2
    return make_segmentation(
        values, names=("blue", "moor", "red"), path=scene.with_name("other.ome.zarr"), image=open_image(scene)
    )


def test_a_prediction_is_accepted_and_picked_by_the_names_of_its_classes(
    open_correct: OpenCorrect, until: Until, other_order: Segmentation, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_correct()
    layer = edit(widget, until, 150, 500)
    layer.paint((50, 50), 2)  # green
    rest(widget, until)
    viewer.open(other_order.path, plugin="fctl-napari")
    rest(widget, until)
    mask = next(layer for layer in viewer.layers if layer.name.startswith("other") and "confidence" not in layer.name)
    widget.form.mask.setCurrentIndex(widget.form.mask.findData(mask))
    rest(widget, until)
    assert "lack moor" in widget.form.guide.text()
    corrections = widget.corrections
    assert corrections is not None
    assert class_under(viewer, mask, mask.data_to_world((10, 10)), corrections.class_table) == 3
    viewer.add_shapes([[[140, 900], [140, 920], [160, 920], [160, 900]]], name="region of interest")
    widget.form.where.setCurrentIndex(0)
    widget.form.accept.click()
    rest(widget, until)
    until(lambda: offered(widget) == ["red", "green", "blue", "moor", "not sure"])
    rest(widget, until)
    assert widget.corrections is not None
    areas = widget.corrections.area_by_class()
    assert areas["red"] == 0
    assert areas["green"] > 0
    whole = synchronized(widget.corrections)
    assert (set(whole[142:150, 902:918].flat), set(whole[150:158, 902:918].flat)) == ({3}, {4})  # blue, moor
    assert widget.edit_layer is not None
    assert errors(notes) == []


def test_only_classes_that_are_accepted_are_added(other_order: Segmentation, scene: Path, tmp_path: Path) -> None:
    class Where:
        window = (0, 0, 10, 10)

        def mask(self, window: tuple[int, int, int, int]) -> np.ndarray:
            return np.ones((window[2] - window[0], window[3] - window[1]), bool)

    table = ClassTable(classes=(ClassInfo(name="green", color=(0, 0, 0)),))
    with Corrections.create(tmp_path / "c.ome.zarr", open_image(scene), table) as corrections:
        accept(corrections, other_order, Where(), "ann", no_progress)
        assert corrections.area_by_class() == {"green": 0, "blue": 100, "not sure": 0}
