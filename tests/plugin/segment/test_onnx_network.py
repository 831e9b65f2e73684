"""A network of an ONNX file in the window: chosen, run live, run to the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_onnx import deepness, network, run
from helpers_window import Open, errors, level, mask_of

from fctl_napari.imagery.open import open_image
from fctl_napari.model.onnx_files.read import import_onnx
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.slow, pytest.mark.usefixtures("warm_engine")]


@pytest.fixture
def scene(strip: Path) -> Path:
    """A smaller scene."""
    return strip


def test_it_is_run_as_any_other(
    open_scene: Open, until: Callable[..., None], notes: list[tuple[str, str]], scene: Path, tmp_path: Path
) -> None:
    path = network(tmp_path / "net.onnx", size=None, metadata=deepness("sea", "land", "ice", tile_size=96))
    viewer, widget = open_scene()
    widget.form.add_checkpoint(import_onnx(path, tmp_path / "net.safetensors"))
    assert "ONNX network" in widget.form.card.text
    widget.form.live.setChecked(True)
    until(lambda: any(layer.name == "scene by net" and level(layer).any() for layer in viewer.layers))
    widget.form.live.setChecked(False)
    until(lambda: not widget.running)
    widget.form.where.setCurrentText(WHOLE)
    widget.form.run.click()
    until(lambda: not widget.running)
    assert errors(notes) == []
    store = Segmentation.open(widget.form.result.text())
    assert store.done().all()
    assert list(mask_of(viewer).features["class"]) == ["", "sea", "land", "ice"]
    pixels = open_image(scene).read((0, 0, 112, 1100))
    expected = run(path, np.float32(pixels.transpose(2, 0, 1) / 255)).argmax(0) + 1
    found = np.asarray(store.labels.levels[0][:])
    assert (found == expected).mean() > 0.97  # tiles end at their rims
    assert len(np.unique(found)) > 1
