"""Flights to a part of an image, whatever axes are displayed and in whatever order."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from fctl_napari.plugin.layers.navigation import RegionMarker, fly_to
from fctl_napari.plugin.layers.viewport import view_region

HEIGHT, WIDTH = 900, 1500
WINDOW = (400, 700, 420, 760)
MIDDLE = (410, 730)


def viewer_with(ndim: int, **location: Any) -> tuple[ViewerModel, Image]:
    viewer = ViewerModel()
    if ndim > 2:
        stack = viewer.add_image(np.zeros((*(4,) * (ndim - 2), 20, 30), np.uint8), name="a stack")
        stack.scale = (*(2.0,) * (ndim - 2), 10.0, 10.0)
    layer = viewer.add_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), rgb=True, **location)
    viewer.canvas.size = (200, 400)
    return viewer, layer


def middle(layer: Image) -> np.ndarray:
    """Of the window, in the world."""
    y0, x0, y1, x1 = WINDOW
    return np.asarray(layer.data_to_world(((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2)))


@pytest.mark.parametrize("location", [{}, {"scale": (0.5, 0.5), "translate": (1000, -70)}, {"rotate": 90}])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_swapped_axes(location: dict[str, Any], order: tuple[int, int]) -> None:
    viewer, layer = viewer_with(2, **location)
    viewer.dims.order = order
    fly_to(viewer, layer, WINDOW)
    assert np.allclose(np.asarray(viewer.scene.camera.center)[-2:], middle(layer)[list(order)])
    y0, x0, y1, x1 = view_region(viewer, layer)
    shares = sorted([(WINDOW[2] - WINDOW[0]) / (y1 - y0), (WINDOW[3] - WINDOW[1]) / (x1 - x0)])
    assert shares[1] == pytest.approx(1 / 3, abs=0.02)
    assert (y0 + y1) / 2 == pytest.approx(MIDDLE[0], abs=1)
    assert (x0 + x1) / 2 == pytest.approx(MIDDLE[1], abs=1)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_stack_in_the_viewer_too(order: tuple[int, ...]) -> None:
    viewer, layer = viewer_with(3)
    viewer.dims.order = order
    viewer.dims.set_point(0, 4.0)
    fly_to(viewer, layer, WINDOW)
    seen = np.array(viewer.dims.point)
    displayed = list(viewer.dims.displayed)
    if 0 not in displayed:
        assert viewer.dims.point[0] == 4.0  # the slice of the stack stays
    seen[displayed] = np.asarray(viewer.scene.camera.center)[-2:]
    assert np.allclose(seen[1:], middle(layer), atol=0.51)  # sliders go by steps
    y0, x0, y1, x1 = view_region(viewer, layer)
    assert y0 <= MIDDLE[0] <= y1
    assert x0 <= MIDDLE[1] <= x1


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_in_three_dimensions(ndim: int) -> None:
    viewer, layer = viewer_with(ndim)
    viewer.dims.ndisplay = 3
    fly_to(viewer, layer, WINDOW)
    assert np.allclose(np.asarray(viewer.scene.camera.center)[-2:], middle(layer))


def test_where_napari_converts_units() -> None:
    viewer, layer = viewer_with(2, scale=(0.5, 0.5), units=("mm", "mm"))
    viewer.add_image(np.zeros((10, 10)), units=("um", "um"))  # the world is in these now
    fly_to(viewer, layer, WINDOW)
    assert np.allclose(np.asarray(viewer.scene.camera.center)[-2:], 1000 * middle(layer))
    y0, x0, y1, x1 = view_region(viewer, layer)
    assert (y0 + y1) / 2 == pytest.approx(MIDDLE[0], abs=1)
    assert (x1 - x0) == pytest.approx(3 * 60, abs=1)


def test_the_outline_lies_on_the_part() -> None:
    viewer, layer = viewer_with(3, scale=(0.5, 0.5))
    viewer.dims.order = (2, 1, 0)
    spot = RegionMarker(viewer, "here")
    spot.show(layer, WINDOW)
    assert spot.layer is not None
    corners = [spot.layer.data_to_world(corner) for corner in spot.layer.data[0]]
    assert np.allclose(np.mean(corners, axis=0)[-2:], middle(layer))
