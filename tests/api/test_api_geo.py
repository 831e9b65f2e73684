"""Images and maps as objects of xarray and geopandas, with their place on the ground."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fctl_napari as fctl
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.segmentation.store.store import Segmentation

pytest.importorskip("rioxarray")
geopandas = pytest.importorskip("geopandas")

PLACE = Georeference("EPSG:32633", (0.5, 0.0, 400_000.0, 0.0, -0.5, 5_000_000.0))


@pytest.fixture
def placed(make_segmentation: Callable[..., Segmentation]) -> fctl.Map:
    """A georeferenced map of two classes, a part of which is not computed."""
    labels = np.ones((200, 300), np.uint8)
    labels[50:90, 100:160] = 2
    labels[:, 290:] = 0
    return fctl.Map(make_segmentation(labels, georeference=PLACE).path)


def test_a_map_is_an_array_of_xarray_where_it_lies(placed: fctl.Map) -> None:
    array = placed.to_xarray()
    assert array.dims == ("y", "x")
    assert array.rio.crs.to_epsg() == 32633
    assert tuple(array.rio.transform())[:6] == PLACE.transform
    assert array.rio.nodata == 255
    assert float(array.x[0]) == 400_000.25
    assert float(array.y[0]) == 4_999_999.75
    assert np.array_equal(array.values, placed.read())
    assert json.loads(array.attrs["classes"]) == list(placed.classes.names)
    assert array.chunks is not None


@pytest.mark.parametrize(
    "key",
    [
        5,
        (3, 4),
        (slice(None, None, 2), slice(None, None, 3)),
        (slice(None, None, -1), 7),
        (slice(9, 3, -2), slice(1, 8)),
        (0, slice(4, 4)),
    ],
)
def test_parts_of_xarray_are_those_of_the_map(placed: fctl.Map, key: Any) -> None:
    assert np.array_equal(placed.to_xarray()[key].values, placed.read()[key])


def test_a_raster_of_xarray_reads_back_as_the_map(placed: fctl.Map, tmp_path: Path) -> None:
    import rasterio

    placed.to_xarray().rio.to_raster(tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as file:
        assert np.array_equal(file.read(1), placed.read())
        assert file.crs.to_epsg() == 32633
        assert tuple(file.transform)[:6] == PLACE.transform


@pytest.mark.parametrize("where", [PLACE, None])
def test_an_array_of_xarray_is_written_by_xarray(
    make_segmentation: Callable[..., Segmentation], tmp_path: Path, where: Georeference | None
) -> None:
    import xarray

    labels = np.ones((20, 30), np.uint8)
    labels[:, 25:] = 0  # not computed
    array = fctl.Map(make_segmentation(labels, georeference=where).path).to_xarray()
    array.to_netcdf(tmp_path / "map.nc", encoding={array.name: {"dtype": "int16"}})
    array.to_dataset(name="map").to_zarr(tmp_path / "map.zarr", consolidated=False)
    for back in (
        xarray.open_dataset(tmp_path / "map.nc", mask_and_scale=False)[array.name],
        xarray.open_zarr(tmp_path / "map.zarr", consolidated=False, mask_and_scale=False)["map"],
    ):
        assert np.array_equal(back.values, array.values)
        assert json.loads(back.attrs["classes"]) == ["red", "green", "blue"]
        assert back.attrs["_FillValue"] == 255
        assert np.array_equal(back.x, array.x)


def test_polygons_are_the_map_s(placed: fctl.Map) -> None:
    found = placed.to_geopandas(progress=False)
    assert found.crs.to_epsg() == 32633
    assert dict(zip(found["class"], found["area_px"], strict=True)) == {"red": 200 * 290 - 40 * 60, "green": 40 * 60}
    green = found[found["class"] == "green"].geometry.iloc[0]
    assert green.bounds == (400_050.0, 4_999_955.0, 400_080.0, 4_999_975.0)
    assert np.allclose(found.geometry.area, found["area_m2"])
    assert placed.areas(progress=False).pixels == {"red": 200 * 290 - 2400, "green": 2400, "blue": 0}


def test_polygons_without_a_place_are_in_px(make_segmentation: Callable[..., Segmentation]) -> None:
    labels = np.ones((20, 30), np.uint8)
    labels[5:9, 10:16] = 2
    found = fctl.Map(make_segmentation(labels).path).to_geopandas(progress=False)
    assert found.crs is None
    assert found[found["class"] == "green"].geometry.iloc[0].bounds == (10, 5, 16, 9)


def test_an_array_of_xarray_is_an_image_where_it_lies(tmp_path: Path) -> None:
    import rasterio
    import rioxarray

    pixels = np.random.default_rng(1).integers(0, 256, (3, 90, 120)).astype(np.uint8)
    transform = rasterio.Affine(*PLACE.transform)
    profile = {"driver": "GTiff", "width": 120, "height": 90, "count": 3, "dtype": "uint8", "crs": PLACE.crs}
    with rasterio.open(tmp_path / "a.tif", "w", transform=transform, **profile) as file:
        file.write(pixels)
    array = rioxarray.open_rasterio(tmp_path / "a.tif", chunks=True)  # band, y, x
    image = fctl.open(array)
    assert isinstance(image, fctl.Image)
    assert np.array_equal(image.read(), pixels.transpose(1, 2, 0))
    assert image.pyramid.georeference == PLACE
    back = fctl.open(tmp_path / "a.tif").to_xarray()
    assert np.array_equal(back.values, pixels.transpose(1, 2, 0))
    assert back.rio.crs == array.rio.crs
    assert back.rio.transform() == array.rio.transform()
