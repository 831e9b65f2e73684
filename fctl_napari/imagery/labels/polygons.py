"""Named polygons, placed on an image and rasterized into windows of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.geodesy.ground import Ground
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.class_mapping import ClassMapping
from fctl_napari.imagery.labels.class_names import match_names
from fctl_napari.imagery.labels.color_key import NO_CLASS
from fctl_napari.imagery.labels.polygon_files import VECTORS, FoundPolygons, read_polygons
from fctl_napari.windows import IntWindow, Window

EDGE_PX = 1e-2
"""Distance, px, by which polygons may reach beyond the image's edge, since coordinates are rounded."""

PX_ADVICE = 'if they are px, add the member "coordinates": "px of the image, x right, y down"'
"""Advice on how to state in a file that its coordinates are px."""

LARGE = 1000
"""Number of vertices from which on a polygon is cut to a window before it is rasterized there."""

EDGE_OFF = 2e-3
"""Largest distance, px, between an edge in the image and the same edge in the coordinates of a file."""

EDGE_ROUNDS = 12
"""Number of times that an edge is halved at most."""

TRIED_CENTERS = 64
"""Largest number of px centers in the box of a polygon thinner than a px for which each center is tested."""

TRIED_PX = 2**22
"""Largest box, px, in which the other thin polygons are rasterized as a test. In larger ones they count as seen."""


