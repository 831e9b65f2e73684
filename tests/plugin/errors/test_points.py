"""Random points of the map in the tab Errors: drawn, checked by keys without seeing the map, and estimated."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_commands import Fctl
from helpers_errors import NAMES, Judged, OpenErrors, canvas
from helpers_window import errors, level, mask_of
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.points.checked_points import CheckedPoints, points_path
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.errors.points_page import PointsPage
from fctl_napari.plugin.errors.widget import ErrorWidget
from fctl_napari.plugin.layers.before_after import before_after

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Until = Callable[..., None]
KELP = ClassTable(classes=(ClassInfo(name="kelp", color=(0, 80, 80)),))


def points_page(widget: ErrorWidget, until: Until) -> PointsPage:
    """Show the page."""
    widget.form.tabs.setCurrentWidget(widget.form.points)
    until(lambda: not widget.running)
    return widget.form.points


def draw(widget: ErrorWidget, until: Until, total: int = 25) -> PointsPage:
    page = points_page(widget, until)
    page.total.setValue(total)
    page.draw.click()
    until(lambda: not widget.running)
    return page


def check(widget: ErrorWidget, until: Until) -> None:
    widget.form.points.check.click()
    until(lambda: widget.checks.checking)


def marked(widget: ErrorWidget) -> tuple[int, int]:
    """The pixel in the middle of the marker."""
    marker = widget.checks.marker
    assert marker is not None
    y, x = np.mean(marker.data[0], axis=0)
    return round(float(y)), round(float(x))


def press(viewer: napari.Viewer, qtbot: QtBot, key: str) -> None:
    """Press a key on the canvas."""
    modifier = Qt.KeyboardModifier.ShiftModifier if key.startswith("Shift+") else Qt.KeyboardModifier.NoModifier
    qtbot.keyClick(canvas(viewer), getattr(Qt.Key, f"Key_{key[-1]}"), modifier)


@pytest.fixture
def corrected(judged: Judged) -> Judged:
    """The same, with some kelp painted: another class than the network knows."""
    scene, *_ = judged
    path = scene.with_name("scene.corrections.ome.zarr")
    with Corrections.open_or_create(path, open_image(scene), KELP) as corrections:
        corrections.write(20, 30, np.full((60, 80), 1, np.uint8), author="ann")
    return judged


def test_drawn_checked_by_keys_and_estimated_as_by_the_commands(
    open_errors: OpenErrors,
    corrected: Judged,
    until: Until,
    qtbot: QtBot,
    fctl: Fctl,
    tmp_path: Path,
    notes: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene, store, ground_truth, _ = corrected
    viewer, widget = open_errors(scene, store.path)
    page = draw(widget, until)
    assert "25 points drawn; some classes have only 4 points; 50 or more are advised" in widget.form.status.text()
    path = points_path(store.path)
    drawn = CheckedPoints.read(path)
    assert drawn.final
    monkeypatch.setattr(session(), "painter", "ann")
    check(widget, until)
    names = [*NAMES, "kelp"]
    expected = []
    for number, point in enumerate(drawn.points):
        assert marked(widget) == (point.y, point.x)
        assert np.allclose(viewer.scene.camera.center[-2:], (point.y, point.x), atol=1)
        label = ground_truth[point.y, point.x]
        expected.append(names[0 if label == 255 else label])
        press(viewer, qtbot, str(names.index(expected[-1]) + 1))
        assert f"{number + 1} of 25 checked" in page.progress.text()
        written = CheckedPoints.read(path)
        assert (written.checked, written.points[number].by) == (number + 1, "ann")
    assert "All are checked" in page.progress.text()
    page.stop.click()
    assert [point.true for point in CheckedPoints.read(path).points] == expected

    page.estimate.click()
    until(lambda: not widget.running)
    location = str(tmp_path / "window")
    monkeypatch.setattr(
        "fctl_napari.plugin.errors.points_page.QFileDialog.getSaveFileName", lambda *_, **__: (location, "")
    )
    page.save_json.click()
    code, out, err = fctl("points", "estimate", store.path, "--json", tmp_path / "command.json")
    assert code == 0, err
    assert json.loads((tmp_path / "window.json").read_text()) == json.loads((tmp_path / "command.json").read_text())
    cells, table = page.table.model(), [line.split() for line in out.splitlines()]
    assert [cells.headerData(k, Qt.Orientation.Vertical) for k in range(6)] == names
    for row in range(6):
        for column in range(cells.columnCount()):
            assert set(cells.data(cells.index(row, column)).split()) <= set(table[row + 1])
    accuracy, by, *remarks = out.splitlines()[len(names) + 1 :]
    assert page.headline.text().lower() == f"{accuracy}, {by}."
    assert page.remarks.text().splitlines() == remarks
    page.copy.click()
    assert QApplication.clipboard().text().startswith("class,share,")
    assert errors(notes) == []


def test_the_map_is_not_seen_while_points_are_checked(
    open_errors: OpenErrors, corrected: Judged, until: Until, qtbot: QtBot
) -> None:
    scene, store, *_ = corrected
    viewer, widget = open_errors(scene, store.path)
    until(lambda: widget.comparison is not None and widget.overlay is not None)
    correct = open_tab(viewer, "Correct")
    until(lambda: not correct.busy)
    open_tab(viewer, "Errors")
    page = draw(widget, until)
    before = {layer.name: layer.visible for layer in viewer.layers}
    chosen = set(viewer.layers.selection)
    check(widget, until)
    visible = [layer for layer in viewer.layers if layer.visible]
    assert [layer for layer in visible if isinstance(layer, Labels)] == []
    assert viewer.layers["scene"].visible
    assert viewer.layers.selection.active is widget.checks.marker
    assert widget.form.points.question.isVisible()
    assert not page.draw.isVisible()
    assert page.minimumSizeHint().width() <= 290
    added = viewer.add_labels(np.ones((300, 1100), np.uint8), name="from elsewhere")
    assert not added.visible
    before |= {added.name: True}
    chosen = {added}
    page.next.click()
    assert viewer.layers.selection.active is widget.checks.marker
    page.stop.click()
    assert page.minimumSizeHint().width() <= 290
    viewer.layers.selection = chosen
    assert {layer.name: layer.visible for layer in viewer.layers} == before
    assert set(viewer.layers.selection) == chosen
    assert widget.checks.marker is None
    for leave in (
        lambda: widget.form.tabs.setCurrentIndex(0),
        lambda: open_tab(viewer, "Correct"),
        lambda: viewer.layers.remove(viewer.layers["scene.made.fctl.ome.zarr"]),
    ):
        open_tab(viewer, "Errors")
        points_page(widget, until)
        check(widget, until)
        leave()
        until(lambda: not widget.checks.checking)
        assert widget.checks.marker is None


def test_a_dock_that_is_closed_while_points_are_checked_leaves_no_errors(
    open_errors: OpenErrors, judged: Judged, until: Until
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    until(lambda: widget.overlay is not None)
    mask = viewer.layers[store.path.name]
    draw(widget, until)
    check(widget, until)
    viewer.window.remove_dock_widget(viewer.window.dock_widgets["FCtL"])
    assert widget.overlay is None
    assert mask.visible


def test_answers_outlive_the_window_and_are_those_of_the_commands(
    open_errors: OpenErrors, judged: Judged, until: Until, qtbot: QtBot, fctl: Fctl, tmp_path: Path
) -> None:
    scene, store, *_ = judged
    table = tmp_path / "points.csv"
    assert fctl("points", "draw", store.path, "--total", 25, "--csv", table).code == 0
    viewer, widget = open_errors(scene, store.path)
    page = points_page(widget, until)
    assert page.state.text() == "0 of 25 points of the map checked"
    check(widget, until)
    press(viewer, qtbot, "2")
    press(viewer, qtbot, "0")  # not sure
    press(viewer, qtbot, "3")
    viewer.close()
    assert [point.true for point in CheckedPoints.read(points_path(store.path)).points[:4]] == [
        "forest",
        None,
        "rangeland",
        None,
    ]
    rows = table.read_text().splitlines()
    table.write_text("\n".join([rows[0], *(f"{row}barren" if row.startswith("4,") else row for row in rows[1:])]))
    assert fctl("points", "set", store.path, table).code == 0
    viewer, widget = open_errors(scene, store.path)
    page = points_page(widget, until)
    assert page.state.text() == "3 of 25 points of the map checked"
    check(widget, until)
    assert page.progress.text().startswith("Point 2.")


CHECKER = """
import sys, time
import napari
from qtpy.QtWidgets import QApplication
from fctl_napari.plugin.dock.dock import open_tab

