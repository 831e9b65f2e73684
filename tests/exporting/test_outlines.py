"""Outlines are GDAL's of the whole raster, wherever it is cut into strips."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fctl_napari.exporting.extract import Extract
from fctl_napari.exporting.outlines import Outlines, trace

features = pytest.importorskip("rasterio.features")
shapely = pytest.importorskip("shapely")


class Labels:
    """Labels in memory, read like those of a store."""

    def __init__(self, labels: np.ndarray, chunk: int) -> None:
        self._labels, self.chunk = labels, chunk

    def read(self, window: tuple[int, int, int, int]) -> np.ndarray:
        y0, x0, y1, x1 = window
        return self._labels[y0:y1, x0:x1]


@st.composite
def extracts(draw: st.DrawFn) -> tuple[Extract, np.ndarray, int]:
    """A window of some labels, its class indices, and px per strip."""
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    labels = draw(arrays(np.uint8, shape, elements=st.integers(0, draw(st.integers(1, 3)))))
    if draw(st.booleans()):
        labels = np.repeat(np.repeat(labels, 2, 0), 2, 1)
    height, width = labels.shape
    y0, x0 = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    region = draw(st.sampled_from([None, (y0, x0, height, width)]))
    store = SimpleNamespace(labels=Labels(labels, draw(st.integers(1, 9))), shape=labels.shape, path="store")
    extract = Extract.of(store, region)  # type: ignore[arg-type]
    y0, x0, y1, x1 = extract.window
    return extract, labels[y0:y1, x0:x1] - np.uint8(1), (x1 - x0) * draw(st.integers(1, 6))


def regions(outlines: list[Outlines]) -> list[tuple[int, int, str]]:
    return sorted(
        (int(value), int(pixels), shapely.normalize(polygon).wkt)
        for part in outlines
        for value, pixels, polygon in zip(part.classes, part.pixels, part.polygons(), strict=True)
    )


def burnt(outlines: list[Outlines], extract: Extract) -> np.ndarray:
    """Class indices of the polygons, by GDAL's rasterize, in the frame of the window."""
    y0, x0 = extract.window[:2]
    mask = np.full(extract.shape, 255, np.uint8)
    for part in outlines:
        moved = shapely.transform(part.polygons(), lambda p: np.subtract(p, (x0, y0)))
        pairs = zip(moved, part.classes.tolist(), strict=True)
        mask = features.rasterize(pairs, out=mask)
    return mask


@settings(max_examples=250, deadline=None)
@given(extracts())
def test_exact_outlines_do_not_depend_on_the_strips(case: tuple[Extract, np.ndarray, int]) -> None:
    extract, classes, strip_px = case
    found = list(trace(extract, strip_px=strip_px))
    y0, x0 = extract.window[:2]
    whole = features.shapes(classes, mask=classes != 255, connectivity=4)
    expected = sorted(
        (
            int(value),
            int(polygon.area),
            shapely.normalize(shapely.transform(polygon, lambda p: np.add(p, (x0, y0)))).wkt,
        )
        for polygon, value in ((shapely.geometry.shape(geometry), value) for geometry, value in whole)
    )
    assert regions(found) == expected
    assert sum(int(part.pixels.sum()) for part in found) == (classes != 255).sum()
    assert all(shapely.is_valid(part.polygons()).all() for part in found)
    np.testing.assert_array_equal(burnt(found, extract), classes)


@settings(max_examples=100, deadline=None)
@given(extracts(), st.floats(0.5, 8))
def test_simplified_outlines_share_their_borders(case: tuple[Extract, np.ndarray, int], tolerance: float) -> None:
    extract, classes, strip_px = case
    found = list(trace(extract, simplify=tolerance, strip_px=strip_px))
    polygons = [polygon for part in found for polygon in part.polygons()]
    assert all(shapely.is_valid(polygons))
    assert not polygons or shapely.coverage_is_valid(polygons)
    # nothing between them and nothing outside: together they cover what is computed
    assert shapely.area(polygons).sum() == (classes != 255).sum()
    assert sum(int(part.pixels.sum()) for part in found) == (classes != 255).sum()


def test_simplifying_leaves_out_vertices() -> None:
    y, x = np.mgrid[:200, :300]
    labels = (1 + (np.hypot(y - 100, x - 150) < 70)).astype(np.uint8)
    store = SimpleNamespace(labels=Labels(labels, 32), shape=labels.shape, path="store")
    extract = Extract.of(store, None)  # type: ignore[arg-type]
    (exact,) = (part for part in trace(extract, strip_px=300 * 64) for k in part.classes if k == 1)
    (simple,) = (part for part in trace(extract, simplify=3, strip_px=300 * 64) for k in part.classes if k == 1)
    assert len(simple.vertices) < len(exact.vertices) / 4
    circle = simple.polygons()[list(simple.classes).index(1)]
    assert abs(circle.area - np.pi * 70**2) < 0.03 * np.pi * 70**2


def test_selected_regions_keep_their_rings() -> None:
    labels = np.array([[1, 1, 1, 2], [1, 3, 1, 2], [1, 1, 1, 3]], np.uint8)
    store = SimpleNamespace(labels=Labels(labels, 8), shape=labels.shape, path="store")
    (found,) = trace(Extract.of(store, None))  # type: ignore[arg-type]
    large = found.select(found.pixels >= 2)
    assert sorted(large.pixels.tolist()) == [2, 8]
    assert shapely.area(large.polygons()).tolist() == large.pixels.tolist()
    ring = large.rings(int(np.argmax(large.pixels)))
    assert [len(r) for r in ring] == [5, 5]
