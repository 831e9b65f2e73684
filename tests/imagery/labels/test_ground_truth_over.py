"""Polygons as a ground truth: read by windows, in the px of the image."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import UNKNOWN_CRS, Georeference
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.ground_truth_over import open_ground_truth_over
from fctl_napari.imagery.labels.label_source import LabelSource

pytest.importorskip("rasterio")
shapely = pytest.importorskip("shapely")
raw = pytest.importorskip("pyogrio.raw")

from rasterio.crs import CRS  # noqa: E402
from rasterio.warp import transform as warp  # noqa: E402

UTM = Georeference("EPSG:32640", (10.0, 0.0, 300000.0, 0.0, -10.0, 5200000.0))
SHAPE = (300, 400)
CLASSES = ["red", "green", "blue"]


def polygons() -> tuple[Any, np.ndarray, np.ndarray]:
    """Return polygons in px, their classes, and the values that they are in the image (0 is none)."""
    shapes = np.array([shapely.box(0, 0, 400, 300), shapely.box(20, 30, 120, 90), shapely.box(300, 200, 380, 280)])
    shapes[0] = shapes[0].difference(shapely.box(200, 0, 260, 60))
    expected = np.ones(SHAPE, np.uint8)
    expected[0:60, 200:260] = 0
    expected[30:90, 20:120] = 2
    expected[200:280, 300:380] = 3
    return shapes, np.array(CLASSES, object), expected


def moved(shapes: Any, crs: str, image: Georeference) -> Any:
    """Move polygons from px of an image to a CRS."""
    a, b, c, d, e, f = image.transform

    def to_crs(points: np.ndarray) -> np.ndarray:
        own = points @ np.array([[a, d], [b, e]]) + (c, f)
        source, target = CRS.from_user_input(image.crs), CRS.from_user_input(crs)
        return own if source == target else np.stack(warp(source, target, *own.T), axis=1)

    return shapely.transform(shapely.segmentize(shapes, 20), to_crs)


def write(path: Path, shapes: Any, columns: dict[str, Any], crs: str | None, **options: Any) -> Path:
    kinds = {".gpkg": "GPKG", ".shp": "ESRI Shapefile", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON"}
    options = {"driver": kinds[path.suffix], "geometry_type": "Polygon", **options}
    raw.write(str(path), shapely.to_wkb(shapes), list(columns.values()), list(columns), crs=crs, **options)
    return path


def values(path: Path, image: Georeference | None = UTM, **options: Any) -> tuple[np.ndarray, LabelSource]:
    """Return the indices of CLASSES of a ground truth, plus 1."""
    source = open_ground_truth_over(path, image, SHAPE, **options)
    assert source.class_names is not None
    table = np.array([*(CLASSES.index(name) + 1 for name in source.class_names), *[0] * 256], np.uint8)  # 255 is none
    return table[source.read((0, 0, *SHAPE))], source


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb", ".geojson"])
@pytest.mark.parametrize("crs", ["EPSG:32640", "EPSG:4326", "EPSG:3857", "EPSG:32641"])
def test_polygons_of_any_file_and_crs_lie_where_they_are(tmp_path: Path, suffix: str, crs: str) -> None:
    shapes, names, expected = polygons()
    if suffix == ".geojson" and crs != "EPSG:4326":
        pytest.skip("GeoJSON is in longitude and latitude")
    path = write(tmp_path / f"p{suffix}", moved(shapes, crs, UTM), {"class": names}, crs)
    found, source = values(path)
    np.testing.assert_array_equal(found, expected)
    assert source.shape == SHAPE
    whole = source.read_values(slice(0, 300), slice(0, 400))
    np.testing.assert_array_equal(source.read_values(slice(10, 40), slice(3, 90), 2), whole[40:160:4, 12:360:4])
    np.testing.assert_array_equal(source.read((-5, 390, 20, 410))[5:, :10], source.read((0, 390, 20, 400)))


@pytest.mark.parametrize("crs", [UNKNOWN_CRS, 'LOCAL_CS["Site grid",UNIT["metre",1]]'])
def test_local_coordinates_are_the_images_own(tmp_path: Path, crs: str) -> None:
    shapes, names, expected = polygons()
    image = Georeference(crs, (0.05, 0.0, 1000.0, 0.0, -0.05, 2000.0))
    own = moved(shapes, crs, image)
    for stated in (crs, "EPSG:32640", 'LOCAL_CS["Another name",UNIT["metre",1]]', None):
        path = write(tmp_path / f"{abs(hash(stated))}.gpkg", own, {"class": names}, stated)
        found, source = values(path, image)
        np.testing.assert_array_equal(found, expected)
        assert bool(source.note) == (stated in ("EPSG:32640", None))


def test_a_zipped_shapefile_and_its_parts(tmp_path: Path) -> None:
    shapes, names, expected = polygons()
    (tmp_path / "parts").mkdir()
    shp = write(tmp_path / "parts" / "p.shp", moved(shapes, UTM.crs, UTM), {"classification": names}, UTM.crs)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as file:
        for part in shp.parent.iterdir():
            file.write(part, f"deep/{part.name}")
    np.testing.assert_array_equal(values(tmp_path / "p.zip")[0], expected)
    shp.with_suffix(".prj").unlink()
    found, source = values(shp)
    np.testing.assert_array_equal(found, expected)
    assert source.note == "no CRS is stated: read as coordinates in that of the image"
    shp.with_suffix(".dbf").unlink()
    with pytest.raises(InputError, match="has no class"):
        values(shp)
    shp.with_suffix(".shx").unlink()
    with pytest.raises(InputError, match=r"p\.shp: .*\.shx"):
        values(shp)


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"fid2": [7, 8, 9], "Label": CLASSES, "name": ["a", "b", "c"]}, "Label"),
        ({"name": CLASSES, "area": [1.0, 2.0, 3.0]}, "name"),
        ({"label": [None, None, None], "category": CLASSES}, "category"),
        ({"name": ["a", "b", "c"], "class": CLASSES}, "class"),
    ],
)
def test_the_property_that_names_the_class_is_found(tmp_path: Path, columns: dict[str, Any], chosen: str) -> None:
    shapes, _, expected = polygons()
    arrays = {key: np.array(held, object if isinstance(held[1], str | None) else None) for key, held in columns.items()}
    path = write(tmp_path / "p.gpkg", moved(shapes, UTM.crs, UTM), arrays, UTM.crs)
    np.testing.assert_array_equal(values(path)[0], expected)


def test_polygons_without_a_class_are_counted_and_numbers_are_mapped(tmp_path: Path) -> None:
    shapes, _, expected = polygons()
    shapes = moved(shapes, UTM.crs, UTM)
    path = write(tmp_path / "p.gpkg", shapes, {"class": np.array(["red", None, ""], object)}, UTM.crs)
    found, source = values(path)
    np.testing.assert_array_equal(found, np.minimum(expected, 1))
    assert "polygons without a class, left out: 2" in source.note
    path = write(tmp_path / "n.gpkg", shapes, {"class": np.array([3, 1, 2])}, UTM.crs)
    with pytest.raises(InputError, match="has the number 3 in its property 'class'; say which class"):
        values(path)
    found, _ = values(path, mapped={3: "red", 1: "green", 2: "blue"})
    np.testing.assert_array_equal(found, expected)


def test_the_layer_of_polygons_is_chosen(tmp_path: Path) -> None:
    shapes, names, expected = polygons()
    shapes = moved(shapes, UTM.crs, UTM)
    path = write(tmp_path / "p.gpkg", shapes, {"class": names}, UTM.crs, layer="cover")
    write(
        path, shapely.centroid(shapes), {"class": names}, UTM.crs, layer="samples", geometry_type="Point", append=True
    )
    np.testing.assert_array_equal(values(path)[0], expected)
    write(path, shapes, {"class": names}, UTM.crs, layer="older", append=True)
    with pytest.raises(InputError, match="has the layers cover, older; save the one that is meant alone"):
        values(path)


def test_what_is_no_ground_truth_is_refused_in_words(tmp_path: Path) -> None:
    shapes, names, _ = polygons()
    path = write(tmp_path / "p.gpkg", moved(shapes, UTM.crs, UTM), {"class": names}, UTM.crs)
    with pytest.raises(InputError, match="is not georeferenced"):
        values(path, None)
    with pytest.raises(InputError, match=r"all its polygons \(3\) lie outside"):
        values(path, Georeference(UTM.crs, (10.0, 0.0, 400000.0, 0.0, -10.0, 5200000.0)))
    with pytest.raises(InputError, match="holds polygons, and a mask is needed here"):
        open_ground_truth(path)
    empty = write(tmp_path / "e.gpkg", shapes[:0], {"class": names[:0]}, UTM.crs)
    with pytest.raises(InputError, match="holds no polygon with a class"):
        values(empty)
    (tmp_path / "x.fgb").write_bytes(b"no such thing")
    with pytest.raises(InputError, match="is no FlatGeobuf, or is damaged"):
        values(tmp_path / "x.fgb")


def test_polygons_that_the_map_does_not_reach_are_outside(tmp_path: Path) -> None:
    shapes, names, expected = polygons()
    image = Georeference("+proj=ortho +lat_0=47 +lon_0=54", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0))
    far = shapely.box(-130, -50, -120, -40)
    located = np.append(moved(shapes, "EPSG:4326", image), far)
    path = write(tmp_path / "p.gpkg", located, {"class": np.append(names, "red")}, "EPSG:4326")
    found, source = values(path, image)
    np.testing.assert_array_equal(found, expected)
    assert source.note == "polygons outside the image: 1"


def test_long_edges_are_straight_where_they_were_drawn(tmp_path: Path) -> None:
    image = Georeference("EPSG:3413", (10_000.0, 0.0, -2e6, 0.0, -10_000.0, 1.5e6))
    parallel = shapely.box(-180, 80, 180, 90)  # around the pole: a disc
    path = write(tmp_path / "p.gpkg", np.array([parallel]), {"class": np.array(["red"], object)}, "EPSG:4326")
    found, _ = values(path, image)
    y, x = np.mgrid[:300, :400] * 10_000 + 5000
    located = warp(CRS.from_epsg(3413), CRS.from_epsg(4326), (x.ravel() - 2e6).tolist(), (1.5e6 - y.ravel()).tolist())
    latitude = np.array(located[1])
    clear = np.abs(latitude - 80) > 5e-4  # a two hundredth of a px
    np.testing.assert_array_equal(found.ravel()[clear] > 0, latitude[clear] > 80)


def test_many_vertices_are_cut_to_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes, names, expected = polygons()
    monkeypatch.setattr("fctl_napari.imagery.labels.polygons.LARGE", 3)
    path = write(tmp_path / "p.gpkg", moved(shapes, UTM.crs, UTM), {"class": names}, UTM.crs)
    found, source = values(path)
    np.testing.assert_array_equal(found, expected)
    pieces = [source.read((y, x, y + 50, x + 100)) for y in range(0, 300, 50) for x in range(0, 400, 100)]
    rows = [np.concatenate(pieces[k : k + 4], axis=1) for k in range(0, 24, 4)]
    np.testing.assert_array_equal(np.concatenate(rows), source.read((0, 0, *SHAPE)))
