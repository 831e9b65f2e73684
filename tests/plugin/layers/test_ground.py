"""Images on the ground, in a real window: side by side where they lie on Earth, each px where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import rasterio
from helpers_window import errors
from napari.layers import Layer
from qtpy.QtWidgets import QLabel
from rasterio.transform import Affine, from_origin

from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import LARGE_SIDE
from fctl_napari.plugin.layers.ground_status import NAME
from fctl_napari.plugin.layers.ground_truth import labels_over
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.transforms import placed_like
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.segmentation.store.store import ATTRIBUTE

pytestmark = pytest.mark.gui

UTM = "EPSG:32633"
EAST, NORTH = 500_000.0, 5_000_000.0
SHAPE = (10, 14)
CLASSES = [{"name": "water", "color": (0, 0, 255)}]
Window = Callable[..., napari.Viewer]
Notes = list[tuple[str, str]]


def geotiff(path: Path, transform: Affine | None, crs: str | None = UTM, seed: int = 0) -> Path:
    colors = np.random.default_rng(seed).integers(40, 250, (3, *SHAPE), np.uint8)
    options: dict[str, Any] = {"count": 3, "dtype": "uint8", "crs": crs, "photometric": "rgb"}
    if transform is not None:
        options["transform"] = transform
    with rasterio.open(path, "w", driver="GTiff", height=SHAPE[0], width=SHAPE[1], **options) as file:
        file.write(colors)
    return path


def opened(viewer: napari.Viewer, *paths: Path) -> list[Layer]:
    return [layer for path in paths for layer in viewer.open(path, plugin="fctl-napari")]


def seen(viewer: napari.Viewer, layer: Layer) -> np.ndarray:
    """Colors of the canvas where the centers of a layer's px are, uint8 (y, x, 3)."""
    viewer.canvas.overlays.scale_bar.visible = False
    picture = viewer.screenshot(canvas_only=True, flash=False)
    camera, size = viewer.scene.camera, np.array(viewer.canvas.size)
    ratio = picture.shape[0] / size[0]
    colors = np.zeros((*SHAPE, 3), np.uint8)
    for index in np.ndindex(SHAPE):
        world = np.array(layer.data_to_world(index))
        row, column = ((world - camera.center[-2:]) * camera.zoom + size / 2) * ratio
        colors[index] = picture[int(row), int(column), :3]
    return colors


def colors_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read().transpose(1, 2, 0)


def look_at(viewer: napari.Viewer, layer: Layer) -> None:
    """Bring a layer into view, large."""
    low, high = np.array(layer.extent.world)
    viewer.scene.camera.center = tuple((low + high) / 2)
    viewer.scene.camera.zoom = float(min(np.array(viewer.canvas.size) / (high - low))) * 0.8


