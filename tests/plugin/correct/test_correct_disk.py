"""What is painted in the tab Correct is on disk, whatever happens."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_correct import OpenCorrect, Until, edit, rest, synchronized
from helpers_window import errors
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.journal import Journal
from fctl_napari.files import output_error
from fctl_napari.imagery.formats.chunk_files import ChunkFiles
from fctl_napari.plugin.correct import stroke_queue
from fctl_napari.plugin.correct.edit_window import window_around
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.layers.image_source import image_source

pytestmark = pytest.mark.gui


def test_a_full_disk_is_reported_and_tried_again(
    open_correct: OpenCorrect, until: Until, monkeypatch: pytest.MonkeyPatch, notes: list[tuple[str, str]]
) -> None:
    monkeypatch.setattr(stroke_queue, "RETRY_S", 0.05)
    _, widget = open_correct()
    layer = edit(widget, until, 150, 500)
    rest(widget, until)
    append = Journal.append

    def refuse(*_: object, **__: object) -> None:
        raise output_error(Path("journal"), OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(Journal, "append", refuse)
    layer.paint((50, 50), 2)
    until(lambda: widget.form.saved.text().startswith("⚠"))
    layer.paint((90, 90), 3)
    until(lambda: widget.form.saved.text().startswith("⚠ 2"))
    assert len(errors(notes)) == 1  # reported once
    assert layer.data[50, 50] == 2
    monkeypatch.setattr(Journal, "append", append)
    rest(widget, until)
    assert widget.corrections is not None
    assert set(np.unique(synchronized(widget.corrections))) == {0, 2, 3}
    assert widget.form.saved.text().startswith("✓")


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_stroke_is_there_once_after_its_levels_found_no_room(
    open_correct: OpenCorrect, until: Until, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    monkeypatch.setattr(stroke_queue, "RETRY_S", 0.05)
    _, widget = open_correct()
    layer = edit(widget, until, 150, 500)
    layer.paint((20, 20), 1)
    rest(widget, until)
    written = [0]
    with monkeypatch.context() as patch:
        write = ChunkFiles._write

        def limited(self: ChunkFiles, index: tuple[int, int], chunk: np.ndarray) -> None:
            written[0] += 1
            if written[0] > chunks:
                raise OSError(errno.ENOSPC, "No space left on device")
            write(self, index, chunk)

        patch.setattr(ChunkFiles, "_write", limited)
        layer.paint((50, 50), 2)
        until(lambda: widget.form.saved.text().startswith("⚠"))
    layer.paint((90, 90), 3)
    rest(widget, until)
    corrections = widget.corrections
    assert widget.form.saved.text().startswith("✓")
    values, counts = np.unique(synchronized(corrections), return_counts=True)
    assert values.tolist() == [0, 1, 2, 3]
    assert len(set(counts[1:].tolist())) == 1  # three strokes of the same brush
    widget.form.undo.click()
    widget.form.undo.click()
    rest(widget, until)
    assert set(np.unique(synchronized(corrections))) == {0, 1}


def test_closing_writes_what_is_painted(open_correct: OpenCorrect, until: Until, scene: Path) -> None:
    viewer, widget = open_correct()
    path = scene.with_name("scene.corrections.ome.zarr")
    layer = edit(widget, until, 150, 500)
    layer.paint((50, 50), 2)
    viewer.window.remove_dock_widget(viewer.window.dock_widgets["FCtL"])
    assert set(np.unique(synchronized(Corrections.open(path)))) == {0, 2}
    assert not [each for each in viewer.layers if each.name.startswith(("edit", "corrections"))]
    assert "H" not in {str(key) for key in viewer.keymap}
    widget = open_tab(viewer, "Correct")
    until(lambda: not widget.busy and widget.layer is not None)  # what is there is shown again
    layer = edit(widget, until, 150, 500)
    assert layer.data[50, 50] == 2
    layer.paint((150, 150), 3)
    viewer.close()
    with Corrections.open(path, "r+") as again:  # and nobody holds it any more
        assert set(np.unique(synchronized(again))) == {0, 2, 3}


def test_an_array_is_saved_first(open_window: Callable[..., Any], until: Until, cache: Path) -> None:
    viewer = open_window()
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8), name="mine")
    widget = open_tab(viewer, "Correct")
    viewer.reset_view()
    rest(widget, until)
    layer = edit(widget, until, 100, 100)
    layer.paint((50, 50), 1)
    rest(widget, until)
    assert widget.corrections.path.parent == cache / "fctl-napari"
    assert synchronized(widget.corrections).any()
    assert image_source(viewer.layers["mine"]) is None

    first = widget.corrections.path
    viewer.layers["mine"].data = np.random.default_rng(1).integers(0, 255, (200, 300, 3), np.uint8)
    assert widget.corrections is None, "they are of the array before"
    rest(widget, until)
    layer = edit(widget, until, 100, 100)
    layer.paint((20, 20), 1)
    rest(widget, until)
    assert widget.corrections.path != first
    assert not widget.corrections.read((140, 140, 200, 300)).any()


def test_other_data_in_the_layer_of_a_file_are_corrected_apart(
    open_window: Callable[..., Any], until: Until, cache: Path, tmp_path: Path
) -> None:
    first, second = np.random.default_rng(0).integers(0, 255, (2, 200, 300, 3), np.uint8)
    Image.fromarray(first).save(tmp_path / "mine.png")
    viewer = open_window()
    viewer.open(tmp_path / "mine.png", plugin="fctl-napari")
    widget = open_tab(viewer, "Correct")
    widget.form.checkpoint.add("earth")
    viewer.reset_view()
    rest(widget, until)
    edit(widget, until, 100, 100).paint((50, 50), 1)
    rest(widget, until)
    of_file, saved = list(viewer.layers["mine"].data), widget.corrections.path
    viewer.layers["mine"].data = [second]
    assert widget.corrections is None, "they are of the file"
    rest(widget, until)
    edit(widget, until, 100, 100).paint((20, 20), 1)
    rest(widget, until)
    assert widget.corrections.path.parent == cache / "fctl-napari"
    viewer.layers["mine"].data = of_file
    assert widget.corrections is None, "they are of the array"
    rest(widget, until)
    edit(widget, until, 100, 100)
    assert widget.corrections.path == saved


PAINTER = """
import sys, time
import napari
from qtpy.QtWidgets import QApplication

