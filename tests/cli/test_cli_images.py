"""Files that hold several images, in the commands: ``--image N``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from helpers_commands import Fctl
from helpers_slides import write_svs

from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.segmentation.store.identity import image_facts, open_image_of, refreshed
from fctl_napari.segmentation.store.store import Segmentation


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    write_svs(tmp_path / "a.svs")
    return tmp_path / "a.svs"


def test_info_lists_them(fctl: Fctl, slide: Path) -> None:
    told = fctl("info", slide).out
    images = "4 images: 0 baseline 420 x 300, 1 thumbnail 105 x 75, 2 label 40 x 30, 3 macro 96 x 64"
    assert f"{images}; 0 is open, another with --image N" in told
    assert "0.25 x 0.25 micrometer" in told
    macro = fctl("info", slide, "--image", 3).out
    assert "96 x 64 px" in macro
    assert f"{images}; 3 is open" in macro
    assert "has no image 9, but 4 images" in fctl("info", slide, "--image", 9).sentence()


def test_a_segmentation_stays_with_its_image(fctl: Fctl, slide: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    options = ("--checkpoint", tiny_checkpoint, "--device", "cpu", "--image", 3)
    done = fctl("segment", slide, "--out", tmp_path / "s.ome.zarr", *options)
    assert done.code == 0, done.err
    assert "3 is open" in done.err
    store = Segmentation.open(tmp_path / "s.ome.zarr")
    assert store.shape == (64, 96)
    assert store.facts["image"]["path"] == f"{slide}#image=3"
    assert f"{slide}#image=3" in fctl("info", store.path).out
    again = fctl("segment", slide, "--out", store.path, *options[:-2])
    assert again.code == 2
    assert fctl("segment", slide, "--out", store.path, *options).code == 0
    explained = fctl("explain", slide, 5, 5, *options)
    assert explained.code == 0, explained.err
    written = fctl("export", store.path, tmp_path / "m.tif")
    assert "without georeference" in written.err
    assert tifffile.imread(tmp_path / "m.tif").shape == (64, 96)


def test_a_slide_that_moves_with_its_segmentation_is_found(slide: Path, tmp_path: Path) -> None:
    facts = image_facts(open_image(f"{slide}#image=2"))
    (tmp_path / "new").mkdir()
    slide.rename(tmp_path / "new" / "a.svs")
    found = open_image_of(facts, tmp_path / "new" / "s.ome.zarr")
    assert found.path == str(tmp_path / "new" / "a.svs#image=2")


def test_a_segmentation_of_the_first_image_by_an_earlier_version_is_found(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for size in ((64, 96), (200, 300)):
            file.write(np.full((*size, 3), size[0], np.uint8), photometric="rgb", metadata=None)
    first: Pyramid = open_image(f"{tmp_path}/a.tif#image=0")
    facts = {**image_facts(first), "path": str(tmp_path / "a.tif")}  # the first one was opened then
    found = open_image_of(facts, tmp_path / "s.ome.zarr")
    assert found.shape == (64, 96)
    now = refreshed({"image": facts, "georeference": None}, found)
    assert now is not None
    assert now["image"]["path"] == f"{tmp_path}/a.tif#image=0"


def test_images_of_an_ome_zarr_and_of_a_geopackage_too(fctl: Fctl, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    root = zarr.create_group(
        tmp_path / "c.ome.zarr", attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    )
    root.create_group("OME", attributes={"ome": {"version": "0.5", "series": ["left", "right"]}})
    for value, name in enumerate(("left", "right")):
        axes = [{"name": axis, "type": "space"} for axis in "yx"]
        level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}
        ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}
        image = root.create_group(name, attributes={"ome": ome})
        image.create_array("0", shape=(64, 64), chunks=(64, 64), dtype="u1", dimension_names=["y", "x"])[...] = value
    assert "2 images: 0 left, 1 right; 0 is open, another with --image N" in fctl("info", tmp_path / "c.ome.zarr").out
    assert open_image(f"{tmp_path}/c.ome.zarr#image=1").path == str(tmp_path / "c.ome.zarr" / "right")
    assert "1 is open" in fctl("info", tmp_path / "c.ome.zarr", "--image", 1).out
    with rasterio.open(
        tmp_path / "n.gpkg", "w", driver="GPKG", width=50, height=40, count=1, dtype="uint8", RASTER_TABLE="one",
        crs="EPSG:3857", transform=rasterio.Affine(1, 0, 0, 0, -1, 0),
    ) as file:  # fmt: skip
        file.write(np.full((1, 40, 50), 3, np.uint8))
    with rasterio.open(
        tmp_path / "n.gpkg", "w", driver="GPKG", width=70, height=60, count=1, dtype="uint8", RASTER_TABLE="two",
        APPEND_SUBDATASET="YES", crs="EPSG:3857", transform=rasterio.Affine(1, 0, 0, 0, -1, 0),
    ) as file:  # fmt: skip
        file.write(np.full((1, 60, 70), 4, np.uint8))
    assert [one.name for one in open_image(tmp_path / "n.gpkg").images] == ["one", "two"]
    assert open_image(tmp_path / "n.gpkg").shape[1] >= 70
    assert "image=0" in str(open_image(f"{tmp_path}/n.gpkg#image=0").path)


def test_a_number_that_is_none_or_another_one_is_refused(fctl: Fctl, slide: Path) -> None:
    assert f"{slide}: has no image 'x'; give its number, as in" in fctl("info", f"{slide}#image=x").sentence()
    sentence = fctl("info", f"{slide}#image=1", "--image", 0).sentence()
    assert "names another image than number 0, which is given too; leave one of the two out" in sentence
    assert fctl("info", f"{slide}#image=1", "--image", 1).code == 0
