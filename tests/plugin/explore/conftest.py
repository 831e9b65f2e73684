"""The Explore widget in a window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import pytest
from helpers_explore import OpenExplore

from fctl_napari.plugin.explore.widget import ExploreWidget


@pytest.fixture
def open_explore(open_window: Callable[..., Any], scene: Path, awake_checkpoint: Path) -> OpenExplore:
    """Open the scene in a window, with the widget docked, the small network chosen and Pick on."""

    def open_it(path: Path | None = scene) -> tuple[napari.Viewer, ExploreWidget]:
        viewer = open_window()
        if path is not None:
            viewer.open(path, plugin="fctl-napari")
        _, widget = viewer.window.add_plugin_dock_widget("fctl-napari", "Explore")
        widget.form.checkpoint.add(awake_checkpoint)
        widget.form.pick.click()
        return viewer, widget

    return open_it
