"""napari started from a plain script, as napari's own gallery does: one window, and the result in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gui

SCRIPT = """
import os
print("begins as", __name__, flush=True)
import napari
from qtpy.QtCore import QTimer
viewer = napari.Viewer()
viewer.open({scene!r}, plugin="fctl-napari")
_, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Segment")
widget.form.add_checkpoint({checkpoint!r})
widget.form.where.setCurrentText("Whole image")
QTimer.singleShot(500, widget.start)
seen = []
def look():
    seen.append(widget.running)
    if True in seen and not widget.running:
        print("ends with", widget.form.status.text(), flush=True)
        viewer.close()
timer = QTimer()
timer.timeout.connect(look)
timer.start(100)
napari.run()
"""


def test_a_plain_script_opens_one_window_and_segments(scene: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    script = tmp_path / "view.py"
    script.write_text(SCRIPT.format(scene=str(scene), checkpoint=str(tiny_checkpoint)))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=250)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("begins", "ends"))]
    assert lines[0] == "begins as __main__", done.stderr
    assert len(lines) == 2, "the script ran again in another process"
    assert lines[1].startswith("ends with Done"), done.stderr
