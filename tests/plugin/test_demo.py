"""The demo without a display: a virtual one, the whole scene, two pictures and a figure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fctl_napari.imagery.sample import sample_files
from fctl_napari.segmentation.store.store import Segmentation

SCRIPT = """
import sys
from pathlib import Path
from fctl_napari.imagery import sample
from fctl_napari.plugin.demo import run_demo

if __name__ == "__main__":
    sample._LOCATIONS = (Path(sys.argv[3]),)
    run_demo(sys.argv[1], checkpoint=sys.argv[2])
"""


@pytest.fixture
def earth_checkpoint(tmp_path: Path) -> Path:
    """A checkpoint for the scene's classes with large tiles, no contexts and random weights."""
    import torch

    from fctl_napari.model.checkpoint import save_checkpoint
    from fctl_napari.model.classes import ClassTable
    from fctl_napari.model.fctl import FCtL
    from fctl_napari.model.model_card import Card
    from fctl_napari.model.presets import preset

    config = preset("fcn8s", encoder="efficientnet_lite0", classes=5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FCtL(config).eval()
    path = tmp_path / "random.safetensors"
    save_checkpoint(path, model, Card(name="random", config=config, classes=ClassTable.read(sample_files().classes)))
    return path


def small_sample(folder: Path) -> Path:
    """Write the sample scene at a quarter of its resolution."""
    files = sample_files()
    folder.mkdir()
    table = json.loads(files.classes.read_text("utf-8"))
    table["splits"] = {split: [[x // 4 for x in band] for band in bands] for split, bands in table["splits"].items()}
    (folder / files.classes.name).write_text(json.dumps(table))
    for path in (files.image, files.ground_truth):
        Image.fromarray(np.asarray(Image.open(path))[::4, ::4]).save(folder / path.name)
    return folder


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_demo_without_a_display(tmp_path: Path, earth_checkpoint: Path, whole: bool) -> None:
    """By day the scene of a quarter of the resolution stands in for the whole one."""
    sample = sample_files().image.parent if whole else small_sample(tmp_path / "sample")
    script = tmp_path / "demo.py"
    script.write_text(SCRIPT)
    out = tmp_path / "out"
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    run = subprocess.run(
        [sys.executable, script, out, earth_checkpoint, sample],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    miou, screenshot, figure = run.stdout.strip().splitlines()[-3:]
    assert re.fullmatch(r"mIoU on the test bands: 0\.[0-4]\d+", miou)  # random weights, but a figure
    assert (Path(screenshot), Path(figure)) == (out / "screenshot.png", out / "figure.png")
    result = Segmentation.open(out / "earth.fctl.ome.zarr")
    assert result.shape == Image.open(sample / "earth.jpg").size[::-1]
    assert result.done().all()
    assert Image.open(figure).size[0] > 800
    # the canvas shows the mask over the scene, not only the theme's greys
    window = np.asarray(Image.open(screenshot).convert("RGB")).astype(int)
    assert window.shape[1] > 1000
    assert (np.ptp(window, axis=2) > 40).mean() > 0.05


def test_a_missing_checkpoint_is_reported_before_anything_opens(tmp_path: Path) -> None:
    from fctl_napari.exceptions import CheckpointError
    from fctl_napari.plugin.demo import run_demo

    with pytest.raises(CheckpointError, match="nothing-here"):
        run_demo(tmp_path / "out", checkpoint="nothing-here")
    assert not (tmp_path / "out").exists()
