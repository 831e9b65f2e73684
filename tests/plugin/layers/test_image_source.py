"""What napari is given: levels, colors, locations."""

from pathlib import Path

import numpy as np
import pytest
from helpers_progress import stop_after
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels

from fctl_napari.api.locations import array_path, pyramid_path, result_path, stem
from fctl_napari.exceptions import Cancelled
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.plugin.layers.pyramids import PreviewLevel, empty_preview, fill_preview, preview_levels
from fctl_napari.plugin.layers.shown_levels import COARSE_SIDE, displayed_level, displayed_levels
from fctl_napari.plugin.layers.styles import class_style, confidence_colormap, pixel_scale
from fctl_napari.progress import no_progress

SLICES = st.builds(slice, st.integers(0, 40), st.integers(0, 60), st.integers(1, 5))


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@settings(max_examples=60, deadline=None)
@given(rows=SLICES, columns=SLICES)
def test_displayed_levels_slice_like_arrays(rows: slice, columns: slice) -> None:
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 4000, (37, 53), np.uint16)
    bands = rng.integers(0, 255, (37, 53, 5), np.uint8)
    assert np.array_equal(displayed_level(pyramid_from_array(gray), 0)[rows, columns], gray[rows, columns])
    level = displayed_level(pyramid_from_array(bands, bands=(4, 0, 2)), 0)
    assert np.array_equal(level[rows, columns], bands[rows, columns][..., [4, 0, 2]])
    assert np.array_equal(level[rows, columns, :], bands[rows, columns][..., [4, 0, 2]])


def test_displayed_levels_are_whole_as_arrays(rng: np.random.Generator) -> None:
    wide = rng.integers(0, 1000, (20, 30, 3), np.uint16)
    level = displayed_level(pyramid_from_array(wide, value_range=(0, 999)), 0)
    assert level.dtype == np.uint8
    assert np.abs(np.asarray(level) - wide / 999 * 255).max() <= 0.5
    gray = rng.integers(0, 255, (20, 30), np.uint8)
    assert np.array_equal(np.asarray(displayed_level(pyramid_from_array(gray), 0)), gray)


def test_uint8_rgb_is_handed_over_as_it_is(rng: np.random.Generator) -> None:
    pyramid = pyramid_from_array(rng.integers(0, 255, (20, 30, 3), np.uint8))
    assert displayed_level(pyramid, 0) is pyramid.levels[0]


def test_coarsest_level_is_small() -> None:
    image = np.zeros((1500, 3000), np.uint8)
    image[::3, ::3] = 200
    single = Pyramid("one level", pyramid_from_array(image).levels[:1])
    levels = displayed_levels(single)
    assert len(levels) == 2
    assert max(levels[-1].shape) <= COARSE_SIDE
    assert isinstance(levels[-1], np.ndarray)
    assert np.array_equal(levels[-1], image[::3, ::3])


def test_class_style_colors_each_label() -> None:
    style = class_style([("water", (10, 20, 30)), ("land", (200, 100, 0))])
    layer = Labels(np.array([[0, 1, 2, 9]], np.uint8), **style)
    colors = layer.colormap.map(np.array([0, 1, 2, 9], np.uint8))
    assert np.allclose(colors[:, 3], [0, 1, 1, 0])
    assert np.allclose(colors[1, :3] * 255, (10, 20, 30), atol=0.51)
    assert np.allclose(colors[2, :3] * 255, (200, 100, 0), atol=0.51)
    assert list(layer.features["class"]) == ["", "water", "land"]


def test_confidence_is_clear_only_where_nothing_is_computed() -> None:
    colors = confidence_colormap().map(np.arange(256) / 255)
    assert colors[0, 3] == 0
    assert (colors[1:, 3] == 1).all()


def test_placement_knows_units_and_ignores_others() -> None:
    assert pixel_scale(None, None) == {}
    assert pixel_scale((0.5, 0.25), "meter") == {"scale": (0.5, 0.25), "units": ("meter", "meter")}
    assert pixel_scale((0.5, 0.25), "furlongs of old") == {"scale": (0.5, 0.25)}


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1025, 3000), width=st.integers(1, 3000), channels=st.sampled_from([(), (3,)]))
def test_preview_stands_in_for_every_level(height: int, width: int, channels: tuple[int, ...]) -> None:
    level = np.broadcast_to(np.uint8(0), (height, width, *channels))
    preview = empty_preview(level)
    assert max(preview.shape[:2]) <= COARSE_SIDE
    levels = preview_levels(preview, (height, width))
    assert levels[-1] is preview
    assert levels[0].shape == level.shape
    for stand_in in levels[:-1]:
        assert stand_in[stand_in.shape[0] - 3 :, :5].shape == (3, min(5, stand_in.shape[1]), *channels)


def test_preview_shows_the_image(rng: np.random.Generator) -> None:
    image = np.kron(rng.integers(1, 255, (13, 17), np.uint8), np.ones((200, 200), np.uint8))
    preview = empty_preview(image)
    fill_preview(image, preview, no_progress)
    shown = PreviewLevel(preview, image.shape)[:, :]
    assert (shown == image).mean() > 0.97  # all but the borders of the squares


def test_filling_stops_when_cancelled() -> None:
    image = np.ones((2000, 10), np.uint8)
    preview = empty_preview(image)
    with pytest.raises(Cancelled):
        fill_preview(image, preview, stop_after(0))
    assert not preview.any()


def test_names_of_results(tmp_path: Path) -> None:
    assert stem("a/scene.ome.zarr") == "scene"
    assert stem("a/scene.v2.TIF") == "scene.v2"
    assert stem("a/folder") == "folder"
    assert result_path(tmp_path / "b.ome.tif", "earth") == tmp_path / "b.earth.fctl.ome.zarr"
    assert result_path(tmp_path / "b.png", "x/my.safetensors") == tmp_path / "b.my.fctl.ome.zarr"


def test_results_go_to_the_cache_where_the_folder_is_missing(cache: Path, tmp_path: Path) -> None:
    first = result_path(tmp_path / "one" / "b.png", "earth")
    second = result_path(tmp_path / "two" / "b.png", "earth")
    assert first != second
    assert first.parent == second.parent == cache / "fctl-napari"


def test_results_of_what_is_elsewhere_go_to_the_cache(cache: Path) -> None:
    urls = ("http://a.org/x/scene%201.ome.zarr", "http://a.org/y/scene%201.ome.zarr/")
    results = [result_path(url, "earth") for url in urls]
    pyramids = [pyramid_path(url) for url in urls]
    assert len({*results, *pyramids}) == 4
    assert {path.parent for path in (*results, *pyramids)} == {cache / "fctl-napari"}
    assert all(path.name.startswith("scene 1-") for path in (*results, *pyramids))


def test_arrays_are_named_after_their_content() -> None:
    array = np.arange(1200).reshape(600, 2)
    same, other = array.copy(), array.copy()
    other[-1, -1] += 1
    assert array_path(array, "a b/c") == array_path(same, "a b/c") != array_path(other, "a b/c")
    assert array_path(array, "x") != array_path(array.reshape(300, 4), "x")


def test_gaps_are_transparent() -> None:
    values = np.full((20, 30, 3), 0.5, np.float32)
    values[:, 20:] = np.nan
    level = displayed_level(pyramid_from_array(values, value_range=(0, 1)), 0)
    shown = np.asarray(level)
    assert shown.shape == (20, 30, 4)
    assert (shown[:, :20] == (128, 128, 128, 255)).all()
    assert (shown[:, 20:, 3] == 0).all()
