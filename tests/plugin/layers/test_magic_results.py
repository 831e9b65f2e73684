"""Results of public functions in the viewer in which their form is docked."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from magicgui import magicgui
from napari.layers import Labels

import fctl_napari as fctl
from fctl_napari.api import running
from fctl_napari.plugin.layers import magic_types
from fctl_napari.plugin.layers.explanation_layers import MARKER, OUTLINES
from fctl_napari.plugin.layers.image_source import EXPLORE
from fctl_napari.plugin.layers.transforms import placed_over

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def _collect_forms() -> Iterator[None]:
    """End the worker, and remove forms, which hold themselves, in this thread."""
    yield
    for engine in running._engines.values():
        engine.close()
    running._engines.clear()
    gc.collect()


def docked(viewer: Any, function: Callable[..., Any], checkpoint: Path) -> Any:
    """Dock the form of a function, with a network and the CPU chosen."""
    form = magicgui(function)
    viewer.window.add_dock_widget(form)
    form.reset_choices()
    form.checkpoint.value = checkpoint
    form.device.value = "cpu"
    return form


def test_the_same_call_again_replaces_its_layers(
    open_window: Callable[..., Any], strip: Path, tiny_checkpoint: Path
) -> None:
    viewer = open_window()
    viewer.open(str(strip), plugin="fctl-napari")
    form = docked(viewer, fctl.segment, tiny_checkpoint)
    form.region.value = (0, 0, 60, 60)
    form()
    names = [layer.name for layer in viewer.layers]
    (mask,) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    mask.opacity = 0.25
    form.region.value = (0, 0, 60, 600)  # more of the same map
    found = form()
    form()
    assert [layer.name for layer in viewer.layers] == names
    (shown,) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    assert shown.opacity == 0.25
    assert np.array_equal(np.asarray(shown.data[0][0:60, 0:600]), found.read((0, 0, 60, 600)) + np.uint8(1))
    shown.name = "mine"
    form()
    (mine, other) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    assert mine is shown, "a layer that the user renamed stays"
    assert other.metadata[magic_types.STORE_KEY] == str(found.path)


@pytest.mark.parametrize("array", [False, True])
def test_an_explanation_is_shown_over_its_image(
    open_window: Callable[..., Any], strip: Path, awake_checkpoint: Path, earth_crop: np.ndarray, array: bool
) -> None:
    viewer = open_window()
    if array:
        image = viewer.add_image(earth_crop[:112], name="array", scale=(3, 3), translate=(50, 7))
    else:
        (image, *_) = viewer.open(str(strip), plugin="fctl-napari")
    form = docked(viewer, fctl.explain, awake_checkpoint)
    assert form.image.layer is image
    for pixel in ((20, 30), (90, 500)):
        form.pixel.value = pixel
        explained = form().explained
        names = [f"attention {context.name}" for context in explained.contexts]
        added = [layer for layer in viewer.layers if layer is not image]
        assert {layer.name for layer in added} == {EXPLORE + name for name in (*names, OUTLINES, MARKER)}
        for context in explained.contexts:
            layer = viewer.layers[f"{EXPLORE}attention {context.name}"]
            assert np.array_equal(layer.data, context.combined)
            placement = placed_over(image, context.footprint, context.combined.shape)
            assert np.allclose(layer.affine.affine_matrix, placement["affine"].affine_matrix)
            assert np.allclose(layer.scale, placement.get("scale", layer.scale))
            assert np.allclose(layer.translate, placement.get("translate", layer.translate))
        marker = viewer.layers[EXPLORE + MARKER]
        assert np.allclose(marker.data_to_world(marker.data[0]), image.data_to_world(np.subtract(pixel, 0.5)))
    form.without.value = "large"
    form()
    assert EXPLORE + "changes" in viewer.layers
