"""GeoTIFFs of classes that lie elsewhere than their image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import UNKNOWN_CRS, Georeference
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.raster_alignment import aligned_ground_truth, raster_offset
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


GROUND = np.random.default_rng(2).integers(0, 3, (12, 14)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
RIGHT = GROUND[: SHAPE[0], : SHAPE[1]]


def read_over(path: Path, image: Georeference | None = UTM) -> np.ndarray:
    """Read a ground truth over the image, whole."""
    return np.asarray(aligned_ground_truth(open_ground_truth(path), path, image, SHAPE).read((0, 0, *SHAPE)))


def compare(found: np.ndarray, right: np.ndarray = RIGHT) -> None:
    """Check that a ground truth is right where it has a class, and that it has one somewhere."""
    there = found != 255
    assert there.any()
    assert np.array_equal(found[there], right[there])


def test_a_ground_truth_counts_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    assert np.array_equal(read_over(write(path, RIGHT)), RIGHT)
    assert np.array_equal(read_over(write(path, RIGHT, x=0.5, y=-0.5)), RIGHT)  # a corner taken for a center
    moved = GROUND[20 : 20 + SHAPE[0], 10 : 10 + SHAPE[1]]
    found = read_over(write(path, moved, x=10, y=20))
    assert (found[:20] == 255).all()
    assert (found[:, :10] == 255).all()
    compare(found)
    compare(read_over(write(path, RIGHT[::2, ::2], size=2)))  # other px
    compare(read_over(write(path, RIGHT.repeat(2, 0).repeat(2, 1), size=0.5)))
    compare(read_over(write(path, RIGHT[10:40, 20:70], x=20, y=10)))  # a part
    with rasterio.open(write(path, RIGHT[::-1])) as file:
        south_up = file.transform @ rasterio.Affine.translation(0, SHAPE[0]) @ rasterio.Affine.scale(1, -1)
        profile = {**file.profile, "transform": south_up}
    with rasterio.open(path, "w", **profile) as file:
        file.write(RIGHT[::-1], 1)
    assert np.array_equal(read_over(path), RIGHT)


def test_without_a_georeference_px_count(tmp_path: Path) -> None:
    assert np.array_equal(read_over(write(tmp_path / "t.tif", RIGHT, x=10), None), RIGHT)
    Image.fromarray(RIGHT).save(tmp_path / "t.png")
    assert np.array_equal(read_over(tmp_path / "t.png"), RIGHT)


def test_coordinates_without_a_crs_are_those_of_the_other(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    local = Georeference(UNKNOWN_CRS, UTM.transform)
    for image, crs in ((local, UTM.crs), (UTM, UNKNOWN_CRS), (local, UNKNOWN_CRS)):
        moved = GROUND[20 : 20 + SHAPE[0], 10 : 10 + SHAPE[1]]
        compare(read_over(write(path, moved, x=10, y=20, crs=crs), image))
    # They do not meet, so they are not the same; the px are.
    assert np.array_equal(read_over(write(path, RIGHT, x=1e6, crs=UNKNOWN_CRS)), RIGHT)


def test_what_lies_nowhere_over_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    with pytest.raises(InputError, match="lies beside the image"):
        read_over(write(path, RIGHT, x=500))
    with pytest.raises(InputError, match="is in EPSG:32639 and the image in EPSG:32640; reproject"):
        read_over(write(path, RIGHT, crs="EPSG:32639"))
    a, _, c, _, e, f = UTM.transform
    turned = Georeference(UTM.crs, (a, 0.1, c, 0.1, e, f))
    with pytest.raises(InputError, match="is turned against the image"):
        read_over(write(path, RIGHT), turned)


@pytest.mark.parametrize(("nodata", "beside"), [(0, False), (200, False), (200, True)])
def test_a_declared_nodata_value_is_no_class(
    fctl: Fctl, tmp_path: Path, make_segmentation: Callable[..., Segmentation], nodata: int, beside: bool
) -> None:
    store = make_segmentation(RIGHT + np.uint8(1), georeference=UTM)
    values = RIGHT + np.uint8(nodata == 0)
    values[:, :30] = nodata
    path = write(tmp_path / "t.tif", values)
    if beside:
        band = f'<PAMRasterBand band="1"><NoDataValue>{nodata}</NoDataValue></PAMRasterBand>'
        path.with_name("t.tif.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    else:
        with rasterio.open(path, "r+") as file:
            file.nodata = nodata
    code, out, err = fctl("evaluate", store.path, path)
    assert code == 0, err
    assert f"accuracy 1.0000 over {60 * 60} px" in out


def test_offsets(tmp_path: Path) -> None:
    values = np.zeros(SHAPE, np.uint8)
    assert raster_offset(write(tmp_path / "t.tif", values), UTM) == (0, 0)
    assert raster_offset(write(tmp_path / "t.tif", values, x=10, y=-20), UTM) == (-20, 10)
    assert raster_offset(tmp_path / "t.tif", None) is None
    with pytest.raises(InputError, match="do not lie on those of the image"):
        raster_offset(write(tmp_path / "t.tif", values, x=0.4), UTM)
    with pytest.raises(InputError, match="is in EPSG:32639 and the image in EPSG:32640"):
        raster_offset(write(tmp_path / "t.tif", values, crs="EPSG:32639"), UTM)


def test_commands_compare_a_ground_truth_where_it_lies(
    fctl: Fctl, tmp_path: Path, make_segmentation: Callable[..., Segmentation]
) -> None:
    store = make_segmentation(RIGHT + np.uint8(1), georeference=UTM)
    moved = write(tmp_path / "moved.tif", GROUND[20:70, 10:80], x=10, y=20)
    code, out, err = fctl("evaluate", store.path, moved)
    assert code == 0, err
    assert f"accuracy 1.0000 over {40 * 70} px" in out
    beside = write(tmp_path / "beside.tif", RIGHT, x=500)
    for command in (("evaluate", store.path), ("errors", store.path), ("compare", store.path, store.path)):
        assert "beside.tif: by its georeference it lies beside the image" in fctl(*command, beside).sentence()
