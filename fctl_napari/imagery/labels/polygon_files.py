"""Readers of polygon files with class names: GeoJSON, GeoPackage, Shapefile, FlatGeobuf, COCO and labelme."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.numbered import image_file
from fctl_napari.words import count_of

PX_COORDINATES = "px of the image, x right, y down"
"""Value of the member ``coordinates`` of our GeoJSON where the image is not georeferenced."""

GENERATOR = "fctl-napari"
"""Value of the member ``generator`` of our exports."""

AREAS = ("Polygon", "MultiPolygon")
AREA_TYPES = (3, 6)
"""The same as numbers of GEOS."""

VECTORS = {".gpkg": "GeoPackage", ".shp": "Shapefile", ".shz": "Shapefile", ".zip": "Shapefile", ".fgb": "FlatGeobuf"}
SUFFIXES = (".geojson", ".json", *VECTORS)

CLASS_PROPERTIES = ("class", "classification", "class_name", "classname", "label", "category", "name")
"""Properties that may name the class, in the order in which they are looked for, in any case."""

FIELD_LENGTH = 10
"""Number of letters that a Shapefile keeps of the name of a property."""

UNPLACED_CRS = "Undefined Cartesian SRS"
"""CRS that a GeoPackage states for coordinates that are not on Earth, as ours does where they are px."""


@dataclass
class FoundPolygons:
    """The content of a polygon file, as it is stored.

    Attributes
    ----------
    shapes : list of shapely.Geometry
        Polygons and multipolygons, in coordinates (x, y).
    names : list of str
        Class name of each shape.
    coordinates : {"px", "crs", "degrees", "not said"}
        Kind of the coordinates: ``"px"`` of the image, in the ``crs``, ``"degrees"`` (WGS 84 longitude and latitude),
        or not said.
    crs : rasterio.crs.CRS or None
        Coordinate reference system, where it is stated.
    size : tuple of 2 int or None
        (height, width), px, of the image that the file says it is of.
    skipped : Counter[str]
        Number of features that are left out, by reason.
    """

    shapes: list[Any] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    coordinates: Literal["px", "crs", "degrees", "not said"] = "not said"
    crs: Any = None
    size: tuple[int, int] | None = None
    skipped: Counter[str] = field(default_factory=Counter)


def is_polygon_file(path: Path) -> bool:
    """Return whether a file holds polygons, judged by its name.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    bool
        True for GeoJSON, JSON, GeoPackage, Shapefile and FlatGeobuf, and for a zip file with a Shapefile in it.
    """
    suffix = path.suffix.lower()
    return suffix in SUFFIXES and (suffix != ".zip" or bool(_zipped(path)))


def _zipped(path: Path) -> list[str]:
    """Return the names of the files with polygons in a zip file."""
    try:
        with zipfile.ZipFile(path) as opened:
            names = [name for name in opened.namelist() if name.lower().endswith((".shp", ".gpkg", ".fgb"))]
    except (zipfile.BadZipFile, OSError):
        return []
    return [name for name in names if not name.startswith("__MACOSX/")]


def read_polygons(
    path: Path,
    *,
    column: str | None = None,
    mapped: Mapping[int | str, str | None] | None = None,
    image: str | None = None,
) -> FoundPolygons:
    """Read a file of polygons.

    Parameters
    ----------
    path : Path
        GeoJSON: a FeatureCollection, a list of features, or one feature. A GeoPackage with one layer of polygons, a
        Shapefile (also in a zip file), a FlatGeobuf. COCO annotations with polygons or uncompressed runs. labelme's
        JSON.
    column : str or None, optional
        Property that names the class (not in COCO and labelme). Where its value is an object, the name is its ``name``.
        None takes the first of ``CLASS_PROPERTIES`` that a feature has.
    mapped : mapping of int or str to str or None or None, optional
        Class that each number, or name, of the property stands for. Features mapped to None are left out.
    image : str or None, optional
        File of the image, by which it is found among several in a COCO file.

    Returns
    -------
    FoundPolygons
        Polygons with their class names.

    Raises
    ------
    InputError
        The file is missing, damaged or holds something else; a polygon has no class; or libraries are missing.
    """
    kind = VECTORS.get(path.suffix.lower())
    if kind is not None:
        _require(path, f"{kind}s", "rasterio", "shapely", "pyogrio")
        return _read_vectors(path, kind, _Names(path, column, mapped))
    _require(path, "GeoJSON files", "rasterio", "shapely")
    document = _read_json(path)
    if isinstance(document, dict) and {"annotations", "categories"} <= document.keys():
        return _read_coco(path, document, image)
    if isinstance(document, dict) and isinstance(document.get("shapes"), list):
        return _read_labelme(path, document)
    return _read_geojson(path, document, _Names(path, column, mapped))


def _require(path: Path, what: str, *libraries: str) -> None:
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise InputError(f"{path}: {what} need {' and '.join(missing)}; install fctl-napari[geo].")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no GeoJSON file, or is damaged ({error}).") from error


class NoClassError(InputError):
    """The error raised for a feature whose property names no class."""


class _Names:
    """A lookup of class names in the properties of features."""

    def __init__(self, path: Path, column: str | None, mapped: Mapping[int | str, str | None] | None) -> None:
        self._path, self._column, self._mapped = path, column or CLASS_PROPERTIES[0], mapped
        self._chosen = column is not None

    @property
    def column(self) -> str:
        """Property that names the class."""
        return self._column

    def choose(self, features: Iterable[Mapping[str, Any]]) -> None:
        """Choose the property that names the class among those of all features, if it is not stated."""
        if self._chosen:
            return
        held = dict.fromkeys(key for properties in features for key, value in properties.items() if value is not None)
        short = {key.lower()[:FIELD_LENGTH]: key for key in reversed(held)}
        found = (name if name in held else short.get(name[:FIELD_LENGTH]) for name in CLASS_PROPERTIES)
        self._column = next(filter(None, found), self._column)

    def of(self, number: int, properties: Mapping[str, Any]) -> str | None:
        """Return the class of a feature, or None if it is to be left out."""
        name = properties.get(self._column)
        name = name.get("name") if isinstance(name, Mapping) else name
        name = None if isinstance(name, str) and not name.strip() else name
        if isinstance(name, float | np.floating) and float(name).is_integer():
            name = int(name)
        if isinstance(name, str):
            mapped = self._mapped or {}
            number_ = int(name) if name.strip().lstrip("-").isdigit() else None
            key = name if name in mapped else number_
            return mapped[key] if key is not None and key in mapped else name
        if isinstance(name, int | np.integer) and not isinstance(name, bool):
            if self._mapped is not None and int(name) in self._mapped:
                return self._mapped[int(name)]
            raise InputError(
                f"{self._path}: feature {number} has the number {name} in its property {self._column!r}; say which "
                f'class that is with --map FILE (in Python: mapping): {{"values": {{"{name}": "name of the class"}}}}.'
            )
        others = ", ".join(repr(key) for key in properties if key != self._column)
        way = f"name another property with --property (it has {others})" if others else "give it one"
        raise NoClassError(f"{self._path}: feature {number} has no class in its property {self._column!r}; {way}.")


# ---- GeoJSON


def _read_geojson(path: Path, document: Any, names: _Names) -> FoundPolygons:
    import shapely

    features = _features(document)
    if features is None:
        raise InputError(f"{path}: is no GeoJSON FeatureCollection; give polygons with the names of their classes.")
    found = FoundPolygons()
    stated = (one.get("properties") for one in features if isinstance(one, dict))
    names.choose(properties for properties in stated if isinstance(properties, dict))
    first: InputError | None = None  # raised if no feature can be used
    for number, feature in enumerate(features, 1):
        try:
            geometry, properties = feature["geometry"], feature.get("properties") or {}
            shape = None if geometry is None else shapely.force_2d(_shape(geometry))
            kept = _area(found, shape)
            if kept is None:
                what = "has no geometry" if shape is None else f"is a {shape.geom_type}"
                problem = InputError(f"{path}: feature {number} {what}; only polygons have an area to be painted.")
            else:
                _add(found, kept, names.of(number, properties))
                continue
        except NoClassError as error:
            found.skipped["polygons without a class, left out"] += 1
            problem = error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, shapely.errors.ShapelyError) as error:
            found.skipped["features that are damaged, left out"] += 1
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            problem = InputError(f"{path}: feature {number} is no polygon with properties ({reason}); save it again.")
        first = first or problem
    if first is not None and not found.shapes:
        raise first
    if isinstance(document, dict):
        _say_coordinates(path, found, document)
    return found


def _features(document: Any) -> list[Any] | None:
    """Return the features of a collection, of a list (as older QuPath writes), or of one feature.

    The result is None if the document is none of these.
    """
    if isinstance(document, dict) and document.get("type") == "FeatureCollection":
        features = document.get("features")
        return features if isinstance(features, list) else None
    if isinstance(document, dict) and document.get("type") == "Feature":
        return [document]
    if isinstance(document, list) and document and all(isinstance(one, dict) and "geometry" in one for one in document):
        return document
    return None


def _shape(geometry: Any) -> Any:
    from shapely.geometry import shape

    kind = geometry["type"]
    if kind == "GeometryCollection":
        import shapely

        return shapely.geometrycollections([_shape(part) for part in geometry["geometries"]])
    return shape(geometry)


def _area(found: FoundPolygons, shape: Any) -> Any:
    """Return the polygons of a geometry, counting those without any."""
    import shapely

    if shape is None or shape.is_empty:
        found.skipped["features without a geometry"] += 1
        return None
    if shape.geom_type in AREAS:
        return shape
    parts = shapely.get_parts(shape)
    polygons = [p for part in parts if part.geom_type in AREAS for p in shapely.get_parts(part) if not p.is_empty]
    others = len(parts) - sum(part.geom_type in AREAS for part in parts)
    if others:
        found.skipped["points and lines"] += 1
    return shapely.multipolygons(polygons) if polygons else None


def _add(found: FoundPolygons, shape: Any, name: str | None) -> None:
    if name is None:
        found.skipped["polygons of classes that the mapping ignores"] += 1
        return
    found.shapes.append(shape)
    found.names.append(name)


def _say_coordinates(path: Path, found: FoundPolygons, document: Mapping[str, Any]) -> None:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    stated = document.get("crs")
    if stated is not None:
        try:
            found.coordinates, found.crs = "crs", CRS.from_user_input(stated["properties"]["name"])
        except (CRSError, KeyError, TypeError) as error:
            raise InputError(f"{path}: its crs is none that is known here ({stated}).") from error
    elif document.get("coordinates") == PX_COORDINATES:
        found.coordinates = "px"
    elif document.get("generator") == GENERATOR:
        found.coordinates = "degrees"


# ---- GeoPackage, Shapefile, FlatGeobuf


def _read_vectors(path: Path, kind: str, names: _Names) -> FoundPolygons:
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError
    from pyogrio.raw import read
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path.")
    location = str(path)
    if path.suffix.lower() in (".zip", ".shz"):
        inner = _zipped(path)
        if len(inner) != 1:
            raise InputError(f"{path}: holds {', '.join(inner) or 'no polygons'}; save the one that is meant alone.")
        location = f"/vsizip/{path.absolute()}/{inner[0]}"
    try:
        meta, _, geometries, columns = read(location, layer=_layer(path, location), force_2d=True)
        shapes = shapely.from_wkb(geometries)
    except (DataSourceError, DataLayerError, shapely.errors.ShapelyError) as error:
        beside = " without the .shx that belongs to it" if path.suffix.lower() == ".shp" and not _beside(path) else ""
        raise InputError(f"{path}: is no {kind}, or is damaged{beside} ({error}).") from error
    found = FoundPolygons()
    first: InputError | None = None
    fields = [str(name) for name in meta["fields"]]
    pairs = zip(fields, columns, strict=True)
    names.choose([{name: next((value for value in column if value is not None), None) for name, column in pairs}])
    plain = np.isin(shapely.get_type_id(shapes), AREA_TYPES) & ~shapely.is_empty(shapes)
    column = dict(zip(fields, columns, strict=True)).get(names.column)
    known: dict[Any, str | None] = {}  # names of the values that were met, since most are met often
    for number, (shape, whole) in enumerate(zip(shapes, plain.tolist(), strict=True)):
        kept = shape if whole else _area(found, shape)
        if kept is None:
            continue
        value = None if column is None else column[number]
        key = value if isinstance(value, str | np.generic) else None
        try:
            if key not in known or key is None:
                properties = {name: held[number] for name, held in zip(fields, columns, strict=True)}
                known[key] = names.of(number + 1, properties)
            _add(found, kept, known[key])
        except NoClassError as error:
            found.skipped["polygons without a class, left out"] += 1
            first = first or error
    if first is not None and not found.shapes:
        raise first
    if found.skipped and not found.shapes:
        raise InputError(f"{path}: holds no polygons; only these have an area to be painted.")
    crs = meta.get("crs")
    if crs is not None and UNPLACED_CRS.casefold() in crs.casefold():
        found.coordinates = "px"
    elif crs:
        try:
            found.coordinates, found.crs = "crs", CRS.from_user_input(crs)
        except CRSError as error:
            raise InputError(f"{path}: its crs is none that is known here ({crs[:60]}).") from error
    return found


def _layer(path: Path, location: str) -> str:
    """Return the only layer with polygons."""
    from pyogrio import list_layers

    layers = {str(name): str(kind) for name, kind in list_layers(location) if kind is not None}
    areas = [name for name, kind in layers.items() if "Polygon" in kind or "Surface" in kind]
    mixed = [name for name, kind in layers.items() if kind in ("Unknown", "GeometryCollection")]
    chosen = areas or mixed or list(layers)
    if len(chosen) != 1:
        raise InputError(f"{path}: has the layers {', '.join(chosen) or 'none'}; save the one that is meant alone.")
    return chosen[0]


def _beside(path: Path) -> bool:
    """Return whether the index of a Shapefile lies beside it."""
    return any(path.with_suffix(suffix).is_file() for suffix in (".shx", ".SHX"))


# ---- COCO and labelme: px of an image


def _read_coco(path: Path, document: Mapping[str, Any], image: str | None) -> FoundPolygons:
    import shapely

    found = FoundPolygons(coordinates="px")
    try:
        images = {one["id"]: one for one in document["images"]}
        own = image_file(Path(image)).name if image else ""
        named = [key for key, one in images.items() if Path(str(one.get("file_name", ""))).name == own]
        chosen = next(iter(named if len(named) == 1 else images), None)
        if len(images) != 1 and len(named) != 1:
            raise InputError(
                f"{path}: is of {count_of(len(images), 'image')}, and not one of them is {own}; save one's alone."
            )
        found.size = int(images[chosen]["height"]), int(images[chosen]["width"])
        categories = {one["id"]: str(one["name"]) for one in document["categories"]}
        for number, annotation in enumerate(document["annotations"], 1):
            if annotation["image_id"] != chosen:
                found.skipped["annotations of other images"] += 1
                continue
            stored = annotation.get("segmentation")
            if not stored:
                found.skipped["annotations without an outline"] += 1
            elif isinstance(stored, Mapping):
                found.shapes.append(_run_polygons(path, number, stored, found.size))
                found.names.append(categories[annotation["category_id"]])
            else:
                rings = [np.asarray(ring, float).reshape(-1, 2) for ring in stored]
                found.shapes.append(shapely.multipolygons([shapely.polygons(ring) for ring in rings]))
                found.names.append(categories[annotation["category_id"]])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, shapely.errors.ShapelyError) as error:
        raise InputError(f"{path}: is no COCO file, or is damaged ({error!r}).") from error
    return found


def _run_polygons(path: Path, number: int, stored: Mapping[str, Any], size: tuple[int, int]) -> Any:
    """Outline COCO's runs, which go down the image's columns: outside, inside, outside, ..."""
    import shapely
    from rasterio.features import shapes
    from shapely.geometry import shape

    counts = stored["counts"]
    if isinstance(counts, str):
        raise InputError(f"{path}: annotation {number} has compressed runs; save polygons or uncompressed runs.")
    height, width = size
    ends = np.cumsum(np.asarray(counts, np.int64))
    if tuple(stored["size"]) != size or not len(ends) or ends[-1] > height * width:
        raise InputError(f"{path}: annotation {number} is of another size than its image; save it again.")
    starts, stops = ends[:-1:2], ends[1::2]
    if not len(stops):
        return shapely.multipolygons([])
    left, right = int(starts[0]) // height, int(stops[-1] - 1) // height + 1
    changes = np.zeros((right - left) * height + 1, np.int8)
    np.add.at(changes, starts[: len(stops)] - left * height, 1)
    np.add.at(changes, stops - left * height, -1)
    mask = np.cumsum(changes[:-1], dtype=np.int8).reshape(right - left, height).T.astype(np.uint8)
    corner = np.array([left, 0])
    outlines = [shapely.transform(shape(one), lambda points: points + corner) for one, _ in shapes(mask, mask == 1)]
    return shapely.multipolygons(outlines)


def _read_labelme(path: Path, document: Mapping[str, Any]) -> FoundPolygons:
    import shapely

    found = FoundPolygons(coordinates="px")
    try:
        if document.get("imageHeight") and document.get("imageWidth"):
            found.size = int(document["imageHeight"]), int(document["imageWidth"])
        for one in document["shapes"]:
            points: Sequence[Any] | NDArray[Any] = np.asarray(one["points"], float).reshape(-1, 2)
            kind = one.get("shape_type") or "polygon"
            if kind == "rectangle" and len(points) in (2, 4):
                shape = shapely.box(*np.min(points, 0), *np.max(points, 0))
            elif kind == "polygon" and len(points) >= 3:
                shape = shapely.polygons(points)
            else:
                found.skipped[f"shapes that are a {kind}"] += 1
                continue
            _add(found, shape, str(one["label"]))
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise InputError(f"{path}: is no labelme file, or is damaged ({error!r}).") from error
    return found
