"""Georeferences of images, read from GeoTIFF tags, with rasterio where it is installed."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from fctl_napari.words import count_of

_USER_DEFINED = 32767
_UNITS = {9001: "meter", 9002: "foot", 9003: "foot", 9036: "kilometer"}
_METRES = {"meter": 1.0, "foot": 0.3048, "kilometer": 1000.0}
_POINT = 2

MOST_OFF = 0.5
"""Largest error of an affine transform that replaces ground control points, px."""

UNKNOWN_CRS = 'LOCAL_CS["unknown"]'
"""CRS of coordinates of which only the transform is known."""

_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
_PLACING_TAGS = (*_GEO_TAGS, 50844)


@dataclass(frozen=True)
class Georeference:
    """The position of an image on Earth.

    Attributes
    ----------
    crs : str
        Coordinate reference system, as ``"EPSG:n"`` or WKT.
    transform : tuple of 6 float
        (a, b, c, d, e, f), in the order of rasterio and affine: the corner of the px in column ``x`` and row ``y``
        of level 0 lies at (a x + b y + c, d x + e y + f).
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Size of a px, (y, x), in the unit of the coordinates."""
        a, b, _, d, e, _ = self.transform
        return float(np.hypot(b, e)), float(np.hypot(a, d))

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Georeference:
        """Rebuild a georeference from its fields as read from JSON, where tuples are lists.

        Parameters
        ----------
        fields : mapping of str to object
            ``crs`` and ``transform``.

        Returns
        -------
        Georeference
            Georeference with these fields.
        """
        a, b, c, d, e, f = fields["transform"]
        return cls(fields["crs"], (a, b, c, d, e, f))


@dataclass(frozen=True)
class Placement:
    """Position of an image, as its file and the files beside it state it.

    Attributes
    ----------
    georeference : Georeference or None
        Georeference of level 0, if there is one.
    unit : str or None
        Unit of its coordinates: ``"meter"``, ``"foot"`` (of both kinds) or ``"kilometer"``. None for degrees, others,
        and where it is not known.
    notes : tuple of str
        What is not used of it, as ends of sentences about the file.
    """

    georeference: Georeference | None = None
    unit: str | None = None
    notes: tuple[str, ...] = ()


def tiff_placement(path: Path | str, file: Any, page: Any = None) -> Placement:
    """Read the position of a TIFF.

    Parameters
    ----------
    path : Path or str
        File, or its address.
    file : tifffile.TiffFile
        The same file, opened. Without rasterio the tags are read from it.
    page : tifffile.TiffPage or None, optional
        First page of another image than the first, to which files beside it do not belong.

    Returns
    -------
    Placement
        Position of the image.
    """
    if page is not None:
        if not any(tag in page.tags for tag in _GEO_TAGS):
            return Placement()
        placement = file_placement(_tags_alone(page)) if has_rasterio() else None
        return placement or Placement(*from_tags(page.geotiff_tags or {}))
    if not (any(tag in file.pages.first.tags for tag in _PLACING_TAGS) or has_sidecar(path)):
        return Placement()
    if not has_rasterio():
        return Placement(*from_tags(file.geotiff_metadata or {})) if file.is_geotiff else Placement()
    placement = None
    if not isinstance(path, str):
        placement = file_placement(path)
    elif file.is_geotiff:
        placement = file_placement(_tags_alone(file.pages[0]))
    else:
        return Placement()
    if placement is None:
        logging.getLogger(__name__).warning("%s: GDAL cannot open it; its tags are read instead", path)
        return Placement(*from_tags(file.geotiff_metadata or {})) if file.is_geotiff else Placement()
    return placement


def has_rasterio() -> bool:
    """Return whether rasterio can be imported."""
    try:
        import rasterio  # noqa: F401
    except ImportError:
        return False
    return True


def has_sidecar(path: Path | str) -> bool:
    """Return whether there is a file beside an image that may place it.

    Parameters
    ----------
    path : Path or str
        Image file, or its address.

    Returns
    -------
    bool
        True for a world file, an ``.aux.xml`` and the coefficients of a sensor model.
    """
    if isinstance(path, str):
        return False
    extension = path.suffix.lstrip(".")
    short = f"{extension[:1]}{extension[-1:]}w"
    # Each name is looked up: to list the folder would take long among thousands of images.
    beside = [path.with_suffix(f".{one}") for name in (short, f"{extension}w", "wld", "rpb") for one in _cases(name)]
    beside += [path.with_name(f"{path.name}{one}") for one in (".aux.xml", ".AUX.XML")]
    beside += [path.with_name(f"{path.stem}{one}") for one in ("_RPC.TXT", "_rpc.txt")]
    return any(one.is_file() for one in beside)


def _cases(name: str) -> tuple[str, str]:
    return name.lower(), name.upper()


def file_placement(source: Path | io.BytesIO) -> Placement | None:
    """Read the position of a raster from its file and the world file or ``.aux.xml`` beside it, with rasterio.

    Parameters
    ----------
    source : Path or BytesIO
        File.

    Returns
    -------
    Placement or None
        Position. None if GDAL cannot open the file.
    """
    import rasterio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(source) as dataset:
                return dataset_placement(dataset)
    except rasterio.errors.RasterioIOError:
        return None


def picture_placement(path: Path) -> Placement:
    """Read the position of a PNG or JPEG from the files beside it.

    Parameters
    ----------
    path : Path
        PNG or JPEG.

    Returns
    -------
    Placement
        Position. None is known where nothing stands beside it, and without rasterio.
    """
    return (file_placement(path) if has_sidecar(path) and has_rasterio() else None) or Placement()


def dataset_placement(dataset: Any) -> Placement:
    """Read the position of an opened raster.

    Ground control points are used where an affine transform fits them to half a px. A transform without a CRS, of a
    world file, say, is taken to be in coordinates of its own.

    Parameters
    ----------
    dataset : rasterio.DatasetReader
        Raster.

    Returns
    -------
    Placement
        Position.
    """
    notes = []
    crs, transform = dataset.crs, dataset.transform
    points, points_crs = dataset.gcps
    if transform.is_identity and points:
        fitted, off = _fit(points)
        if off > MOST_OFF:
            notes.append(
                f"its {count_of(len(points), 'ground control point')} fit no straight grid (off by up to {off:.2g} px) "
                "and are not used; warp it first (gdalwarp, say)"
            )
        else:
            crs, transform = points_crs, fitted
    if transform.is_identity and dataset.rpcs is not None:
        notes.append("its rational polynomial coefficients (RPC) are not applied; orthorectify it first to place it")
    if transform.is_identity:
        return Placement(notes=tuple(notes))
    if not crs:
        return Placement(Georeference(UNKNOWN_CRS, tuple(transform)[:6]), None, tuple(notes))
    unit = _unit(crs.linear_units_factor[1]) if crs.is_projected else None
    return Placement(Georeference(crs_text(crs), tuple(transform)[:6]), unit, tuple(notes))


def _fit(points: Sequence[Any]) -> tuple[Any, float]:
    """Fit an affine transform to ground control points, and return it with its largest error, px."""
    from rasterio.transform import Affine

    pixels = np.array([(point.col, point.row, 1.0) for point in points])
    located = np.array([(point.x, point.y) for point in points])
    if len(points) < 3 or np.linalg.matrix_rank(pixels) < 3:
        return Affine.identity(), np.inf
    center = located.mean(0)  # large coordinates cost digits
    matrix = np.linalg.lstsq(pixels, located - center, rcond=None)[0]
    (a, d), (b, e), (c, f) = matrix
    if abs(a * e - b * d) == 0:
        return Affine.identity(), np.inf
    errors = (located - center - pixels @ matrix) @ np.linalg.inv(matrix[:2])
    return Affine(a, b, c + center[0], d, e, f + center[1]), float(np.hypot(*errors.T).max())


def _unit(metres: float) -> str | None:
    """Return the unit of a length. A foot of the US survey is longer than others by two millionths."""
    return next((unit for unit, length in _METRES.items() if abs(metres / length - 1) < 1e-5), None)


def _tags_alone(page: Any) -> io.BytesIO:
    """Make a TIFF of one px with the tags of a page, so that GDAL need not fetch the file too."""
    tags = [(tag.code, tag.dtype, tag.count, tag.value, True) for tag in page.tags if tag.code in _GEO_TAGS]
    copy = io.BytesIO()
    tifffile.imwrite(copy, np.zeros((1, 1), np.uint8), metadata=None, extratags=tags)
    copy.seek(0)
    return copy


def crs_text(crs: Any) -> str:
    """Return a coordinate reference system as text.

    Parameters
    ----------
    crs : rasterio.crs.CRS
        The CRS.

    Returns
    -------
    str
        ``"EPSG:n"`` if it is exactly that one, else WKT.
    """
    from rasterio.crs import CRS

    code = crs.to_epsg()
    # to_epsg() accepts a likely match.
    return f"EPSG:{code}" if code is not None and CRS.from_epsg(code) == crs else str(crs.to_wkt())


def from_tags(tags: dict[str, Any]) -> tuple[Georeference | None, str | None]:
    """Make a georeference from GeoTIFF tags.

    Parameters
    ----------
    tags : dict of str to object
        Tags as tifffile reads them.

    Returns
    -------
    georeference : Georeference or None
        Georeference, if the tags state one.
    unit : str or None
        Unit of its coordinates: ``"meter"``, ``"foot"`` (of both kinds) or ``"kilometer"``. None for degrees, others,
        and where it is not known.
    """
    code = tags.get("ProjectedCSTypeGeoKey", tags.get("GeographicTypeGeoKey"))
    if code is None or int(code) == _USER_DEFINED:
        return None, None
    if "ModelTransformation" in tags:
        matrix = [float(value) for row in tags["ModelTransformation"] for value in _as_row(row)]
        a, b, c, d, e, f = matrix[0], matrix[1], matrix[3], matrix[4], matrix[5], matrix[7]
    elif "ModelPixelScale" in tags and "ModelTiepoint" in tags:
        x_size, y_size = map(float, tags["ModelPixelScale"][:2])
        column, row, _, x, y = map(float, tags["ModelTiepoint"][:5])
        a, b, c, d, e, f = x_size, 0.0, x - column * x_size, 0.0, -y_size, y + row * y_size
    else:
        return None, None
    if int(tags.get("GTRasterTypeGeoKey", 1)) == _POINT:
        # Coordinates refer to the center of a px, not to its corner.
        c, f = c - (a + b) / 2, f - (d + e) / 2
    # Without the key it is the unit of the CRS, which may be feet, and which rasterio knows.
    stated = "ProjectedCSTypeGeoKey" in tags and "ProjLinearUnitsGeoKey" in tags
    unit = _UNITS.get(int(tags["ProjLinearUnitsGeoKey"])) if stated else None
    return Georeference(f"EPSG:{int(code)}", (a, b, c, d, e, f)), unit


def _as_row(row: Any) -> list[float]:
    return list(row) if hasattr(row, "__len__") else [row]
