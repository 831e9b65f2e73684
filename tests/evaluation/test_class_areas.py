"""Areas of classes: px as NumPy counts them, hectares as polygons have them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from fctl_napari.evaluation.class_areas import ClassAreas, class_areas
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.segmentation.store.store import Segmentation

NAMES = ("red", "green", "blue")


@pytest.fixture
def labels() -> np.ndarray:
    """0 is not computed, k + 1 class k; the last class is nowhere."""
    return np.random.default_rng(0).integers(0, 3, (300, 420)).astype(np.uint8)


def test_px_and_confidence_are_those_that_numpy_counts(
    make_segmentation: Callable[..., Segmentation], labels: np.ndarray
) -> None:
    confidence = np.random.default_rng(1).integers(1, 256, labels.shape).astype(np.uint8)
    found = class_areas(make_segmentation(labels, confidence=confidence))
    assert found.pixels == {name: int((labels == value).sum()) for value, name in enumerate(NAMES, 1)}
    assert found.total == (labels > 0).sum()
    assert found.confidence == pytest.approx(confidence[labels > 0].mean() / 255)
    assert found.hectares is None


def test_nothing_computed_has_no_confidence(make_segmentation: Callable[..., Segmentation]) -> None:
    found = class_areas(make_segmentation(np.zeros((30, 40), np.uint8)))
    assert (found.total, found.confidence) == (0, None)


@pytest.mark.parametrize(
    ("crs", "transform", "square_metres"),
    [
        ("EPSG:32632", (0.5, 0, 5e5, 0, -0.5, 5e6), 0.25),
        ("EPSG:32632", (0.3, 0.4, 5e5, 0.4, -0.3, 5e6), 0.25),  # turned
        ("EPSG:2225", (1, 0, 6e6, 0, -1, 2e6), (1200 / 3937) ** 2),  # feet
        ('LOCAL_CS["unknown"]', (1, 0, 0, 0, -1, 0), None),
        ("no crs at all", (1, 0, 0, 0, -1, 0), None),
    ],
)
def test_hectares_on_the_plane(
    make_segmentation: Callable[..., Segmentation],
    labels: np.ndarray,
    crs: str,
    transform: tuple[float, ...],
    square_metres: float | None,
) -> None:
    pytest.importorskip("rasterio")
    found = class_areas(make_segmentation(labels, georeference=Georeference(crs, transform)))  # type: ignore[arg-type]
    if square_metres is None:
        assert found.hectares is None
        return
    expected = {name: pixels * square_metres / 1e4 for name, pixels in found.pixels.items()}
    assert found.hectares == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("transform", [(0.5, 0, -180, 0, -0.5, 90), (0.1, 0.02, 10, 0.02, -0.1, 60)])
def test_hectares_in_degrees_are_those_of_each_px(
    make_segmentation: Callable[..., Segmentation], labels: np.ndarray, transform: tuple[float, ...]
) -> None:
    pytest.importorskip("rasterio")
    found = class_areas(make_segmentation(labels, georeference=Georeference("EPSG:4326", transform)))  # type: ignore[arg-type]
    a, b, _, d, e, f = transform
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    latitude = np.radians(d * x + e * y + f)
    squared = 0.00669437999014
    element = 6378137.0**2 * (1 - squared) * np.cos(latitude) / (1 - squared * np.sin(latitude) ** 2) ** 2
    areas = element * abs(a * e - b * d) * math.radians(1) ** 2 / 1e4
    assert found.hectares is not None
    for value, name in enumerate(NAMES, 1):
        assert found.hectares[name] == pytest.approx(areas[labels == value].sum(), rel=1e-4)


def test_hectares_of_all_are_given_where_px_are_alike() -> None:
    one = ClassAreas({"a": 100, "b": 300, "none": 0}, {"a": 1.0, "b": 3.05, "none": 0.0}, None)
    assert one.even_hectares == pytest.approx(4.05)
    assert ClassAreas({"a": 100, "b": 300}, {"a": 1.0, "b": 3.5}, None).even_hectares is None
    assert ClassAreas({"a": 100}, None, None).even_hectares is None
    assert ClassAreas({"a": 0}, {"a": 0.0}, None).even_hectares is None
