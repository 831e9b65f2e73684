"""A folder of small images, and the list of them in a window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from PIL import Image

from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct import edit_window
from fctl_napari.plugin.dock.dock import open_dock
from fctl_napari.plugin.images.widget import ImagesWidget

Until = Callable[..., None]


@pytest.fixture(autouse=True)
def quick_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strokes that are taken sooner, by a painter of this name."""
    monkeypatch.setattr(edit_window, "TAKE_MS", 30)
    monkeypatch.setattr(session(), "painter", "ann")


@pytest.fixture
def tiles(tmp_path: Path, earth_crop: np.ndarray) -> Path:
    """Three images, one of them below, and a damaged one between them."""
    folder = tmp_path / "tiles"
    (folder / "below").mkdir(parents=True)
    for number, name in enumerate(("a.png", "c.png", "below/d.png")):
        Image.fromarray(earth_crop[:100, 120 * number : 120 * (number + 1)]).save(folder / name)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:60])
    return folder


@pytest.fixture
def open_list(
    open_window: Callable[..., Any], tiles: Path, tiny_checkpoint: Path, until: Until
) -> Callable[[], tuple[napari.Viewer, ImagesWidget]]:
    """Open the folder in a window, with the small network chosen."""

    def open_it() -> tuple[napari.Viewer, ImagesWidget]:
        viewer = open_window()
        dock = open_dock(viewer)
        dock.header.checkpoint.add(tiny_checkpoint)
        dock.header.device.setCurrentText("cpu")
        images = dock.show_images(tiles)
        until(lambda: bool(images.rows) and not images.busy)
        return viewer, images

    return open_it
