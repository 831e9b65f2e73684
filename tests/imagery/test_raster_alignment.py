"""GeoTIFFs of classes that lie elsewhere than their image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.errors import InputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.raster_alignment import raster_offset, require_same_location
from fctl_napari.segmentation.store.store import Segmentation

rasterio = pytest.importorskip("rasterio")

UTM = Georeference("EPSG:32640", (0.5, 0.0, 320000.0, 0.0, -0.5, 2790000.0))
SHAPE = (60, 90)


def write(path: Path, values: np.ndarray, *, x: float = 0, y: float = 0, size: float = 1.0, crs: str = UTM.crs) -> Path:
    """A GeoTIFF whose first px lies (y, x) px of ``UTM`` from that of the image."""
    a, _, c, _, e, f = UTM.transform
    location = rasterio.Affine(a * size, 0, c + a * x, 0, e * size, f + e * y)
    profile = {"driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=crs, transform=location, **profile) as file:
        file.write(values, 1)
    return path


def test_only_what_lies_like_the_image_is_compared(tmp_path: Path) -> None:
    values = np.zeros(SHAPE, np.uint8)
    for location in ({}, {"x": 0.5, "y": -0.5}, {"crs": "EPSG:32639", "x": 9}):
        require_same_location(write(tmp_path / "t.tif", values, **location), UTM, SHAPE)  # type: ignore[arg-type]
    path = write(tmp_path / "t.tif", values, x=10, y=-20)
    require_same_location(path, None, SHAPE)
    with pytest.raises(InputError, match=r"its first px is -20 px down and \+10 px right of the image's"):
        require_same_location(path, UTM, SHAPE)
    with pytest.raises(InputError, match="lies elsewhere than the image"):
        require_same_location(write(tmp_path / "t.tif", values, size=2), UTM, SHAPE)
    Image.fromarray(values).save(tmp_path / "t.png")
    require_same_location(tmp_path / "t.png", UTM, SHAPE)
    require_same_location(tmp_path / "none.tif", UTM, SHAPE)


def test_offsets(tmp_path: Path) -> None:
    values = np.zeros(SHAPE, np.uint8)
    assert raster_offset(write(tmp_path / "t.tif", values), UTM) == (0, 0)
    assert raster_offset(write(tmp_path / "t.tif", values, x=10, y=-20), UTM) == (-20, 10)
    assert raster_offset(tmp_path / "t.tif", None) is None
    with pytest.raises(InputError, match="do not lie on those of the image"):
        raster_offset(write(tmp_path / "t.tif", values, x=0.4), UTM)
    with pytest.raises(InputError, match="is in EPSG:32639 and the image in EPSG:32640"):
        raster_offset(write(tmp_path / "t.tif", values, crs="EPSG:32639"), UTM)


def test_commands_refuse_a_ground_truth_that_lies_elsewhere(
    fctl: Fctl, tmp_path: Path, make_segmentation: Callable[..., Segmentation]
) -> None:
    labels = np.ones(SHAPE, np.uint8)
    labels[20:40, 20:50] = 2
    store = make_segmentation(labels, georeference=UTM)
    code, out, err = fctl("evaluate", store.path, write(tmp_path / "same.tif", labels - 1))
    assert code == 0, err
    assert "accuracy 1.0000" in out
    moved = write(tmp_path / "moved.tif", labels - 1, x=7)
    for command in (("evaluate", store.path), ("errors", store.path), ("compare", store.path, store.path)):
        assert "moved.tif: by its georeference it lies elsewhere" in fctl(*command, moved).sentence()
