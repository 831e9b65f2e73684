"""Corrections from and to other files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_corrections import TABLE, state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.correcting import merge as correction_merge
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.files import export_corrections, import_file, import_labels
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.class_mapping import ClassMapping, MappedGroundTruth
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.labels.label_source import LabelSource

SHAPE = (300, 420)
UTM = Georeference("EPSG:32632", (0.5, 0.0, 600000.0, 0.0, -0.5, 5200000.0))
TURNED = Georeference("EPSG:32632", (0.3, 0.4, 600000.0, 0.4, -0.3, 5200000.0))
DEGREES = Georeference("EPSG:4326", (0.1, 0.0, 160.0, 0.0, -0.1, 60.0))
"""Over the antimeridian."""
FEET = Georeference("EPSG:2264", (2.0, 0.0, 1500000.0, 0.0, -2.0, 600000.0))
SAMPLED_POSITIONS = [UTM, TURNED, DEGREES, FEET, None]

Make = Callable[..., Corrections]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``make(values, georeference=...)``: corrections, open for writing."""
    monkeypatch.setattr(correction_merge, "BLOCK", 128)  # several blocks
    made: list[Corrections] = []

    def new(values: np.ndarray | None = None, georeference: Georeference | None = None) -> Corrections:
        image = pyramid_from_array(np.zeros((*SHAPE, 3), np.uint8), name="blank", georeference=georeference)
        corrections = Corrections.create(tmp_path / f"c{len(made)}.ome.zarr", image, TABLE)
        if values is not None:
            corrections.write(0, 0, values.astype(np.uint8), author="ann")
        made.append(corrections)
        return corrections

    yield new
    for corrections in made:
        corrections.close()


def patches(not_sure: bool = False) -> np.ndarray:
    values = np.zeros(SHAPE, np.uint8)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    values[(np.hypot(y - 130, x - 140) < 70) & (np.hypot(y - 130, x - 140) > 30)] = 1
    values[120:180, 100:260] = 2
    values[250:, 390:] = 3
    values[5, 5] = 3
    if not_sure:
        values[200:220, 20:40] = 255
    return values


@pytest.mark.parametrize("location", SAMPLED_POSITIONS)
@pytest.mark.parametrize("name", ["out.geojson", "out.gpkg", "out.coco.json"])
def test_polygons_come_back_as_they_went(make: Make, tmp_path: Path, location: Georeference | None, name: str) -> None:
    values = patches(not_sure=True)
    out = export_corrections(make(values, location), tmp_path / name)
    again = make(georeference=location)
    report = import_file(again, out, author="bob")
    expected = np.where(values == 255, 0, values)
    np.testing.assert_array_equal(again.read((0, 0, *SHAPE)), expected)
    assert report.conflicts == ()
    assert report.notes == ()
    assert report.added == {"sea": (values == 1).sum(), "wood": (values == 2).sum(), "town": (values == 3).sum()}
    assert again.authors == ("bob",)
    assert again.undo() is not None
    assert not again.read((0, 0, *SHAPE)).any()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    corner=st.tuples(st.integers(0, 200), st.integers(0, 400)),
    location=st.sampled_from(SAMPLED_POSITIONS),
    suffix=st.sampled_from(["geojson", "gpkg", "coco.json"]),
    region=st.booleans(),
)
def test_any_labels_come_back_exactly(
    make: Make,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    shape: tuple[int, int],
    corner: tuple[int, int],
    location: Georeference | None,
    suffix: str,
    region: bool,
) -> None:
    noise = np.random.default_rng(seed).integers(0, 4, shape).repeat(2, 0)
    values = np.zeros(SHAPE, np.uint8)
    (y, x), (height, width) = corner, noise.shape
    part = values[y : y + height, x : x + width]
    part[:] = noise[: part.shape[0], : part.shape[1]]
    window = (y + 1, x + 1, y + height, x + width) if region else None
    if window is not None and (window[2] <= window[0] or window[3] <= window[1] or x + 1 >= SHAPE[1]):
        window = None
    expected = values if window is None else np.zeros_like(values)
    if window is not None:
        cut = np.s_[window[0] : window[2], window[1] : window[3]]
        expected[cut] = values[cut]
    folder = tmp_path_factory.mktemp("out")
    out = export_corrections(make(values, location), folder / f"out.{suffix}", region=window)
    again = make(georeference=location)
    assert import_file(again, out, author="bob").notes == ()
    np.testing.assert_array_equal(again.read((0, 0, *SHAPE)), expected)


