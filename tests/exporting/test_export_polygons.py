"""GeoJSON and GeoPackage: the polygons give the mask back, at the right place."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.exporting import outlines
from fctl_napari.exporting.export import export
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.segmentation.store.store import Segmentation

MakeSegmentation = Callable[..., Segmentation]

rasterio = pytest.importorskip("rasterio")
shapely = pytest.importorskip("shapely")
pyogrio_raw = pytest.importorskip("pyogrio.raw")

from rasterio.features import rasterize  # noqa: E402
from rasterio.transform import Affine  # noqa: E402
from rasterio.warp import transform as warp  # noqa: E402

UTM = Georeference("EPSG:32632", (0.5, 0.0, 600000.0, 0.0, -0.5, 5200000.0))
TURNED = Georeference("EPSG:32632", (0.3, 0.4, 600000.0, 0.4, -0.3, 5200000.0))
FEET = Georeference("EPSG:2225", (2.0, 0.0, 6e6, 0.0, -2.0, 2e6))
DEGREES = Georeference("EPSG:4326", (0.1, 0.0, -20.0, 0.0, -0.1, 60.0))


@pytest.fixture(autouse=True)
def narrow_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many seams, as in a large image."""
    original = outlines.trace
    monkeypatch.setattr(
        "fctl_napari.exporting.polygons.trace",
        lambda extract, **options: original(extract, strip_px=50 * extract.shape[1], **options),
    )


def patches(height: int = 300, width: int = 420) -> np.ndarray:
    """Labels with regions in regions, noise, and a part that is not computed."""
    y, x = np.mgrid[:height, :width]
    relief = np.sin(x / 17 + 2 * np.sin(y / 31)) + np.sin(y / 23)
    labels = np.digitize(relief + np.random.default_rng(3).normal(0, 0.05, relief.shape), [-0.6, 0.7]) + 1
    labels[100:260, :90] = 0
    return labels.astype(np.uint8)


def read_geopackage(path: Path) -> tuple[dict[str, Any], Any, dict[str, np.ndarray]]:
    meta, _, geometry, columns = pyogrio_raw.read(path)
    return meta, shapely.from_wkb(geometry), dict(zip(meta["fields"], columns, strict=True))


def burnt(polygons: Any, classes: Any, shape: tuple[int, int], location: Georeference) -> np.ndarray:
    pairs = zip(polygons, (int(k) for k in classes), strict=True)
    return rasterize(pairs, shape, fill=255, transform=Affine(*location.transform), dtype=np.uint8)


@pytest.mark.parametrize("location", [UTM, TURNED, FEET, DEGREES, None])
def test_a_geopackage_gives_the_mask_back(
    tmp_path: Path, make_segmentation: MakeSegmentation, location: Georeference | None
) -> None:
    labels = patches()
    out = export(make_segmentation(labels, georeference=location), tmp_path / "out.gpkg")
    meta, polygons, columns = read_geopackage(out)
    identity = Georeference("", (1, 0, 0, 0, 1, 0))
    np.testing.assert_array_equal(
        burnt(polygons, columns["index"], labels.shape, location or identity), labels - np.uint8(1)
    )
    assert columns["area_px"].sum() == (labels > 0).sum()
    assert {*zip(columns["index"], columns["class"], columns["color"], strict=True)} == {
        (0, "red", "#ff0000"),
        (1, "green", "#00ff00"),
        (2, "blue", "#0000ff"),
    }
    if location is None:
        assert "area_m2" not in columns
        assert shapely.total_bounds(polygons).tolist() == [0, 0, 420, 300]
        return
    assert rasterio.crs.CRS.from_user_input(meta["crs"]) == rasterio.crs.CRS.from_user_input(location.crs)
    if location is not DEGREES:
        per_px = {UTM: 0.25, TURNED: 0.25, FEET: 4 * (1200 / 3937) ** 2}[location]
        np.testing.assert_allclose(columns["area_m2"], columns["area_px"] * per_px, rtol=1e-9)


