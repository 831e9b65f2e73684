"""Areas of px on the ground: exact where they are said, and not said where px differ or are of unknown size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fctl_napari.evaluation.ground_areas import area_text, area_unit, area_words, level_hectares, pixel_hectares
from fctl_napari.imagery.geodesy.areas import pixel_areas
from fctl_napari.imagery.geodesy.ground import Ground
from fctl_napari.imagery.georeference import Georeference

UTM = Georeference("EPSG:32632", (0.5, 0, 5e5, 0, -0.5, 5e6))
TURNED = Georeference("EPSG:32632", (0.3, 0.4, 5e5, 0.4, -0.3, 5e6))
FEET = Georeference("EPSG:2225", (1, 0, 6e6, 0, -1, 2e6))
DEGREES = Georeference("EPSG:4326", (1e-4, 0, 10.0, 0, -1e-4, 60.0))
TURNED_DEGREES = Georeference("EPSG:4326", (1e-3, 1e-4, 10.0, 1e-4, -1e-3, 60.0))
WORLD = Georeference("EPSG:4326", (1.0, 0, -180.0, 0, -1.0, 90.0))
LOCAL = Georeference('LOCAL_CS["unknown"]', (1, 0, 0, 0, -1, 0))
UNKNOWN = Georeference("no crs at all", (1, 0, 0, 0, -1, 0))


def test_the_unit_fits_the_area() -> None:
    assert area_unit(9_999.9) == ("hectares", 1.0)
    assert area_unit(10_000) == ("km²", 0.01)
    assert [area_text(area) for area in (0, 0.004, 0.005, 1234.5)] == ["0.00", "<0.01", "0.01", "1,234.50"]


@pytest.mark.parametrize(
    ("georeference", "square_metres"),
    [(UTM, 0.25), (TURNED, 0.25), (FEET, (1200 / 3937) ** 2), (LOCAL, None), (UNKNOWN, None), (None, None)],
)
def test_px_of_a_plane_have_one_area(georeference: Georeference | None, square_metres: float | None) -> None:
    pytest.importorskip("rasterio")
    found = pixel_hectares(georeference, (0, 0, 3000, 20))
    assert found == (square_metres and pytest.approx(square_metres / 1e4))
    words = area_words(40_000_000, georeference, (0, 0, 3000, 20))
    assert (words == "") == (square_metres is None)
    if square_metres == 0.25:
        assert words == ", 1,000.00 hectares"
        assert area_words(4_000_000_000, georeference, (0, 0, 3000, 20)) == ", 1,000.00 km²"


def test_degrees_have_an_area_only_where_px_are_alike() -> None:
    pytest.importorskip("rasterio")
    true = pixel_areas(Ground(DEGREES), (0, 0, 500, 1))
    assert true is not None
    assert pixel_hectares(DEGREES, (0, 0, 500, 300)) == pytest.approx(true.mean() / 1e4, rel=1e-3)
    assert pixel_hectares(WORLD, (0, 0, 180, 360)) is None
    assert area_words(1000, WORLD, (0, 0, 180, 360)) == ""
    assert pixel_hectares(WORLD, (88, 0, 92, 360)) is not None  # a band along the equator
    assert pixel_hectares(UTM, (5, 5, 5, 9)) is None


@pytest.mark.parametrize("georeference", [UTM, TURNED, FEET, DEGREES, TURNED_DEGREES])
@given(shape=st.tuples(st.integers(1, 40), st.integers(1, 40)), factor=st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=15, deadline=None)
def test_px_of_a_coarse_level_stand_for_the_area_of_the_image(
    georeference: Georeference, shape: tuple[int, int], factor: int
) -> None:
    pytest.importorskip("rasterio")
    found = level_hectares(georeference, shape, factor)
    assert found is not None
    assert found.shape == tuple(-(-side // factor) for side in shape)
    each = pixel_areas(Ground(georeference), (0, 0, *shape))
    assert each is not None
    fine = np.broadcast_to(each, shape) / 1e4
    for (y, x), area in np.ndenumerate(found):
        part = fine[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        assert area == pytest.approx(part.sum(), rel=1e-3)


def test_levels_of_unknown_px_have_no_areas() -> None:
    assert level_hectares(None, (9, 9), 2) is None
    assert level_hectares(LOCAL, (9, 9), 2) is None
    assert level_hectares(UNKNOWN, (9, 9), 2) is None
