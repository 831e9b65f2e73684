"""Real files through napari's own reader machinery."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.plugin.io.reader import NOTHING, get_reader, read
from fctl_napari.plugin.io.sample import earth_scene
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.resampled_labels import placed_labels

CLASSES = [{"name": "water", "color": (0, 0, 255)}, {"name": "land", "color": (90, 60, 20)}]


def test_only_our_files_are_claimed(tmp_path: Path, scene: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert get_reader(str(scene)) is read
    assert get_reader(str(tmp_path / "a.TIF")) is read
    assert get_reader(str(tmp_path / "plain")) is None
    assert get_reader(str(tmp_path / "a.txt")) is None
    assert get_reader("http://a.org/scene.ome.zarr/") is read
    assert get_reader("https://a.org/scene.tif?key=1") is read
    assert get_reader("http://a.org/scene.html") is None
    assert get_reader([str(scene)]) is None


def test_ome_zarr_with_labels(scene: Path, earth_crop: np.ndarray) -> None:
    ground_truth = LabelPyramid.create(scene / "labels" / "truth", earth_crop.shape[:2], chunk=128, classes=CLASSES)
    ground_truth.write(0, 0, np.full((100, 200), 2, np.uint8))
    (levels, image, kind), (label_levels, labels, label_kind) = read(str(scene))
    assert (kind, label_kind) == ("image", "labels")
    assert image["rgb"]
    assert np.array_equal(levels[0][10:40, 20:60], earth_crop[10:40, 20:60])
    assert label_levels[0][99, 199] == 2
    assert label_levels[0][100, 200] == 0
    assert list(labels["features"]["class"]) == ["", "water", "land"]
    assert np.allclose(labels["colormap"].map(np.uint8(1)), (0, 0, 1, 1))


def test_ome_zarr_with_labels_at_an_address(scene: Path, earth_crop: np.ndarray, serve: Callable) -> None:
    ground_truth = LabelPyramid.create(scene / "labels" / "truth", earth_crop.shape[:2], chunk=128, classes=CLASSES)
    ground_truth.write(0, 0, np.full((100, 200), 2, np.uint8))
    url = f"{serve(scene.parent).url}/{scene.name}"
    (levels, image, _), (label_levels, labels, _) = read(url)
    assert (image["name"], labels["name"]) == ("scene", "truth")
    assert image["metadata"]["fctl_source"].original == url
    assert np.array_equal(levels[0][10:40, 20:60], earth_crop[10:40, 20:60])
    assert label_levels[0][99, 199] == 2
    ((labels_alone, _, kind),) = read(f"{url}/labels/truth")
    assert kind == "labels"
    assert labels_alone[0][99, 199] == 2


def test_an_address_with_nothing_becomes_one_sentence(
    tmp_path: Path, serve: Callable, notes: list[tuple[str, str]]
) -> None:
    assert read(f"{serve(tmp_path).url}/i.ome.zarr") == NOTHING
    ((severity, message),) = notes
    assert severity == "error"
    assert "there is nothing at this address" in message


def test_labels_of_half_the_size_lie_on_their_image(scene: Path, earth_crop: np.ndarray) -> None:
    height, width = earth_crop.shape[:2]
    LabelPyramid.create(scene / "labels" / "half", (height // 2, width // 2), classes=CLASSES)
    assert read(str(scene))[1][1]["scale"] == (2.0, 2.0)


def test_labels_with_more_axes_by_others(scene: Path) -> None:
    labels = zarr.open_group(scene / "labels", mode="a")
    group = labels.create_group("cells")
    data = np.arange(24, dtype=np.int32).reshape(1, 1, 4, 6)
    group.create_array("0", data=data)
    axes = [{"name": name} for name in "tzyx"]
    group.update_attributes({"ome": {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}})
    labels.update_attributes({"ome": {"labels": ["cells"]}})
    shown, arguments, kind = read(str(scene))[1]
    assert kind == "labels"
    assert np.array_equal(shown, data[0, 0])
    assert arguments["scale"] == (75.0, 1100 / 6)


def test_pixel_size_becomes_scale_and_units(tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> None:
    pyramid = pyramid_from_array(make_rgb(60, 90))
    pyramid.pixel_size, pyramid.unit = (0.5, 0.25), "meter"
    out = convert(pyramid, tmp_path / "x.ome.zarr")
    LabelPyramid.create(out / "labels" / "truth", (60, 90), classes=CLASSES)
    (_, image, _), (_, labels, _) = read(str(out))
    assert image["scale"] == labels["scale"] == (0.5, 0.25)
    assert image["units"] == labels["units"] == ("meter", "meter")


def test_gray_16_bit_gets_a_measured_range(tmp_path: Path, notes: list[tuple[str, str]]) -> None:
    data = np.linspace(1000, 3000, 80 * 60).reshape(80, 60).astype(np.uint16)
    tifffile.imwrite(tmp_path / "grey.tif", data)
    levels, arguments, _ = read(str(tmp_path / "grey.tif"))[0]
    assert not arguments["rgb"]
    assert np.array_equal(levels[0][:, :], data)
    low, high = arguments["contrast_limits"]
    assert 1000 <= low < 1010
    assert 2990 < high <= 3000
    assert arguments["metadata"]["fctl_source"].value_range == (low, high)
    assert "percentiles 0.1 and 99.9 of a sample" in notes[0][1]


def test_many_bands_show_the_first_three(tmp_path: Path, notes: list[tuple[str, str]]) -> None:
    data = np.random.default_rng(0).integers(0, 255, (6, 50, 70), np.uint8)
    tifffile.imwrite(tmp_path / "bands.tif", data, photometric="minisblack", planarconfig="separate")
    levels, arguments, _ = read(str(tmp_path / "bands.tif"))[0]
    assert arguments["rgb"]
    assert np.array_equal(levels[0][:, :], data[:3].transpose(1, 2, 0))
    assert arguments["metadata"]["fctl_source"].bands == (0, 1, 2)
    assert "has 6 bands; (0, 1, 2) are shown" in notes[0][1]


@pytest.mark.parametrize("name", ["cut.png", "cut.tif", "text.jpg", "missing.tif"])
def test_bad_files_become_one_sentence(
    name: str, tmp_path: Path, rgb_png: Path, notes: list[tuple[str, str]], make_rgb: Callable[..., np.ndarray]
) -> None:
    path = tmp_path / name
    if name == "cut.png":
        path.write_bytes(rgb_png.read_bytes()[:5000])
    elif name == "cut.tif":
        tifffile.imwrite(path, make_rgb(80, 90))
        path.write_bytes(path.read_bytes()[:100])
    elif name == "text.jpg":
        path.write_text("no image")
    assert read(str(path)) == NOTHING
    ((severity, message),) = notes
    assert severity == "error"
    assert name in message
    assert "Traceback" not in message


def test_damaged_ome_zarr_becomes_one_sentence(scene: Path, notes: list[tuple[str, str]]) -> None:
    shutil.rmtree(scene / "0")
    assert read(str(scene)) == NOTHING
    assert "scene.ome.zarr" in notes[0][1]


def test_earth_scene_with_its_ground_truth() -> None:
    (levels, image, _), (label_levels, labels, _) = earth_scene()
    assert image["name"] == "earth"
    assert levels[0].shape == (1770, 5400, 3)
    assert label_levels[0].shape == (1770, 5400)
    assert max(levels[-1].shape) <= 1024
    assert list(labels["features"]["class"])[1:] == ["water", "forest", "rangeland", "agriculture", "barren"]
    # the middle of the Pacific is water, in blue; the ground truth is not a solid block
    assert label_levels[0][900, 300] == 1
    assert len(np.unique(label_levels[-1][:])) >= 5


@pytest.mark.gui
def test_windows_menus_lead_to_us(open_window: Callable[..., napari.Viewer], rgb_png: Path) -> None:
    viewer = open_window(show=False)
    viewer.open(rgb_png, plugin="fctl-napari")
    viewer.open_sample("fctl-napari", "earth")
    assert [layer.name for layer in viewer.layers] == ["image", "earth", "truth"]
    assert image_source(viewer.layers["image"]).path == str(rgb_png)


@pytest.mark.gui
def test_an_address_in_the_window(
    open_window: Callable[..., napari.Viewer],
    scene: Path,
    tmp_path: Path,
    cache: Path,
    serve: Callable,
    until: Callable[..., None],
) -> None:
    """Without levels of its own the image gets a pyramid in the cache, once."""
    image = np.kron(np.arange(3 * 83, dtype=np.uint8).reshape(3, 83), np.ones((50, 50), np.uint8))  # 150 x 4150 px
    tifffile.imwrite(tmp_path / "large.tif", image, tile=(128, 128))
    url = serve(tmp_path).url
    viewer = open_window(show=False)
    (layer,) = viewer.open(f"{url}/{scene.name}", plugin="fctl-napari")
    assert image_source(layer).path == f"{url}/{scene.name}"
    (large,) = viewer.open(f"{url}/large.tif", plugin="fctl-napari")
    source = image_source(large)
    until(lambda: source.job is None)
    assert Path(source.path).parent == cache / "fctl-napari"
    assert np.array_equal(large.data[0][:, 4000:], image[:, 4000:])
    (again,) = viewer.open(f"{url}/large.tif", plugin="fctl-napari")
    assert image_source(again).job is None


@pytest.mark.gui
def test_an_item_of_a_catalog_in_the_window(
    open_window: Callable[..., napari.Viewer], tmp_path: Path, serve: Callable, notes: list[tuple[str, str]]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 80, 3), np.uint8), tile=(32, 32))
    asset = {"href": "./a.tif", "type": "image/tiff"}
    document = {"type": "Feature", "stac_version": "1.0.0", "assets": {"data": asset}}
    item = tmp_path / "item.json"
    item.write_text(json.dumps(document))
    (tmp_path / "plain.json").write_text("{}")
    assert get_reader(str(tmp_path / "plain.json")) is None
    viewer = open_window(show=False)
    (layer,) = viewer.open(item, plugin="fctl-napari")
    assert layer.name == "a"
    assert Path(image_source(layer).original) == tmp_path / "a.tif"
    document["assets"]["other"] = asset
    item.write_text(json.dumps(document))
    url = serve(tmp_path).url
    (layer,) = viewer.open(f"{url}/item.json#other", plugin="fctl-napari")
    assert image_source(layer).original == f"{url}/a.tif"
    assert viewer.open(item, plugin="fctl-napari") == []
    assert "choose one of data, other" in notes[-1][1]


@pytest.mark.gui
def test_bad_file_in_the_window(
    open_window: Callable[..., napari.Viewer], tmp_path: Path, notes: list[tuple[str, str]]
) -> None:
    viewer = open_window(show=False)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert viewer.open(bad, plugin="fctl-napari") == []
    assert [severity for severity, _ in notes] == ["error"]


@pytest.mark.gui
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_large_file_gets_a_pyramid_once(
    suffix: str,
    open_window: Callable[..., napari.Viewer],
    tmp_path: Path,
    until: Callable[..., None],
    notes: list[tuple[str, str]],
) -> None:
    small = np.random.default_rng(0).integers(0, 255, (30, 83, 3), np.uint8)
    image = np.kron(small, np.ones((50, 50, 1), np.uint8))  # 1500 x 4150 px
    path = tmp_path / f"large{suffix}"
    if suffix == ".png":
        Image.fromarray(image).save(path, compress_level=1)
    else:
        tifffile.imwrite(path, image)
    viewer = open_window(show=False)
    (layer,) = viewer.open(path, plugin="fctl-napari")
    source = image_source(layer)
    assert source.job is not None
    assert layer.level_shapes[0].tolist() == [1500, 4150]
    until(lambda: source.job is None)
    assert source.path == str(path) + ".pyramid.ome.zarr"
    assert np.array_equal(layer.data[0][700:800, 4000:4150], image[700:800, 4000:4150])
    assert max(layer.data[-1].shape[:2]) <= 1024
    assert open_image(source.path).native_levels == len(layer.data)
    assert not [note for note in notes if note[0] == "error"]

    (again,) = viewer.open(path, plugin="fctl-napari")
    assert image_source(again).job is None
    assert image_source(again).original == str(path)

    Image.fromarray(255 - image).save(path, format="PNG", compress_level=1)  # the file changes: so must its pyramid
    (changed,) = viewer.open(path, plugin="fctl-napari")
    until(lambda: image_source(changed).job is None)
    assert np.array_equal(changed.data[0][:5, :5], 255 - image[:5, :5])


@pytest.mark.gui
def test_a_pyramid_that_cannot_be_made_is_reported(
    open_window: Callable[..., napari.Viewer],
    tmp_path: Path,
    until: Callable[..., None],
    notes: list[tuple[str, str]],
) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((10, 4200, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-30])
    viewer = open_window(show=False)
    (layer,) = viewer.open(path, plugin="fctl-napari")
    until(lambda: image_source(layer).job is None)
    assert [message for severity, message in notes if severity == "error" and "large.png" in message]


def test_what_holds_no_data_is_reported_once(
    open_window: Callable[..., napari.Viewer],
    tmp_path: Path,
    notes: list[tuple[str, str]],
    until: Callable[..., None],
) -> None:
    viewer = open_window(show=False)
    pixels = np.full((200, 300, 4), 255, np.uint8)
    pixels[:, 210:, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "rotated.png")
    Image.fromarray(pixels[..., :3]).save(tmp_path / "plain.png")
    for name in ("rotated.png", "plain.png"):
        viewer.open(tmp_path / name, plugin="fctl-napari")
    sentence = "rotated.png: 30 % of this file hold no data (alpha); they are transparent, and get no class."
    until(lambda: ("info", sentence) in notes)
    assert len([words for _, words in notes if "no data" in words]) == 1


@pytest.mark.parametrize("pixel", [1.0, 0.3])
def test_labels_of_half_the_size_lie_on_the_image(tmp_path: Path, pixel: float) -> None:
    image = pyramid_from_array(np.zeros((80, 120, 3), np.uint8), name="scene")
    image.pixel_size, image.unit = (pixel, pixel), None if pixel == 1 else "meter"
    scene = convert(image, tmp_path / "scene.ome.zarr", chunk=64)
    values = np.random.default_rng(0).integers(1, 3, (40, 60)).astype(np.uint8)
    LabelPyramid.create(scene / "labels" / "half", values.shape, chunk=64, classes=CLASSES).write(0, 0, values)
    viewer = napari.components.ViewerModel()
    over, labels = (napari.layers.Layer.create(*layer) for layer in read(str(scene)))
    viewer.layers.extend([over, labels])
    placed = placed_labels(viewer, labels, over)
    assert np.array_equal(np.asarray(placed), values.repeat(2, 0).repeat(2, 1))
