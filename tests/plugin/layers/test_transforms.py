"""Grids of cells over image layers: what napari draws where, by its own transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Shapes

from fctl_napari.plugin.layers.transforms import move, outline, placed_like, placed_over, to_pixels

NUMBERS = st.floats(-300, 300)
FACTORS = st.floats(0.01, 50)
SAMPLED_POSITIONS = st.fixed_dictionaries(
    {
        "scale": st.tuples(FACTORS, FACTORS),
        "translate": st.tuples(NUMBERS, NUMBERS),
        "rotate": st.floats(-180, 180),
        "shear": st.lists(st.floats(-2, 2), min_size=1, max_size=1),
    }
)
AFFINES = st.builds(
    lambda turn, a, b, dy, dx: np.array(
        [[a * np.cos(turn), -b * np.sin(turn), dy], [a * np.sin(turn), b * np.cos(turn), dx], [0, 0, 1]]
    ),
    st.floats(-3, 3),
    FACTORS,
    FACTORS,
    NUMBERS,
    NUMBERS,
)
WINDOWS = st.builds(
    lambda y, x, h, w: (y, x, y + h, x + w), NUMBERS, NUMBERS, st.floats(0.5, 5000), st.floats(0.5, 5000)
)
CELLS = st.tuples(st.integers(1, 30), st.integers(1, 30))


def corner_of(layer: Image, i: float, j: float) -> np.ndarray:
    """World coordinates of the corner (i, j) of a layer's cells: napari counts from the middle of the first."""
    return np.asarray(layer.data_to_world((i - 0.5, j - 0.5)))


@settings(max_examples=80, deadline=None)
@given(placement=SAMPLED_POSITIONS, affine=st.none() | AFFINES, window=WINDOWS, cells=CELLS)
def test_every_corner_lies_where_the_image_has_it(
    placement: dict[str, Any], affine: np.ndarray | None, window: tuple[float, ...], cells: tuple[int, int]
) -> None:
    """On scaled, moved, turned, sheared and affine layers, with cells that are no squares."""
    image = Image(np.zeros((20, 30, 3), np.uint8), rgb=True, affine=affine, **placement)
    overlay = Image(np.zeros(cells), **placed_over(image, window, cells))
    y0, x0, y1, x1 = window
    size = np.abs(np.asarray(image.data_to_world((5000, 5000)))).max() + np.abs(image.data_to_world((0, 0))).max()
    for i, j in ((0, 0), (0, cells[1]), (cells[0], 0), cells, (cells[0] / 3, cells[1] / 2)):
        pixel = y0 + (y1 - y0) * i / cells[0], x0 + (x1 - x0) * j / cells[1]
        assert np.allclose(corner_of(overlay, i, j), corner_of(image, *pixel), rtol=0, atol=1e-9 * max(size, 1))


@settings(max_examples=40, deadline=None)
@given(placement=SAMPLED_POSITIONS, y=NUMBERS, x=NUMBERS)
def test_to_pixels_is_the_way_back(placement: dict[str, Any], y: float, x: float) -> None:
    image = Image(np.zeros((20, 30, 3), np.uint8), rgb=True, **placement)
    assert np.allclose(to_pixels(image, corner_of(image, y, x)), (y, x), atol=1e-6)
    assert np.allclose(to_pixels(image, (7.0, *corner_of(image, y, x))), (y, x), atol=1e-6)  # a viewer of three


@settings(max_examples=30, deadline=None)
@given(first=SAMPLED_POSITIONS, second=SAMPLED_POSITIONS, window=WINDOWS, cells=CELLS)
def test_moving_is_making_anew(
    first: dict[str, Any], second: dict[str, Any], window: tuple[float, ...], cells: tuple[int, int]
) -> None:
    one, other = (Image(np.zeros((20, 30)), **placement) for placement in (first, second))
    overlay = Image(np.zeros(cells), **placed_over(one, (0, 0, 20, 30), cells))
    move(overlay, placed_over(other, window, cells))
    anew = Image(np.zeros(cells), **placed_over(other, window, cells))
    for corner in ((0, 0), cells):
        assert np.allclose(corner_of(overlay, *corner), corner_of(anew, *corner), rtol=1e-6, atol=1e-6)


def test_what_stays_is_not_set_again() -> None:
    image = Image(np.zeros((20, 30)), scale=(0.5, 2))
    overlay = Image(np.zeros((2, 3)), **placed_over(image, (0, 0, 10, 12), (2, 3)))
    seen: list[str] = []
    for name in ("scale", "translate", "rotate", "shear", "affine"):
        getattr(overlay.events, name).connect(lambda event: seen.append(event.type))
    move(overlay, placed_over(image, (0, 0, 10, 12), (2, 3)))
    assert seen == []
    move(overlay, placed_over(image, (5, 0, 15, 12), (2, 3)))
    assert seen == ["translate"]


def test_an_outline_is_the_edge_of_the_cells() -> None:
    image = Image(np.zeros((20, 30)), scale=(0.5, 2), rotate=20, translate=(4, 5))
    window = (2.5, -3.0, 12.0, 9.25)
    shapes = Shapes([outline(window)], shape_type="polygon", **placed_like(image))
    overlay = Image(np.zeros((4, 5)), **placed_over(image, window, (4, 5)))
    corners = [np.asarray(shapes.data_to_world(vertex)) for vertex in shapes.data[0]]
    assert np.allclose(corners, [corner_of(overlay, *cell) for cell in ((0, 0), (0, 5), (4, 5), (4, 0))])


@pytest.mark.gui
def test_on_the_screen_a_cell_covers_its_pixels(open_window: Callable[..., napari.Viewer]) -> None:
    """A white image and a grid of cells over part of it: each screen pixel has the cell's or the image's color."""
    viewer = open_window()
    image = viewer.add_image(
        np.full((40, 60), 255, np.uint8), scale=(3, 1.5), translate=(100, -40), rotate=25, shear=[0.2]
    )
    window, cells = (4.0, 9.0, 28.0, 54.0), (4, 5)
    values = np.arange(20).reshape(cells) / 19
    viewer.add_image(values, contrast_limits=(0, 1), colormap="red", **placed_over(image, window, cells))
    viewer.reset_view()
    picture = viewer.screenshot(canvas_only=True, flash=False)
    camera, (height, width) = viewer.scene.camera, viewer.canvas.size
    ratio = picture.shape[0] / height
    checked = 0
    for row in range(0, picture.shape[0], 3):
        for column in range(0, picture.shape[1], 3):
            world = (
                camera.center[-2] + ((row + 0.5) / ratio - height / 2) / camera.zoom,
                camera.center[-1] + ((column + 0.5) / ratio - width / 2) / camera.zoom,
            )
            pixel = to_pixels(image, world)
            placement = (pixel - window[:2]) / (np.subtract(window[2:], window[:2]) / cells)
            near = 1.5 / camera.zoom  # of an edge, in world units: blended
            edges = [np.abs(placement - np.round(placement)) * (6 * 3, 9 * 1.5) > near]
            inside = bool(((placement > 0) & (placement < cells)).all())
            if not np.all(edges) or not ((pixel > 1) & (pixel < (39, 59))).all():
                continue
            red, green, _ = picture[row, column, :3].astype(int)
            if inside:
                assert green == 0
                assert abs(red - values[tuple(np.floor(placement).astype(int))] * 255) <= 2
            else:
                assert green == 255
            checked += 1
    assert checked > 500
