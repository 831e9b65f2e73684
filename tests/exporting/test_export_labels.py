"""OME-Zarr labels, as other programs and we ourselves read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr_models import open_ome_zarr
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.exporting.export import export
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.segmentation.store.store import Segmentation

MakeSegmentation = Callable[..., Segmentation]


def wavy(height: int = 700, width: int = 2100) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    labels = (1 + np.digitize(np.sin(x / 29) + np.sin(y / 37), [-0.5, 0.5])).astype(np.uint8)
    labels[200:300, :500] = 0
    return labels


def image(path: Path, shape: tuple[int, int]) -> Path:
    return convert(pyramid_from_array(np.zeros((*shape, 3), np.uint8)), path)


def test_alone(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    labels = wavy()
    location = Georeference("EPSG:32632", (0.5, 0.0, 600000.0, 0.0, -0.5, 5200000.0))
    out = export(make_segmentation(labels, georeference=location), tmp_path / "out.ome.zarr")
    group = zarr.open_group(out, mode="r")
    described = ImageLabel.from_zarr(group).ome_attributes.image_label
    assert [c.rgba for c in described.colors] == [(255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)]
    assert [p["name"] for p in group.attrs["ome"]["image-label"]["properties"]] == ["red", "green", "blue"]
    assert "source" not in group.attrs["ome"]["image-label"]
    for level in range(3):
        np.testing.assert_array_equal(group[str(level)][:], labels[:: 2**level, :: 2**level])
    ground_truth = open_ground_truth(out)
    assert ground_truth.class_names == ("red", "green", "blue")
    np.testing.assert_array_equal(ground_truth.read((0, 0, *labels.shape)), labels - np.uint8(1))
    assert group.attrs["fctl"]["georeference"]["crs"] == "EPSG:32632"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.ome.zarr", "out.ome.zarr"]


def test_among_the_labels_of_its_image(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    labels = wavy(200, 300)
    location = image(tmp_path / "image.ome.zarr", labels.shape)
    segmentation = make_segmentation(labels)
    for _ in range(2):  # the second replaces the first
        out = export(segmentation, location / "labels" / "cover")
        assert sorted(path.name for path in (location / "labels").iterdir()) == ["cover", "zarr.json"]
    listed = Labels.from_zarr(zarr.open_group(location / "labels", mode="r"))
    assert listed.ome_attributes.labels == ["cover"]
    assert ImageLabel.from_zarr(zarr.open_group(out, mode="r")).ome_attributes.image_label.source.image == "../../"
    np.testing.assert_array_equal(open_ground_truth(location).read((0, 0, *labels.shape)), labels - np.uint8(1))


SHAPES = {
    "as ours": [(200, 301), (100, 151), (50, 76)],
    "rounded down": [(200, 301), (100, 150), (50, 75), (25, 37)],
    "one": [(200, 301)],
    "quarters": [(200, 301), (50, 76)],
    "thirds": [(200, 301), (67, 100)],
    "any": [(200, 301), (130, 120), (31, 29)],
}


@pytest.mark.parametrize("name", SHAPES)
def test_as_many_levels_as_the_image_and_where_it_lies(
    tmp_path: Path, make_segmentation: MakeSegmentation, name: str
) -> None:
    location, labels = tmp_path / "image.ome.zarr", wavy(200, 301)
    group = zarr.create_group(location)
    datasets = []
    for k, shape in enumerate(SHAPES[name]):
        group.create_array(str(k), shape=(3, *shape), dtype="u1", chunks=(3, 64, 64), dimension_names="cyx")
        factor = [1.0, *(0.5 * whole / side for whole, side in zip(labels.shape, shape, strict=True))]
        shift = {"type": "translation", "translation": [0.0, 1000.0 + k, 2000.0 + k]}
        datasets.append({"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": factor}, shift]})
    units = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    axes = [{"name": "c", "type": "channel"}, *units]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    out = export(make_segmentation(labels), location / "labels" / "cover")
    open_ome_zarr(zarr.open_group(location, mode="r"))
    written = zarr.open_group(out, mode="r")
    (multiscale,) = written.attrs["ome"]["multiscales"]
    assert [written[dataset["path"]].shape for dataset in multiscale["datasets"]] == SHAPES[name]
    first = {"type": "translation", "translation": [1000.0, 2000.0]}
    assert multiscale["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [0.5, 0.5]}, first]
    np.testing.assert_array_equal(open_ground_truth(location).read((0, 0, *labels.shape)), labels - np.uint8(1))
    for level, dataset in enumerate(multiscale["datasets"]):
        (y, x), shape = dataset["coordinateTransformations"][0]["scale"], SHAPES[name][level]
        rows, columns = (
            np.floor(np.arange(n) * f / 0.5 + 1e-9).astype(int) for n, f in zip(shape, (y, x), strict=True)
        )
        seen = labels[np.ix_(rows, columns)]
        assert (written[str(level)][:] == seen).mean() > (0.95 if name == "any" else 0.9999)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("within", ["", "collection/"])
def test_a_label_is_seen_in_consolidated_metadata(
    tmp_path: Path, make_segmentation: MakeSegmentation, within: str
) -> None:
    labels = wavy(100, 120)
    location = image(tmp_path / f"{within}image.ome.zarr", labels.shape)
    outer = tmp_path / (within or "image.ome.zarr")
    zarr.open_group(outer, mode="a")
    zarr.consolidate_metadata(outer)
    segmentation = make_segmentation(labels)
    for name in ("cover", "cover", "other"):
        export(segmentation, location / "labels" / name)
        seen = zarr.open_group(outer, mode="r", use_consolidated=True)
        inner = seen["image.ome.zarr"] if within else seen
        np.testing.assert_array_equal(inner[f"labels/{name}/0"][:], labels)
    assert inner["labels"].attrs["ome"]["labels"] == ["cover", "other"]
    with pytest.raises(InputError, match=r"has labels \['cover', 'other'\]"):
        open_ground_truth(location)


def test_part_of_it_lies_where_it_did(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    labels = wavy()
    out = export(make_segmentation(labels), tmp_path / "out.ome.zarr", region=(101, 603, 555, 1800))
    expected = np.zeros_like(labels)
    expected[101:555, 603:1800] = labels[101:555, 603:1800]
    group = zarr.open_group(out, mode="r")
    for level in range(3):
        np.testing.assert_array_equal(group[str(level)][:], expected[:: 2**level, :: 2**level])


def test_what_does_not_fit_is_one_sentence(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    segmentation = make_segmentation(wavy(60, 70))
    location = image(tmp_path / "image.ome.zarr", (60, 71))
    with pytest.raises(OutputError, match=r"the image is 60 x 71 px .* its segmentation 60 x 70"):
        export(segmentation, location / "labels" / "cover")
    assert not (location / "labels").exists()
    old = zarr.create_group(tmp_path / "old.ome.zarr", zarr_format=2)
    old.create_array("0", shape=(60, 70), dtype="u1")
    axes = [{"name": name, "type": "space"} for name in "yx"]
    old.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    with pytest.raises(OutputError, match=r"OME-Zarr 0\.4 and labels are written as 0\.5"):
        export(segmentation, tmp_path / "old.ome.zarr" / "labels" / "cover")


def test_other_folders_are_never_replaced(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    segmentation = make_segmentation(wavy(60, 70))
    location = image(tmp_path / "image.ome.zarr", (60, 70))
    for taken in (location, segmentation.path):
        with pytest.raises(OutputError, match="exists and is not an earlier export"):
            export(segmentation, taken)
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists and is not an earlier export"):
        export(segmentation, tmp_path / "mine.zarr")
    assert (tmp_path / "mine.zarr" / "notes.txt").read_text() == "mine"
    assert ngff.is_zarr(location)
    (tmp_path / "empty.zarr").mkdir()
    export(segmentation, tmp_path / "empty.zarr")
