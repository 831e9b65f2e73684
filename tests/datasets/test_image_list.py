"""Images of a job: what counts in a folder, a glob and a list of files, and what is left out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.datasets.image_list import is_several, list_images
from fctl_napari.exceptions import InputError
from fctl_napari.exporting.export import export
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.segmentation.store.store import Segmentation

TABLE = ClassTable(classes=(ClassInfo(name="sea", color=(0, 0, 9)),))
VRT = """<VRTDataset rasterXSize="30" rasterYSize="20"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="{}">{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>
</VRTDataset>"""


def write(path: Path, driver: str = "GTiff", seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (3, 20, 30), np.uint8)
    placed = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5e6, 1, 1)} if driver[0] == "G" else {}
    with rasterio.open(path, "w", driver=driver, count=3, height=20, width=30, dtype="uint8", **placed) as made:
        made.write(pixels)
    return path


@pytest.fixture
def folder(tmp_path: Path, make_segmentation: Callable[..., Segmentation]) -> Path:
    """Three images, and beside them whatever this tool and others put there."""
    here = tmp_path / "tiles"
    image = open_image(write(here / "a.tif"))
    write(here / "below" / "b.png", "PNG", 1)
    write(here / "c.bmp", "BMP", 2)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(here / "a_mask.png")
    write(here / "GT" / "a.tif", seed=3)
    LabelPyramid.create(here / "labelled.zarr", (20, 30), classes=[{"name": "sea", "color": (0, 0, 9)}])
    made = make_segmentation(np.ones((20, 30), np.uint8), path=here / "a.net.fctl.ome.zarr", image=image)
    make_segmentation(np.ones((20, 30), np.uint8), path=here / "land.zarr", image=image)
    export(made, here / "land.tif")
    export(made, here / "land.png")
    Corrections.create(here / "a.corrections.ome.zarr", image, TABLE).close()
    Corrections.create(here / "ann.zarr", image, TABLE).close()
    convert(image, here / "copy.ome.zarr")
    (here / "mosaic.vrt").write_text(VRT.format(1, "a.tif"))
    (here / "a.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    (here / "a.tif.ovr").write_bytes((here / "a.tif").read_bytes())
    (here / "notes.txt").write_text("notes")
    write(here / ".hidden" / "h.tif")
    return here


def names(listed: tuple[str, ...]) -> list[str]:
    return [Path(path).name for path in listed]


def test_only_images_count_and_the_rest_is_said(folder: Path) -> None:
    found = list_images([str(folder)])
    assert names(found.images) == ["a.tif", "c.bmp", "b.png"]
    left = dict(found.left_out)
    assert left.pop("other files") >= 3
    assert left == {"ground truths": 3, "results": 4, "corrections": 2, "copies and mosaics of the images": 2}
    assert found.words().startswith("3 images; left out: ground truths (3), results (4), corrections (2), copies and ")


def test_a_folder_a_glob_and_all_its_files_are_the_same(folder: Path) -> None:
    whole = list_images([str(folder)])
    everything = [str(path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    for locations in ([str(folder / "*")], everything, [str(folder), str(folder / "a.tif")]):
        found = list_images(locations)
        assert set(found.images) == set(whole.images)
        assert found.left_out == whole.left_out
    assert names(list_images([str(folder / "**" / "*.png")]).images) == ["b.png"]
    assert names(list_images([str(folder / "*.bmp")]).images) == ["c.bmp"]


def test_images_of_unusual_names_are_known_by_their_content(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    shutil.copy(folder / "a.tif", tmp_path / "odd" / "scene")
    shutil.copy(folder / "below" / "b.png", tmp_path / "odd" / "photo.dat")
    np.save(tmp_path / "odd" / "array.npy", np.zeros((9, 9, 3), np.uint8))
    shutil.make_archive(str(tmp_path / "odd" / "copy"), "zip", folder / "copy.ome.zarr")
    shutil.make_archive(str(tmp_path / "odd" / "notes"), "zip", folder / "below")
    write(tmp_path / "odd" / "packed.gpkg", "GPKG")
    (tmp_path / "odd" / "lines.gpkg").write_bytes(b"SQLite format 3\0")
    found = list_images([str(tmp_path / "odd")])
    assert names(found.images) == ["array.npy", "copy.zip", "packed.gpkg", "photo.dat", "scene"]
    assert found.left_out == {"other files": 2}


def test_a_mosaic_alone_and_a_conversion_alone_are_images(folder: Path, tmp_path: Path) -> None:
    assert names(list_images([str(folder / "m*.vrt"), str(folder / "copy.ome.zarr")]).images) == [
        "mosaic.vrt",
        "copy.ome.zarr",
    ]
    (folder / "whole.vrt").write_text(VRT.format(0, folder / "a.tif"))
    assert names(list_images([str(folder / "a.tif"), str(folder / "whole.vrt")]).images) == ["a.tif"]
    (folder / "whole.vrt").write_text(VRT.format(1, "a.tif</SourceFilename><SourceFilename>b.tif"))
    both = list_images([str(folder / "a.tif"), str(folder / "whole.vrt")]).images
    assert names(both) == ["a.tif", "whole.vrt"], "it shows more than is listed"


def test_named_folders_of_ground_truths_count_where_all_lie_in_one(folder: Path) -> None:
    assert names(list_images([str(folder / "GT" / "*.tif")]).images) == ["a.tif"]
    assert list_images([str(folder / "*" / "*")]).left_out["ground truths"] == 1


def test_damaged_and_missing_ones_are_kept_to_be_reported(folder: Path) -> None:
    (folder / "cut.tif").write_bytes(b"II*\0")
    (folder / "empty.png").write_bytes(b"")
    found = names(list_images([str(folder), str(folder / "gone.jpg"), "https://host/a.tif"]).images)
    assert {"cut.tif", "empty.png", "gone.jpg"} < set(found)
    assert found[-1] == "a.tif"


def test_where_there_is_none_it_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\*\.tif: matches no file"):
        list_images([str(folder), str(folder / "x*.tif")])
    with pytest.raises(InputError, match=r"holds no image \(left out: corrections \(1\)\); check the path"):
        list_images([str(folder / "*.corrections.*")])


def test_what_means_several(folder: Path) -> None:
    assert is_several(str(folder))
    assert is_several(str(folder / "*.tif"))
    (folder / "tile[1].tif").write_bytes((folder / "a.tif").read_bytes())
    for one in ("a.tif", "copy.ome.zarr", "tile[1].tif", "gone.tif", "a.tif#image=0"):
        assert not is_several(str(folder / one))
    assert not is_several("https://host/tiles/*.tif")
    os.symlink(folder, folder / "below" / "loop")
    assert len(list_images([str(folder)]).images) == 4
