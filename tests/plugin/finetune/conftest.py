"""The tab Fine-tune in a window; a small scene with corrections and a segmentation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_finetune import OpenFinetune, Until

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.finetune import beside_image
from fctl_napari.plugin.finetune.widget import FinetuneWidget
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoints of the user or of other tests; strokes on disk are seen sooner."""
    monkeypatch.setattr(beside_image, "LOOK_MS", 100)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(session(), "checkpoints", [])
    monkeypatch.setattr(session(), "painter", "ann")


@pytest.fixture
def scene(tmp_path: Path, earth_crop: np.ndarray) -> Path:
    """A smaller part of the Earth scene, so that a run over all of it is short: 192 x 448 px."""
    return convert(pyramid_from_array(earth_crop[:192, 300:748], name="scene"), tmp_path / "scene.ome.zarr", chunk=128)


@pytest.fixture
def parent(scene: Path, tiny_checkpoint: Path) -> Path:
    """The small network, beside the scene."""
    return Path(shutil.copy(tiny_checkpoint, scene.with_name("tiny.safetensors")))


@pytest.fixture
def corrected(scene: Path, parent: Path) -> Path:
    """Twelve corrected squares, of three classes, in the upper half."""
    path = scene.with_name("scene.corrections.ome.zarr")
    with Corrections.create(path, open_image(scene), read_card(parent).classes) as corrections:
        for k in range(12):
            block = np.full((24, 24), k % 3 + 1, np.uint8)
            corrections.write(8 + k // 6 * 56, 20 + k % 6 * 70, block, author="ann")
    return path


@pytest.fixture
def segmented(scene: Path, parent: Path) -> Segmentation:
    """A result by the parent, which was sure of all that it computed: stripes; the last columns are not computed."""
    image, card = open_image(scene), read_card(parent)
    store = Segmentation.create(
        scene.with_name("scene.tiny.fctl.ome.zarr"),
        image=image,
        grid=TileGrid(image.shape, 64, default_overlap(64)),
        card=card,
        checkpoint_hash=checkpoint_hash(parent),
        settings={
            **{"merge": "crop", "precision": "auto", "exact_contexts": False},
            **{"value_range": None, "bands": None},
        },
    )
    cells = [cell for cell in store.missing() if cell[1] < store.grid.cols - 2]
    for cell in cells:
        y0, x0, y1, x1 = store.grid.core(cell)
        labels = (np.arange(x0, x1) // 20 % 3 + 1 + np.zeros((y1 - y0, 1))).astype(np.uint8)
        store.write_cell(cell, labels, np.full_like(labels, 250))
    store.finish(cells)
    return store


@pytest.fixture
def open_finetune(open_window: Callable[..., Any], until: Until, scene: Path, parent: Path) -> OpenFinetune:
    """Open the scene in a window with the widget docked, the small network and a few steps chosen."""

    def open_it(*, image: bool = True, steps: int = 8) -> tuple[napari.Viewer, FinetuneWidget]:
        viewer = open_window()
        if image:
            viewer.open(scene, plugin="fctl-napari")
        widget = open_tab(viewer, "Fine-tune")
        assert isinstance(widget, FinetuneWidget)
        widget.form.checkpoint.add(parent)
        widget.form.steps.setValue(steps)
        widget.form.device.setCurrentText("cpu")
        viewer.reset_view()
        until(lambda: not widget.busy)
        return viewer, widget

    return open_it
