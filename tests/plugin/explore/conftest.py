"""The tab Explore in a window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import pytest
from helpers_explore import OpenExplore

from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.explore.widget import ExploreWidget


@pytest.fixture
def open_explore(open_window: Callable[..., Any], scene: Path, awake_checkpoint: Path) -> OpenExplore:
    """Open the scene in a window, with the widget docked, the small network chosen and Pick on."""

    def open_it(path: Path | None = scene) -> tuple[napari.Viewer, ExploreWidget]:
        viewer = open_window()
        if path is not None:
            viewer.open(path, plugin="fctl-napari")
        widget = open_tab(viewer, "Explore")
        widget.form.checkpoint.add(awake_checkpoint)
        widget.form.pick.click()
        return viewer, widget

    return open_it
