"""GeoTIFF tags on every level, in TIFF and BigTIFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from fctl_napari.exporting.geotiff_levels import georeference_levels

rasterio = pytest.importorskip("rasterio")
shutil = pytest.importorskip("rasterio.shutil")


@pytest.mark.parametrize("big", ["NO", "YES"])
@pytest.mark.parametrize("shape", [(100, 130), (1027, 2050)])
@pytest.mark.parametrize("transform", [(2, 0, 100, 0, -2, 900), (1, 2, 100, 2, -1, 900)])
def test_every_level_has_the_tags_and_the_same_pixels(
    tmp_path: Path, big: str, shape: tuple[int, int], transform: tuple[float, ...]
) -> None:
    values = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    profile = {"height": shape[0], "width": shape[1], "count": 1, "dtype": "uint8", "crs": "EPSG:2056"}
    affine = rasterio.transform.Affine(*transform)
    with rasterio.open(tmp_path / "plain.tif", "w", driver="GTiff", transform=affine, **profile) as dataset:
        dataset.write(values, 1)
    options = {"blocksize": 256, "bigtiff": big, "overview_resampling": "mode"}
    shutil.copy(tmp_path / "plain.tif", tmp_path / "cog.tif", driver="COG", **options)
    georeference_levels(tmp_path / "cog.tif", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "cog.tif") as before, tifffile.TiffFile(tmp_path / "out.tif") as after:
        assert len(before.pages) == len(after.pages) == (1 if shape[0] < 256 else 4)
        for old, new in zip(before.pages, after.pages, strict=True):
            np.testing.assert_array_equal(old.asarray(), new.asarray())
            assert new.geotiff_tags["ProjectedCSTypeGeoKey"] == 2056
            assert after.is_bigtiff == (big == "YES")
            if "ModelPixelScale" in new.geotiff_tags:
                across, down = shape[1] / new.shape[1], shape[0] / new.shape[0]
                assert new.geotiff_tags["ModelPixelScale"] == pytest.approx([2 * across, 2 * down, 0])
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.transform == affine
        np.testing.assert_array_equal(dataset.read(1), values)
