"""Removal of layers without the wait for a collection of all garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import napari
from napari.layers import Layer
from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

COLLECT_MS = 10_000
"""Time after a removal when garbage is collected, ms, however much is removed meanwhile."""

_timer: QTimer | None = None


def remove_layers(viewer: napari.Viewer, layers: Iterable[Layer]) -> None:
    """Remove layers that are still there, all at once.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer of the layers.
    layers : iterable of Layer
        The layers.
    """
    there = [layer for layer in layers if layer in viewer.layers]
    if not there:
        return
    with _collecting_later(), viewer.layers.batched_update():  # napari tidies up once, not after each layer
        for layer in there:
            viewer.layers.remove(layer)


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Put off the collection of garbage with which napari works around a driver on Windows: it takes up to a second."""
    if sys.platform == "win32" or gc.get_freeze_count():  # what somebody else has frozen stays so
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        _collect_later()


def _collect_later() -> None:
    """Collect garbage after a while: Python would not do so by itself, as its counts begin anew with each removal."""
    global _timer
    if _timer is None or not isalive(_timer):
        _timer = QTimer(QApplication.instance())
        _timer.setSingleShot(True)
        _timer.setInterval(COLLECT_MS)
        _timer.timeout.connect(gc.collect)
    if not _timer.isActive():
        _timer.start()
