"""Arrays as images: px that hold no data, places on the ground, and axes that are no regular grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray

import fctl_napari as fctl
from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.imagery.georeference import UNKNOWN_CRS, Georeference

pytest.importorskip("rioxarray")


@pytest.fixture
def hole() -> np.ndarray:
    """Px without data in an image of 128 x 320, bool."""
    found = np.zeros((128, 320), bool)
    found[20:60, 30:90] = True
    return found


def opened(source: Any, **how: Any) -> fctl.Image:
    found = fctl.open(source, **how)
    assert isinstance(found, fctl.Image)
    return found


def test_masked_px_hold_no_data(pixels: np.ndarray, hole: np.ndarray) -> None:
    three = np.repeat(hole[..., None], 3, axis=2)
    some = three.copy()
    some[100:110, :, 0] = True  # of one band alone
    numpy = np.ma.MaskedArray(pixels, three)
    for source in (
        numpy,
        np.ma.MaskedArray(pixels, some),
        dask.array.from_array(numpy, chunks=50),
        np.ma.MaskedArray(pixels[..., 0], hole),
    ):
        image = opened(source)
        assert np.array_equal(image.pyramid.read_valid((0, 0, 128, 320)), ~hole)
        assert image.pyramid.validity_source == "masked px"
        assert not np.array_equal(image.read()[hole], pixels[hole])  # they are filled
        assert np.array_equal(image.pyramid.read_native((0, 0, 128, 320))[..., 0][~hole], pixels[..., 0][~hole])
    assert opened(np.ma.MaskedArray(pixels)).pyramid.read_valid((0, 0, 128, 320)).all()


def test_the_nodata_value_of_xarray_is_that_of_the_file(tmp_path: Path, pixels: np.ndarray) -> None:
    import rasterio
    import rioxarray

    pixels = np.maximum(pixels, 1)
    pixels[20:60, 30:90] = 0
    profile = {"driver": "GTiff", "width": 320, "height": 128, "count": 3, "dtype": "uint8", "nodata": 0}
    with rasterio.open(tmp_path / "a.tif", "w", crs="EPSG:32633", **profile) as file:
        file.write(pixels.transpose(2, 0, 1))
    of_file = opened(tmp_path / "a.tif")
    whole = (0, 0, 128, 320)
    for array in (
        rioxarray.open_rasterio(tmp_path / "a.tif"),
        rioxarray.open_rasterio(tmp_path / "a.tif", masked=True),
    ):
        image = opened(array, value_range=(0, 255))
        assert np.array_equal(image.pyramid.read_valid(whole), of_file.pyramid.read_valid(whole))
        assert np.array_equal(image.read(), of_file.read())


def test_a_masked_array_is_segmented_as_its_file_is(
    tmp_path: Path, pixels: np.ndarray, hole: np.ndarray, network: Path
) -> None:
    import tifffile

    hole[:, 200:] = True
    alpha = np.where(hole, 0, 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([pixels, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    of_file = fctl.segment(tmp_path / "a.tif", network, device="cpu", progress=False)
    masked = np.ma.MaskedArray(pixels, np.repeat(hole[..., None], 3, axis=2))
    found = fctl.segment(masked, network, tmp_path / "array.ome.zarr", device="cpu", progress=False)
    assert np.array_equal(found.read(), of_file.read())
    assert (found.read() == 255).any()
    with pytest.raises(OutputError, match="with marks of px that hold no data, of which this image has none"):
        fctl.segment(pixels, network, tmp_path / "array.ome.zarr", device="cpu", progress=False)


def grid(y: np.ndarray, x: np.ndarray) -> xarray.DataArray:
    return xarray.DataArray(np.zeros((len(y), len(x)), np.uint8), dims=("y", "x"), coords={"y": y, "x": x})


def test_coordinates_without_a_crs_are_kept() -> None:
    array = grid(5_000_000 - 10 * (np.arange(40) + 0.5), 400_000 + 10 * (np.arange(60) + 0.5))
    image = opened(array)
    assert image.pyramid.georeference == Georeference(UNKNOWN_CRS, (10.0, 0.0, 400_000.0, 0.0, -10.0, 5_000_000.0))
    back = image.to_xarray()
    assert np.allclose(back.y, array.y)
    assert np.allclose(back.x, array.x)
    for numbers in (0.0, 0.5):  # of px: no place
        assert opened(grid(np.arange(40) + numbers, np.arange(60) + numbers)).pyramid.georeference is None
    assert opened(xarray.DataArray(np.zeros((4, 5), np.uint8), dims=("y", "x"))).pyramid.georeference is None


def test_a_part_of_an_array_lies_where_it_lies_and_not_where_the_whole_did() -> None:
    array = grid(5_000_000 - 10 * (np.arange(40) + 0.5), 400_000 + 10 * (np.arange(60) + 0.5))
    array = array.rio.write_crs("EPSG:32633").rio.write_transform()
    part = opened(array[4::2, 10::2])
    assert part.pyramid.georeference == Georeference(
        "EPSG:32633", (20.0, 0.0, 400_095.0, 0.0, -20.0, 5_000_000.0 - 35.0)
    )


@pytest.mark.parametrize("axis", ["y", "x"])
def test_uneven_coordinates_are_refused(axis: str) -> None:
    even, uneven = np.arange(20.0), np.arange(20.0) ** 1.1
    array = grid(uneven if axis == "y" else even, uneven if axis == "x" else even)
    for source in (array, array.rio.write_crs("EPSG:32633")):
        with pytest.raises(InputError, match=f"its {axis} are not evenly spaced; give it on a regular grid"):
            fctl.open(source)


def test_coordinates_of_single_precision_are_even() -> None:
    y = (5_000_000 - 10 * (np.arange(400) + 0.5)).astype(np.float32)
    assert opened(grid(y, np.arange(30.0) * 10)).pyramid.georeference is not None
