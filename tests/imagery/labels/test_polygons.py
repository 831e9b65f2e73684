"""Polygons of other programs: what is painted, and what is told of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import shapely

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.polygons import NamedPolygons

SHAPE = (200, 300)
UTM = Georeference("EPSG:32640", (0.5, 0.0, 320000.0, 0.0, -0.5, 2790000.0))
WORLD = Georeference("EPSG:4326", (1.0, 0.0, -150.0, 0.0, -1.0, 90.0))
LOCAL = Georeference("EPSG:32640", (1.0, 0.0, 100.0, 0.0, 1.0, 100.0))
"""Where coordinates look like px."""


def box(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def feature(name: Any, *rings: Any, kind: str = "Polygon", **geometry: Any) -> dict[str, Any]:
    shape = geometry or {"type": kind, "coordinates": list(rings)}
    return {"type": "Feature", "geometry": shape, "properties": {"class": name}}


def lonlat(window: tuple[float, float, float, float]) -> list[list[float]]:
    """A box of px of ``UTM`` in longitude and latitude."""
    from fctl_napari.imagery.geodesy.ground import Ground

    return Ground(UTM).lonlat(np.array(box(*window))).tolist()


def metres(window: tuple[float, float, float, float]) -> list[list[float]]:
    from fctl_napari.imagery.geodesy.ground import Ground

    return Ground(UTM).coordinates(np.array(box(*window))).tolist()


def write(tmp_path: Path, features: Any, **members: Any) -> Path:
    path = tmp_path / "p.geojson"
    whole = {"type": "FeatureCollection", "features": features, **members} if isinstance(features, list) else features
    path.write_text(json.dumps(whole))
    return path


def burn(path: Path, location: Georeference | None = None, **options: Any) -> tuple[dict[str, int], tuple[str, ...]]:
    """Px of each class, and the notes."""
    polygons = NamedPolygons(path, location, SHAPE, **options)
    burnt = polygons.burn((0, 0, *SHAPE), np.arange(1, len(polygons.names) + 1, dtype=np.uint8))
    counts = np.bincount(burnt.ravel(), minlength=len(polygons.names) + 1)[1:]
    return {name: int(count) for name, count in zip(polygons.names, counts, strict=True) if count}, polygons.notes


@pytest.mark.parametrize("order", [1, -1])
def test_the_smaller_polygon_is_seen_whatever_the_order(tmp_path: Path, order: int) -> None:
    features = [
        feature("tumor", box(20, 20, 40, 40)),
        feature("tissue", box(10, 10, 60, 60)),
        feature("vessel", box(25, 25, 30, 30)),
    ][::order]
    counts, notes = burn(write(tmp_path, features))
    assert counts == {"tissue": 2100, "tumor": 375, "vessel": 25}
    assert notes == ("px in polygons of several classes, where the smallest is seen: 400",)


def test_what_paints_nothing_is_reported(tmp_path: Path) -> None:
    features = [
        feature("red", box(10, 10, 60, 60)),
        {"type": "Feature", "geometry": None, "properties": {"class": "red"}},
        feature("red", type="Polygon", coordinates=[]),
        feature("red", type="Point", coordinates=[5, 5]),
        feature("red", type="LineString", coordinates=[[5, 5], [9, 9]]),
        feature(
            "red",
            type="GeometryCollection",
            geometries=[
                {"type": "Point", "coordinates": [1, 1]},
                {"type": "Polygon", "coordinates": [box(70, 70, 80, 80)]},
            ],
        ),
        feature("red", box(1000, 1000, 1100, 1100)),
        feature("red", box(-20, -20, 5, 5)),
        feature("red", box(100.1, 100.1, 100.4, 100.4)),
        feature("red", [[120, 20.6], [160, 20.9], [160, 21.1], [120, 20.6]]),
        feature("red", [[200, 10], [250, 60], [250, 10], [200, 60], [200, 10]]),
    ]
    counts, notes = burn(write(tmp_path, features))
    assert counts == {"red": 2500 + 100 + 25 + 1250}
    assert notes == (
        "features without a geometry: 2",
        "points and lines: 3",
        "polygons outside the image: 1",
        "polygons that reach beyond the image, and are cut: 1",
        "polygons that cross themselves, and leave out what they cover twice: 1",
        "polygons that hold the center of no px, and paint nothing: 2",
    )


@pytest.mark.parametrize(
    "document",
    [
        [feature("red", box(10, 10, 60, 60))],
        {**feature("red", box(10, 10, 60, 60))},
        {"type": "FeatureCollection", "features": [feature({"name": "red"}, box(10, 10, 60, 60))]},
        {"type": "FeatureCollection", "features": [feature("red", box(10, 10, 60, 60)[:-1])]},  # not closed
        {"shapes": [{"label": "red", "points": box(10, 10, 60, 60)[:-1], "shape_type": "polygon"}], "imageHeight": 200},
        {"shapes": [{"label": "red", "points": [[60, 60], [10, 10]], "shape_type": "rectangle"}]},
    ],
)
def test_other_programs_documents(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))
    for location in (None, UTM):
        counts, _ = burn(path, location)
        assert counts == {"red": 2500}


@pytest.mark.parametrize(
    ("location", "rings", "members", "note"),
    [
        (None, box(10, 10, 60, 60), {}, None),
        (UTM, box(10, 10, 60, 60), {}, "no CRS is stated: read as px of the image"),
        (UTM, box(100, 95, 150, 145), {}, "no CRS is stated: read as px of the image"),
        (UTM, box(110.3, 95.2, 160.3, 145.2), {}, "no CRS is stated: read as px of the image"),
        (UTM, metres((10, 10, 60, 60)), {}, "no CRS is stated: read as coordinates in that of the image"),
        (UTM, lonlat((10, 10, 60, 60)), {}, "no CRS is stated: read as longitude and latitude"),
        (UTM, lonlat((10, 10, 60, 60)), {"generator": "fctl-napari"}, None),
        (UTM, box(10.3, 10.2, 60.3, 60.2), {"coordinates": "px of the image, x right, y down"}, None),
        (WORLD, [[x - 150, 90 - y] for x, y in box(10, 10, 60, 60)], {}, "read as longitude and latitude"),
        (
            UTM,
            metres((10, 10, 60, 60)),
            {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32640"}}},
            None,
        ),
        (
            UTM,
            lonlat((10, 10, 60, 60)),
            {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}},
            None,
        ),
    ],
)
def test_coordinates_are_recognized(
    tmp_path: Path, location: Georeference | None, rings: Any, members: dict[str, Any], note: str | None
) -> None:
    counts, notes = burn(write(tmp_path, [feature("red", rings)], **members), location)
    assert counts == {"red": 2500}
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


@pytest.mark.parametrize(
    ("location", "rings"),
    [
        (UTM, box(10.3, 10.2, 60.3, 60.2)),  # px, or degrees around the image
        (UTM, box(51.2, 22.6, 56.4, 26.1)),  # a country that holds the image, or px
        (UTM, box(13.1, 52.3, 13.6, 52.7)),  # degrees elsewhere, or px
        (UTM, [[x + 5e4, y] for x, y in metres((10, 10, 60, 60))]),  # elsewhere in the CRS
        (UTM, [[x * 1e6, y * 1e6] for x, y in metres((10, 10, 60, 60))]),
        (LOCAL, box(120, 110, 170, 160)),  # px, or coordinates of the image's CRS
    ],
)
def test_coordinates_that_may_be_several_things_are_refused(tmp_path: Path, location: Georeference, rings: Any) -> None:
    with pytest.raises(InputError, match="states no CRS, and it is not clear what its coordinates are"):
        burn(write(tmp_path, [feature("red", rings)]), location)


def test_the_advice_can_be_followed(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        burn(write(tmp_path, [feature("red", box(120, 110, 170, 160))]), LOCAL)
    sentence = str(caught.value)
    crs = json.loads("{" + sentence[sentence.index('"crs"') : sentence.index(", or if")] + "}")
    crs["crs"]["properties"]["name"] = LOCAL.crs
    assert burn(write(tmp_path, [feature("red", box(120, 110, 170, 160))], **crs), LOCAL)[0] == {"red": 2500}
    px = json.loads("{" + sentence[sentence.index('"coordinates"') :].rstrip(".") + "}")
    assert burn(write(tmp_path, [feature("red", box(120, 110, 170, 160))], **px), LOCAL)[0] == {"red": 2500}


def test_numbers_are_classes_only_if_they_are_mapped(tmp_path: Path) -> None:
    features = [feature(0, box(10, 10, 60, 60)), feature(3.0, box(70, 70, 80, 80)), feature(9, box(90, 90, 95, 95))]
    path = write(tmp_path, features)
    with pytest.raises(InputError, match=r"feature 1 has the number 0 in its property 'class'; .* --map FILE"):
        burn(path)
    counts, notes = burn(path, mapped={0: "red", 3: "green", 9: None})
    assert counts == {"red": 2500, "green": 100}
    assert notes == ("polygons of classes that the mapping ignores: 1",)


def test_names_and_numbers_in_words_can_be_mapped(tmp_path: Path) -> None:
    features = [feature("rot", box(10, 10, 60, 60)), feature("1", box(70, 70, 80, 80)), feature("x*", box(0, 0, 5, 5))]
    counts, notes = burn(write(tmp_path, features), mapped={"rot": "red", 1: "green", "x*": None})
    assert counts == {"red": 2500, "green": 100}
    assert notes == ("polygons of classes that the mapping ignores: 1",)


def test_what_is_damaged_or_has_no_class_is_left_out_and_reported(tmp_path: Path) -> None:
    damaged = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "properties": {}}
    features = [feature("red", box(10, 10, 60, 60)), feature(None, box(70, 70, 80, 80)), damaged]
    counts, notes = burn(write(tmp_path, features))
    assert counts == {"red": 2500}
    assert set(notes) == {"polygons without a class, left out: 1", "features that are damaged, left out: 1"}


def test_px_are_not_taken_for_degrees(tmp_path: Path) -> None:
    """Neither where both fit, nor where the file states a CRS in which they cover the whole image."""
    world = Georeference("EPSG:4326", (0.25, 0.0, 5.0, 0.0, -0.25, 65.0))
    path = write(tmp_path, [feature("red", box(10, 20, 60, 60))])
    with pytest.raises(InputError, match="not clear what its coordinates are"):
        burn(path, world)
    crs84 = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    with pytest.raises(InputError, match="its coordinates look like px"):
        burn(write(tmp_path, [feature("red", box(10, 10, 60, 60))], crs=crs84), UTM)
    exact = [[7.6, 55.2], [17.6, 55.2], [17.6, 50.2], [7.6, 50.2], [7.6, 55.2]]
    counts, notes = burn(write(tmp_path, [feature("red", exact)]), world)
    assert counts == {"red": 800}
    assert notes == ("no CRS is stated: read as longitude and latitude",)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([feature("red", type="Point", coordinates=[1, 1])], "feature 1 is a Point; only polygons"),
        ([{"type": "Feature", "geometry": None, "properties": {}}], "feature 1 has no geometry; only polygons"),
        ([feature(True, box(0, 0, 9, 9))], "feature 1 has no class in its property 'class'"),
        ([feature("red", box(1000, 0, 1009, 9))], r"all its polygons \(1\) lie outside the image of 200 x 300 px"),
        ([feature("red", [[0, 0], [9, float("nan")], [9, 9], [0, 0]])], "coordinates that are no numbers"),
        ({"type": "Polygon", "coordinates": [box(0, 0, 9, 9)]}, "no GeoJSON FeatureCollection"),
        ({"shapes": [{"label": "a"}]}, "is no labelme file"),
        ({"shapes": [], "imageHeight": 20, "imageWidth": 30}, "is of an image of 20 x 30 px"),
        ({"images": [], "annotations": [], "categories": []}, "is of 0 images"),
        (
            {
                "images": [{"id": 1, "height": 200, "width": 300}],
                "categories": [{"id": 1, "name": "red"}],
                "annotations": [{"image_id": 1, "category_id": 1, "segmentation": {"size": [200, 300], "counts": "x"}}],
            },
            "annotation 1 has compressed runs",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(tmp_path: Path, features: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        burn(write(tmp_path, features))


def test_a_coco_file_of_several_images(tmp_path: Path) -> None:
    def annotation(image: int, ring: list[list[float]]) -> dict[str, Any]:
        return {"image_id": image, "category_id": 7, "segmentation": [np.ravel(ring).tolist()]}

    document = {
        "images": [{"id": k, "file_name": f"{k}.png", "height": 200, "width": 300} for k in (1, 2)],
        "categories": [{"id": 7, "name": "red"}],
        "annotations": [annotation(1, box(0, 0, 9, 9)), annotation(2, box(10, 10, 60, 60)), {"image_id": 2}],
    }
    path = write(tmp_path, document)
    counts, notes = burn(path, image="/somewhere/2.png")
    assert counts == {"red": 2500}
    assert notes == ("annotations of other images: 1", "annotations without an outline: 1")
    with pytest.raises(InputError, match=r"is of 2 images, and not one of them is 3\.png"):
        burn(path, image="3.png")


@pytest.mark.parametrize("crs", ["EPSG:32640", "EPSG:4326", 'LOCAL_CS["Undefined Cartesian SRS"]', None])
def test_geopackages_of_others(tmp_path: Path, crs: str | None) -> None:
    ring = {"EPSG:32640": metres, "EPSG:4326": lonlat}.get(str(crs), lambda window: box(*window))((10, 10, 60, 60))
    shapes = shapely.to_wkb(np.array([shapely.polygons(ring), None, shapely.polygons(ring)], object))
    names = np.array(["red", "red", None], object)
    path = tmp_path / "p.gpkg"
    options: dict[str, Any] = {"driver": "GPKG", "geometry_type": "Polygon", "layer": "mine"}
    pyogrio.raw.write(str(path), shapes[:2], [names[:2]], ["class"], crs=crs, **options)
    counts, notes = burn(path, UTM)
    assert counts == {"red": 2500}
    assert notes[0 if crs else 1 :] == ("features without a geometry: 1",) or len(notes) == 2
    pyogrio.raw.write(str(path), shapes[2:], [names[2:]], ["class"], crs=crs, append=True, **options)
    counts, notes = burn(path, UTM)
    assert counts == {"red": 2500}
    assert "polygons without a class, left out: 1" in notes
    pyogrio.raw.write(str(path), shapes[:1], [names[:1]], ["class"], crs=crs, **(options | {"layer": "second"}))
    with pytest.raises(InputError, match="has the layers mine, second"):
        burn(path, UTM)
    path.write_bytes(b"no such thing")
    with pytest.raises(InputError, match="is no GeoPackage"):
        burn(path, UTM)
    path.unlink()
    with pytest.raises(InputError, match="there is no such file"):
        burn(path, UTM)