scene = sys.argv[1]
viewer = napari.Viewer(show=True)
viewer.open(scene, plugin="fctl-napari")
widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Correct")[1].page
application = QApplication.instance()

def pump(until):
    end = time.time() + 60
    while not until():
        application.processEvents()
        time.sleep(0.001)
        assert time.time() < end

pump(lambda: not widget.busy)
viewer.reset_view()
widget.edit_here((150, 500))
pump(lambda: widget.edit_layer is not None and not widget.busy)
layer = widget.edit_layer
layer.brush_size = 5
for stroke in range(200):
    layer.paint((10 + stroke % 20 * 10, 10 + stroke // 20 * 12), 1 + stroke % 3)
    painted = time.time()
    pump(lambda: not widget.busy)
    print(stroke, time.time() - painted, flush=True)
"""


def test_what_was_painted_survives_kill_9(scene: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    script = tmp_path / "painter.py"
    script.write_text(PAINTER)
    process = subprocess.Popen(
        [sys.executable, str(script), str(scene)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "other")},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    path = scene.with_name("scene.corrections.ome.zarr")
    state_changed = -1
    try:
        for line in process.stdout:
            state_changed = int(line.split()[0])
            if state_changed == 6:
                break
        else:
            pytest.fail(process.stderr.read())
        process.send_signal(signal.SIGKILL)  # while it paints, or writes, the next one
        rest = process.stdout.read().splitlines(keepends=True)
        state_changed = max([state_changed, *(int(line.split()[0]) for line in rest if line.endswith("\n"))])
    finally:
        process.kill()
        process.wait()
    with Corrections.open(path, "r+") as again:
        whole = synchronized(again)
        y0, x0, _, _ = window_around(150, 500, (300, 1100), 2048)
        count = sum(bool(whole[y0 + 10 + k % 20 * 10, x0 + 10 + k // 20 * 12]) for k in range(200))
        assert state_changed + 1 <= count <= state_changed + 3
        for stroke in range(count):
            y, x = y0 + 10 + stroke % 20 * 10, x0 + 10 + stroke // 20 * 12
            part = whole[y - 1 : y + 2, x - 1 : x + 2]
            assert set(part.ravel()) == {1 + stroke % 3}
        for _ in range(count):
            assert again.undo() is not None
        assert not synchronized(again).any()
