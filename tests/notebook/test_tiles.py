"""Tiles of images and maps: put together they are what lies there, at every scale."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.evaluation.open_ground_truth import open_ground_truth_of
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.notebook.ground_truth_tiles import ErrorTiles, GroundTruthTiles
from fctl_napari.notebook.tiles import (
    SIDE,
    ImageTiles,
    LabelTiles,
    Tile,
    TileSource,
    class_palette,
    sampled,
    shade_palette,
)
from fctl_napari.segmentation.store.store import Segmentation


def opened(tile: Tile) -> np.ndarray:
    assert tile.type in ("image/png", "image/jpeg")
    return np.asarray(Image.open(io.BytesIO(tile.data)))


def mosaic(source: TileSource, shape: tuple[int, int], scale: int) -> np.ndarray:
    """All tiles of a scale, side by side."""
    rows, columns = (-(-size // (SIDE * scale)) for size in shape)
    return np.vstack([np.hstack([opened(source.tile(scale, x, y)) for x in range(columns)]) for y in range(rows)])


@pytest.mark.parametrize("scale", [1, 2, 4, 16])
def test_tiles_of_an_image_make_the_image(scale: int) -> None:
    y, x = np.mgrid[:700, :900]
    pixels = np.stack([y * 255 // 700, x * 255 // 900, (y + x) * 255 // 1600], axis=-1).astype(np.uint8)
    found = mosaic(ImageTiles(pyramid_from_array(pixels)), (700, 900), scale)
    assert found.shape == (-(-700 // scale), -(-900 // scale), 3)
    inner = pixels[scale // 2 :: scale, scale // 2 :: scale]
    height, width = (min(a, b) - 1 for a, b in zip(found.shape, inner.shape, strict=False) if a > 3)
    difference = np.abs(found[:height, :width].astype(int) - inner[:height, :width])
    assert difference.max() <= 6  # JPEG


@pytest.fixture
def labels() -> np.ndarray:
    found = np.random.default_rng(0).integers(0, 4, (600, 1100)).astype(np.uint8)
    found[100:300, 200:500] = 2
    return found


def levels_of(store: Segmentation) -> list[tuple[int, int]]:
    return [(int(level.shape[0]), int(level.shape[1])) for level in store.labels.levels]


def test_tiles_of_a_map_are_its_classes(make_segmentation: Callable[..., Segmentation], labels: np.ndarray) -> None:
    store = make_segmentation(labels)
    colors = [(10, 20, 30), (40, 50, 60), (70, 80, 90)]
    found = mosaic(LabelTiles(store.labels, levels_of(store), class_palette(colors)), labels.shape, 1)
    palette = np.array([(0, 0, 0, 0), *((*color, 255) for color in colors)])
    assert np.array_equal(found, palette[labels])


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_coarser_tiles_show_a_px_of_each_block(
    make_segmentation: Callable[..., Segmentation], labels: np.ndarray, scale: int
) -> None:
    store = make_segmentation(labels)
    palette = class_palette([(1, 0, 0), (2, 0, 0), (3, 0, 0)])
    found = mosaic(LabelTiles(store.labels, levels_of(store), palette), labels.shape, scale)
    for y, x in np.random.default_rng(1).integers(0, (found.shape[0], found.shape[1]), (200, 2)):
        block = labels[y * scale : (y + 1) * scale, x * scale : (x + 1) * scale]
        assert found[y, x, 0] in block
    inside = found[100 // scale + 1 : 300 // scale - 1, 200 // scale + 1 : 500 // scale - 1, 0]
    assert (inside == 2).all()


def test_values_are_transparent_where_there_is_none(
    make_segmentation: Callable[..., Segmentation], labels: np.ndarray
) -> None:
    store = make_segmentation(labels)
    found = mosaic(LabelTiles(store.confidence, levels_of(store), shade_palette("viridis")), labels.shape, 1)
    assert np.array_equal(found[..., 3] > 0, labels > 0)
    assert len(np.unique(found[labels > 0], axis=0)) == 1  # all are as sure


@given(st.integers(1, 1500), st.integers(1, 1500), st.sampled_from([1, 2, 3, 4, 7, 16]))
@settings(max_examples=40, deadline=None)
def test_every_px_of_a_tile_is_one_of_its_block(height: int, width: int, scale: int) -> None:
    levels = [(height, width)]
    while max(levels[-1]) > 64:
        levels.append((-(-levels[-1][0] // 2), -(-levels[-1][1] // 2)))
    rows, columns = (-(-size // (SIDE * scale)) for size in (height, width))
    asked: list[tuple[int, int, int, int]] = []

    def read(window: tuple[int, int, int, int], level: int) -> np.ndarray:
        y0, x0, y1, x1 = window
        assert 0 <= y0 < y1 <= levels[level][0]
        assert 0 <= x0 < x1 <= levels[level][1]
        asked.append(window)
        return np.zeros((y1 - y0, x1 - x0), np.uint8)

    for y in range(rows):
        for x in range(columns):
            found = sampled(read, levels, scale, x, y)
            assert found.shape[0] == -(-(min((y + 1) * SIDE * scale, height) - y * SIDE * scale) // scale)
            assert found.shape[1] == -(-(min((x + 1) * SIDE * scale, width) - x * SIDE * scale) // scale)
    assert len(asked) == rows * columns


@pytest.mark.parametrize("scale", [1, 4])
def test_tiles_of_a_ground_truth_and_of_errors(
    make_segmentation: Callable[..., Segmentation], labels: np.ndarray, tmp_path: Path, scale: int
) -> None:
    store = make_segmentation(labels)
    true = np.full(labels.shape, 2, np.uint8)  # blue
    true[:200] = 1  # green
    true[:, 900:] = 255
    Image.fromarray(true).save(tmp_path / "truth.png")
    opened_truth, _ = open_ground_truth_of(store, tmp_path / "truth.png")
    colors = [(10, 0, 0), (20, 0, 0), (30, 0, 0)]
    palette = np.zeros((256, 4), int)
    palette[:3] = [(*color, 255) for color in colors]
    middle = slice(scale // 2, None, scale)
    seen = mosaic(GroundTruthTiles(opened_truth, store, colors), labels.shape, scale)
    assert np.array_equal(seen, palette[true[middle, middle]])
    wrong = mosaic(ErrorTiles(opened_truth, store, colors, levels_of(store)), labels.shape, scale)
    if scale == 1:
        differ = (labels > 0) & (labels.astype(int) - 1 != true) & (true != 255)
        assert np.array_equal(wrong, palette[np.where(differ, true, 255)])
    else:  # of the map a px of each block is taken
        assert (wrong[120 // scale : 190 // scale, 220 // scale : 480 // scale, 3] == 0).all()  # green is green there
        assert (wrong[220 // scale : 290 // scale, 220 // scale : 480 // scale, 0] == 30).all()  # and blue below
