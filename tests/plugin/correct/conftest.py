"""The tab Correct in a window, beside a segmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from helpers_correct import OpenCorrect, Until
from helpers_new_classes import Dialog

from fctl_napari.imagery.open import open_image
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct import edit_window
from fctl_napari.plugin.correct.new_classes import NewClassesDialog
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.segmentation.store.store import Segmentation


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit window that does not cover the whole scene, and takes strokes sooner."""
    monkeypatch.setattr(edit_window, "SIDE", 256)
    monkeypatch.setattr(edit_window, "TAKE_MS", 30)
    monkeypatch.setattr(session(), "painter", "ann")


@pytest.fixture
def store(scene: Path, make_segmentation: Callable[..., Segmentation]) -> Segmentation:
    """A segmentation of the scene: stripes of three classes; its last columns are not computed."""
    stripes = np.arange(1100)[None, :] // 50 % 3 + 1 + np.zeros((300, 1), np.uint8)
    stripes[:, 1000:] = 0
    return make_segmentation(stripes.astype(np.uint8), path=scene.with_name("made.ome.zarr"), image=open_image(scene))


@pytest.fixture
def open_correct(open_window: Callable[..., Any], until: Until, scene: Path, store: Segmentation) -> OpenCorrect:
    """Open scene and segmentation in a window with the widget docked."""

    def open_it(**location: object) -> tuple[napari.Viewer, CorrectWidget]:
        viewer = open_window()
        for path in (scene, store.path):
            viewer.open(path, plugin="fctl-napari")
        for layer in viewer.layers:
            for name, value in location.items():
                setattr(layer, name, value)
        widget = open_tab(viewer, "Correct")
        assert isinstance(widget, CorrectWidget)
        viewer.reset_view()
        until(lambda: not widget.busy)
        return viewer, widget

    return open_it


@pytest.fixture
def new_classes(until: Until) -> Dialog:
    """Press *New classes…* and return the dialog that opens."""

    def press(widget: CorrectWidget) -> NewClassesDialog:
        before = widget._editing.dialog
        widget.form.new_classes.click()
        until(lambda: widget._editing.dialog is not before)
        dialog = widget._editing.dialog
        assert dialog is not None
        assert dialog.isVisible()
        return dialog

    return press