@pytest.mark.parametrize("location", [UTM, TURNED, None])
@pytest.mark.parametrize("region", [None, (100, 90, 200, 300), (0, 0, 190, 250)])
def test_geotiffs_come_back_as_they_went(
    make: Make, tmp_path: Path, location: Georeference | None, region: tuple[int, int, int, int] | None
) -> None:
    values = patches()
    out = export_corrections(make(values, location), tmp_path / "out.tif", region=region)
    again = make(georeference=location)
    expected = values.copy()
    if region is not None:
        y0, x0, y1, x1 = region
        expected[:] = 0
        expected[y0:y1, x0:x1] = values[y0:y1, x0:x1]
        if location is None:
            with pytest.raises(InputError, match=rf"out\.tif: is {y1 - y0} x {x1 - x0} px .* and the image 300 x 420"):
                import_file(again, out, author="bob")
            return
    import_file(again, out, author="bob")
    np.testing.assert_array_equal(again.read((0, 0, *SHAPE)), expected)


def test_labels_are_exported_and_come_back(make: Make, tmp_path: Path) -> None:
    values = patches(not_sure=True)
    corrections = make(values)
    out = export_corrections(corrections, tmp_path / "out.ome.zarr")
    expected = np.where(values == 255, 0, values)
    labels = LabelPyramid.open(out)
    np.testing.assert_array_equal(labels.read((0, 0, *SHAPE)), expected)
    for number, source in enumerate((labels, open_ground_truth(out))):
        again = make()
        import_labels(again, source, author=f"author {number}")
        np.testing.assert_array_equal(again.read((0, 0, *SHAPE)), expected)
    with pytest.raises(InputError, match="holds corrections; merge them"):
        import_file(again, corrections.path, author="bob")


@pytest.mark.parametrize("name", ["out.png", "out.coco.json"])
def test_the_other_exports_leave_out_what_is_not_sure(make: Make, tmp_path: Path, name: str) -> None:
    values = patches(not_sure=True)
    out = export_corrections(make(values), tmp_path / name)
    if name == "out.png":
        found = np.asarray(Image.open(out))
        np.testing.assert_array_equal(found, np.where(values == 255, 0, values) - np.uint8(1))
    else:
        areas = [annotation["area"] for annotation in json.loads(out.read_text())["annotations"]]
        assert sum(areas) == np.isin(values, (1, 2, 3)).sum()


def test_nothing_painted_is_exported_as_nothing(make: Make, tmp_path: Path) -> None:
    out = export_corrections(make(), tmp_path / "out.geojson")
    assert json.loads(out.read_text())["features"] == []


def test_values_are_mapped_and_ignored_classes_are_not_sure(make: Make, tmp_path: Path) -> None:
    raw = np.full(SHAPE, 255, np.uint8)
    raw[:10], raw[10:20], raw[20:30], raw[30:40] = 0, 2, 3, 7
    Image.fromarray(raw).save(tmp_path / "raw.png")
    corrections = make()
    with pytest.raises(
        InputError, match=r"raw\.png: holds the value 7, which is none of the classes sea, wood, town; change"
    ):
        import_file(corrections, tmp_path / "raw.png", author="bob")
    (tmp_path / "map.json").write_text(
        json.dumps({"values": {"0": "sea", "2": "town", "3": None, "7": "Wood", "255": None}})
    )
    import_file(corrections, tmp_path / "raw.png", author="bob", mapping=tmp_path / "map.json")
    column = corrections.read((0, 0, SHAPE[0], 1))[:, 0]
    assert column.tolist() == [1] * 10 + [3] * 10 + [0] * 10 + [2] * 10 + [0] * 260
    layer = LabelSource("layer", raw, SHAPE, one_based=False)
    mapped = MappedGroundTruth(layer, ClassMapping(TABLE.names, {0: 0, 2: 255, 3: 255, 7: 1, 255: 255}))
    import_labels(corrections, mapped, author="cem", policy="theirs")
    again = make()
    named = LabelSource(
        "layer", raw[:40] % 7 % 4, (40, SHAPE[1]), one_based=False, class_names=("town", "x", "Cloud", "sea")
    )
    import_labels(again, named, author="cem", at=(280, 0))
    column = again.read((280, 0, SHAPE[0], 1))[:, 0]
    assert column.tolist() == [3] * 10 + [255] * 10, "classes are found by name; what the table ignores is not sure"


