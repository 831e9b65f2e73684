"""A segmentation as a file for other programs: the kinds there are, and the one door to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from fctl_napari.errors import InputError, OutputError
from fctl_napari.export import coco, geotiff, labels, polygons
from fctl_napari.export.destination import check_path
from fctl_napari.export.extract import Exportable, Extract, Report
from fctl_napari.export.losses import ExportLosses
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
"""What the end of a name says. ``.json`` may be COCO or GeoJSON."""

SIMPLIFIED_KINDS: tuple[Kind, ...] = ("geojson", "gpkg")
"""The kinds whose outlines may be simplified."""

POLYGON_KINDS: tuple[Kind, ...] = ("geojson", "gpkg", "coco")
"""The kinds made of regions, which may be too small to be wanted."""


def export(
    segmentation: Exportable,
    out: Path | str,
    *,
    kind: Kind | None = None,
    region: IntWindow | None = None,
    simplify: float | None = None,
    min_area: int = 0,
    losses: ExportLosses | None = None,
    progress: Report | None = None,
) -> Path:
    """Write the classes of a segmentation for other programs. What was not computed is left out (no class, 255).

    It is there whole or not at all, and an earlier export in its place is replaced. Memory does not grow with the
    image's height; polygons that cross from strip to strip are kept until they are whole.

    Parameters
    ----------
    segmentation
        An opened store, or corrections: px that are not sure have no class either.
    out
        The end of the name says the kind:

        ``.png``: class indices in greyscale, uint8.
        ``.tif``, ``.tiff``: class indices with the classes' colours as colour table; a cloud-optimised GeoTIFF with
        CRS and transform where the image has them, its overviews the most frequent classes, never means.
        ``.geojson``: 4-connected regions as polygons with class, index, colour and area; WGS 84 longitude and latitude
        (RFC 7946), or px (x right, y down) where the image is not georeferenced.
        ``.gpkg``: the same as a GeoPackage in the image's CRS.
        ``.coco.json``: the same as COCO annotations, px of the whole image; a polygon, or where there are holes
        uncompressed runs.
        ``.zarr``, or ``IMAGE.ome.zarr/labels/NAME``: an OME-Zarr 0.5 label image, k + 1 for class k.
    kind
        For names that do not say it (``.json``).
    region
        (y0, x0, y1, x1) px: only this part. Rasters are cut to it, an OME-Zarr keeps the image's size.
    simplify
        For GeoJSON and GeoPackage: simplify outlines, px (vertices go whose removal changes up to about its square in
        area); borders that regions share stay shared. By default they follow the edges of px.
    min_area
        For polygons and COCO: leave out regions of fewer px.
    losses
        Takes up what polygons leave out.
    progress
        Called as ``progress(done, total)``; may raise ``Cancelled``.

    Returns
    -------
    Path
        The file or folder.

    Raises
    ------
    OutputError
        The name does not say the kind, or is taken by something else; an option does not fit the kind; a library is
        missing; the disk is full, or the place is not writable.
    InputError
        The region holds no pixel, or the CRS is unknown.
    """
    out = Path(out)
    kind = check_export(out, kind, simplify=simplify, min_area=min_area)
    take_georeference(segmentation.facts, segmentation.path)  # it may have been mended since
    extract = Extract.of(segmentation, region)
    losses = ExportLosses() if losses is None else losses
    losses.min_area, losses.simplify = min_area, simplify
    if kind == "coco":
        coco.write_coco(extract, out, min_area=min_area, losses=losses, progress=progress)
    elif kind == "geojson":
        polygons.write_geojson(extract, out, losses=losses, progress=progress)
    elif kind == "gpkg":
        polygons.write_geopackage(extract, out, losses=losses, progress=progress)
    else:
        writers: dict[Kind, Callable[[Extract, Path, Report | None], None]] = {
            "png": geotiff.write_png,
            "tiff": geotiff.write_tiff,
            "ome-zarr": labels.write_labels,
        }
        writers[kind](extract, out, progress)
    return out


def check_export(out: Path, kind: Kind | None = None, *, simplify: float | None = None, min_area: int = 0) -> Kind:
    """Refuse, before any work starts, a place or options that do not fit; see ``export``.

    Returns
    -------
    Kind
        What it will be.

    Raises
    ------
    OutputError
        The name does not say the kind, or is taken by something else; or an option does not fit the kind.
    InputError
        ``simplify`` is no length.
    """
    if kind is None:
        kind = kind_of(out)
    elif not (out.name.lower().endswith(".json") or kind_of(out) == kind):
        raise OutputError(f"{out}: is {kind_of(out)} by its name, not {kind}; leave --kind out, or change the name.")
    if simplify is not None and kind not in SIMPLIFIED_KINDS:
        raise OutputError(f"{out}: only GeoJSON and GeoPackage polygons are simplified; leave --simplify out.")
    if simplify is not None and not 0 < simplify < math.inf:
        raise InputError(f"--simplify {simplify:g} is no length to simplify by; give px greater than 0.")
    if min_area and kind not in POLYGON_KINDS:
        raise OutputError(f"{out}: has no regions that could be too small; leave --min-area out.")
    check_path(out)
    return kind


def kind_of(out: Path) -> Kind:
    """Tell what the name of an export says it is.

    Raises
    ------
    OutputError
        It says nothing, or too little.
    """
    name = out.name.lower()
    for suffix, kind in SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    if name.endswith(".json"):
        raise OutputError(f"{out}: may be COCO or GeoJSON; say --kind coco or --kind geojson.")
    if labels.image_of(out) is not None:
        return "ome-zarr"
    raise OutputError(
        f"{out}: is no kind of export; end the name in .png, .tif, .geojson, .gpkg, .coco.json or .ome.zarr."
    )
