"""GeoJSON of poles, of the antimeridian, of whole discs and of local coordinates."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fctl_napari.exceptions import InputError
from fctl_napari.exporting.export import export
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.imagery.georeference import UNKNOWN_CRS, Georeference
from fctl_napari.segmentation.store.store import Segmentation

MakeSegmentation = Callable[..., Segmentation]

pytest.importorskip("rasterio")
shapely = pytest.importorskip("shapely")

from rasterio.crs import CRS  # noqa: E402
from rasterio.features import rasterize  # noqa: E402
from rasterio.warp import transform as warp  # noqa: E402

GEOS = "+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80"
SINUSOIDAL = "+proj=sinu +R=6371007.181"
NORTH = "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-37"
TURNED = "+proj=laea +lat_0=85 +lon_0=150"
HEIGHT, WIDTH = 60, 80


def patches() -> np.ndarray:
    """Labels with rings around the middle, in px [HEIGHT, WIDTH]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rings = (np.hypot(y - 29, x - 41) // 6).astype(np.uint8) % 3 + 1
    rings[:8, :20] = 3
    return rings.astype(np.uint8)


def around(crs: str, px: float, x: float = 0, y: float = 0) -> Georeference:
    """Return the georeference of an image in whose px (x, y) from its middle lies the origin of the CRS."""
    return Georeference(crs, (px, 0.0, -px * (WIDTH / 2 + x), 0.0, -px, px * (HEIGHT / 2 + y)))


def geojson(segmentation: Segmentation, out: Path, losses: ExportLosses | None = None) -> list[dict[str, Any]]:
    return list(json.loads(export(segmentation, out, losses=losses).read_text())["features"])


def burnt(features: list[dict[str, Any]], location: Georeference) -> np.ndarray:
    """Burn features into the image, edges along parallels and meridians too."""
    a, b, c, d, e, f = location.transform

    def to_px(points: np.ndarray) -> np.ndarray:
        places = np.stack(warp(CRS.from_epsg(4326), CRS.from_user_input(location.crs), *points.T), axis=1)
        return (places - (c, f)) @ np.linalg.inv([[a, b], [d, e]]).T

    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    assert shapely.is_valid(np.array(shapes)).all()
    west, south, east, north = shapely.total_bounds(shapes)
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90
    pairs = [
        (shapely.transform(shapely.segmentize(shape, 0.2), to_px), feature["properties"]["index"])
        for shape, feature in zip(shapes, features, strict=True)
    ]
    return rasterize(pairs, (HEIGHT, WIDTH), fill=255, dtype=np.uint8)


@pytest.mark.parametrize(
    ("crs", "px", "at"),
    [
        ("EPSG:3031", 300.0, (0, 0)),
        ("EPSG:3031", 300.0, (0.5, 0.5)),
        ("EPSG:3031", 50_000.0, (0, 0.5)),
        ("EPSG:3031", 0.5, (3.3, -7.1)),
        (NORTH, 300.0, (0.0002, 0.3)),
        (NORTH, 50_000.0, (0, 0)),
        (NORTH, 300.0, (-40, 0)),
        (TURNED, 50_000.0, (3.3, -7.1)),
        (TURNED, 300.0, (0, 0)),
    ],
)
def test_a_pole_is_held_by_one_polygon(
    tmp_path: Path, make_segmentation: MakeSegmentation, crs: str, px: float, at: tuple[float, float]
) -> None:
    labels = patches()
    location = around(crs, px, *at)
    features = geojson(make_segmentation(labels, georeference=location), tmp_path / "out.geojson")
    np.testing.assert_array_equal(burnt(features, location), labels - np.uint8(1))
    bounds = np.array([shapely.geometry.shape(feature["geometry"]).bounds for feature in features])
    pole = (np.abs(bounds[:, [1, 3]]) == 90).any(axis=1)
    if crs != TURNED and at != (-40, 0):
        assert bounds[pole][:, [0, 2]].tolist() == [[-180, 180]]


@pytest.mark.parametrize(
    "location",
    [
        Georeference("EPSG:32660", (9000.0, 0.0, 600000.0, 0.0, -9000.0, 200000.0)),
        Georeference("EPSG:32660", (900.0, 400.0, 600000.0, 400.0, -900.0, 7200000.0)),
        Georeference("EPSG:3857", (20000.0, 0.0, 19.5e6, 0.0, -20000.0, 500000.0)),
        Georeference("EPSG:3832", (20000.0, 0.0, 2.5e6, 0.0, -20000.0, 500000.0)),
        Georeference("EPSG:4326", (0.1, 0.0, 177.0, 0.0, -0.1, 10.0)),
        Georeference("EPSG:4269", (0.1, 0.0, 177.0, 0.0, -0.1, 10.0)),
        Georeference("EPSG:4326", (4.5, 0.0, 0.0, 0.0, -3.0, 90.0)),
        Georeference("+proj=lcc +lat_1=60 +lat_2=70 +lat_0=65 +lon_0=175", (9e3, 0.0, 0.0, 0.0, -9e3, 300000.0)),
    ],
)
def test_the_antimeridian_cuts(tmp_path: Path, make_segmentation: MakeSegmentation, location: Georeference) -> None:
    labels = patches()
    features = geojson(make_segmentation(labels, georeference=location), tmp_path / "out.geojson")
    assert {feature["geometry"]["type"] for feature in features} == {"Polygon", "MultiPolygon"}
    found = burnt(features, location)
    if CRS.from_user_input(location.crs).is_geographic:
        total = sum(shapely.geometry.shape(feature["geometry"]).area for feature in features)
        assert total == pytest.approx(HEIGHT * WIDTH * abs(location.transform[0] * location.transform[4]))
    elif location.crs != "EPSG:3857":  # which begins anew at the antimeridian
        np.testing.assert_array_equal(found, labels - np.uint8(1))


@pytest.mark.parametrize(
    ("crs", "px"),
    [
        (GEOS, 180_000.0),
        (SINUSOIDAL, 520_000.0),
        ("+proj=ortho +lat_0=30 +ellps=WGS84", 220_000.0),
        ("+proj=ortho +ellps=WGS84", 220_000.0),
        ("+proj=moll", 470_000.0),
        ("+proj=igh", 520_000.0),
        ("+proj=laea +lat_0=52 +lon_0=10", 437_000.0),
        ("EPSG:6933", 430_000.0),
    ],
)
def test_what_lies_on_the_earth_is_written(
    tmp_path: Path, make_segmentation: MakeSegmentation, crs: str, px: float
) -> None:
    labels, losses, location = patches(), ExportLosses(), around(crs, px)
    segmentation = make_segmentation(labels, georeference=location)
    found = burnt(geojson(segmentation, tmp_path / "out.geojson", losses), location)
    written = found != 255
    assert losses.beside == np.count_nonzero(~written)
    assert written.mean() > 0.3
    np.testing.assert_array_equal(found[written], labels[written] - np.uint8(1))
    if losses.beside:
        assert "beside the Earth" in losses.sentences()[0]


@pytest.mark.parametrize("crs", ['LOCAL_CS["Local (m)",UNIT["metre",1]]', UNKNOWN_CRS])
def test_local_coordinates_are_kept_or_refused(tmp_path: Path, make_segmentation: MakeSegmentation, crs: str) -> None:
    segmentation = make_segmentation(patches(), georeference=around(crs, 0.05))
    with pytest.raises(InputError, match=r"longitude and latitude, which the image's local .* export \.gpkg"):
        geojson(segmentation, tmp_path / "out.geojson")
    assert not (tmp_path / "out.geojson").exists()
    assert export(segmentation, tmp_path / "out.gpkg").stat().st_size > 0
    assert export(segmentation, tmp_path / "out.coco.json").stat().st_size > 0
