"""Coordinates in words: what they are called in each reference system, and how exact they are."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from fctl_napari.imagery.geodesy import ground_words
from fctl_napari.imagery.geodesy.ground_words import axis_names, crs_name, position_words, same_crs
from fctl_napari.imagery.georeference import UNKNOWN_CRS, Georeference

CRS = pytest.importorskip("rasterio.crs").CRS


@pytest.mark.parametrize(
    ("crs", "names"),
    [
        ("EPSG:32633", ("E", "N")),
        ("EPSG:2263", ("E", "N")),
        ("EPSG:3857", ("E", "N")),
        ("EPSG:4326", ("longitude", "latitude")),
        ("EPSG:4258", ("longitude", "latitude")),
        ("EPSG:2048", ("x", "y")),  # counts to the west and south
        (UNKNOWN_CRS, ("x", "y")),
        ('LOCAL_CS["Site grid",UNIT["metre",1]]', ("x", "y")),
        ("EPSG:1", ("x", "y")),
    ],
)
def test_coordinates_have_the_names_of_their_axes(crs: str, names: tuple[str, str]) -> None:
    assert axis_names(crs) == names


def test_one_crs_has_many_texts() -> None:
    wkt = CRS.from_epsg(32633).to_wkt()
    assert same_crs("EPSG:32633", wkt)
    assert same_crs("EPSG:32633", "EPSG:32633")
    assert not same_crs("EPSG:32633", "EPSG:32634")
    assert not same_crs("EPSG:32633", "EPSG:1")
    assert not same_crs("EPSG:32633", UNKNOWN_CRS)
    assert crs_name(wkt) == "WGS 84 / UTM zone 33N"


@pytest.mark.parametrize(("size", "digits"), [(0.1, 2), (0.25, 1), (1, 1), (2, 0), (30, 0), (1e-5, 6)])
def test_a_position_is_told_to_half_a_px(size: float, digits: int) -> None:
    place = Georeference("EPSG:32633", (size, 0.0, 500000.0, 0.0, -size, 5000000.0))
    words = position_words(place, (1.0, 2.0), "meter")
    assert words == f"E {500000 + 2 * size:.{digits}f}, N {5000000 - size:.{digits}f} m (EPSG:32633)"


def test_without_rasterio_nothing_is_claimed() -> None:
    axis_names.cache_clear()
    with patch.object(ground_words, "has_rasterio", return_value=False):
        words = position_words(Georeference("EPSG:32634", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)), (1, 2), "meter")
    axis_names.cache_clear()
    assert words == "x 2.0, y -1.0 m (EPSG:32634)"
