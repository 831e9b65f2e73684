"""Classes of one's own in a real window: made in the dialog, painted, edited, and found again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_correct import OpenCorrect, Until, edit, rest, synchronized
from helpers_new_classes import Dialog, can_accept, choose, names, press, type_name
from helpers_window import errors

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.dock.dock import open_tab

pytestmark = pytest.mark.gui

Alone = Callable[[], tuple[napari.Viewer, CorrectWidget]]


@pytest.fixture
def open_alone(open_window: Callable[..., Any], until: Until, scene: Path, tiny_checkpoint: Path) -> Alone:
    """Open the scene without a segmentation, with a checkpoint chosen."""

    def open_it() -> tuple[napari.Viewer, CorrectWidget]:
        viewer = open_window()
        viewer.open(scene, plugin="fctl-napari")
        widget = open_tab(viewer, "Correct")
        widget.form.checkpoint.add(tiny_checkpoint)
        viewer.reset_view()
        until(lambda: not widget.busy)
        return viewer, widget

    return open_it


def offered(widget: CorrectWidget) -> list[str]:
    return list(widget.form.classes.areas)


def test_classes_that_begin_with_loveda_are_painted_and_found_again(
    open_alone: Alone, new_classes: Dialog, until: Until, notes: list[tuple[str, str]], scene: Path
) -> None:
    viewer, widget = open_alone()
    dialog = new_classes(widget)
    assert [dialog.start.itemText(index) for index in range(3)] == ["none", "checkpoint tiny", "DeepGlobe"]
    assert names(dialog) == ["red", "green", "blue"], "of the chosen checkpoint"
    dialog.start.setCurrentText("LoveDA")
    dialog.start.textActivated.emit("LoveDA")
    type_name(dialog, "field", row=6)
    choose(dialog, 1, 2)
    press(dialog, "Merge")
    assert names(dialog) == ["background", "building", "water", "barren", "forest", "field"]
    press(dialog, "Add")
    type_name(dialog, "reef")
    dialog.recolor(6, (10, 200, 220))
    assert can_accept(dialog)
    assert not dialog.notice.isVisible()
    press(dialog, "OK")
    rest(widget, until)
    until(lambda: widget.corrections is not None)
    wanted = ["background", "building", "water", "barren", "forest", "field", "reef", "not sure"]
    assert offered(widget) == wanted
    rest(widget, until)
    assert "paint at least two" in widget.form.guide.text()
    layer = edit(widget, until, 60, 60)
    widget.form.classes.buttons[7].click()
    assert np.allclose(layer.colormap.color_dict[7][:3], np.array([10, 200, 220]) / 255)
    layer.paint((20, 20), 7)
    rest(widget, until)
    assert "paint at least two" in widget.form.guide.text()
    layer.paint((20, 200), 2)
    rest(widget, until)
    assert "paint at least two" not in widget.form.guide.text()
    corrections = widget.corrections
    assert corrections is not None
    areas = corrections.area_by_class()
    assert errors(notes) == []
    viewer.close()

    path = scene.with_name("scene.corrections.ome.zarr")
    with Corrections.open(path) as found:
        assert found.own_classes
        assert list(found.class_table.names) == wanted[:-1]
        assert found.class_table.classes[6].color == (10, 200, 220)
        assert found.area_by_class() == areas
    viewer, widget = open_alone()
    edit(widget, until, 60, 60)
    rest(widget, until)
    assert offered(widget) == wanted, "the checkpoint's are not added"
    assert widget.corrections is not None
    assert {name for name, pixels in widget.corrections.area_by_class().items() if pixels} == {"reef", "building"}
    assert errors(notes) == []


def test_painted_classes_are_merged_and_given_up_only_when_said_so(
    open_correct: OpenCorrect, new_classes: Dialog, until: Until, notes: list[tuple[str, str]], scene: Path
) -> None:
    _, widget = open_correct()
    layer = edit(widget, until, 150, 500)
    for column, label in ((30, 1), (90, 2), (150, 3)):
        layer.paint((50, column), label)
        rest(widget, until)
    corrections = widget.corrections
    assert corrections is not None
    before = corrections.area_by_class()
    dialog = new_classes(widget)
    assert dialog.start.currentText() == "the present classes"
    type_name(dialog, "meadow", row=1)
    press(dialog, "OK")
    rest(widget, until)
    until(lambda: offered(widget) == ["red", "meadow", "blue", "not sure"])
    assert widget.edit_layer is layer, "a new name does not disturb the edit window"
    assert corrections.area_by_class()["meadow"] == before["green"]
    assert corrections.can_undo()

    dialog = new_classes(widget)
    choose(dialog, 0)
    press(dialog, "Remove")
    assert f"{before['red']:,} px of red become nothing" in dialog.notice.text()
    assert "kept as scene.corrections.ome.zarr.before-classes-1" in dialog.notice.text()
    assert not can_accept(dialog)
    press(dialog, "Cancel")
    rest(widget, until)
    assert corrections.class_table.names == ("red", "meadow", "blue")

    dialog = new_classes(widget)
    choose(dialog, 1, 2)
    press(dialog, "Merge")
    press(dialog, "Split")
    type_name(dialog, "swamp")
    choose(dialog, 0)
    press(dialog, "Remove")
    dialog.give_up.click()
    assert names(dialog) == ["meadow", "swamp"]
    press(dialog, "OK")
    rest(widget, until)
    until(lambda: offered(widget) == ["meadow", "swamp", "not sure"] and widget.edit_layer is not None)
    rest(widget, until)
    assert corrections.area_by_class() == {
        "meadow": before["green"] + before["blue"], "swamp": 0, "not sure": 0
    }  # fmt: skip
    assert not corrections.can_undo()
    assert not widget.form.undo.isEnabled()
    layer = widget.edit_layer
    assert layer is not None
    y0, x0 = (int(value) for value in layer.translate[-2:])
    shown = synchronized(corrections)[y0 : y0 + layer.data.shape[0], x0 : x0 + layer.data.shape[1]]
    np.testing.assert_array_equal(layer.data, shown)
    layer.paint((200, 200), 2)
    rest(widget, until)
    assert corrections.area_by_class()["swamp"] > 0
    with Corrections.open(scene.with_name("scene.corrections.ome.zarr.before-classes-1")) as former:
        areas = former.area_by_class()
        assert (areas["red"], areas["meadow"], areas["blue"]) == (before["red"], before["green"], before["blue"])
    assert errors(notes) == []


def test_the_dialog_says_what_is_missing(
    open_alone: Alone, new_classes: Dialog, until: Until, notes: list[tuple[str, str]], tmp_path: Path, scene: Path
) -> None:
    _, widget = open_alone()
    dialog = new_classes(widget)
    dialog.begin("none")
    assert not can_accept(dialog)
    assert "at least two classes" in dialog.problem.text()
    for name in ("sand", "sand"):
        press(dialog, "Add")
        type_name(dialog, name)
    assert "Two classes are named sand" in dialog.problem.text()
    type_name(dialog, "  ", row=0)
    assert "Class 1 has no name yet" in dialog.problem.text()
    type_name(dialog, "not sure", row=0)
    assert "not sure is always there" in dialog.problem.text()
    assert not can_accept(dialog)
    type_name(dialog, "rock", row=0)
    assert can_accept(dialog)
    assert not dialog.problem.isVisible()
    (tmp_path / "own.csv").write_text("name,color\nreef,#0058ff\nsand,#ff2200\n")
    dialog.read(tmp_path / "own.csv")
    assert (names(dialog), dialog.start.currentText()) == (["reef", "sand"], "own.csv")
    (tmp_path / "bad.csv").write_text("")
    dialog.read(tmp_path / "bad.csv")
    assert names(dialog) == ["reef", "sand"]
    assert "is empty; give a line for each class" in dialog.problem.text()
    press(dialog, "Cancel")
    rest(widget, until)
    assert errors(notes) == []
    assert widget.corrections is None
    assert not scene.with_name("scene.corrections.ome.zarr").exists()
