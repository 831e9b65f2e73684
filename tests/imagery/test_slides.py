"""Slides: which of their images is opened, its levels, colors and size of a px."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers_slides import (
    HEIGHT,
    WIDTH,
    jpeg2000,
    scan,
    subsampled_jpeg2000,
    tiles_of,
    write_jpeg2000,
    write_svs,
    ycbcr,
)

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.open import open_image


def listed(path: Path) -> list[tuple[str, tuple[int, int] | None]]:
    return [(image.name, image.shape) for image in open_image(path).images]


def test_an_svs_opens_its_scan_with_its_levels(tmp_path: Path) -> None:
    pixels = write_svs(tmp_path / "a.svs")
    image = open_image(tmp_path / "a.svs")
    assert [level.shape[:2] for level in image.levels] == [(300, 420), (150, 210)]
    assert np.array_equal(image.read((10, 20, 200, 400)), pixels[10:200, 20:400])
    assert (image.pixel_size, image.unit) == ((0.25, 0.25), "micrometer")
    assert listed(tmp_path / "a.svs") == [
        ("baseline", (HEIGHT, WIDTH)),
        ("thumbnail", (75, 105)),
        ("label", (30, 40)),
        ("macro", (64, 96)),
    ]
    assert image.path == str(tmp_path / "a.svs")


def test_others_are_opened_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    write_svs(path)
    macro = open_image(f"{path}#image=3")
    assert (macro.shape, macro.path, macro.unit) == ((64, 96), f"{path}#image=3", None)
    assert open_image(Path(f"{path}#image=3")).shape == (64, 96)
    assert open_image(f"{path}#image=0").path == str(path)  # one image has one location
    thumbnail = open_image(f"{path}#image=1")
    assert (thumbnail.pixel_size, thumbnail.unit) == ((1.0, 1.0), "micrometer")
    with pytest.raises(InputError, match="has no image 4, but 4 images, 0 to 3"):
        open_image(f"{path}#image=4")
    (tmp_path / "b.tif#image=3").write_bytes(path.read_bytes())
    assert open_image(tmp_path / "b.tif#image=3").shape == (HEIGHT, WIDTH)  # so the file itself is called


@pytest.mark.parametrize("ome", [False, True])
def test_the_largest_of_any_tiff_is_opened(tmp_path: Path, ome: bool) -> None:
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    with tifffile.TiffWriter(path, ome=ome) as file:
        for size, micrometers in (((64, 96), None), ((200, 300), 0.5), ((200, 300), 2.0)):
            own = {} if micrometers is None else {"PhysicalSizeX": micrometers, "PhysicalSizeY": micrometers}
            value = np.full((*size, 3), int(10 * (micrometers or 9)), np.uint8)
            metadata = own if ome else None
            resolution = None if ome or micrometers is None else (10000 / micrometers, 10000 / micrometers)
            file.write(value, photometric="rgb", metadata=metadata, resolution=resolution, resolutionunit="CENTIMETER")
    image, other = open_image(path), open_image(f"{path}#image=2")
    assert [image.shape, other.shape] == [(200, 300)] * 2
    assert [int(one.read((0, 0, 1, 1))[0, 0, 0]) for one in (image, other)] == [5, 20]
    assert [(one.unit, one.pixel_size[0]) for one in (image, other)] == [
        ("micrometer", pytest.approx(0.5)),
        ("micrometer", pytest.approx(2.0)),
    ]
    assert len(image.images) == 3


def test_masks_and_overviews_are_no_images(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    profile = {"driver": "GTiff", "width": 333, "height": 201, "count": 3, "dtype": "uint8"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(
            tmp_path / "a.tif", "w", crs="EPSG:32640", transform=rasterio.Affine(1, 0, 5, 0, -1, 5), **profile
        ) as file:
            file.write(np.full((3, 201, 333), 7, np.uint8))
            file.write_mask(np.full((201, 333), 255, np.uint8))
        with rasterio.open(tmp_path / "a.tif", "r+") as file:
            file.build_overviews([3, 7])
    image = open_image(tmp_path / "a.tif")
    assert len(image.images) == 1
    assert [level.shape[:2] for level in image.levels] == [(201, 333), (67, 111), (29, 48)]
    assert image.validity_source == "a mask in the file"


def test_each_image_lies_where_its_own_tags_say(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(
        tmp_path / "geo.tif", "w", driver="GTiff", width=40, height=30, count=1, dtype="uint8", nodata=3,
        crs="EPSG:32640", transform=rasterio.Affine(2, 0, 500, 0, -2, 900),
    ) as file:  # fmt: skip
        file.write(np.full((1, 30, 40), 7, np.uint8))
    with tifffile.TiffFile(tmp_path / "geo.tif") as file:
        tags = [
            (t.code, t.dtype, t.count, t.value, True) for t in file.pages[0].tags if t.code in (33550, 33922, 34735)
        ]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((8, 8), np.uint8), metadata=None)
        file.write(np.zeros((30, 40), np.uint8), metadata=None, extratags=tags)
    (tmp_path / "a.tfw").write_text("1\n0\n0\n-1\n7\n7\n")
    image, first = open_image(tmp_path / "a.tif"), open_image(f"{tmp_path}/a.tif#image=0")
    assert image.georeference.transform == (2, 0, 500, 0, -2, 900)
    assert first.georeference.transform[0] == 1  # files beside it belong to the first


@pytest.mark.parametrize(
    ("compression", "photometric"), [(33003, "ycbcr"), (33003, "rgb"), (33005, "rgb"), (33005, "ycbcr")]
)
def test_aperio_s_jpeg_2000_has_its_colors(tmp_path: Path, compression: int, photometric: str) -> None:
    pixels = scan()[:256, :384]
    coded = [jpeg2000(ycbcr(tile) if compression == 33003 else tile) for tile in tiles_of(pixels)]
    write_jpeg2000(tmp_path / "a.svs", compression, coded, photometric=photometric)
    read = open_image(tmp_path / "a.svs").read((0, 0, 256, 384))
    assert np.abs(read.astype(int) - pixels).max() <= (2 if compression == 33003 else 0)


def test_aperio_s_jpeg_2000_with_fewer_color_samples(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    pixels = scan()[:256, :384]
    coded = [subsampled_jpeg2000(tile, tmp_path) for tile in tiles_of(pixels)]
    write_jpeg2000(tmp_path / "a.svs", 33003, coded, photometric="rgb")
    read = open_image(tmp_path / "a.svs").read((0, 0, 256, 384))
    assert np.abs(read.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize(
    ("options", "unit", "size"),
    [
        ({"resolution": (20000, 40000), "resolutionunit": "CENTIMETER"}, "micrometer", (0.25, 0.5)),
        ({"resolution": (25400, 25400), "resolutionunit": "INCH"}, "micrometer", (1, 1)),
        ({"resolution": (600, 600), "resolutionunit": "INCH"}, "micrometer", (25400 / 600, 25400 / 600)),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None, (1, 1)),
        ({"resolution": (96, 96), "resolutionunit": "INCH"}, None, (1, 1)),
        ({"resolution": (1, 1), "resolutionunit": "INCH"}, None, (1, 1)),
        ({"resolution": (400, 400), "resolutionunit": "NONE"}, None, (1, 1)),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "um"}}, "micrometer", (0.5, 0.25)),
        ({"description": "Aperio X|MPP = 0.5021|Y"}, "micrometer", (0.5021, 0.5021)),
        ({"description": "Aperio X|MPP = 0|Y"}, None, (1, 1)),
        ({"ome": True, "metadata": {"PhysicalSizeX": 3, "PhysicalSizeXUnit": "nm"}}, "nanometer", (3, 3)),
        ({"ome": True, "metadata": {"PhysicalSizeX": 3, "PhysicalSizeXUnit": "pixel"}}, None, (1, 1)),
        ({}, None, (1, 1)),
    ],
)  # fmt: skip
def test_a_px_has_the_size_that_is_stated(
    tmp_path: Path, options: dict[str, Any], unit: str | None, size: tuple[float, float]
) -> None:
    path = tmp_path / "a.tif"
    metadata = {} if "metadata" in options else {"metadata": None}
    tifffile.imwrite(path, np.zeros((40, 50), np.uint8), **metadata, **options)
    image = open_image(path)
    assert (image.unit, image.pixel_size) == (unit, pytest.approx(size))


@pytest.mark.parametrize("joined", [False, True])
def test_a_ventana_slide_is_joined_by_openslide_or_says_that_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joined: bool
) -> None:
    if joined:
        pytest.importorskip("openslide")
    else:
        monkeypatch.setitem(sys.modules, "openslide", None)
    xmp = b"<iScan ScanRes=\"0.465\" Magnification='20'></iScan>"
    tags = [(700, 1, len(xmp), xmp, True)]
    with tifffile.TiffWriter(tmp_path / "a.bif") as file:
        file.write(
            np.zeros((50, 60, 3), np.uint8), photometric="rgb", description="Label Image", metadata=None, extratags=tags
        )
        for level in range(2):
            file.write(
                np.zeros((256 >> level, 384 >> level, 3), np.uint8), photometric="rgb", tile=(64, 64), metadata=None,
                description=f"level={level} mag={20 >> level} quality=90",
            )  # fmt: skip
    image = open_image(tmp_path / "a.bif")
    assert [level.shape[:2] for level in image.levels] == [(256, 384), (128, 192)]
    assert (image.pixel_size, image.unit) == ((0.465, 0.465), "micrometer")
    assert ("not joined" in " ".join(image.notes)) != joined
    assert len(image.images) == 2


@pytest.mark.parametrize("pages", [2, 5])
def test_pages_of_one_size_are_images(tmp_path: Path, pages: int) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in range(pages):
            file.write(np.full((40, 50, 3), page, np.uint8), photometric="rgb", metadata=None, tile=(16, 16))
    for page in range(pages):
        image = open_image(f"{tmp_path}/a.tif#image={page}")
        assert (image.shape, image.channels, len(image.images)) == ((40, 50), 3, pages)
        assert image.read((20, 20, 21, 21)).max() == page
