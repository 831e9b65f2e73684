"""OME-Zarr images and labels in the window: where their metadata puts them; collections and zip files too."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import zarr
from helpers_ngff import write_image, write_labels
from napari.components import ViewerModel
from napari.layers import Layer

from fctl_napari.correcting.correction_store import make
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.plugin.io.reader import get_reader, read
from fctl_napari.plugin.layers.ground_truth import labels_over
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.navigation import fly_to
from fctl_napari.plugin.layers.resampled_labels import placed_labels
from fctl_napari.plugin.layers.transforms import seen_pixels
from fctl_napari.plugin.layers.viewport import view_region

SIDE = 64
Y, X = np.mgrid[:SIDE, :SIDE]
DISC = (np.hypot(Y - 34, X - 26) < 14).astype(np.int32)
RGB = np.where(DISC, 230, 60)[None].repeat(3, 0).astype(np.uint8)
PX = 0.5
AT = (1000.0, 2000.0)


def image_at(path: Path, **options: Any) -> Path:
    write_image(path, RGB, **{"size": PX, "unit": "micrometer", **options})
    return path


def shown(path: Path) -> tuple[ViewerModel, list[Layer]]:
    viewer = ViewerModel()
    viewer.canvas.size = (200, 200)
    layers = [Layer.create(*layer) for layer in read(str(path))]
    viewer.layers.extend(layers)
    return viewer, layers


def label_at(labels: Layer, world: Any) -> int:
    """The label that is seen at a point, 0 beside them."""
    values = np.asarray(labels.data[0] if labels.multiscale else labels.data)
    y, x = np.floor(np.asarray(labels.world_to_data(world)) + 0.5).astype(int)
    return int(values[y, x]) if 0 <= y < values.shape[0] and 0 <= x < values.shape[1] else 0


@pytest.mark.parametrize("unit", ["micrometer", None])
@pytest.mark.parametrize("translation", [None, AT])
@pytest.mark.parametrize("name", ["same", "half", "crop", "crop of a half"])
def test_labels_cover_what_they_label(
    tmp_path: Path, name: str, translation: tuple[float, float] | None, unit: str | None
) -> None:
    scene = image_at(tmp_path / "scene.ome.zarr", translation=translation, unit=unit)
    crop, step = (20, 10) if "crop" in name else (0, 0), 2 if "half" in name else 1
    values = DISC[crop[0] : 50, crop[1] : 60 : 1][::step, ::step] if any(crop) else DISC[::step, ::step]
    start = tuple(own + PX * px for own, px in zip(translation or (0, 0), crop, strict=True))
    write_labels(scene, "disc", values, size=PX * step, unit=unit, translation=start if any(start) else None)
    viewer, (image, labels) = shown(scene)
    for y, x in np.argwhere(np.hypot(Y - 34, X - 26) < 12)[::7]:
        assert label_at(labels, image.data_to_world((y, x))) == 1
    for y, x in ((34, 45), (34, 7), (15, 26), (53, 26)):
        assert label_at(labels, image.data_to_world((y, x))) == 0
    placed = np.asarray(labels_over(viewer, labels, image))
    assert (placed == DISC).mean() > (0.97 if step > 1 else 0.999)


def test_labels_that_cannot_be_placed_are_reported(tmp_path: Path, notes: list[tuple[str, str]]) -> None:
    scene = image_at(tmp_path / "scene.ome.zarr")
    write_labels(scene, "far", DISC, size=PX, unit="parsec")
    write_labels(scene, "same", DISC, size=PX, unit="micrometer")
    _, layers = shown(scene)
    assert [layer.name for layer in layers] == ["scene", "same"]
    assert [message for severity, message in notes if severity == "error" and "measured in parsec" in message]


def test_fields_of_view_of_a_mosaic_lie_side_by_side(tmp_path: Path) -> None:
    for unit in ("micrometer", None):
        there = [(0.0, 0.0), (0.0, SIDE * PX), (SIDE * PX, 0.0)]
        layers = []
        for index, at in enumerate(there):
            path = image_at(tmp_path / f"{unit}{index}.ome.zarr", translation=at if any(at) else None, unit=unit)
            layers.append(Layer.create(*read(str(path))[0]))
        px = PX if unit else 1.0
        for layer, at in zip(layers, there, strict=True):
            np.testing.assert_allclose(layer.translate, np.array(at) / PX * px)
            np.testing.assert_allclose(layer.extent.world, np.array([[0, 0], [63, 63]]) * px + np.array(at) / PX * px)


def test_clicks_views_and_flights_on_a_moved_image(tmp_path: Path) -> None:
    """Beside another field in another unit."""
    first, second = image_at(tmp_path / "a.ome.zarr", translation=AT), tmp_path / "b.ome.zarr"
    image_at(second, size=0.0005, unit="millimeter", translation=(AT[0] / 1000 + 0.032, AT[1] / 1000))
    viewer = ViewerModel()
    viewer.canvas.size = (200, 200)
    for path in (first, second):
        viewer.layers.extend([Layer.create(*layer) for layer in read(str(path))])
    for layer, lower in zip(list(viewer.layers), (0, SIDE), strict=True):
        fly_to(viewer, layer, (24, 22, 40, 38))
        y0, x0, y1, x1 = view_region(viewer, layer)
        assert ((y0 + y1) / 2, (x0 + x1) / 2) == pytest.approx((32, 30), abs=1)
        world = viewer.scene.camera.center[-2:]
        np.testing.assert_allclose(seen_pixels(viewer, layer, world), (32, 30), atol=1e-3)
        field = viewer.layers[0]
        np.testing.assert_allclose(seen_pixels(viewer, field, world), (32 + lower, 30), atol=1e-3)


def test_a_segmentation_of_an_earlier_version_lies_over_its_moved_image(
    tmp_path: Path, make_segmentation: Callable[..., Any]
) -> None:
    scene = image_at(tmp_path / "scene.ome.zarr", translation=AT)
    store = make_segmentation(DISC.astype(np.uint8), image=open_image(scene))
    ((*_, now),) = [layer for layer in read(str(store.path)) if layer[2] == "labels"]
    assert read(str(store.path))[-1][1]["translate"] == AT
    group = zarr.open_group(store.path, mode="r+")
    ome = group.attrs["ome"]
    for dataset in ome["multiscales"][0]["datasets"]:
        dataset["coordinateTransformations"] = dataset["coordinateTransformations"][:1]
    group.attrs["ome"] = ome
    assert now == "labels"
    assert read(str(store.path))[-1][1]["translate"] == AT


def test_an_image_s_labels_stay_its_own_when_it_is_moved(tmp_path: Path) -> None:
    scene = image_at(tmp_path / "scene.ome.zarr", translation=AT)
    write_labels(scene, "same", DISC, size=PX, unit="micrometer")
    write_labels(scene, "aside", DISC, size=PX, unit="micrometer", translation=(AT[0] + 5, AT[1]))
    viewer, (image, same, aside) = shown(scene)
    np.testing.assert_array_equal(np.asarray(placed_labels(viewer, same, image)), DISC)
    np.testing.assert_array_equal(np.asarray(labels_over(viewer, aside, image))[10:], DISC[:-10])
    image.translate = (0.0, 0.0)
    np.testing.assert_array_equal(np.asarray(labels_over(viewer, same, image)), DISC)
    np.testing.assert_array_equal(np.asarray(labels_over(viewer, aside, image))[10:], DISC[:-10])
    aside.translate = AT  # by hand: now it counts where it is seen
    with pytest.raises(InputError, match="lies beside"):
        labels_over(viewer, aside, image)


def test_corrections_and_stores_get_the_translation(
    tmp_path: Path, make_segmentation: Callable[..., Any], tiny_checkpoint: Path
) -> None:
    image = open_image(image_at(tmp_path / "scene.ome.zarr", translation=AT))
    store = make_segmentation(DISC.astype(np.uint8), image=image)
    make(tmp_path / "c.ome.zarr", image, store.class_table)
    for path in (store.path, store.path / "confidence", tmp_path / "c.ome.zarr"):
        multiscale = LabelPyramid.open(path).attributes["ome"]["multiscales"][0]
        moved = multiscale["datasets"][0]["coordinateTransformations"][1]
        assert moved == {"type": "translation", "translation": list(AT)}


def test_a_collection_shows_its_first_image_and_offers_the_others(
    tmp_path: Path, notes: list[tuple[str, str]], open_window: Callable[..., napari.Viewer]
) -> None:
    path = tmp_path / "c.ome.zarr"
    zarr.create_group(path, attributes={"ome": {"bioformats2raw.layout": 3}})
    for name in ("0", "1", "2"):
        image_at(path / name)
    write_labels(path / "1", "disc", DISC, size=PX, unit="micrometer")
    (path / "2" / "0" / "zarr.json").write_text("damaged")
    viewer = open_window(show=False)
    viewer.open(path, plugin="fctl-napari")
    assert [(layer.name, layer.visible) for layer in viewer.layers] == [("c 0", True), ("c 1", False), ("disc", False)]
    assert [image_source(viewer.layers[name]).path for name in ("c 0", "c 1")] == [str(path / "0"), str(path / "1")]
    assert image_source(viewer.layers["c 0"]).original == str(path)
    assert any("holds 3 images; 0 is shown" in message for _, message in notes)
    assert any("2: its level '0' is missing" in message for severity, message in notes if severity == "error")


def test_a_zipped_image(tmp_path: Path, open_window: Callable[..., napari.Viewer]) -> None:
    scene = image_at(tmp_path / "scene.zarr")
    write_labels(scene, "disc", DISC, size=PX, unit="micrometer")
    with zipfile.ZipFile(tmp_path / "s.ozx", "w") as file:
        for part in scene.rglob("*.json"):
            file.write(part, part.relative_to(scene))
        for part in scene.rglob("c/**/*"):
            file.write(part, part.relative_to(scene))
    assert get_reader(str(tmp_path / "s.ozx")) is read
    viewer = open_window(show=False)
    image, labels = viewer.open(tmp_path / "s.ozx", plugin="fctl-napari")
    assert (image.name, labels.name) == ("s", "disc")
    assert np.array_equal(np.asarray(image.data[0]), RGB.transpose(1, 2, 0))
    assert np.array_equal(np.asarray(labels.data), DISC)
