"""Rasters that GDAL reads: pixels, mask, bands and georeference as rasterio has them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.open import open_image

rasterio = pytest.importorskip("rasterio")

HEIGHT, WIDTH = 200, 260
TRANSFORM = rasterio.Affine(0.5, 0, 326000, 0, -0.5, 2790000)

DRIVERS = {
    "JP2OpenJPEG": {"QUALITY": "100", "REVERSIBLE": "YES"},
    "HFA": {},
    "ENVI": {},
    "NITF": {},
    "GPKG": {},
    "PNG": {},
    "VRT": {},
    "GTiff": {"compress": "lerc", "tiled": True, "interleave": "pixel"},
    "BMP": {},
}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([y, x % 251, (x + y) // 3]).astype(np.uint8)


def write(folder: Path, pixels: np.ndarray, driver: str) -> Path:
    """Write a raster with a driver of GDAL, by way of a GeoTIFF."""
    from rasterio.shutil import copy

    plain = folder / "plain.tif"
    crs = "EPSG:3857" if driver == "GPKG" else "EPSG:32640"
    profile = {"driver": "GTiff", "count": 3, "height": HEIGHT, "width": WIDTH, "dtype": pixels.dtype}
    with rasterio.open(plain, "w", crs=crs, transform=TRANSFORM, photometric="rgb", **profile) as file:
        file.write(pixels)
    out = folder / f"image.{driver.lower()}"
    copy(plain, out, driver=driver, **DRIVERS[driver])
    return out


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_raster_is_read_as_rasterio_reads_it(tmp_path: Path, pixels: np.ndarray, driver: str) -> None:
    path = write(tmp_path, pixels, driver)
    image = open_image(path)
    with rasterio.open(path) as file:
        colors, mask, crs, transform = file.read([1, 2, 3]), file.dataset_mask() > 0, file.crs, file.transform
    shape = colors.shape[1:]
    assert image.shape == shape
    found = image.read((0, 0, *shape))
    assert np.array_equal(found[mask], colors.transpose(1, 2, 0)[mask])
    assert np.array_equal(image.read_valid((0, 0, *shape)), mask)
    if crs is not None:
        assert image.georeference is not None
        assert rasterio.crs.CRS.from_user_input(image.georeference.crs) == crs
        assert image.georeference.transform == pytest.approx(tuple(transform)[:6])


@pytest.mark.parametrize("nodata", ["nan", None])
@pytest.mark.parametrize("compress", ["lerc", "lerc_zstd", "lerc_deflate", "deflate"])
def test_nan_of_any_compression_is_no_data(tmp_path: Path, compress: str, nodata: str | None) -> None:
    values = np.stack([np.hypot(*np.mgrid[:90, :120]) + 100] * 3).astype(np.float32)
    values[:, 10:50, 20:30] = np.nan
    profile = {"driver": "GTiff", "count": 3, "height": 90, "width": 120, "dtype": "float32", "compress": compress}
    with rasterio.open(tmp_path / "image.tif", "w", nodata=nodata and float(nodata), **profile) as file:
        file.write(values)
    image = open_image(tmp_path / "image.tif", value_range=(0, 300))
    assert np.array_equal(image.read_native((0, 0, 90, 120)), values.transpose(1, 2, 0), equal_nan=True)
    assert np.array_equal(image.read_valid((0, 0, 90, 120)), np.isfinite(values[0]))


def test_rgba_of_lerc_is_read(tmp_path: Path) -> None:
    y, x = np.mgrid[:300, :300]
    inside = np.hypot(x - 150, y - 150) < 120
    rgba = np.stack([x // 2, y // 2, (x + y) // 4, np.where(inside, 255, 0)]).astype(np.uint8)
    options = {"compress": "lerc", "interleave": "pixel", "photometric": "rgb", "alpha": "yes", "tiled": True}
    profile = {"driver": "GTiff", "count": 4, "height": 300, "width": 300, "dtype": "uint8", **options}
    with rasterio.open(tmp_path / "image.tif", "w", **profile) as file:
        file.write(rgba)
    image = open_image(tmp_path / "image.tif")
    assert np.array_equal(image.read_valid((0, 0, 300, 300)), inside)
    assert np.array_equal(image.read((0, 0, 300, 300))[inside], rgba[:3].transpose(1, 2, 0)[inside])


def test_overviews_and_nodata_of_each_band_are_used_in_several_threads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(1, 1000, (3, 700, 900)).astype(np.int16)
    values[:, :, 500:] = -1
    with rasterio.open(
        tmp_path / "a.img", "w", driver="HFA", count=3, height=700, width=900, dtype="int16", nodata=-1
    ) as file:
        file.write(values)
    with rasterio.open(tmp_path / "a.img", "r+") as file:
        file.build_overviews([2, 4])
    image = open_image(tmp_path / "a.img", value_range=(0, 1000))
    assert [level.shape[:2] for level in image.levels] == [(700, 900), (350, 450), (175, 225)]
    assert image.validity_source == "nodata -1"
    windows = [(y, x, y + 90, x + 120) for y, x in rng.integers(0, 600, (40, 2)).tolist()]
    with ThreadPoolExecutor(4) as pool:
        for (y0, x0, y1, x1), found in zip(windows, pool.map(image.read_valid, windows), strict=True):
            assert np.array_equal(found, (values[0, y0:y1, x0:x1] != -1))


def test_what_is_no_raster_is_refused_in_words(fctl: Fctl, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(InputError, match=r"notes\.txt: is not an image that can be read here"):
        open_image(tmp_path / "notes.txt")
    with pytest.raises(InputError, match=r"/vsimem/none: cannot be opened as a raster"):
        open_image("/vsimem/none")
    assert "cannot be opened as a raster" in fctl("info", "/vsimem/none").sentence()