TURNED = Affine.translation(EAST, NORTH) * Affine.rotation(-30) * Affine.scale(0.5, -0.5)
SHEARED = Affine(0.5, 0.2, EAST + 20, -0.1, -0.4, NORTH + 3)
MIRRORED = Affine(0.5, 0, EAST + 8, 0, 0.5, NORTH - 5)
PAIRS = {
    "east": (UTM, from_origin(EAST, NORTH, 0.1, 0.1), from_origin(EAST + 1.4, NORTH, 0.1, 0.1)),
    "south": (UTM, from_origin(EAST, NORTH, 0.1, 0.1), from_origin(EAST, NORTH - 1, 0.1, 0.1)),
    "north-west, of larger px": (UTM, from_origin(EAST, NORTH, 0.1, 0.1), from_origin(EAST - 4.2, NORTH + 3, 0.3, 0.3)),
    "far away": (UTM, from_origin(EAST, NORTH, 0.1, 0.1), from_origin(EAST + 1e5, NORTH - 1e5, 0.1, 0.1)),
    "turned": (UTM, from_origin(EAST, NORTH, 0.5, 0.5), TURNED * Affine.translation(18, 0)),
    "sheared beside turned": (UTM, TURNED, SHEARED),
    "south up": (UTM, from_origin(EAST, NORTH, 0.5, 0.5), MIRRORED),
    "degrees": ("EPSG:4326", from_origin(15, 45, 1e-5, 2e-5), from_origin(15 + 14e-5, 45, 1e-5, 2e-5)),
    "feet": ("EPSG:2263", from_origin(1e6, 2e5, 0.5, 0.5), from_origin(1e6 + 7, 2e5, 0.5, 0.5)),
    "no CRS": (None, from_origin(100, 200, 0.5, 0.5), from_origin(107, 200, 0.5, 0.5)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_each_px_is_seen_where_it_lies_on_earth(open_window: Window, tmp_path: Path, notes: Notes, name: str) -> None:
    crs, *transforms = PAIRS[name]
    paths = [geotiff(tmp_path / f"{k}.tif", at, crs, k) for k, at in enumerate(transforms)]
    viewer = open_window()
    first, second = layers = opened(viewer, *paths)
    assert errors(notes) == []
    unit = np.ones(2) if name not in ("degrees", "no CRS") else np.array(transforms[0])[[4, 0]] * (-1, 1)
    centers = [np.array(at * (0.5, 0.5))[::-1] for at in transforms]
    for layer, at in zip(layers, transforms, strict=True):
        for row, column in ((0, 0), (SHAPE[0] - 1, 3), (2, SHAPE[1] - 1)):
            place = np.array(at * (column + 0.5, row + 0.5))[::-1]
            expected = (place - centers[0]) * (-1, 1) / unit
            assert np.allclose(layer.data_to_world((row, column)), expected, rtol=0, atol=1e-5)
    assert view_region(viewer, second)  # napari shows what is opened first only
    for layer, path in zip(layers, paths, strict=True):
        look_at(viewer, layer)
        assert np.array_equal(seen(viewer, layer), colors_of(path))
    if name != "far away":
        viewer.reset_view()
        assert np.array_equal(seen(viewer, first), colors_of(paths[0]))
        assert np.array_equal(seen(viewer, second), colors_of(paths[1]))


@pytest.mark.parametrize("second", ["EPSG:32634", "EPSG:4326"])
def test_another_crs_is_refused_in_words(open_window: Window, tmp_path: Path, notes: Notes, second: str) -> None:
    viewer = open_window()
    here = from_origin(EAST, NORTH, 0.5, 0.5)
    (first,) = opened(viewer, geotiff(tmp_path / "a.tif", here))
    other = geotiff(tmp_path / "b.tif", from_origin(15, 45, 1e-5, 1e-5), second)
    assert opened(viewer, other) == []
    (message,) = errors(notes)
    for words in ("b.tif", second, UTM, "of this window", f"gdalwarp -t_srs {UTM}"):
        assert words in message
    viewer.layers.remove(first)  # the advice is followed
    assert len(opened(viewer, other)) == 1


def test_one_crs_in_other_words_is_the_same(open_window: Window, tmp_path: Path, notes: Notes) -> None:
    wkt = rasterio.crs.CRS.from_epsg(32633).to_wkt().replace("WGS 84 / UTM zone 33N", "my zone")
    wkt = wkt.replace(',AUTHORITY["EPSG","32633"]', "")
    paths = [
        geotiff(tmp_path / "a.tif", from_origin(EAST, NORTH, 1, 1)),
        geotiff(tmp_path / "b.tif", from_origin(EAST + 14, NORTH, 1, 1), wkt),
    ]
    first, second = opened(open_window(), *paths)
    assert errors(notes) == []
    assert np.allclose(second.translate - first.translate, (0, 14))


def test_coordinates_without_a_crs_are_those_of_the_other_and_it_is_said(
    open_window: Window, tmp_path: Path, notes: Notes
) -> None:
    paths = [
        geotiff(tmp_path / "a.tif", from_origin(EAST, NORTH, 1, 1)),
        geotiff(tmp_path / "b.tif", from_origin(EAST + 14, NORTH, 1, 1), None),
    ]
    first, second = opened(open_window(), *paths)
    assert np.allclose(second.translate - first.translate, (0, 14))
    assert [severity for severity, message in notes if "are taken to be in the system of a" in message] == ["info"]


@pytest.mark.parametrize(
    ("crs", "transform", "words"),
    [
        (UTM, from_origin(EAST, NORTH, 0.5, 0.5), "E 500003.5, N 4999998.5 m (EPSG:32633)"),
        (UTM, TURNED, "E 500002.3, N 4999997.0 m (EPSG:32633)"),
        ("EPSG:4326", from_origin(-15, -45, 1e-4, 1e-4), "14.99930° W, 45.00030° S (EPSG:4326)"),
        ("EPSG:2263", from_origin(1e6, 2e5, 1, 1), "E 1000007.0, N 199997.0 ft (EPSG:2263)"),
        (None, from_origin(100, 200, 2, 2), "x 114, y 194 (no CRS stated)"),
        (None, None, None),
    ],
)
def test_the_status_bar_says_where_the_cursor_is(
    open_window: Window, tmp_path: Path, crs: str | None, transform: Affine | None, words: str | None
) -> None:
    viewer = open_window()
    (layer,) = opened(viewer, geotiff(tmp_path / "a.tif", transform, crs))
    viewer.cursor.position = layer.data_to_world((2.5, 6.5))
    text = viewer.window._qt_window.statusBar().findChild(QLabel, NAME)
    assert (text and text.text()) == words
    assert viewer.canvas.overlays.scale_bar.visible == (words is not None)
    if text is not None:
        viewer.cursor.position = layer.data_to_world((-3, 6.5))
        assert text.text() == ""  # beside it nothing is known


def test_the_scale_bar_is_in_meters(open_window: Window, tmp_path: Path) -> None:
    viewer = open_window()
    opened(viewer, geotiff(tmp_path / "a.tif", from_origin(EAST, NORTH, 0.5, 0.5)))
    viewer.screenshot(canvas_only=True, flash=False)
    assert [str(unit) for unit in viewer.layers.units] == ["meter", "meter"]


@pytest.mark.parametrize("first", ["plain", "placed"])
def test_units_agree_whatever_is_hidden(open_window: Window, tmp_path: Path, notes: Notes, first: str) -> None:
    """An image in px and one in meters, one of them hidden, and layers that are added over both."""
    plain = geotiff(tmp_path / "plain.tif", None, None)
    placed = geotiff(tmp_path / "placed.tif", from_origin(EAST, NORTH, 0.5, 0.5))
    viewer = open_window()
    paths = (plain, placed) if first == "plain" else (placed, plain)
    layers = {layer.name: layer for layer in opened(viewer, *paths)}
    for hidden, shown, unit in (("plain", "placed", "meter"), ("placed", "plain", "pixel")):
        layers[shown].visible, layers[hidden].visible = True, False
        viewer.add_labels(np.ones(SHAPE, int), **placed_like(layers[shown]))
        viewer.add_points([[1, 2]], **placed_like(layers[shown]))
        viewer.screenshot(canvas_only=True, flash=False)
        assert viewer.layers.units is not None
        assert {str(one) for layer in viewer.layers for one in layer.units} == {unit}
        assert np.allclose(layers["placed"].scale, 0.5)
        assert np.allclose(layers["plain"].scale, 1)
        opened(viewer, geotiff(tmp_path / "third.tif", from_origin(EAST + 7, NORTH, 0.5, 0.5)))[0].visible = False
    assert [note for note in notes if "nits" in note[1]] == []


def test_layers_of_a_user_in_px_follow_too(open_window: Window, tmp_path: Path) -> None:
    viewer = open_window()
    opened(viewer, geotiff(tmp_path / "a.tif", from_origin(EAST, NORTH, 0.5, 0.5)))
    layers = viewer.add_labels(np.ones(SHAPE, int)), viewer.add_image(np.ones((3, *SHAPE)))
    assert {str(one) for layer in layers for one in layer.units[-2:]} == {"meter"}
    assert viewer.layers.units is not None
    viewer.layers[0].visible = False
    assert {str(one) for layer in viewer.layers for one in layer.units} == {"pixel"}


def image_with_labels(folder: Path, at: Affine) -> Path:
    """An OME-Zarr on the ground, with labels of its size and of half of it."""
    image = convert(open_image(geotiff(folder / "scene.tif", at)), folder / "scene.ome.zarr")
    for name, size in (("truth", SHAPE), ("half", (SHAPE[0] // 2, SHAPE[1] // 2))):
        labels = LabelPyramid.create(image / "labels" / name, size, classes=CLASSES)
        labels.write(0, 0, np.ones(size, np.uint8))
    return image


PLACES = {"beside": from_origin(EAST + 7, NORTH, 0.5, 0.5), "turned": TURNED * Affine.translation(18, 0)}


@pytest.mark.parametrize("place", PLACES)
def test_labels_lie_on_their_image(open_window: Window, tmp_path: Path, place: str) -> None:
    viewer = open_window()
    opened(viewer, geotiff(tmp_path / "first.tif", from_origin(EAST, NORTH, 0.5, 0.5)))
    image, *labels = opened(viewer, image_with_labels(tmp_path, PLACES[place]))
    where = {layer.name: layer for layer in labels}
    assert np.allclose(where["truth"].data_to_world((3, 8)), image.data_to_world((3, 8)))
    assert np.allclose(where["half"].data_to_world((2, 4)), image.data_to_world((4.5, 8.5)))
    assert np.array_equal(labels_over(viewer, where["truth"], image)[:, :], np.ones(SHAPE))
    assert np.array_equal(np.asarray(labels_over(viewer, where["half"], image)[:, :]), np.ones(SHAPE))
    world = np.array(image.data_to_world((0, 0)))
    first = viewer.layers["first"]
    east, south = PLACES[place] * (0.5, 0.5)
    assert np.allclose(world - first.data_to_world((0, 0)), (NORTH - 0.25 - south, east - EAST - 0.25))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("alone", ["result", "truth", "half"])
def test_what_is_opened_without_its_image_lies_where_that_will(
    open_window: Window, tmp_path: Path, notes: Notes, place: str, alone: str
) -> None:
    image = image_with_labels(tmp_path, PLACES[place])
    path = image / "labels" / alone
    if alone == "result":
        path = tmp_path / "result.ome.zarr"
        georeference = asdict(open_image(image).georeference)
        facts = {"kind": "segmentation", "georeference": georeference, "image": {"fingerprint": "f"}}
        sized = {"pixel_size": (0.5, 0.5), "unit": "meter"}
        LabelPyramid.create(path, SHAPE, classes=CLASSES, attributes={ATTRIBUTE: facts}, **sized)
    for neighbors in ([], [geotiff(tmp_path / "first.tif", from_origin(EAST, NORTH, 0.5, 0.5))]):
        viewer = open_window()
        opened(viewer, *neighbors)
        (labels,) = opened(viewer, path)
        picture = opened(viewer, image)[0]
        pixel = (4.5, 8.5) if alone == "half" else (2, 4)
        assert np.allclose(labels.data_to_world((2, 4)), picture.data_to_world(pixel), rtol=0, atol=1e-6)
        viewer.cursor.position = labels.data_to_world((0.3, 0.3))
        text = viewer.window._qt_window.statusBar().findChild(QLabel, NAME).text()
        picture.visible = False
        viewer.cursor.position = labels.data_to_world((0.3, 0.301))
        assert viewer.window._qt_window.statusBar().findChild(QLabel, NAME).text() == text
    assert errors(notes) == []


def test_a_large_picture_is_placed_when_its_pyramid_is_made(
    open_window: Window, tmp_path: Path, notes: Notes, until: Callable[..., None]
) -> None:
    size = {"height": 1000, "width": LARGE_SIDE + 4}
    large = tmp_path / "large.png"
    with rasterio.open(large, "w", driver="PNG", count=3, dtype="uint8", **size) as file:
        file.write(np.full((3, *size.values()), 90, np.uint8))
    large.with_suffix(".wld").write_text("0.25\n0\n0\n-0.25\n107.125\n209.875\n")
    viewer = open_window()
    second = opened(viewer, geotiff(tmp_path / "a.tif", from_origin(100, 200, 0.5, 0.5), None), large)[1]
    source = image_source(second)
    assert source is not None
    until(lambda: source.job is None)
    assert np.allclose(second.scale, 0.5)  # px of the first image
    assert np.allclose(second.translate, (-20.25, 13.75))
    assert errors(notes) == []


def test_what_is_too_far_away_to_be_drawn_exactly_is_said(open_window: Window, tmp_path: Path, notes: Notes) -> None:
    near, far = from_origin(EAST, NORTH, 0.1, 0.1), from_origin(EAST, NORTH - 1e6, 0.1, 0.1)
    opened(open_window(), geotiff(tmp_path / "a.tif", near), geotiff(tmp_path / "b.tif", far))
    assert ["b.tif" in message for _, message in notes if "so far from a" in message] == [True]
