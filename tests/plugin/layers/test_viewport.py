"""Where the user looks, in pixels, on scaled, moved and turned layers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from fctl_napari.exceptions import InputError
from fctl_napari.plugin.layers.viewport import drawn_region, image_shape, view_region

HEIGHT, WIDTH = 300, 500


def viewer_with(**location) -> tuple[ViewerModel, Image]:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), rgb=True, **location)
    viewer.canvas.size = (200, 400)
    return viewer, layer


def look_at(viewer: ViewerModel, layer: Image, y: float, x: float, zoom: float) -> None:
    """Put the point (y, x), in px from the corner of pixel (0, 0), at the centre of the canvas."""
    world = layer.data_to_world((y - 0.5, x - 0.5))
    viewer.scene.camera.center = (0, *world)
    viewer.scene.camera.zoom = zoom


def test_plain_layer_shows_exactly_the_canvas() -> None:
    viewer, layer = viewer_with()
    look_at(viewer, layer, 150, 250, zoom=4.0)
    assert view_region(viewer, layer) == (125, 200, 175, 300)


def test_half_pixels_count_whole() -> None:
    viewer, layer = viewer_with()
    look_at(viewer, layer, 150.5, 250.5, zoom=4.0)
    assert view_region(viewer, layer) == (125, 200, 176, 301)


def test_scale_and_translate_are_undone() -> None:
    viewer, layer = viewer_with(scale=(0.25, 0.25), translate=(1000, -70))
    look_at(viewer, layer, 100, 200, zoom=8.0)  # 8 canvas px per unit = 2 per pixel
    assert view_region(viewer, layer) == (50, 100, 150, 300)


def test_in_grid_mode_a_layer_has_its_own_box() -> None:
    viewer, layer = viewer_with()
    viewer.add_image(np.zeros((HEIGHT, WIDTH)))
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.shape = (1, 2)
    viewer.canvas.grid.spacing = 0
    look_at(viewer, layer, 150, 250, zoom=4.0)
    assert view_region(viewer, layer) == (125, 225, 175, 275)


def test_rotated_layer_gives_the_bounding_box() -> None:
    viewer, layer = viewer_with(rotate=90)
    look_at(viewer, layer, 150, 250, zoom=4.0)  # canvas 50 x 100 px, turned: 100 x 50
    assert view_region(viewer, layer) == (100, 225, 200, 275)


def test_two_dimensional_layer_in_a_viewer_of_three() -> None:
    viewer, layer = viewer_with()
    viewer.add_image(np.zeros((4, HEIGHT, WIDTH)))
    viewer.dims.set_point(0, 2)
    look_at(viewer, layer, 150, 250, zoom=4.0)
    assert view_region(viewer, layer) == (125, 200, 175, 300)


@settings(max_examples=40, deadline=None)
@given(
    y=st.floats(0, HEIGHT),
    x=st.floats(0, WIDTH),
    zoom=st.floats(0.1, 50),
    scale=st.floats(0.01, 100),
    turn=st.floats(-180, 180),
)
def test_the_center_is_always_inside(y: float, x: float, zoom: float, scale: float, turn: float) -> None:
    viewer, layer = viewer_with(scale=(scale, scale), rotate=turn)
    look_at(viewer, layer, y, x, zoom / scale)
    y0, x0, y1, x1 = view_region(viewer, layer)
    assert 0 <= y0 < y1 <= HEIGHT
    assert 0 <= x0 < x1 <= WIDTH
    assert y0 - 0.01 <= y <= y1 + 0.01
    assert x0 - 0.01 <= x <= x1 + 0.01


def test_nothing_in_view() -> None:
    viewer, layer = viewer_with()
    look_at(viewer, layer, 5000, 5000, zoom=4.0)
    with pytest.raises(InputError, match="shows nothing of it"):
        view_region(viewer, layer)


def test_three_dimensions_are_refused() -> None:
    viewer, layer = viewer_with()
    viewer.add_image(np.zeros((4, 5, 6)))
    viewer.dims.ndisplay = 3
    with pytest.raises(InputError, match="three dimensions"):
        view_region(viewer, layer)


def test_drawn_region_uses_the_selected_shape_else_the_last() -> None:
    _, layer = viewer_with(scale=(2, 2))
    # corners of pixels (10, 20) to (30, 60): in world units, pixel (0, 0) is centred on 0
    first = np.array([[9.5, 19.5], [9.5, 59.5], [29.5, 59.5], [29.5, 19.5]]) * 2
    second = first + 100
    shapes = Shapes([first, second], shape_type="rectangle")
    assert drawn_region(shapes, layer) == (60, 70, 80, 110)
    shapes.selected_data = {0}
    assert drawn_region(shapes, layer) == (10, 20, 30, 60)


def test_drawn_region_is_cut_and_must_meet_the_image() -> None:
    _, layer = viewer_with()
    assert drawn_region(Shapes([[[-40, -40], [20, 30]]], shape_type="rectangle"), layer) == (0, 0, 21, 31)
    with pytest.raises(InputError, match="beside it"):
        drawn_region(Shapes([[[-40, -40], [-20, -30]]], shape_type="rectangle"), layer)
    with pytest.raises(InputError, match="nothing is drawn"):
        drawn_region(Shapes(), layer)


def test_shape_of_a_multiscale_rgb_layer() -> None:
    levels = [np.zeros((64, 80, 3), np.uint8), np.zeros((32, 40, 3), np.uint8)]
    assert image_shape(Image(levels, rgb=True, multiscale=True)) == (64, 80)