def wait(condition):
    while not condition():
        QApplication.processEvents()
        time.sleep(0.01)

viewer = napari.Viewer()
viewer.open(sys.argv[1], plugin="fctl-napari")
widget = open_tab(viewer, "Errors")
wait(lambda: not widget.running)
widget.checks.check()
wait(lambda: widget.checks.checking)
for number in range(200):
    widget.checks.answer(1 + number % 5)
    print(number + 1, flush=True)
    QApplication.processEvents()
"""


def test_answers_survive_kill_9(judged: Judged, tmp_path: Path, fctl: Fctl) -> None:
    _, store, *_ = judged
    assert fctl("points", "draw", store.path, "--total", 200).code == 0
    process = subprocess.Popen(
        [sys.executable, "-c", CHECKER, str(store.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "other")},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    answered = 0
    try:
        for line in process.stdout:
            answered = int(line)
            if answered == 9:
                break
        else:
            pytest.fail(process.stderr.read())
        process.send_signal(signal.SIGKILL)  # while it writes the next one
        answered = max([answered, *(int(line) for line in process.stdout.read().split()[:-1])])
    finally:
        process.kill()
        process.wait()
    points = CheckedPoints.read(points_path(store.path))
    assert answered <= points.checked < 200
    given = [point.true for point in points.points]
    assert given[: points.checked] == [NAMES[k % 5] for k in range(points.checked)]
    assert set(given[points.checked :]) == {None}


def test_one_goes_back_to_answer_anew_and_the_zoom_stays(
    open_errors: OpenErrors, judged: Judged, until: Until, qtbot: QtBot
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    page = draw(widget, until)
    path = points_path(store.path)
    check(widget, until)
    viewer.scene.camera.zoom = 1.5
    page.classes.buttons[1].click()
    assert viewer.scene.camera.zoom == 1.5
    press(viewer, qtbot, "5")
    press(viewer, qtbot, "Shift+N")
    assert page.progress.text().startswith("Point 2.")
    assert page.classes.buttons[5].isChecked()
    press(viewer, qtbot, "4")
    assert [point.true for point in CheckedPoints.read(path).points[:3]] == ["water", "agriculture", None]
    press(viewer, qtbot, "Shift+N")
    press(viewer, qtbot, "0")
    assert [point.true for point in CheckedPoints.read(path).points[:3]] == ["water", None, None]
    assert page.progress.text().startswith("Point 3.")
    assert not any(button.isChecked() for button in page.classes.buttons.values())
    press(viewer, qtbot, "N")
    assert page.progress.text().startswith("Point 4.")
    viewer.layers.remove(widget.checks.marker)  # by the user
    page.next.click()
    assert page.progress.text().startswith("Point 5.")
    press(viewer, qtbot, "9")  # no such class
    qtbot.keyClick(page.next, "1")  # the focus is on the page
    assert CheckedPoints.read(path).points[4].true == "water"


def test_points_of_a_map_that_was_corrected_since_are_refused_and_drawn_anew(
    open_errors: OpenErrors, judged: Judged, until: Until, qtbot: QtBot, notes: list[tuple[str, str]]
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    page = draw(widget, until)
    path = points_path(store.path)
    check(widget, until)
    press(viewer, qtbot, "1")
    page.stop.click()
    with Corrections.open_or_create(
        scene.with_name("scene.corrections.ome.zarr"), open_image(scene), KELP
    ) as corrections:
        corrections.write(0, 0, np.full((2, 5), 1, np.uint8), author="ann")
    before = path.read_bytes()
    for button in (page.check, page.estimate):
        button.click()
        until(lambda: not widget.running)
        assert "drawn on this map before it was changed (" in widget.problem
        assert widget.problem.endswith("; press Draw points.")
        assert "fctl points" not in widget.problem
    assert not widget.checks.checking
    page.draw.click()
    assert page.drop.isVisible()
    assert "1 point of this map" in page.warning.text()
    page.keep.click()
    assert not page.drop.isVisible()
    assert path.read_bytes() == before
    page.draw.click()
    page.drop.click()
    until(lambda: not widget.running)
    drawn = CheckedPoints.read(path)
    assert drawn.checked == 0
    assert drawn.mapped["kelp"] == 10
    check(widget, until)
    assert not page.drop.isVisible()


def test_a_stopped_draw_leaves_nothing_and_a_damaged_file_is_refused(
    open_errors: OpenErrors, judged: Judged, until: Until, notes: list[tuple[str, str]]
) -> None:
    scene, store, *_ = judged
    _, widget = open_errors(scene, store.path)
    page = points_page(widget, until)
    path = points_path(store.path)
    assert not page.check.isVisible()
    assert not page.estimate.isVisible()
    page.draw.click()
    widget.form.cancel.click()
    until(lambda: not widget.running)
    assert widget.form.status.text() == "Stopped."
    assert not path.exists()
    assert not list(path.parent.glob(f".{path.name}*"))
    path.write_text("{}")
    page.draw.click()
    until(lambda: not widget.running)
    assert "holds no checked points, or is damaged" in errors(notes)[-1]
    assert path.read_text() == "{}"


def test_other_points_that_a_command_drew_meanwhile_are_not_answered(
    open_errors: OpenErrors, judged: Judged, until: Until, qtbot: QtBot, fctl: Fctl, notes: list[tuple[str, str]]
) -> None:
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    draw(widget, until)
    check(widget, until)
    assert fctl("points", "draw", store.path, "--total", 25, "--seed", 9).code == 0
    press(viewer, qtbot, "1")
    assert "other points were drawn meanwhile" in errors(notes)[-1]
    assert CheckedPoints.read(points_path(store.path)).checked == 0


def test_the_least_number_is_that_of_the_field(open_errors: OpenErrors, judged: Judged, until: Until) -> None:
    scene, store, *_ = judged
    _, widget = open_errors(scene, store.path)
    page: Any = points_page(widget, until)
    page.least.setValue(20)
    draw(widget, until, 30)
    points = CheckedPoints.read(points_path(store.path))
    assert len(points.points) == 100
    assert "100 points drawn; there are more than 30 points, so that each class has 20" in widget.form.status.text()
    draw(widget, until, 30)
    assert CheckedPoints.read(points_path(store.path)).drawn != points.drawn


def test_a_command_of_the_palette_begins_to_check(
    open_errors: OpenErrors, judged: Judged, until: Until, fctl: Fctl
) -> None:
    from napari._app_model import get_app_model

    scene, store, *_ = judged
    _, widget = open_errors(scene, store.path)
    commands = get_app_model().commands
    commands.execute_command("fctl-napari.check_points").result()
    until(lambda: not widget.running)
    assert widget.problem.endswith("there are no points yet; press Draw points.")
    assert fctl("points", "draw", store.path, "--total", 25).code == 0
    commands.execute_command("fctl-napari.check_points").result()
    until(lambda: widget.checks.checking)


def test_no_points_are_drawn_on_a_map_that_is_being_computed(
    open_scene: Callable[..., Any], until: Until, notes: list[tuple[str, str]]
) -> None:
    viewer, segment = open_scene()
    segment.form.live.setChecked(True)
    until(lambda: len(viewer.layers) > 1 and bool(level(mask_of(viewer)).any()))
    assert segment.live
    widget = open_tab(viewer, "Errors")
    page = points_page(widget, until)
    page.draw.click()
    assert "the map is being computed; wait for it, or press Cancel in the tab Segment" in errors(notes)[-1]
    segment.form.live.setChecked(False)
    until(lambda: not segment.running)
    draw(widget, until)
    assert errors(notes)[1:] == []
    assert len(CheckedPoints.read(points_path(page_store(widget))).points) >= 2


def page_store(widget: ErrorWidget) -> str:
    assert widget.comparison is not None
    return str(widget.comparison.segmentation.path)


def test_a_comparison_of_maps_ends_when_points_are_checked(
    open_errors: OpenErrors, judged: Judged, until: Until, tmp_path: Path
) -> None:
    """It would show the maps again when it ends, and the check is blind."""
    scene, store, *_ = judged
    viewer, widget = open_errors(scene, store.path)
    viewer.open(shutil.copytree(store.path, tmp_path / "second.ome.zarr"), plugin="fctl-napari")
    draw(widget, until)
    before_after(viewer).toggle("swipe")
    check(widget, until)
    assert before_after(viewer).mode == ""
    assert [layer for layer in viewer.layers if isinstance(layer, Labels) and layer.visible] == []
