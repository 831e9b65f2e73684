"""Polygons with names in a GeoJSON file, placed on an image and burnt into windows of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.errors import InputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.ground import Ground
from fctl_napari.imagery.level import IntWindow

PX_COORDINATES = "px of the image, x right, y down"
"""What our exports say in the member ``coordinates`` where the image is not georeferenced."""


class NamedPolygons:
    """Polygons of a GeoJSON file, in px of an image.

    Coordinates are those of the member ``crs``; without it px where the file says so (as our exports do) or where the
    image is not georeferenced, else WGS 84 longitude and latitude (RFC 7946).

    Parameters
    ----------
    path
        A FeatureCollection of Polygons and MultiPolygons.
    georeference
        Of the image.
    shape
        (height, width) of the image, px.
    column
        The property that names the class. Where its value is an object, the name is its ``name``.

    Attributes
    ----------
    names
        The distinct names, in the order in which they first occur.

    Raises
    ------
    InputError
        The file is missing, damaged or holds something else; a polygon has no name; or the image is not georeferenced
        and the coordinates are on Earth; or libraries are missing.
    """

    def __init__(
        self, path: Path, georeference: Georeference | None, shape: tuple[int, int], *, column: str = "class"
    ) -> None:
        if any(find_spec(name) is None for name in ("rasterio", "shapely")):
            raise InputError(f"{path}: GeoJSON files need rasterio and shapely; install fctl-napari[geo].")
        import shapely

        document = _read(path)
        shapes, names = [], []
        for number, feature in enumerate(document["features"], 1):
            shape_, name = _feature(path, number, feature, column)
            shapes.append(shape_)
            names.append(name)
        self.names = list(dict.fromkeys(names))
        parts, index = shapely.get_parts(np.array(shapes, object), return_index=True)
        self._name = np.array([self.names.index(name) for name in names], np.int64)[index]
        self._shapes: NDArray[Any] = _placed(path, document, parts, georeference, shape)
        self._tree = shapely.STRtree(self._shapes)
        self._shape = shape

    def windows(self) -> list[IntWindow]:
        """The bounding boxes of the polygons inside the image, (y0, x0, y1, x1) px."""
        import shapely

        height, width = self._shape
        found = []
        for x0, y0, x1, y1 in shapely.bounds(self._shapes).tolist():
            window = (max(int(y0), 0), max(int(x0), 0), min(int(y1) + 1, height), min(int(x1) + 1, width))
            if window[0] < window[2] and window[1] < window[3]:
                found.append(window)
        return found

    def burn(self, window: IntWindow, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Burn the polygons into a window; where they overlap, the later one in the file is seen.

        Parameters
        ----------
        window
            (y0, x0, y1, x1) px.
        values
            What each of ``names`` becomes, uint8 [n], from 1.

        Returns
        -------
        uint8 [y, x]: the value of the polygon in which a px has its centre, or 0.
        """
        import shapely
        from rasterio.features import rasterize
        from rasterio.transform import Affine

        y0, x0, y1, x1 = window
        chosen = np.sort(self._tree.query(shapely.box(x0, y0, x1, y1)))
        if not len(chosen):
            return np.zeros((y1 - y0, x1 - x0), np.uint8)
        burnt: NDArray[np.uint8] = rasterize(
            zip(self._shapes[chosen], values[self._name[chosen]].tolist(), strict=True),
            (y1 - y0, x1 - x0),
            transform=Affine.translation(x0, y0),
            dtype=np.uint8,
        )
        return burnt


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no GeoJSON file, or is damaged ({error}).") from error
    if (
        not isinstance(document, dict)
        or document.get("type") != "FeatureCollection"
        or not isinstance(document.get("features"), list)
    ):
        raise InputError(f"{path}: is no GeoJSON FeatureCollection; give polygons with the names of their classes.")
    return document


def _feature(path: Path, number: int, feature: Any, column: str) -> tuple[Any, str]:
    """Take the shape and the name of a feature."""
    import shapely
    from shapely.geometry import shape

    try:
        geometry = feature["geometry"]
        kind = geometry["type"]
        if kind not in ("Polygon", "MultiPolygon"):
            raise InputError(f"{path}: feature {number} is a {kind}; only polygons have an area to be painted.")
        found = shapely.force_2d(shape(geometry))
        name = feature["properties"].get(column)
        name = name.get("name") if isinstance(name, Mapping) else name
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, shapely.errors.ShapelyError) as error:
        raise InputError(f"{path}: feature {number} is no polygon with properties ({error!r}).") from error
    if not isinstance(name, str):
        raise InputError(f"{path}: feature {number} has no class in its property {column!r}; name another property.")
    return found, name


def _placed(
    path: Path,
    document: Mapping[str, Any],
    shapes: NDArray[Any],
    georeference: Georeference | None,
    shape: tuple[int, int],
) -> NDArray[Any]:
    """Move shapes to px of the image."""
    import shapely
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    stated = document.get("crs")
    if stated is None and (georeference is None or document.get("coordinates") == PX_COORDINATES):
        return shapes
    if georeference is None:
        raise InputError(f"{path}: its coordinates are on Earth, and the image is not georeferenced; give them in px.")
    try:
        crs = None if stated is None else CRS.from_user_input(stated["properties"]["name"])
    except (CRSError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its crs is none that is known here ({stated}).") from error
    ground = Ground(georeference)
    middle = ground.coordinates(np.array([[shape[1] / 2, shape[0] / 2]]))[0, 0]

    def to_px(places: NDArray[np.float64]) -> NDArray[np.float64]:
        vertices = ground.pixels(places, crs)
        if ground.turn is not None and len(vertices):
            # an image may reach over the antimeridian
            own = ground.coordinates(vertices)
            own[:, 0] += ground.turn * np.rint((middle - own[:, 0].mean()) / ground.turn)
            vertices = ground.pixels(own, ground.crs)
        return vertices

    placed = np.array([shapely.transform(one, to_px) for one in shapes], object)
    if not all(np.isfinite(shapely.get_coordinates(placed)).ravel()):
        raise InputError(f"{path}: some polygons lie where the image's coordinate system does not reach.")
    return placed
