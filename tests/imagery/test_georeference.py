"""GeoTIFF and COG: overviews are levels, and the georeference is kept from file to file."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.open import open_image

rasterio = pytest.importorskip("rasterio")

RGB = np.random.default_rng(0).integers(0, 256, (3, 700, 1101), dtype=np.uint8)
UTM = ("EPSG:32633", (0.5, 0.0, 500000.0, 0.0, -0.25, 4000000.0))
DEGREES = ("EPSG:4326", (0.01, 0.0, -180.0, 0.0, -0.01, 60.0))
ROTATED = ("EPSG:3857", (0.3, 0.4, 7.0, 0.4, -0.3, 9.0))


def write(path: Path, location: tuple[str, tuple[float, ...]], image: np.ndarray = RGB, **options: Any) -> Path:
    crs, transform = location
    profile = {"driver": "GTiff", "count": 3, "height": image.shape[1], "width": image.shape[2], "dtype": image.dtype}
    with rasterio.open(path, "w", crs=crs, transform=rasterio.Affine(*transform), **{**profile, **options}) as file:
        file.write(image)
    return path


@pytest.fixture
def without_rasterio(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def guarded(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "rasterio":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", guarded)


def check(path: Path, location: tuple[str, tuple[float, ...]]) -> None:
    georeference = open_image(path).georeference
    assert georeference is not None
    assert georeference.crs == location[0]
    assert georeference.transform == pytest.approx(location[1])


@pytest.mark.parametrize("location", [UTM, DEGREES, ROTATED])
def test_georeference(tmp_path: Path, location: tuple[str, tuple[float, ...]]) -> None:
    check(write(tmp_path / "g.tif", location), location)


@pytest.mark.usefixtures("without_rasterio")
@pytest.mark.parametrize("location", [UTM, DEGREES, ROTATED])
def test_georeference_without_rasterio(tmp_path: Path, location: tuple[str, tuple[float, ...]]) -> None:
    check(write(tmp_path / "g.tif", location), location)


@pytest.mark.parametrize("guarded", [False, True])
def test_a_point_is_the_center_of_a_px(tmp_path: Path, guarded: bool, request: pytest.FixtureRequest) -> None:
    path = write(tmp_path / "g.tif", UTM)
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    if guarded:
        request.getfixturevalue("without_rasterio")
    check(path, UTM)


def test_metres_become_the_px_size(tmp_path: Path) -> None:
    metres = open_image(write(tmp_path / "m.tif", UTM))
    assert (metres.pixel_size, metres.unit) == ((0.25, 0.5), "meter")
    assert open_image(write(tmp_path / "r.tif", ROTATED)).pixel_size == pytest.approx((0.5, 0.5))
    degrees = open_image(write(tmp_path / "d.tif", DEGREES))
    assert (degrees.pixel_size, degrees.unit) == ((1.0, 1.0), None)


@pytest.mark.parametrize("crs", ["EPSG:2263", "EPSG:2222"])  # feet of the US survey, and international ones
@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("guarded", [False, True])
def test_feet_are_feet(tmp_path: Path, crs: str, key: bool, guarded: bool, request: pytest.FixtureRequest) -> None:
    """Also where the file leaves the unit to the CRS. Without rasterio nothing tells it then, and it is not guessed."""
    path = tmp_path / "f.tif"
    tags = (1, 1, 0, 3 + key, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, int(crs[5:]))
    tags += (3076, 0, 1, 9003 if crs == "EPSG:2263" else 9002) if key else ()
    extra = [(33550, "d", 3, (2.0, 2.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 9e5, 2e5, 0.0), True)]
    extra.append((34735, "H", len(tags), tags, True))
    tifffile.imwrite(path, np.zeros((20, 30), np.uint8), extratags=extra, metadata=None)
    if guarded:
        request.getfixturevalue("without_rasterio")
    pyramid = open_image(path)
    assert pyramid.georeference is not None
    known = key or not guarded
    assert (pyramid.pixel_size, pyramid.unit) == (((2.0, 2.0), "foot") if known else ((1.0, 1.0), None))


def test_a_crs_without_a_code_is_kept_as_wkt(tmp_path: Path) -> None:
    own = "+proj=laea +lat_0=12 +lon_0=34 +datum=WGS84 +units=m"
    georeference = open_image(write(tmp_path / "g.tif", (own, UTM[1]))).georeference
    assert georeference is not None
    assert rasterio.CRS.from_user_input(georeference.crs) == rasterio.CRS.from_user_input(own)


def test_no_georeference(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.tif", RGB.transpose(1, 2, 0), photometric="rgb")
    assert open_image(tmp_path / "t.tif").georeference is None


@pytest.mark.parametrize("driver", ["COG", "GTiff"])
@pytest.mark.parametrize("compress", ["deflate", "lzw", "zstd", "jpeg"])
def test_pixels_and_overviews_are_gdals(tmp_path: Path, driver: str, compress: str) -> None:
    options: dict[str, Any] = {"driver": driver, "compress": compress}
    if driver == "COG":
        options |= {"blocksize": 128, "overviews": "IGNORE_EXISTING"}
    else:
        options |= {"tiled": True, "blockxsize": 128, "blockysize": 128}
    # JPEG is compared on smooth pixels: decoders may differ by a rounding.
    smooth = np.stack([np.add.outer(np.arange(700), np.arange(1101)) // (8 + c) for c in range(3)]).astype(np.uint8)
    path = write(tmp_path / "g.tif", UTM, smooth if compress == "jpeg" else RGB, **options)
    if driver == "GTiff":
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    pyramid = open_image(path)
    with rasterio.open(path) as file:
        factors = [1, *file.overviews(1)]
        assert len(factors) >= 3
        assert len(pyramid.levels) == len(factors)
        for index, level in enumerate(pyramid.levels):
            with rasterio.open(path, **({"overview_level": index - 1} if index else {})) as overview:
                expected = overview.read().transpose(1, 2, 0)
            difference = np.abs(level[...].astype(int) - expected)
            assert level.shape == expected.shape
            # Chroma is upsampled in another way by some builds of libjpeg.
            assert difference.max() <= (8 if compress == "jpeg" else 0)
            assert difference.mean() <= (1 if compress == "jpeg" else 0)
    check(path, UTM)


def test_the_georeference_survives_a_conversion(tmp_path: Path) -> None:
    source = open_image(write(tmp_path / "g.tif", UTM))
    converted = open_image(convert(source, tmp_path / "g.ome.zarr"))
    assert converted.georeference == source.georeference == Georeference(*UTM)
    assert (converted.pixel_size, converted.unit) == ((0.25, 0.5), "meter")