class NamedPolygons:
    """Polygons of a file, in px of an image.

    Where polygons overlap, the smaller one is on top, whatever their order: a larger one that contains another never
    hides it. Of two of the same size the later one is on top.

    The kind of the coordinates is taken from the file: a stated CRS, or px where it says so. Without either they are px
    of an image that is not georeferenced. On a georeferenced image they are WGS 84 longitude and latitude (RFC 7946) if
    that puts polygons on the image, else px or coordinates of the image's CRS if only one of these does. Other files
    are refused.

    Parameters
    ----------
    path : Path
        See ``read_polygons``.
    georeference : Georeference or None
        Georeference of the image.
    shape : tuple of 2 int
        (height, width) of the image, px.
    column : str or None, optional
        See ``read_polygons``.
    mapped : mapping of int or str to str or None or None, optional
        See ``read_polygons``.
    image : str or None, optional
        See ``read_polygons``.

    Attributes
    ----------
    names : list of str
        Distinct names, in the order in which they first occur.

    Raises
    ------
    InputError
        The file cannot be read (see ``read_polygons``), is of an image of another size, or lies outside the image; it
        is not clear what its coordinates are; or the image is not georeferenced and they are on Earth.
    """

    def __init__(
        self,
        path: Path,
        georeference: Georeference | None,
        shape: tuple[int, int],
        *,
        column: str | None = None,
        mapped: Mapping[int | str, str | None] | None = None,
        image: str | None = None,
    ) -> None:
        found = read_polygons(path, column=column, mapped=mapped, image=image)
        import shapely

        if found.size is not None and found.size != shape:
            raise InputError(
                f"{path}: is of an image of {found.size[0]} x {found.size[1]} px (height x width), and this one has "
                f"{shape[0]} x {shape[1]}; give polygons of this one."
            )
        self.names = list(dict.fromkeys(found.names))
        parts, index = shapely.get_parts(np.array(found.shapes, object), return_index=True)
        name = np.array([self.names.index(name) for name in found.names], np.int64)[index]
        placed, said = _placed(path, found, parts, georeference, shape)
        # the larger first, so that smaller ones are rasterized over them
        order = np.argsort(-np.abs(shapely.area(placed)), kind="stable")
        self._shapes: NDArray[Any] = placed[order]
        self._valid = shapely.is_valid(self._shapes)
        self._large = (shapely.get_num_coordinates(self._shapes) > LARGE) & self._valid
        self._name = name[order]
        self._tree = shapely.STRtree(self._shapes)
        self._shape = shape
        self._notes = [*said, *_sentences(found.skipped), *self._compare(path)]
        self._shared = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes in words on what was left out or decided, with counts, as far as polygons are rasterized."""
        shared = "px in polygons of several classes, where the smallest is seen"
        return (*self._notes, *_sentences({shared: self._shared}))

    def windows(self) -> list[Window]:
        """Return the bounding boxes of the polygons inside the image.

        Returns
        -------
        list of Window
            (y0, x0, y1, x1), px.
        """
        import shapely

        boxes = shapely.bounds(self._shapes).tolist()
        found = [Window(int(y0), int(x0), int(y1) + 1, int(x1) + 1).clip(self._shape) for x0, y0, x1, y1 in boxes]
        return [window for window in found if not window.empty]

    def burn(self, window: IntWindow, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Rasterize the polygons in a window. Where they overlap, the smaller one is on top.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open.
        values : ndarray of uint8 [n]
            Value for each of ``names``, from 1.

        Returns
        -------
        ndarray of uint8 [y, x]
            Value of the polygon in which the center of a px lies, or 0.
        """
        shapes, values = self._touching(window, values)
        burnt = _burn(shapes, values, window)
        if len(np.unique(values)) > 1:
            self._shared += int(np.count_nonzero(burnt != _burn(shapes[::-1], values[::-1], window)))
        return burnt

    def sample(self, window: IntWindow, values: NDArray[np.uint8], step: int = 1) -> NDArray[np.uint8]:
        """Rasterize the polygons in every n-th px of a window, as ``burn`` does, without counting what they share.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open.
        values : ndarray of uint8 [n]
            Value for each of ``names``, from 1.
        step : int, optional
            Distance of the px, from the first of the window on.

        Returns
        -------
        ndarray of uint8 [y, x]
            Value of the polygon in which the center of a px lies, or 0.
        """
        return _burn(*self._touching(window, values), window, step)

    def _touching(self, window: IntWindow, values: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Return the polygons whose boxes touch a window, and their values."""
        import shapely

        y0, x0, y1, x1 = window
        chosen = np.sort(self._tree.query(shapely.box(x0, y0, x1, y1)))
        shapes = self._shapes[chosen]
        large = self._large[chosen]
        shapes[large] = shapely.intersection(shapes[large], shapely.box(x0 - 1, y0 - 1, x1 + 1, y1 + 1))
        kept = ~shapely.is_empty(shapes)
        return shapes[kept], values[self._name[chosen]][kept]

    def _compare(self, path: Path) -> list[str]:
        """List notes on polygons that lie outside, cross themselves, or are too thin."""
        import shapely

        shapes = self._shapes
        if not len(shapes):
            return []
        height, width = self._shape
        x0, y0, x1, y1 = shapely.bounds(shapes).T
        outside = (x1 <= 0) | (y1 <= 0) | (x0 >= width) | (y0 >= height)
        if outside.all():
            raise InputError(
                f"{path}: all its polygons ({len(shapes)}) lie outside the image of {height} x {width} px (height x "
                "width); give polygons of the same area."
            )
        beyond = np.max([-x0, -y0, x1 - width, y1 - height], axis=0)
        reach = ~outside & (beyond > EDGE_PX)
        crossing = ~self._valid
        thin = np.flatnonzero(~outside & (2 * shapely.area(shapes) < shapely.length(shapes)))
        counts = {
            "polygons outside the image": int(outside.sum()),
            "polygons that reach beyond the image, and are cut": int(reach.sum()),
            "polygons that cross themselves, and leave out what they cover twice": int(crossing.sum()),
            "polygons that hold the center of no px, and paint nothing": self._count_lost(thin),
        }
        return _sentences(counts)

    def _count_lost(self, thin: NDArray[np.int64]) -> int:
        """Count the polygons among the given ones that contain the center of no px."""
        import shapely

        x0, y0, x1, y1 = shapely.bounds(self._shapes[thin]).T
        left, top = np.ceil(x0 - 0.5).astype(np.int64), np.ceil(y0 - 0.5).astype(np.int64)
        across = np.maximum(np.floor(x1 - 0.5).astype(np.int64) - left + 1, 0)
        centers = across * np.maximum(np.floor(y1 - 0.5).astype(np.int64) - top + 1, 0)  # in the box
        few = (centers > 0) & (centers <= TRIED_CENTERS)
        owner = np.repeat(np.flatnonzero(few), centers[few])
        offset = np.arange(len(owner)) - np.repeat(np.cumsum(centers[few]) - centers[few], centers[few])
        x, y = left[owner] + offset % across[owner] + 0.5, top[owner] + offset // across[owner] + 0.5
        held = np.zeros(len(thin), bool)
        held[owner[shapely.intersects_xy(self._shapes[thin[owner]], x, y)]] = True
        for number in np.flatnonzero(centers > TRIED_CENTERS).tolist():
            low, high = np.floor([y0[number], x0[number]]), np.ceil([y1[number], x1[number]])
            window = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
            huge = (window[2] - window[0]) * (window[3] - window[1]) > TRIED_PX
            held[number] = huge or _burn(self._shapes[thin[number : number + 1]], np.ones(1, np.uint8), window).any()
        return int(np.count_nonzero(~held))


def polygon_classes(mapping: Path, classes: Sequence[str]) -> dict[int | str, str | None]:
    """Read the class that each number or name in a polygon file stands for.

    Parameters
    ----------
    mapping : Path
        See ``ClassMapping.read``. Names of classes in the polygon file may stand beside numbers.
    classes : sequence of str
        Names of the classes.

    Returns
    -------
    dict of int or str to str or None
        Class by number or name. None means that such polygons are left out.

    Raises
    ------
    InputError
        It is missing, is no mapping, or maps to a class that does not exist.
    """
    try:
        stated = json.loads(mapping.read_text("utf-8"))["values"]
        names = {key: name for key, name in stated.items() if not key.strip().lstrip("-").isdigit()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        names = {}
    if not names:
        values = ClassMapping.read(mapping, classes).values
        return {value: None if index == NO_CLASS else classes[index] for value, index in values.items()}
    found: dict[int | str, str | None] = {}
    for key, name in stated.items():
        (index,) = match_names([str(name)], classes).index
        if name is not None and index is None:
            listed = ", ".join(classes)
            raise InputError(f"{mapping}: maps to {name!r}, which is no class here; the classes are {listed}.")
        found[key if key in names else int(key)] = None if index is None or name is None else classes[index]
    return found


def _burn(shapes: NDArray[Any], values: NDArray[np.uint8], window: IntWindow, step: int = 1) -> NDArray[np.uint8]:
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    y0, x0, y1, x1 = window
    shape = (-(-(y1 - y0) // step), -(-(x1 - x0) // step))
    if not len(shapes) or not all(shape):
        return np.zeros(shape, np.uint8)
    before = (step - 1) / 2  # the center of each px is that of the first of the px it stands for
    burnt: NDArray[np.uint8] = rasterize(
        zip(shapes, values.tolist(), strict=True),
        shape,
        transform=Affine(step, 0, x0 - before, 0, step, y0 - before),
        dtype=np.uint8,
    )
    return burnt


def _sentences(counts: Mapping[str, int]) -> list[str]:
    return [f"{what}: {count:,}" for what, count in counts.items() if count]


def _placed(
    path: Path, found: FoundPolygons, shapes: NDArray[Any], georeference: Georeference | None, shape: tuple[int, int]
) -> tuple[NDArray[Any], list[str]]:
    """Move shapes to px of the image, with notes on how they were read where the file does not state it."""
    import shapely

    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise InputError(f"{path}: has coordinates that are no numbers; save it again.")
    if found.coordinates == "px" or not len(shapes):
        return shapes, []
    if georeference is None:
        if found.coordinates == "not said":
            return shapes, []
        raise InputError(f"{path}: its coordinates are on Earth, and the image is not georeferenced; give them in px.")
    if found.coordinates == "not said":
        return _guessed(path, shapes, Ground(georeference), shape)
    ground, crs = Ground(georeference), found.crs
    notes = []
    if crs is not None and crs != ground.crs and not ground.on_earth:
        crs = ground.crs  # the image states no place on Earth: other coordinates than its own cannot be meant
        notes.append("the image's coordinate system is local: their coordinates are taken to be in it")
    placed = _to_px(shapes, ground, crs, shape)
    if placed is None:
        raise InputError(
            f"{path}: some polygons lie where the image's coordinate system ({georeference.crs[:40]}) does not reach; "
            "correct the CRS that the file states, or save the polygons in that of the image."
        )
    if _look_like_px(shapes, shape) and not _inside(placed, shape):
        raise InputError(
            f"{path}: states a CRS in which its polygons reach beyond the image, and its coordinates look like px; "
            f"correct the CRS{'' if path.suffix.lower() in VECTORS else f', or {PX_ADVICE}'}."
        )
    return placed, notes


def _guessed(
    path: Path, shapes: NDArray[Any], ground: Ground, shape: tuple[int, int]
) -> tuple[NDArray[Any], list[str]]:
    """Infer the kind of coordinates from where they lie. See ``NamedPolygons``."""
    import shapely

    x0, y0, x1, y1 = shapely.total_bounds(shapes)
    degrees = x0 >= -360 and x1 <= 360 and y0 >= -90 and y1 <= 90
    lonlat = _to_px(shapes, ground, None, shape) if degrees else None
    px_too = _look_like_px(shapes, shape)
    if lonlat is not None and _near(lonlat, shape) and not px_too:
        return lonlat, ["no CRS is stated: read as longitude and latitude"]
    plain = None if ground.geographic else _to_px(shapes, ground, ground.crs, shape)
    in_px, in_crs = _near(shapes, shape), plain is not None and _near(plain, shape)
    coordinates = shapely.get_coordinates(shapes)
    whole = bool((np.rint(2 * coordinates) == 2 * coordinates).all())
    in_degrees = lonlat is not None and _near(lonlat, shape)
    if in_px and not in_crs and not in_degrees and (whole or not degrees):
        return shapes, ["no CRS is stated: read as px of the image"]
    if in_crs and not in_px and not in_degrees and plain is not None:
        return plain, ["no CRS is stated: read as coordinates in that of the image"]
    member = f'add the member "crs": {{"type": "name", "properties": {{"name": "EPSG:..."}}}}, or {PX_ADVICE}'
    raise InputError(
        f"{path}: states no CRS, and it is not clear what its coordinates are (x {x0:g} to {x1:g}, y {y0:g} to "
        f"{y1:g}); {'save it with its CRS' if path.suffix.lower() in VECTORS else member}."
    )


def _look_like_px(shapes: NDArray[Any], shape: tuple[int, int]) -> bool:
    """Return whether coordinates may be px: whole or half numbers, all inside the image."""
    import shapely

    coordinates = shapely.get_coordinates(shapes)
    return bool((np.rint(2 * coordinates) == 2 * coordinates).all()) and _inside(shapes, shape)


def _inside(shapes: NDArray[Any], shape: tuple[int, int]) -> bool:
    """Return whether all shapes lie inside the image."""
    import shapely

    x0, y0, x1, y1 = shapely.total_bounds(shapes)
    return bool(x0 >= -EDGE_PX and y0 >= -EDGE_PX and x1 <= shape[1] + EDGE_PX and y1 <= shape[0] + EDGE_PX)


def _near(shapes: NDArray[Any], shape: tuple[int, int]) -> bool:
    """Return whether some shapes lie on the image without being much larger than it."""
    import shapely

    height, width = shape
    x0, y0, x1, y1 = shapely.bounds(shapes).T
    on = (x1 > 0) & (y1 > 0) & (x0 < width) & (y0 < height)
    small = (x0 >= -width) & (y0 >= -height) & (x1 <= 2 * width) & (y1 <= 2 * height)
    return bool((on & small).any())


def _to_px(shapes: NDArray[Any], ground: Ground, crs: Any, shape: tuple[int, int]) -> NDArray[Any] | None:
    """Transform shapes from a CRS (None: longitude and latitude) to px of the image.

    Shapes that the image's CRS does not reach, and that have no vertex in the image, are put beside it. The result is
    None if it does not reach others, or none.
    """
    import shapely

    middle = ground.coordinates(np.array([[shape[1] / 2, shape[0] / 2]]))[0, 0]

    if ground.crs != (ground.lonlat_crs if crs is None else crs):
        shapes = _followed(shapes, lambda points: ground.pixels(points, crs), shape)
    coordinates, owner = shapely.get_coordinates(shapes, return_index=True)
    vertices = ground.pixels(coordinates, crs)
    beyond = np.zeros(len(shapes), bool)
    beyond[owner[~np.isfinite(vertices).all(axis=1)]] = True
    inside = ((vertices >= 0) & (vertices <= (shape[1], shape[0]))).all(axis=1)
    if beyond.all() or beyond[owner[inside]].any():
        return None
    there, owner = ~beyond[owner], owner[~beyond[owner]]
    vertices = vertices[there]
    if ground.turn is not None:
        # an image may reach over the antimeridian: each polygon goes where its middle is nearest to the image's
        own = ground.coordinates(vertices)
        means = np.bincount(owner, own[:, 0]) / np.maximum(np.bincount(owner), 1)
        own[:, 0] += ground.turn * np.rint((middle - means[owner]) / ground.turn)
        vertices = ground.pixels(own, ground.crs)
    placed: NDArray[Any] = np.full(len(shapes), shapely.box(-2, -2, -1, -1), object)
    placed[~beyond] = shapely.set_coordinates(shapes[~beyond], vertices)
    return placed


def _followed(
    shapes: NDArray[Any], to_px: Callable[[NDArray[np.float64]], NDArray[np.float64]], shape: tuple[int, int]
) -> NDArray[Any]:
    """Give long edges more vertices, so that they stay straight in the coordinates of the file.

    Edges far from the image stay as they are.
    """
    import shapely

    shapes = shapes.copy()
    left = np.arange(len(shapes))
    for _ in range(EDGE_ROUNDS):
        rings, owner = shapely.get_rings(shapes[left], return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        placed = to_px(points)
        with np.errstate(invalid="ignore"):  # what the image's CRS does not reach
            middle = (placed[1:] + placed[:-1]) / 2
            off = np.abs(to_px((points[1:] + points[:-1]) / 2) - middle).max(axis=1)
            reach = np.abs(placed[1:] - placed[:-1]).max(axis=1) + off
        near = ((middle > -reach[:, None]) & (middle < (shape[1], shape[0]) + reach[:, None])).all(axis=1)
        bent = (off > EDGE_OFF) & near & (ring[1:] == ring[:-1])
        if not bent.any():
            break
        left = left[np.unique(owner[ring[1:][bent]])]
        lengths = np.hypot(*(points[1:] - points[:-1])[bent].T)
        shapes[left] = shapely.segmentize(shapes[left], lengths.max() / 2)
    return shapes