def test_areas_in_degrees_sum_to_the_zone_of_the_ellipsoid(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    labels = np.maximum(patches(), 1)
    out = export(make_segmentation(labels, georeference=DEGREES), tmp_path / "out.gpkg")
    _, _, columns = read_geopackage(out)
    axis, squared = 6378137.0, 0.0066943799901413165
    sine = np.sin(np.radians([60.0, 30.0]))
    e = np.sqrt(squared)
    north, south = (1 - squared) * (sine / (1 - squared * sine**2) + np.arctanh(e * sine) / e)
    np.testing.assert_allclose(columns["area_m2"].sum(), axis**2 / 2 * (north - south) * np.radians(42.0), rtol=1e-12)


@pytest.mark.parametrize("location", [UTM, TURNED, DEGREES])
def test_geojson_lies_where_it_should(
    tmp_path: Path, make_segmentation: MakeSegmentation, location: Georeference
) -> None:
    labels = patches()
    out = export(make_segmentation(labels, georeference=location), tmp_path / "out.geojson")
    found = json.loads(out.read_text())
    assert found["type"] == "FeatureCollection"
    polygons = np.array([shapely.geometry.shape(feature["geometry"]) for feature in found["features"]])
    assert all(shapely.is_ccw(shapely.get_exterior_ring(polygons)))
    low_x, low_y, high_x, high_y = shapely.total_bounds(polygons)
    assert -180 <= low_x < high_x <= 180
    assert -90 <= low_y < high_y <= 90

    def to_px(points: np.ndarray) -> np.ndarray:
        locations = np.stack(warp("EPSG:4326", location.crs, *points.T), axis=1)
        a, b, c, d, e, f = location.transform
        return (locations - (c, f)) @ np.linalg.inv([[a, b], [d, e]]).T

    back = shapely.transform(polygons, to_px)
    # vertices and what was added on edges lie on the edges of px
    points = shapely.get_coordinates(back)
    off = np.abs(points - np.rint(points)).min(axis=1)
    assert off.max() < 1e-3
    index = [feature["properties"]["index"] for feature in found["features"]]
    px = Georeference("", (1, 0, 0, 0, 1, 0))
    np.testing.assert_array_equal(burnt(back, index, labels.shape, px), labels - np.uint8(1))
    first = found["features"][0]["properties"]
    assert set(first) == {"class", "index", "color", "area_px", "area_m2"}


@pytest.mark.parametrize("location", [UTM, Georeference("EPSG:4326", (1.0, 0.0, 0.0, 0.0, -0.5, 75.0))])
def test_large_polygons_are_written_in_parts(
    tmp_path: Path, make_segmentation: MakeSegmentation, monkeypatch: pytest.MonkeyPatch, location: Georeference
) -> None:
    segmentation = make_segmentation(patches(), georeference=location)
    whole = json.loads(export(segmentation, tmp_path / "whole.geojson").read_text())
    monkeypatch.setattr("fctl_napari.exporting.polygons.LARGE", 6)
    parts = json.loads(export(segmentation, tmp_path / "parts.geojson").read_text())
    assert parts["features"] == whole["features"]
    assert len({feature["geometry"]["type"] for feature in parts["features"]}) == (1 if location is UTM else 2)


def test_geojson_without_a_georeference_is_in_px(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    labels = patches()
    found = json.loads(export(make_segmentation(labels), tmp_path / "out.geojson").read_text())
    assert found["coordinates"] == "px of the image, x right, y down"
    polygons = [shapely.geometry.shape(feature["geometry"]) for feature in found["features"]]
    assert [p.area for p in polygons] == [feature["properties"]["area_px"] for feature in found["features"]]
    assert sum(p.area for p in polygons) == (labels > 0).sum()


def test_a_region_over_the_antimeridian_is_cut(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    location = Georeference("EPSG:32660", (1000.0, 0.0, 600000.0, 0.0, -1000.0, 200000.0))  # zone 60 ends at 180
    out = export(make_segmentation(np.full((100, 300), 2, np.uint8), georeference=location), tmp_path / "out.geojson")
    (feature,) = json.loads(out.read_text())["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    west, east = sorted(shapely.geometry.shape(feature["geometry"]).geoms, key=lambda part: part.bounds[0])
    assert west.bounds[0] == -180
    assert east.bounds[2] == 180
    assert west.bounds[2] < -178
    assert east.bounds[0] > 177


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", (0.9, 0.0, -180.0, 0.0, -0.9, 45.0)),
        ("EPSG:3857", (100187.5, 0.0, -20037500.0, 0.0, -100187.5, 5009375.0)),
    ],
)
def test_regions_around_the_earth_are_not_cut(
    tmp_path: Path, make_segmentation: MakeSegmentation, crs: str, transform: tuple[float, ...]
) -> None:
    labels = np.ones((100, 400), np.uint8)
    labels[40:60] = 2
    labels[45:50, 100:390] = 3
    location = Georeference(crs, transform)  # type: ignore[arg-type]
    out = export(make_segmentation(labels, georeference=location), tmp_path / "out.geojson")
    features = json.loads(out.read_text())["features"]
    assert [feature["geometry"]["type"] for feature in features] == ["Polygon"] * 4
    widths = [np.ptp([x for x, _ in feature["geometry"]["coordinates"][0]]) for feature in features]
    np.testing.assert_allclose(sorted(widths), [290 * 0.9, 360, 360, 360], rtol=1e-4)


def test_degrees_beyond_180_are_cut(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    location = Georeference("EPSG:4326", (1.0, 0.0, 0.0, 0.0, -1.0, 45.0))  # 0 to 360
    out = export(make_segmentation(np.ones((90, 360), np.uint8), georeference=location), tmp_path / "out.geojson")
    (feature,) = json.loads(out.read_text())["features"]
    shape = shapely.geometry.shape(feature["geometry"])
    assert shape.equals(shapely.box(-180, -45, 180, 45))


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_part_of_it_without_small_regions(tmp_path: Path, make_segmentation: MakeSegmentation, suffix: str) -> None:
    labels = patches()
    segmentation = make_segmentation(labels, georeference=UTM)
    out = export(segmentation, tmp_path / f"out{suffix}", region=(80, 30, 230, 333), min_area=20)
    if suffix == ".gpkg":
        _, polygons, columns = read_geopackage(out)
        index, areas = columns["index"], columns["area_px"]
        mask = burnt(polygons, index, labels.shape, UTM)
        expected = labels - np.uint8(1)
        inside = np.zeros(labels.shape, bool)
        inside[80:230, 30:333] = True
        assert (mask[~inside] == 255).all()
        assert np.isin(mask[inside], [*expected[inside], 255]).all()
        wrong = inside & (mask != expected)
        assert (mask[wrong] == 255).all()  # small ones, left out
        assert 0 < wrong.sum() < 0.05 * inside.sum()
    else:
        areas = np.array([f["properties"]["area_px"] for f in json.loads(out.read_text())["features"]])
    assert areas.min() >= 20


def test_simplified_polygons_still_share_borders(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    segmentation = make_segmentation(patches(), georeference=TURNED)
    _, exact, _ = read_geopackage(export(segmentation, tmp_path / "exact.gpkg"))
    _, simple, columns = read_geopackage(export(segmentation, tmp_path / "simple.gpkg", simplify=2))
    assert shapely.get_num_coordinates(simple).sum() < shapely.get_num_coordinates(exact).sum() / 2
    assert columns["area_px"].sum() == (patches() > 0).sum()
    np.testing.assert_allclose(shapely.area(simple).sum(), shapely.area(exact).sum(), rtol=1e-9)
    pixels = shapely.transform(
        simple, lambda p: np.rint((p - (600000, 5200000)) @ np.linalg.inv([[0.3, 0.4], [0.4, -0.3]]).T)
    )
    assert shapely.coverage_is_valid(pixels)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_nothing_computed_is_a_file_without_polygons(
    tmp_path: Path, make_segmentation: MakeSegmentation, suffix: str
) -> None:
    out = export(make_segmentation(np.zeros((60, 70)), georeference=UTM), tmp_path / f"out{suffix}")
    if suffix == ".gpkg":
        meta, polygons, _ = read_geopackage(out)
        assert len(polygons) == 0
        assert "area_m2" in meta["fields"]
    else:
        assert json.loads(out.read_text())["features"] == []


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_an_earlier_export_is_replaced_and_another_file_is_not(
    tmp_path: Path, make_segmentation: MakeSegmentation, suffix: str
) -> None:
    segmentation = make_segmentation(patches(60, 70), georeference=UTM)
    out = tmp_path / f"out{suffix}"
    if suffix == ".gpkg":
        with sqlite3.connect(out) as database:
            database.execute("CREATE TABLE mine (a)")
        database.close()
    else:
        out.write_text('{"type": "FeatureCollection", "features": []}')
    before = out.read_bytes()
    with pytest.raises(OutputError, match="not an earlier export"):
        export(segmentation, out)
    assert out.read_bytes() == before
    out.unlink()
    export(segmentation, out)
    first = out.stat().st_ino
    export(segmentation, out)
    assert out.stat().st_ino != first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


def test_what_ends_badly_leaves_the_earlier_export(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    segmentation = make_segmentation(patches(60, 70), georeference=UTM)
    out = export(segmentation, tmp_path / "out.gpkg")
    before = out.read_bytes()

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(segmentation, out, progress=stop)
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.ome.zarr", "out.gpkg", "out.qml"]


def test_options_that_do_not_fit(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    segmentation = make_segmentation(patches(60, 70))
    with pytest.raises(OutputError, match="only GeoJSON and GeoPackage polygons are simplified"):
        export(segmentation, tmp_path / "out.tif", simplify=1)
    with pytest.raises(OutputError, match="leave --min-area out"):
        export(segmentation, tmp_path / "out.png", min_area=5)
    with pytest.raises(InputError, match="--simplify -1 is no length"):
        export(segmentation, tmp_path / "out.gpkg", simplify=-1)
    with pytest.raises(InputError, match="region 60 0 70 10 holds no pixel of the 60 x 70 px image"):
        export(segmentation, tmp_path / "out.gpkg", region=(60, 0, 70, 10))
    with pytest.raises(OutputError, match="say --kind coco or --kind geojson"):
        export(segmentation, tmp_path / "out.json")
    assert export(segmentation, tmp_path / "out.json", kind="geojson").read_text().startswith('{"type"')


def test_missing_libraries_are_one_sentence(
    tmp_path: Path, make_segmentation: MakeSegmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmentation = make_segmentation(patches(60, 70))
    monkeypatch.setattr("fctl_napari.exporting.destination.find_spec", lambda name: None)
    with pytest.raises(OutputError, match=r"need rasterio and shapely and pyogrio; install fctl-napari\[geo\]"):
        export(segmentation, tmp_path / "out.gpkg")
    with pytest.raises(OutputError, match=r"need rasterio and shapely; install fctl-napari\[geo\]"):
        export(segmentation, tmp_path / "out.geojson")
    with pytest.raises(OutputError, match=r"need rasterio; install fctl-napari\[geo\]"):
        export(segmentation, tmp_path / "out.coco.json")
