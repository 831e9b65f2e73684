"""A segmentation with maps as layers: colors, growing in place, opening by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from fctl_napari.api.locations import maps_beside, maps_path, result_path
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import Card
from fctl_napari.plugin.io.reader import read
from fctl_napari.plugin.layers.map_layers import color_limits, map_style, spread
from fctl_napari.plugin.layers.segmentation_layers import SegmentationLayers, refresh
from fctl_napari.plugin.layers.styles import byte_colormap
from fctl_napari.segmentation.store.map_names import map_names
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import Cell, TileGrid

SHAPE = (1000, 1300)
LOCAL, LARGE = 80, 120
"""The bytes of two contexts' weights; the third has what is left of 255."""


@pytest.fixture
def store(tmp_path: Path, tiny_config: FCtLConfig) -> Segmentation:
    """An empty segmentation with maps."""
    image = pyramid_from_array(np.zeros((*SHAPE, 3), np.uint8))
    image.pixel_size, image.unit = (0.5, 0.5), "meter"
    classes = tuple(ClassInfo(name=name, color=(40, 50, 60)) for name in ("sea", "wood", "town"))
    return Segmentation.create(
        tmp_path / "s.ome.zarr",
        image=image,
        grid=TileGrid(SHAPE, 256, 64),
        card=Card(name="planet", config=tiny_config, classes=ClassTable(classes=classes)),
        checkpoint_hash="0" * 64,
        settings={"merge": "crop", "kept_output": "maps"},
    )


def fill(store: Segmentation, cells: list[Cell]) -> tuple[tuple[int, int, int, int], ...]:
    """Write cells: entropy 200, margin 40, weights by context."""
    for cell in cells:
        y0, x0, y1, x1 = store.grid.core(cell)
        values = (2, 150, 200, 40, LOCAL, 255 - LOCAL - LARGE, LARGE)
        labels, confidence, *maps = (np.full((y1 - y0, x1 - x0), value, np.uint8) for value in values)
        store.write_cell(cell, labels, confidence, maps)
    return store.finish(cells)


def viewer_with_image() -> tuple[ViewerModel, Image]:
    viewer = ViewerModel()
    return viewer, viewer.add_image(np.zeros((*SHAPE, 3), np.uint8), name="scene", scale=(0.5, 0.5), rgb=True)


def test_maps_grow_in_their_layers(store: Segmentation) -> None:
    windows = fill(store, [(0, 0)])
    segmentation_layers = SegmentationLayers(store.path)
    assert tuple(segmentation_layers.maps) == ("entropy", "margin", "weight_local", "weight_medium", "weight_large")
    viewer, image = viewer_with_image()
    mask = segmentation_layers.show_mask(viewer, image, "scene by planet")
    confidence = segmentation_layers.show_confidence(viewer, image, "scene by planet")
    large = segmentation_layers.show_map(viewer, image, "weight_large")
    entropy = segmentation_layers.show_map(viewer, image, "entropy")
    assert [layer.name for layer in viewer.layers] == [
        "scene",
        "scene by planet confidence",
        "scene by planet",
        "scene by planet weight of large",
        "scene by planet entropy",
    ]
    assert isinstance(large, Image)
    assert large.visible
    assert large.multiscale
    np.testing.assert_allclose(large.scale, (0.5, 0.5))
    assert large.data[0][0, 0] == LARGE
    assert large.data[-1][0, 0] == LARGE
    assert large.data[-1][-1, -1] == 0

    windows = fill(store, [(row, col) for row in range(store.grid.rows) for col in range(store.grid.cols)][1:])
    segmentation_layers.update(windows)
    refresh([mask, confidence, large, entropy], viewer)  # type: ignore[arg-type]
    for layer, value in ((large, LARGE), (entropy, 200)):
        for level in layer.data:
            assert (np.asarray(level[:]) == value).all()
    # what shows a map already goes on to show it; nothing else is mistaken for it
    again = SegmentationLayers(store.path)
    assert again.show_map(viewer, image, "weight_large", (0.0, 1.0)) is large
    assert again.show_map(viewer, image, "entropy") is entropy
    assert again.show_confidence(viewer, image, "x") is confidence
    assert again.show_mask(viewer, image, "x") is mask
    assert len(viewer.layers) == 5
    assert large.data[-1] is again.maps["weight_large"].coarse


def test_a_plain_segmentation_has_no_maps(make_segmentation: Callable[..., Segmentation]) -> None:
    plain = make_segmentation(np.ones((300, 300), np.uint8))
    assert SegmentationLayers(plain.path).maps == {}
    assert [kind for *_, kind in read(str(plain.path))] == ["image", "labels"]


