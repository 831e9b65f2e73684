"""The worker is started from code that is typed into napari's console, as from any other Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.gui, pytest.mark.slow]

WINDOW = """
import os
with open({log!r}, "a") as log:
    print(os.getpid(), file=log)
import napari
viewer = napari.Viewer()
console = viewer.window._qt_viewer.console
console.execute({typed!r})
viewer.close()
"""
TYPED = """
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
with Engine(threads=1) as engine:
    request = SegmentationRequest({image!r}, {out!r}, {checkpoint!r}, device="cpu", region=(0, 0, 10, 10))
    final = engine.start(request).wait(200)
with open({said!r}, "w") as said:
    print(type(get_ipython()).__module__, final.state, final.error, file=said)
"""


def test_an_engine_is_started_from_the_console(scene: Path, lively: Path, tmp_path: Path) -> None:
    pytest.importorskip("napari_console")
    log, said = tmp_path / "log.txt", tmp_path / "said.txt"
    typed = TYPED.format(image=str(scene), out=str(tmp_path / "out.ome.zarr"), checkpoint=str(lively), said=str(said))
    script = tmp_path / "window.py"
    script.write_text(WINDOW.format(log=str(log), typed=typed))
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert said.exists(), done.stdout + done.stderr
    assert said.read_text().split() == ["ipykernel.inprocess.ipkernel", "done", "None"]
    assert len(log.read_text().splitlines()) == 1, "the script ran again in another process"
