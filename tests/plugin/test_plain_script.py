"""napari started from a plain script, as napari's own gallery does: one window, the result in it, and no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert

pytestmark = pytest.mark.gui

SCRIPT = """
import sys
print("begins as", __name__, flush=True)
import napari
from qtpy.QtCore import QTimer
viewer = napari.Viewer()
viewer.open({scene!r}, plugin="fctl-napari")
widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Segment")[1].page
widget.form.add_checkpoint({checkpoint!r})
widget.form.where.setCurrentText("Whole image")
def end(progress):
    print("ends with", progress.state, widget.form.status.text(), flush=True)
    print("layers", len(viewer.layers), "torch", "torch" in sys.modules, flush=True)
    viewer.close()
widget.finished.connect(end)
QTimer.singleShot(0, widget.start)
napari.run()
import {modules}
print("torch after all imports", "torch" in sys.modules, flush=True)
"""
MODULES = (
    *(f"plugin.{name}.widget" for name in ("segment", "explore", "errors", "correct", "finetune")),
    "plugin.dock.openers",
    "plugin.io.reader",
    "plugin.io.export",
    "figures.explanation",
    "figures.evaluation",
)
"""What the window may load besides."""


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, earth_crop: np.ndarray, tiny_checkpoint: Path) -> list[str]:
    """Lines that the script prints while it segments a small scene."""
    folder = tmp_path_factory.mktemp("script")
    scene = convert(pyramid_from_array(earth_crop[:96, :128], name="scene"), folder / "scene.ome.zarr", chunk=128)
    script = folder / "view.py"
    modules = ", ".join(f"fctl_napari.{name}" for name in MODULES)
    script.write_text(SCRIPT.format(scene=str(scene), checkpoint=str(tiny_checkpoint), modules=modules))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("begins", "ends", "layers", "torch"))]


def test_a_plain_script_opens_one_window_and_segments(lines: list[str]) -> None:
    assert lines[0] == "begins as __main__"
    assert len(lines) == 4, "the script ran again in another process"
    assert lines[1].startswith("ends with done Done")


def test_a_whole_run_leaves_torch_to_the_worker(lines: list[str]) -> None:
    assert lines[2] == "layers 3 torch False"


def test_the_plugin_package_and_the_reader_need_no_torch(lines: list[str]) -> None:
    assert lines[3] == "torch after all imports False"


def test_the_widgets_load_nothing_heavy_before_it_is_needed() -> None:
    widgets = ", ".join(f"fctl_napari.{name}" for name in MODULES if name.startswith("plugin."))
    heavy = {"torch", "pandas", "distributed", "matplotlib", "rasterio", "scipy.optimize", "scipy.sparse.csgraph"}
    code = f"import sys, {widgets}\nprint({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "set()\n", done.stderr
