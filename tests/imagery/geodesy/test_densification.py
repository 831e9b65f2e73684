"""Rings with further vertices, by which their edges stay in place in longitude and latitude."""

from __future__ import annotations

import numpy as np
import pytest

from fctl_napari.imagery.georeference import Georeference

pytest.importorskip("rasterio")

from fctl_napari.imagery.geodesy.densification import densify
from fctl_napari.imagery.geodesy.ground import LONLAT_PX, Ground


def ground(crs: str, *transform: float) -> Ground:
    return Ground(Georeference(crs, transform))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32632", (0.5, 0, 600000, 0, -0.5, 5200000)),
        ("EPSG:32633", (18, 6, 300000, 6, -18, 7500000)),
        ("EPSG:3413", (500, 0, -3e6, 0, -500, 3e6)),  # polar, the pole inside
    ],
)
def test_edges_in_longitude_and_latitude_follow_those_in_the_image(crs: str, transform: tuple[float, ...]) -> None:
    from rasterio.warp import transform as warp

    location = ground(crs, *transform)
    side = 10_000
    triangle = np.array([[side, 0], [0, side], [side, side], [side, 0]], float)
    vertices, offsets = densify(location, triangle, np.array([0, 4]))
    assert offsets.tolist() == [0, len(vertices)]
    assert len(vertices) > 4
    lonlat = location.lonlat(vertices)
    halfway = (lonlat[1:] + lonlat[:-1]) / 2
    straight = (np.abs(np.diff(lonlat[:, 0])) < 180) & (np.abs(halfway[:, 1]) < 85)  # not over the antimeridian
    back = np.stack(warp("EPSG:4326", crs, *halfway.T), axis=1)
    a, b, c, d, e, f = transform
    px = (back - (c, f)) @ np.linalg.inv([[a, b], [d, e]]).T
    off = np.hypot(*(px - (vertices[1:] + vertices[:-1]) / 2).T)
    assert off[straight].max() < 1.5 * LONLAT_PX
    assert straight.mean() > 0.99


def test_many_rings_are_bent_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    location = ground("EPSG:32632", 10, 0, 600000, 0, -10, 5200000)
    corners = np.random.default_rng(0).integers(0, 5000, (30, 4, 2)).astype(float)
    rings = np.concatenate([corners, corners[:, :1]], axis=1)
    together, offsets = densify(location, rings.reshape(-1, 2), np.arange(31) * 5)
    monkeypatch.setattr("fctl_napari.imagery.geodesy.densification.BATCH", 20)
    apart, same = densify(location, rings.reshape(-1, 2), np.arange(31) * 5)
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(offsets, same)
    for index, ring in enumerate(rings):
        own = together[offsets[index] : offsets[index + 1]]
        assert {tuple(v) for v in ring} <= {tuple(v) for v in own}
        np.testing.assert_array_equal(own[[0, -1]], ring[[0, -1]])
