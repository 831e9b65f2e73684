"""The window's process never loads torch, and importing the package loads no Qt either."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DRIVE = """
import sys
import napari
from qtpy.QtCore import QEventLoop, QTimer

if __name__ == "__main__":
    viewer = napari.Viewer(show=False)
    viewer.open(sys.argv[1], plugin="fctl-napari")
    _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Segment")
    widget.form.add_checkpoint(sys.argv[2])
    widget.form.where.setCurrentText("Whole image")
    loop = QEventLoop()
    states = []
    widget.finished.connect(lambda progress: (states.append(progress.state), loop.quit()))
    QTimer.singleShot(0, widget.start)
    QTimer.singleShot(100_000, loop.quit)
    loop.exec()
    print("state", states, "torch" in sys.modules, len(viewer.layers))
    viewer.close()
"""


@pytest.mark.gui
def test_a_whole_run_leaves_torch_to_the_worker(tmp_path: Path, scene: Path, tiny_checkpoint: Path) -> None:
    script = tmp_path / "drive.py"
    script.write_text(DRIVE)
    run = subprocess.run(
        [sys.executable, script, scene, tiny_checkpoint], capture_output=True, text=True, timeout=150, check=False
    )
    assert "state ['done'] False 3" in run.stdout, run.stderr
    assert run.returncode == 0, run.stderr


def test_the_plugin_package_and_the_reader_need_no_torch() -> None:
    modules = ("segment", "explore", "errors", "correct", "finetune")
    names = [
        *(f"plugin.{name}.widget" for name in modules),
        "plugin.io.reader",
        "plugin.io.export",
        "figures.explanation",
        "figures.evaluation",
    ]
    code = f"import sys, {', '.join(f'fctl_napari.{name}' for name in names)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
