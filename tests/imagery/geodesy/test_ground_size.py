"""Size of a px on the ground, and lengths in words."""

from __future__ import annotations

import numpy as np
import pytest

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.geodesy.ground_size import ground_size, length_words
from fctl_napari.imagery.georeference import Georeference

BLANK = np.zeros((40, 60, 3), np.uint8)


def size_of(crs: str, *transform: float) -> float | None:
    return ground_size(pyramid_from_array(BLANK, georeference=Georeference(crs, transform)))


def test_it_is_that_of_the_ground_whatever_the_projection() -> None:
    pytest.importorskip("rasterio")
    assert size_of("EPSG:32632", 2, 0, 500000, 0, -2, 5e6) == pytest.approx(2, rel=0.003)
    assert size_of("EPSG:32632", 0, 2, 500000, 2, 0, 5e6) == pytest.approx(2, rel=0.003)  # turned by 90 degrees
    assert size_of("EPSG:4326", 0.01, 0, 10, 0, -0.01, 0.2) == pytest.approx(1112, rel=0.005)
    assert size_of("EPSG:4326", 0.01, 0, 179.7, 0, -0.01, 60.2) == pytest.approx(1112 * 0.5**0.5, rel=0.01)
    assert size_of("EPSG:3857", 8, 0, 0, 0, -8, 8399737) == pytest.approx(4, rel=0.005)  # at 60 N
    assert size_of("EPSG:2263", 1 / 0.3048, 0, 980000, 0, -1 / 0.3048, 200000) == pytest.approx(1, rel=0.003)  # feet
    assert size_of("EPSG:3857", 8, 0, 1e9, 0, -8, 1e9) is None or size_of("EPSG:3857", 8, 0, 1e9, 0, -8, 1e9) > 0
    for crs in ('LOCAL_CS["unknown"]', "EPSG:99999999", "nonsense"):
        assert size_of(crs, 2, 0, 0, 0, -2, 0) is None


def test_without_a_georeference_it_is_what_the_file_states() -> None:
    image = pyramid_from_array(BLANK)
    assert ground_size(image) is None
    image.pixel_size, image.unit = (0.25, 0.25), "micrometer"
    assert ground_size(image) == pytest.approx(0.25e-6)
    image.pixel_size, image.unit = (4.0, 1.0), "meter"
    assert ground_size(image) == pytest.approx(2)
    for size, unit in (((1.0, 1.0), None), ((1.0, 1.0), "second"), ((0.0, 0.0), "meter")):
        image.pixel_size, image.unit = size, unit
        assert ground_size(image) is None


def test_lengths_are_said_in_the_unit_that_fits() -> None:
    said = {7413: "7.4 km", 1000: "1 km", 750: "750 m", 30: "30 m", 0.3: "0.3 m", 0.05: "5 cm", 2.5e-7: "0.25 µm"}
    said |= {0.1: "0.1 m", 0.002: "2 mm", 4e-6: "4 µm", 5e-9: "5 nm"}
    assert {metres: length_words(metres) for metres in said} == said
