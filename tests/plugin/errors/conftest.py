"""The tab Errors in a window; a scene with its ground truth and a segmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_errors import CROP, NAMES, Judged, OpenErrors, write_ground_truth

from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.errors.widget import ErrorWidget
from fctl_napari.segmentation.store.store import Segmentation


@pytest.fixture(scope="session")
def ground_truth_of_scene() -> np.ndarray:
    """Class indices of the crop, 255 = none."""
    return open_ground_truth(sample_files().ground_truth).read(CROP)


@pytest.fixture
def judged(scene: Path, ground_truth_of_scene: np.ndarray, make_segmentation: Callable[..., Segmentation]) -> Judged:
    """The scene with its ground truth, and a segmentation beside it: shifted, with patches of wrong classes."""
    write_ground_truth(scene, ground_truth_of_scene)
    predicted = np.roll(np.where(ground_truth_of_scene == 255, 0, ground_truth_of_scene), (3, -4), (0, 1)).astype(
        np.uint8
    )
    predicted[100:140, 300:360] = 3
    predicted[200:220, 700:760] = 0
    random = np.random.default_rng(0)
    sure = random.integers(60, 250, (15, 55)).repeat(20, 0).repeat(20, 1)
    stored = predicted + np.uint8(1)
    stored[:, 1000:1040] = 0  # not computed
    store = make_segmentation(
        stored,
        names=NAMES,
        path=scene.with_name("scene.made.fctl.ome.zarr"),
        confidence=sure,
        image=open_image(scene),
    )
    return scene, store, ground_truth_of_scene, stored - np.uint8(1)


@pytest.fixture
def open_errors(open_window: Callable[..., Any], until: Callable[..., None]) -> OpenErrors:
    """Open what is given in a window with the widget docked, and wait until it is ready."""

    def open_it(*paths: Path) -> tuple[napari.Viewer, ErrorWidget]:
        viewer = open_window()
        for path in paths:
            viewer.open(path, plugin="fctl-napari")
        widget = open_tab(viewer, "Errors")
        until(lambda: not widget.running)
        return viewer, widget

    return open_it
