"""The Errors widget in a window; a scene with its truth and a segmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_errors import CROP, NAMES, Judged, OpenErrors

from fctl_napari.imagery.label_pyramid import LabelPyramid, open_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.plugin.errors.widget import ErrorWidget
from fctl_napari.segmentation.store.store import Segmentation


@pytest.fixture
def truth_of_scene() -> np.ndarray:
    """Class indices of the crop, 255 = none."""
    return open_truth(sample_files().truth).read(CROP)


@pytest.fixture
def judged(scene: Path, truth_of_scene: np.ndarray, make_segmentation: Callable[..., Segmentation]) -> Judged:
    """The scene with its truth, and a segmentation beside it: shifted, with patches of wrong classes."""
    labels = LabelPyramid.create(
        scene / "labels" / "truth",
        truth_of_scene.shape,
        chunk=128,
        classes=[{"name": name, "color": (10 * k, 20, 30)} for k, name in enumerate(NAMES)],
    )
    labels.write(0, 0, truth_of_scene + np.uint8(1))
    labels.update_levels((0, 0, *truth_of_scene.shape))
    called = np.roll(np.where(truth_of_scene == 255, 0, truth_of_scene), (3, -4), (0, 1)).astype(np.uint8)
    called[100:140, 300:360] = 3
    called[200:220, 700:760] = 0
    random = np.random.default_rng(0)
    sure = random.integers(60, 250, (15, 55)).repeat(20, 0).repeat(20, 1)
    stored = called + np.uint8(1)
    stored[:, 1000:1040] = 0  # not computed
    store = make_segmentation(
        stored,
        names=NAMES,
        path=scene.with_name("scene.made.fctl.ome.zarr"),
        confidence=sure,
        image=open_image(scene),
    )
    return scene, store, truth_of_scene, stored - np.uint8(1)


@pytest.fixture
def open_errors(make_napari_viewer: Callable[..., Any], until: Callable[..., None]) -> OpenErrors:
    """Open what is given in a window with the widget docked, and wait until it is ready."""

    def open_it(*paths: Path) -> tuple[napari.Viewer, ErrorWidget]:
        viewer = make_napari_viewer(show=True)
        for path in paths:
            viewer.open(path, plugin="fctl-napari")
        _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Errors")
        until(lambda: not widget.running)
        return viewer, widget

    return open_it