def test_what_is_there_stays_unless_it_is_said_otherwise(make: Make) -> None:
    corrections = make(patches())
    theirs = np.full(SHAPE, 2, np.uint8)
    layer = LabelSource("layer", theirs, SHAPE, one_based=True)
    before = state(corrections)
    report = import_labels(corrections, layer, author="bob")
    after = state(corrections)
    np.testing.assert_array_equal(after[0], np.where(before[0] > 0, before[0], 2))
    assert sum(conflict.pixels for conflict in report.conflicts) == np.isin(before[0], (1, 3)).sum()
    report = import_labels(corrections, layer, author="bob", policy="theirs")
    assert (corrections.read((0, 0, *SHAPE)) == 2).all()


def geojson(path: Path, features: list[Any], **members: Any) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", **members, "features": features}))
    return path


def feature(name: Any, *boxes: tuple[float, float, float, float], column: str = "class") -> dict[str, Any]:
    rings = [[[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]] for x0, y0, x1, y1 in boxes]
    geometry = (
        {"type": "MultiPolygon", "coordinates": rings}
        if len(rings) > 1
        else {"type": "Polygon", "coordinates": rings[0]}
    )
    return {"type": "Feature", "properties": {column: name}, "geometry": geometry}


def test_polygons_of_others(make: Make, tmp_path: Path) -> None:
    corrections = make()
    file = geojson(
        tmp_path / "a.geojson",
        [
            feature({"name": "Sea"}, (10, 20, 30, 40), (-50, 290, 5.4, 1000), column="classification"),
            feature("not sure", (25, 20, 35, 40), column="classification"),
        ],
    )
    import_file(corrections, file, author="bob", column="classification")
    expected = np.zeros(SHAPE, np.uint8)
    expected[20:40, 10:30] = 1
    expected[290:, :5] = 1
    expected[20:40, 25:35] = 255
    np.testing.assert_array_equal(corrections.read((0, 0, *SHAPE)), expected)


@pytest.mark.parametrize(("suffix", "driver"), [(".shp", "ESRI Shapefile"), (".fgb", "FlatGeobuf")])
def test_polygons_of_a_gis(make: Make, tmp_path: Path, suffix: str, driver: str) -> None:
    shapely = pytest.importorskip("shapely")
    raw = pytest.importorskip("pyogrio.raw")
    shapes = shapely.to_wkb(np.array([shapely.box(600005, 5199980, 600015, 5199990)], object))
    path = tmp_path / f"a{suffix}"
    columns = {"id": np.array([1]), "label": np.array(["wood"], object)}
    options = {"driver": driver, "geometry_type": "Polygon", "crs": "EPSG:32632"}
    raw.write(str(path), shapes, list(columns.values()), list(columns), **options)
    corrections = make(georeference=UTM)
    assert import_file(corrections, path, author="bob").added == {"wood": 400}
    expected = np.zeros(SHAPE, np.uint8)
    expected[20:40, 10:30] = 2
    np.testing.assert_array_equal(corrections.read((0, 0, *SHAPE)), expected)


