"""Where an image lies by what is beside its file, or by points: world files, .aux.xml, GCPs, RPCs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.imagery.georeference import UNKNOWN_CRS
from fctl_napari.imagery.open import open_image

rasterio = pytest.importorskip("rasterio")

PIXELS = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
TRANSFORM = (0.5, 0.1, 326000.0, 0.1, -0.5, 2790000.0)


def world_file(path: Path) -> None:
    a, b, c, d, e, f = TRANSFORM
    center = c + (a + b) / 2, f + (d + e) / 2
    path.write_text("\n".join(map(repr, (a, d, b, e, *center))) + "\n")


@pytest.mark.parametrize(("name", "world"), [("a.png", "a.pgw"), ("a.jpg", "a.wld"), ("a.tif", "a.tfw")])
def test_a_world_file_places_an_image_in_coordinates_of_its_own(tmp_path: Path, name: str, world: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / name)
    assert open_image(tmp_path / name).georeference is None
    world_file(tmp_path / world)
    georeference = open_image(tmp_path / name).georeference
    assert georeference is not None
    assert georeference.crs == UNKNOWN_CRS
    assert georeference.transform == pytest.approx(TRANSFORM)


def test_an_aux_xml_states_the_crs(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    world_file(tmp_path / "a.pgw")
    wkt = rasterio.crs.CRS.from_epsg(32640).to_wkt()
    (tmp_path / "a.png.aux.xml").write_text(f"<PAMDataset><SRS>{wkt}</SRS></PAMDataset>".replace('"', "&quot;"))
    image = open_image(tmp_path / "a.png")
    assert image.georeference is not None
    assert image.georeference.crs == "EPSG:32640"
    assert (image.unit, image.pixel_size) == ("meter", pytest.approx((0.26**0.5, 0.26**0.5)))


def with_gcps(path: Path, bend: float) -> Path:
    """Write a TIFF whose ground control points lie on a grid that is bent by some px."""
    a, b, c, d, e, f = TRANSFORM
    points = []
    for row in (0, 30, 60):
        for column in (0, 40, 80):
            x, y = column + bend * (row - 30) ** 2 / 900, float(row)
            points.append(rasterio.control.GroundControlPoint(row, column, a * x + b * y + c, d * x + e * y + f))
    with rasterio.open(path, "w", driver="GTiff", width=80, height=60, count=3, dtype="uint8") as file:
        file.write(PIXELS.transpose(2, 0, 1))
        file.gcps = (points, rasterio.crs.CRS.from_epsg(32640))
    return path


@pytest.mark.filterwarnings("ignore")
def test_ground_control_points_on_a_grid_are_used(tmp_path: Path) -> None:
    image = open_image(with_gcps(tmp_path / "a.tif", 0.3))
    assert image.georeference is not None
    assert image.georeference.crs == "EPSG:32640"
    a, b, c, d, e, f = image.georeference.transform
    assert (a * 40 + b * 30 + c, d * 40 + e * 30 + f) == pytest.approx((326000 + 23, 2790000 - 11), abs=0.3)
    assert image.notes == ()


@pytest.mark.filterwarnings("ignore")
def test_others_are_not_and_it_is_said(fctl: Fctl, tmp_path: Path) -> None:
    path = with_gcps(tmp_path / "a.tif", 20)
    image = open_image(path)
    assert image.georeference is None
    assert "9 ground control points fit no straight grid" in image.notes[0]
    assert "not used" in fctl("info", path).out


@pytest.mark.filterwarnings("ignore")
def test_rpcs_are_reported_and_not_applied(tmp_path: Path) -> None:
    rpcs = rasterio.rpc.RPC(
        height_off=0.0, height_scale=1.0, lat_off=25.0, lat_scale=0.1, line_off=30.0, line_scale=30.0, long_off=55.0,
        long_scale=0.1, samp_off=40.0, samp_scale=40.0, line_den_coeff=[1.0] + [0.0] * 19,
        line_num_coeff=[0.0, 0.0, -1.0] + [0.0] * 17, samp_den_coeff=[1.0] + [0.0] * 19,
        samp_num_coeff=[0.0, 1.0] + [0.0] * 18,
    )  # fmt: skip
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", width=80, height=60, count=3, dtype="uint8") as file:
        file.write(PIXELS.transpose(2, 0, 1))
        file.rpcs = rpcs
    image = open_image(tmp_path / "a.tif")
    assert image.georeference is None
    assert "RPC" in image.notes[0]


def test_tie_points_with_a_scale_are_read(tmp_path: Path) -> None:
    import tifffile

    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32640)
    ties = (0.0, 0.0, 0.0, 326000.0, 2790000.0, 0.0, 10.0, 10.0, 0.0, 326005.0, 2789995.0, 0.0)
    tags = [(33550, "d", 3, (0.5, 0.5, 0.0), True), (33922, "d", 12, ties, True), (34735, "H", 16, keys, True)]
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", metadata=None, extratags=tags)
    georeference = open_image(tmp_path / "a.tif").georeference
    assert georeference is not None
    assert georeference.transform == pytest.approx((0.5, 0, 326000, 0, -0.5, 2790000))
