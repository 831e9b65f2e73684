"""Windows agree with what NumPy's slicing does."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.exceptions import InputError
from fctl_napari.windows import Window, require_region

SHAPE = (17, 23)
corner = st.tuples(st.integers(-9, 30), st.integers(-9, 30))
size = st.tuples(st.integers(0, 30), st.integers(0, 30))
windows = st.builds(lambda c, s: Window(*c, c[0] + s[0], c[1] + s[1]), corner, size)


def pixels(window: Window) -> set[tuple[int, int]]:
    return {(y, x) for y in range(window.y0, window.y1) for x in range(window.x0, window.x1)}


@given(windows, windows)
def test_the_common_part_holds_the_pixels_of_both(a: Window, b: Window) -> None:
    common = a.intersect(b)
    assert pixels(common) == pixels(a) & pixels(b)
    assert common.empty == (not pixels(common))


@given(windows)
def test_clipping_keeps_the_pixels_of_the_image(window: Window) -> None:
    assert pixels(window.clip(SHAPE)) == {(y, x) for y, x in pixels(window) if 0 <= y < SHAPE[0] and 0 <= x < SHAPE[1]}


@given(windows, st.integers(0, 5))
def test_slices_lie_in_the_outer_window(window: Window, margin: int) -> None:
    outer = window.padded(margin)
    image = np.arange(outer.shape[0] * outer.shape[1]).reshape(outer.shape)
    part = image[window.slices_in(outer)]
    assert part.shape == window.shape
    moved = window.shifted(-outer.y0, -outer.x0)
    np.testing.assert_array_equal(part, image[moved.slices_in()])


@given(st.lists(windows.filter(lambda window: not window.empty), min_size=1, max_size=4))
def test_the_bounding_window_is_the_smallest(several: list[Window]) -> None:
    held = set().union(*map(pixels, several))
    bounding = Window.bounding(several)
    assert held <= pixels(bounding)
    for smaller in (bounding._replace(y0=bounding.y0 + 1), bounding._replace(x1=bounding.x1 - 1)):
        assert not held <= pixels(smaller)


def test_a_window_is_written_as_four_numbers() -> None:
    assert json.dumps(Window(1, 2, 3, 4)) == "[1, 2, 3, 4]"
    assert Window(1, 2, 3, 4) == (1, 2, 3, 4)
    assert f"{Window(1, 2, 3, 4)} {Window(1, 2, 3, 4)!r}" == "(1, 2, 3, 4) (1, 2, 3, 4)", "hashes in files hold it"


def test_a_region_is_cut_or_refused() -> None:
    assert require_region(None, SHAPE) == (0, 0, *SHAPE)
    assert require_region((-3, 5, 9, 99), SHAPE) == (0, 5, 9, 23)
    with pytest.raises(InputError, match=r"scene\.tif: region 20 0 30 9 holds no pixel of the 17 x 23 px image"):
        require_region((20, 0, 30, 9), SHAPE, "scene.tif")
