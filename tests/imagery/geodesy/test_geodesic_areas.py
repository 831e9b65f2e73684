"""Areas of rings and pixels on the ground."""

from __future__ import annotations

import numpy as np
import pytest

from fctl_napari.imagery.georeference import Georeference

pytest.importorskip("rasterio")

from fctl_napari.imagery.geodesy.areas import pixel_areas, ring_areas, square_metres
from fctl_napari.imagery.geodesy.ground import Ground

EARTH = 510_065_621_724_089
"""Surface of the WGS 84 ellipsoid, m²."""

WHOLE = np.array([[0, 0], [0, 360], [720, 360], [720, 0], [0, 0]], float)


def ground(crs: str, *transform: float) -> Ground:
    return Ground(Georeference(crs, transform))  # type: ignore[arg-type]


def test_the_whole_earth_has_the_ellipsoids_area() -> None:
    north_up = ground("EPSG:4326", 0.5, 0, -180, 0, -0.5, 90)
    np.testing.assert_allclose(ring_areas(north_up, WHOLE, np.array([0, 5])), EARTH, rtol=1e-12)
    south_up = ground("EPSG:4326", 0.5, 0, -180, 0, 0.5, -90)
    np.testing.assert_allclose(ring_areas(south_up, WHOLE, np.array([0, 5])), EARTH, rtol=1e-12)


def test_a_hole_counts_against() -> None:
    hole = np.array([[100, 100], [110, 100], [110, 110], [100, 110], [100, 100]], float)
    location = ground("EPSG:4326", 0.5, 0, -180, 0, -0.5, 90)
    outer, inner = ring_areas(location, np.concatenate([WHOLE, hole]), np.array([0, 5, 10]))
    assert outer > 0 > inner


def test_a_turned_raster_has_the_same_area() -> None:
    """A square of 2 x 2 degrees, px turned by 45 degrees against the meridians, from many small trapezoids."""
    side = np.sqrt(0.5)
    turned = ground("EPSG:4326", side, side, 10, side, -side, 50)  # x to the north-east, y to the south-east
    ring = np.array([[0, 0], [0, 2], [2, 2], [2, 0], [0, 0]], float)
    (area,) = ring_areas(turned, ring, np.array([0, 5]))
    squared = 0.00669437999014
    latitude = np.radians(np.linspace(50 - 2 * side, 50 + 2 * side, 200_001))
    middle = (latitude[1:] + latitude[:-1]) / 2
    radius = 6378137.0**2 * (1 - squared) * np.cos(middle) / (1 - squared * np.sin(middle) ** 2) ** 2
    width = np.radians(2 * (2 * side - np.abs(np.degrees(middle) - 50)))
    np.testing.assert_allclose(area, (radius * width * np.diff(latitude)).sum(), rtol=1e-7)


@pytest.mark.parametrize(
    ("crs", "metres"), [("EPSG:32632", 0.25), ("EPSG:2225", 0.25 * (1200 / 3937) ** 2), ("EPSG:4326", None)]
)
def test_area_of_a_pixel_on_the_plane(crs: str, metres: float | None) -> None:
    location = ground(crs, 0.3, 0.4, 600000, 0.4, -0.3, 5200000)  # turned
    assert square_metres(location) == (None if metres is None else pytest.approx(metres, rel=1e-12))


@pytest.mark.parametrize(
    "transform", [(0.5, 0, -180, 0, -0.5, 90), (0.5, 0.1, 10, 0, -0.5, 60), (0.3, 0.2, 5, 0.2, -0.3, 50)]
)
def test_px_of_a_window_add_up_to_its_ring(transform: tuple[float, ...]) -> None:
    location = ground("EPSG:4326", *transform)
    y0, x0, y1, x1 = 3, 7, 45, 60
    edge = [(x, y0) for x in range(x0, x1)] + [(x1, y) for y in range(y0, y1)]
    edge += [(x, y1) for x in range(x1, x0, -1)] + [(x0, y) for y in range(y1, y0, -1)] + [(x0, y0)]
    ring = np.array(edge[::-1], float)
    found = pixel_areas(location, (y0, x0, y1, x1))
    assert found is not None
    whole = np.broadcast_to(found, (y1 - y0, x1 - x0)).sum()
    np.testing.assert_allclose(whole, abs(ring_areas(location, ring, np.array([0, len(ring)]))[0]), rtol=1e-9)


@pytest.mark.parametrize(("crs", "known"), [("EPSG:3857", False), ("EPSG:3395", False), ("EPSG:32633", True)])
def test_areas_on_the_plane_of_mercator_are_not_said(crs: str, known: bool) -> None:
    ground = Ground(Georeference(crs, (100.0, 0.0, 0.0, 0.0, -100.0, 8_000_000.0)))
    assert (square_metres(ground) is not None) == known
    assert (pixel_areas(ground, (0, 0, 2, 2)) is not None) == known
