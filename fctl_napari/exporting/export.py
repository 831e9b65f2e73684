"""Export of a segmentation as a file for other programs, of any kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.exporting import coco, geotiff, labels, polygons
from fctl_napari.exporting.destination import check_path
from fctl_napari.exporting.extract import Exportable, Extract
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.exporting.pixel_size import position_words
from fctl_napari.exporting.qgis_style import write_style
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import take_georeference
from fctl_napari.windows import IntWindow

Kind = Literal["png", "tiff", "geojson", "gpkg", "coco", "ome-zarr"]

SUFFIXES: dict[str, Kind] = {
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".geojson": "geojson",
    ".gpkg": "gpkg",
    ".coco.json": "coco",
    ".zarr": "ome-zarr",
}
"""Kinds of export by the end of the name. ``.json`` may be COCO or GeoJSON."""

SIMPLIFIED_KINDS: tuple[Kind, ...] = ("geojson", "gpkg")
"""Kinds whose outlines may be simplified."""

POLYGON_KINDS: tuple[Kind, ...] = ("geojson", "gpkg", "coco")
"""Kinds made of regions, of which small ones may be left out."""


STYLED_KINDS: tuple[Kind, ...] = ("tiff", "geojson", "gpkg")
"""Kinds beside which a style for QGIS is written."""


def export(
    segmentation: Exportable,
    out: Path | str,
    *,
    kind: Kind | None = None,
    region: IntWindow | None = None,
    simplify: float | None = None,
    min_area: int = 0,
    losses: ExportLosses | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the classes of a segmentation for other programs.

    Pixels that were not computed are left out (no class, 255). Classes have the colors in which they are shown. The
    file is written whole or not at all, and replaces an earlier export at its path. A style for QGIS lies beside
    GeoTIFF, GeoJSON and GeoPackage, see ``write_style``. Memory does not grow with the image's height, but polygons
    that cross from strip to strip are kept until they are whole.

    Parameters
    ----------
    segmentation : Exportable
        An opened store; corrections, of which px that are not sure have no class either; a final map; a provenance.
    out : Path or str
        Path of the export. The end of the name selects the kind:

        - ``.png``: class indices in grayscale, uint8.
        - ``.tif``, ``.tiff``: class indices with the classes' colors as color table; a cloud-optimized GeoTIFF with CRS
          and transform where the image has them, its overviews the most frequent classes, never means.
        - ``.geojson``: 4-connected regions as polygons with class, index, color and area; WGS 84 longitude and
          latitude (RFC 7946), or px (x right, y down) where the image is not georeferenced.
        - ``.gpkg``: the same as a GeoPackage in the image's CRS.
        - ``.coco.json``: the same as COCO annotations, px of the whole image; a polygon, or where there are holes
          uncompressed runs.
        - ``.zarr``, or ``IMAGE.ome.zarr/labels/NAME``: an OME-Zarr 0.5 label image, k + 1 for class k.
    kind : Kind or None, optional
        Kind of export, for names that do not select it (``.json``).
    region : IntWindow or None, optional
        (y0, x0, y1, x1) px: only this part is written. Rasters are cut to it, an OME-Zarr keeps the image's size.
    simplify : float or None, optional
        Tolerance by which outlines of GeoJSON and GeoPackage are simplified, px (vertices go whose removal changes up
        to about its square in area). Borders that regions share stay shared. By default outlines follow the edges of
        px.
    min_area : int, optional
        For polygons and COCO: regions of fewer px are left out.
    losses : ExportLosses or None, optional
        Counts of what polygons leave out; they are filled in.
    progress : callable, optional
        Called as ``progress(done, total)``; may raise ``Cancelled``.

    Returns
    -------
    Path
        The file or folder.

    Raises
    ------
    OutputError
        The name does not select the kind, or is taken by something else; an option does not fit the kind; a library is
        missing; the disk is full, or the folder is not writable.
    InputError
        The region holds no pixel, the CRS is unknown, or the user's file of colors is damaged.
    """
    out = Path(out)
    kind = check_export(out, kind, simplify=simplify, min_area=min_area)
    take_georeference(segmentation.facts, segmentation.path)  # the image may have a new one since
    extract = Extract.of(segmentation, region)
    losses = ExportLosses() if losses is None else losses
    losses.min_area, losses.simplify, losses.position = min_area, simplify, position_words(segmentation)
    losses.uncomputed, losses.tiles = segmentation.uncomputed_in(extract.window)
    if kind == "coco":
        coco.write_coco(extract, out, min_area=min_area, losses=losses, progress=progress)
    elif kind == "geojson":
        polygons.write_geojson(extract, out, losses=losses, progress=progress)
    elif kind == "gpkg":
        polygons.write_geopackage(extract, out, losses=losses, progress=progress)
    else:
        writers: dict[Kind, Callable[[Extract, Path, Progress | None], None]] = {
            "png": geotiff.write_png,
            "tiff": geotiff.write_tiff,
            "ome-zarr": labels.write_labels,
        }
        writers[kind](extract, out, progress)
    if kind in STYLED_KINDS:
        losses.style = write_style(out, extract.class_table, polygons=kind in POLYGON_KINDS)
    return out


def check_export(out: Path, kind: Kind | None = None, *, simplify: float | None = None, min_area: int = 0) -> Kind:
    """Refuse, before any work starts, a path or options of ``export`` that do not fit.

    Parameters
    ----------
    out : Path
        Path of the export.
    kind : Kind or None, optional
        Kind of export. None takes it from the name.
    simplify : float or None, optional
        Tolerance by which outlines are simplified, px.
    min_area : int, optional
        Least area of a region, px.

    Returns
    -------
    Kind
        Kind of export.

    Raises
    ------
    OutputError
        The name does not select the kind, or is taken by something else; or an option does not fit the kind.
    InputError
        ``simplify`` is no length.
    """
    if kind is None:
        kind = kind_of(out)
    elif not (out.name.lower().endswith(".json") or kind_of(out) == kind):
        raise OutputError(
            f"{out}: is {kind_of(out)} by its name, not {kind}; leave --kind out (in Python: kind), or change the name."
        )
    if simplify is not None and kind not in SIMPLIFIED_KINDS:
        raise OutputError(
            f"{out}: only GeoJSON and GeoPackage polygons are simplified; leave --simplify out (in Python: simplify)."
        )
    if simplify is not None and not 0 < simplify < math.inf:
        raise InputError(
            f"--simplify {simplify:g} is no length to simplify by; give px greater than 0 (in Python: simplify)."
        )
    if min_area and kind not in POLYGON_KINDS:
        raise OutputError(f"{out}: has no regions that could be too small; leave --min-area out (in Python: min_area).")
    check_path(out)
    return kind


def kind_of(out: Path) -> Kind:
    """Return the kind of export that a name selects.

    Parameters
    ----------
    out : Path
        Path of the export.

    Returns
    -------
    Kind
        Kind of export.

    Raises
    ------
    OutputError
        The name selects none, or is ambiguous.
    """
    name = out.name.lower()
    for suffix, kind in SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    if name.endswith(".json"):
        raise OutputError(
            f"{out}: may be COCO or GeoJSON; say --kind coco or --kind geojson (in Python: "
            'kind="coco" or kind="geojson").'
        )
    if labels.image_of(out) is not None:
        return "ome-zarr"
    raise OutputError(
        f"{out}: is no kind of export; end the name in .png, .tif, .geojson, .gpkg, .coco.json or .ome.zarr."
    )