def test_polygons_in_a_stated_crs(make: Make, tmp_path: Path) -> None:
    corrections = make(georeference=UTM)
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    file = geojson(tmp_path / "a.geojson", [feature("wood", (600005.0, 5199980.0, 600015.0, 5199990.0))], crs=crs)
    import_file(corrections, file, author="bob")
    expected = np.zeros(SHAPE, np.uint8)
    expected[20:40, 10:30] = 2
    np.testing.assert_array_equal(corrections.read((0, 0, *SHAPE)), expected)
    with pytest.raises(InputError, match="coordinates are on Earth, and the image is not georeferenced"):
        import_file(make(), file, author="bob")


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        ([{"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [1, 1]}}], "1 is a Point"),
        ([feature(None, (0, 0, 1, 1))], "feature 1 has no class in its property 'class'; give it one"),
        ([feature("forest", (0, 0, 1, 1))], "polygons of the class 'forest', which is none of sea, wood, town"),
        ([{"type": "Feature"}], "feature 1 is no polygon"),
        (
            [{"properties": {"class": "sea"}, "geometry": {"type": "Polygon", "coordinates": [[[0]]]}}],
            "1 is no polygon",
        ),
    ],
)
def test_polygons_that_say_too_little(make: Make, tmp_path: Path, features: list[Any], complaint: str) -> None:
    corrections = make()
    with pytest.raises(InputError, match=complaint):
        import_file(corrections, geojson(tmp_path / "a.geojson", features), author="bob")
    assert not corrections.can_undo()


def test_files_that_do_not_fit(make: Make, tmp_path: Path) -> None:
    corrections = make(georeference=UTM)
    with pytest.raises(InputError, match="no such file"):
        import_file(corrections, tmp_path / "a.geojson", author="bob")
    (tmp_path / "a.geojson").write_text("{")
    with pytest.raises(InputError, match="is no GeoJSON file, or is damaged"):
        import_file(corrections, tmp_path / "a.geojson", author="bob")
    (tmp_path / "a.geojson").write_text("[]")
    with pytest.raises(InputError, match="no GeoJSON FeatureCollection"):
        import_file(corrections, tmp_path / "a.geojson", author="bob")
    crs = {"properties": {"name": "nowhere"}}
    with pytest.raises(InputError, match="its crs is none that is known"):
        import_file(corrections, geojson(tmp_path / "a.geojson", [feature("sea", (0, 0, 1, 1))], crs=crs), author="bob")
    a, b, c, d, e, f = UTM.transform
    for name, location, complaint in (
        ("half", Georeference(UTM.crs, (a, b, c + a / 2, d, e, f)), "do not lie on those of the image"),
        ("zone", Georeference("EPSG:32633", UTM.transform), "is in EPSG:32633 and the image in EPSG:32632"),
        ("away", Georeference(UTM.crs, (a, b, c + 1e4, d, e, f)), "lies outside the image"),
    ):
        out = export_corrections(make(patches(), location), tmp_path / f"{name}.tif")
        with pytest.raises(InputError, match=complaint):
            import_file(corrections, out, author="bob")
    assert not corrections.can_undo()


# -- which class a value is -------------------------------------------------------------------------------------------


def colored(path: Path, indices: np.ndarray, order: list[int]) -> Path:
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette([part for k in order for part in TABLE.colors[k]])
    image.save(path)
    return path


def test_palettes_and_colors_count_by_their_colors(make: Make, tmp_path: Path) -> None:
    classes = np.kron(np.random.default_rng(0).integers(0, 4, (3, 3)), np.ones((100, 140), int))
    expected = np.where(classes == 3, 255, classes + 1)  # clouds are ignored
    order = [2, 3, 0, 1]
    path = colored(tmp_path / "p.png", np.argsort(order)[classes], order)
    corrections = make()
    report = import_file(corrections, path, author="bob")
    np.testing.assert_array_equal(corrections.read((0, 0, *SHAPE)), expected)
    assert report.notes == ("is read by the colors of its palette; its indices are in another order",)
    Image.fromarray(np.array(TABLE.colors, np.uint8)[classes]).save(tmp_path / "rgb.png")
    corrections = make()
    assert import_file(corrections, tmp_path / "rgb.png", author="bob").notes == ()
    np.testing.assert_array_equal(corrections.read((0, 0, *SHAPE)), expected)
    # stated values are of the indices
    (tmp_path / "map.json").write_text('{"values": {"0": "sea", "1": "sea", "2": "sea", "3": null}}')
    corrections = make()
    import_file(corrections, path, author="bob", mapping=tmp_path / "map.json")
    np.testing.assert_array_equal(corrections.read((0, 0, *SHAPE)), np.where(classes == order[3], 0, 1))


def test_a_mask_of_0_and_255_is_pointed_out(make: Make, tmp_path: Path) -> None:
    values = np.where(patches() == 1, 255, 0).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "m.png")
    (note,) = import_file(make(), tmp_path / "m.png", author="bob").notes
    assert "the mask holds 0 and 255 alone: 0 was taken as sea, and 255 as nothing" in note
    (tmp_path / "map.json").write_text('{"values": {"0": null, "255": "wood"}}')
    corrections = make()
    assert import_file(corrections, tmp_path / "m.png", author="bob", mapping=tmp_path / "map.json").notes == ()
    np.testing.assert_array_equal(corrections.read((0, 0, *SHAPE)) == 2, values == 255)
    # what we exported says what it is
    out = export_corrections(make(np.where(values == 0, 1, 0)), tmp_path / "own.png")
    assert import_file(make(), out, author="bob").notes == ()
