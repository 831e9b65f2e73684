from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from fctl_napari.exceptions import OutputError
from fctl_napari.exporting.export import export
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Georeference
from fctl_napari.segmentation.store.store import Segmentation

MakeSegmentation = Callable[..., Segmentation]


def blocks(height: int, width: int) -> np.ndarray:
    """Labels with classes, noise and a part that is not computed."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.repeat(random.integers(1, 4, (height // 30 + 1, width // 30 + 1)), 30, 0), 30, 1)
    labels = labels[:height, :width].astype(np.uint8)
    labels[::7, ::5] = 2
    labels[:20, :50] = 0
    return labels


@pytest.mark.parametrize("shape", [(600, 1100), (513, 512), (1, 40), (40, 1)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_reader_sees_class_indices(
    tmp_path: Path, make_segmentation: MakeSegmentation, suffix: str, shape: tuple[int, int]
) -> None:
    labels = blocks(*shape)
    out = export(make_segmentation(labels), tmp_path / f"out{suffix}")
    expected = labels - np.uint8(1)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), expected)
    np.testing.assert_array_equal(open_ground_truth(out).read((0, 0, *shape)), expected)
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(out), expected)
        palette = Image.open(out).getpalette()
        assert palette[:9] == [255, 0, 0, 0, 255, 0, 0, 0, 255]


def test_what_is_not_computed_yet_is_said(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    segmentation = make_segmentation(blocks(600, 700))
    zarr.open_array(segmentation.path / "done", mode="r+")[0, 1] = 0
    said = []
    for region in (None, (0, 0, 10, 10)):
        losses = ExportLosses()
        export(Segmentation.open(segmentation.path), tmp_path / "out.png", region=region, losses=losses)
        said.append([sentence for sentence in losses.sentences() if "tiles" in sentence])
    rows, columns = segmentation.grid.rows, segmentation.grid.cols
    assert said == [[f"1 of {rows * columns} tiles are not computed yet; their px have no class here"], []]


def test_georeference_is_kept(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    rasterio = pytest.importorskip("rasterio")
    location = Georeference("EPSG:32632", (0.5, 0.0, 600000.0, 0.0, -0.5, 5200000.0))
    labels = blocks(700, 530)
    out = export(make_segmentation(labels, georeference=location), tmp_path / "out.tif")
    with rasterio.open(out) as dataset:
        assert dataset.crs.to_epsg() == 32632
        assert tuple(dataset.transform)[:6] == location.transform
        assert dataset.nodata == 255
        assert dataset.colormap(1)[1][:3] == (0, 255, 0)
        np.testing.assert_array_equal(dataset.read(1), labels - np.uint8(1))
    found = open_image(out).georeference
    assert found is not None
    assert found.transform == location.transform


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_earlier_export_is_replaced_and_another_file_is_not(
    tmp_path: Path, make_segmentation: MakeSegmentation, suffix: str
) -> None:
    segmentation = make_segmentation(blocks(60, 70))
    out = tmp_path / f"out{suffix}"
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(out)
    before = out.read_bytes()
    with pytest.raises(OutputError, match="not an earlier export"):
        export(segmentation, out)
    assert out.read_bytes() == before
    out.unlink()
    export(segmentation, out)
    export(segmentation, out)
    assert Image.open(out).size == (70, 60)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".out")] == []


def test_georeferenced_exports_are_replaced_too(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    pytest.importorskip("rasterio")
    location = Georeference("EPSG:4326", (0.1, 0.0, -180.0, 0.0, -0.1, 60.0))
    segmentation = make_segmentation(blocks(60, 70), georeference=location)
    export(segmentation, tmp_path / "out.tif")
    export(segmentation, tmp_path / "out.tif")


@pytest.mark.parametrize(
    "transform", [(0.5, 0.0, 600000.0, 0.0, -0.5, 5200000.0), (0.3, 0.4, 600000.0, 0.4, -0.3, 5200000.0)]
)
def test_a_cloud_optimised_geotiff(
    tmp_path: Path, make_segmentation: MakeSegmentation, transform: tuple[float, ...]
) -> None:
    rasterio = pytest.importorskip("rasterio")
    location = Georeference("EPSG:32632", transform)
    labels = blocks(1101, 1330)
    out = export(make_segmentation(labels, georeference=location), tmp_path / "out.tif")
    with rasterio.open(out) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(1) == [2, 4]
        np.testing.assert_array_equal(dataset.read(1), labels - np.uint8(1))
    with tifffile.TiffFile(out) as file:
        assert max(page.offset for page in file.pages) < min(min(page.dataoffsets) for page in file.pages)
        for number, page in enumerate(file.pages):
            with rasterio.open(out, **({} if number == 0 else {"overview_level": number - 1})) as level:
                assert level.crs.to_epsg() == 32632
                assert level.shape == page.shape
                assert level.nodata == 255
                assert level.colormap(1)[2][:3] == (0, 0, 255)
                # no class that is not there: an average of indices would be one
                assert set(np.unique(level.read(1))) == {0, 1, 2, 255}
                here = level.transform
            # a page read alone, by who knows nothing of levels, lies there too
            geo = [(tag.code, tag.dtype, tag.count, tag.value, True) for tag in page.tags if 33550 <= tag.code <= 34737]
            alone = tmp_path / "alone.tif"
            tifffile.imwrite(alone, page.asarray(), metadata=None, extratags=geo)
            with rasterio.open(alone) as read:
                assert read.crs.to_epsg() == 32632
                np.testing.assert_allclose(tuple(read.transform)[:6], tuple(here)[:6], rtol=1e-12)
    found = open_image(out)
    assert len(found.levels) == 3
    assert found.georeference is not None
    np.testing.assert_allclose(found.georeference.transform, transform, rtol=1e-12)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("georeferenced", [False, True])
def test_part_of_it(tmp_path: Path, make_segmentation: MakeSegmentation, suffix: str, georeferenced: bool) -> None:
    rasterio = pytest.importorskip("rasterio")
    location = Georeference("EPSG:32632", (0.3, 0.4, 600000.0, 0.4, -0.3, 5200000.0))
    labels = blocks(700, 900)
    segmentation = make_segmentation(labels, georeference=location if georeferenced else None)
    out = export(segmentation, tmp_path / f"out{suffix}", region=(13, 57, 690, 4000))
    np.testing.assert_array_equal(np.asarray(Image.open(out)), labels[13:690, 57:] - np.uint8(1))
    if georeferenced and suffix == ".tif":
        with rasterio.open(out) as dataset:
            assert dataset.xy(0, 0, offset="ul") == pytest.approx((600022.3, 5200018.9), abs=1e-6)


def test_a_full_disk_is_reported_as_such(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    """On a disk of its own, which needs the rights to mount one."""
    pytest.importorskip("pyogrio")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no rights to mount a small disk")
    try:
        location = Georeference("EPSG:32632", (0.5, 0.0, 600000.0, 0.0, -0.5, 5200000.0))
        labels = np.random.default_rng(0).integers(1, 4, (300, 400)).astype(np.uint8)
        segmentation = make_segmentation(labels, georeference=location)
        for name in ("out.tif", "out.gpkg", "out.geojson", "out.coco.json", "out.png"):
            with pytest.raises(OutputError, match=f"{name}.*: the disk is full; free some space"):
                export(segmentation, disk / name)
            assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_unknown_suffix(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    with pytest.raises(
        OutputError, match=r"end the name in \.png, \.tif, \.geojson, \.gpkg, \.coco\.json or \.ome\.zarr"
    ):
        export(make_segmentation(blocks(30, 30)), tmp_path / "out.jpg")


def test_progress_reaches_the_end(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    seen: list[tuple[int, int]] = []
    export(make_segmentation(blocks(1100, 40)), tmp_path / "out.png", progress=lambda *event: seen.append(event))
    assert seen == [(512, 1100), (1024, 1100), (1100, 1100)]