def check_opened(layers: list[Any], path: str) -> None:
    names = ["entropy", "margin", "weight of local", "weight of medium", "weight of large", "confidence"]
    assert [arguments["name"] for _, arguments, _ in layers] == [
        *(f"s.ome.zarr {name}" for name in names),
        "s.ome.zarr",
    ]
    viewer = ViewerModel()
    for data, arguments, kind in layers:
        layer = viewer._add_layer_from_data(data, arguments, kind)[0]
        np.testing.assert_allclose(layer.scale, (0.5, 0.5))
        assert layer.metadata["fctl_store"] == path
        assert layer.visible == (kind == "labels")
    assert isinstance(viewer.layers[-1], Labels)
    weights = [layer for layer in viewer.layers if "weight" in layer.name]
    assert [layer.data[0][10, 10] for layer in weights] == [LOCAL, 255 - LOCAL - LARGE, LARGE]
    colors = np.stack([layer.colormap.map(np.arange(256) / 255) for layer in weights])
    assert (colors == colors[0]).all(), "one scale of colors for all contexts"
    np.testing.assert_allclose(colors[0][55], colors[0][1])
    np.testing.assert_allclose(colors[0][LARGE], colors[0][255])
    assert not np.allclose(colors[0][LOCAL], colors[0][55])


def test_a_store_with_maps_opens_by_itself(store: Segmentation) -> None:
    fill(store, [(0, 0), (2, 3)])
    check_opened(read(str(store.path)), str(store.path))


def test_a_store_with_maps_opens_at_an_address(store: Segmentation, serve: Callable) -> None:
    fill(store, [(0, 0), (2, 3)])
    url = f"{serve(store.path.parent).url}/{store.path.name}"
    check_opened(read(url), url)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (0.25, 0.45), (0.33, 0.33)])
def test_only_what_is_not_computed_is_clear(limits: tuple[float, float]) -> None:
    for name in map_names(FCtLConfig()):
        style = map_style(name, limits)
        assert style["contrast_limits"] == (0, 255)
        colors = style["colormap"].map(np.arange(256) / 255)
        assert colors[0, 3] == 0
        assert (colors[1:, 3] == 1).all()


def test_colors_run_between_the_limits() -> None:
    whole = byte_colormap("a", "magma").map(np.arange(256) / 255)
    part = byte_colormap("b", "magma", (51 / 255, 102 / 255)).map(np.arange(256) / 255)
    np.testing.assert_allclose(part[1:52, :3], np.tile(part[51, :3], (51, 1)), atol=1e-6)
    np.testing.assert_allclose(part[102, :3], whole[255, :3], atol=1e-6)
    np.testing.assert_allclose(part[51 + 17, :3], whole[85, :3], atol=1e-2)
    lightness = part[51:103, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > 0).all()


def test_limits_follow_what_is_computed_and_are_shared_by_the_contexts() -> None:
    random = np.random.default_rng(0)
    low, high = (random.integers(a, b, (100, 100)).astype(np.uint8) for a, b in ((60, 80), (100, 120)))
    maps = {"entropy": low, "weight_local": low, "weight_large": high, "margin": np.zeros((100, 100), np.uint8)}
    assert color_limits("entropy", maps) == (0.0, 1.0)
    assert color_limits("weight_local", maps) == color_limits("weight_large", maps)
    found = np.array(color_limits("weight_local", maps)) * 255
    expected = np.percentile(np.stack([low, high]), (1, 99))
    np.testing.assert_allclose(found, expected, atol=1)
    assert spread([np.zeros((5, 5), np.uint8)]) == (0.0, 1.0)


def test_maps_lie_beside_the_result(tmp_path: Path) -> None:
    image = tmp_path / "b.ome.tif"
    assert maps_path(image, "earth") == tmp_path / "b.earth.maps.fctl.ome.zarr"
    assert maps_beside(result_path(image, "earth")) == maps_path(image, "earth")
    assert maps_path("http://a.org/x.ome.zarr", "earth") != result_path("http://a.org/x.ome.zarr", "earth")


@pytest.mark.gui
@pytest.mark.usefixtures("warm_engine")
def test_the_image_shows_where_a_map_is_not_computed(
    store: Segmentation, open_window: Callable[..., Any], until: Callable[..., None]
) -> None:
    fill(store, [(row, col) for row in range(store.grid.rows) for col in range(3)])
    segmentation_layers = SegmentationLayers(store.path)
    viewer = open_window()
    picture = np.full((*SHAPE, 3), (0, 255, 0), np.uint8)
    image = viewer.add_image(picture, name="scene", scale=(0.5, 0.5), rgb=True)
    viewer.reset_view()
    layer = segmentation_layers.show_map(viewer, image, "entropy")
    magma = byte_colormap("m", "magma").map(np.arange(256) / 255)[200, :3] * 255

    def shown() -> bool:
        screen = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
        middle = screen[screen.shape[0] // 2]
        green = (np.abs(middle - (0, 255, 0)).max(-1) < 12).sum()
        mapped = (np.abs(middle - magma).max(-1) < 12).sum()
        return bool(green > 0 and abs(mapped / (mapped + green) - 576 / 1300) < 0.03)

    until(shown, 30)
    layer.visible = False
    until(lambda: not shown(), 30)
