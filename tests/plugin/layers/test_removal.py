"""Layers are removed at once, and what they leave is collected soon."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fctl_napari.plugin.layers import removal
from fctl_napari.plugin.layers.removal import remove_layers

pytestmark = pytest.mark.gui


class Knot:
    """An object that only a collection frees, as it holds itself."""

    def __init__(self) -> None:
        self.self = self


def test_layers_go_and_their_garbage_later(
    open_window: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    gc.unfreeze()  # what the tests have frozen
    monkeypatch.setattr(removal, "COLLECT_MS", 100)
    monkeypatch.setattr(removal, "_timer", None)
    viewer = open_window()
    first, second, third = (viewer.add_image(np.zeros((20, 20), np.uint8), name=str(name)) for name in range(3))
    viewer.layers.remove(second)
    ended = weakref.ref(Knot())
    remove_layers(viewer, [first, second])
    assert list(viewer.layers) == [third]
    assert gc.get_freeze_count() == 0
    until(lambda: ended() is None)


def test_what_others_have_frozen_stays_so(open_window: Callable[..., Any]) -> None:
    viewer = open_window()
    layer = viewer.add_image(np.zeros((20, 20), np.uint8))
    gc.freeze()
    remove_layers(viewer, [layer])
    assert gc.get_freeze_count() > 0
    assert len(viewer.layers) == 0
