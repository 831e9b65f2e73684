"""Regions as polygons: GeoJSON in longitude and latitude, GeoPackage in the image's CRS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.exporting.destination import JSON_MARK, SOFTWARE, replacing, require
from fctl_napari.exporting.extract import Extract
from fctl_napari.exporting.lonlat import OnEarth, lonlat_polygons
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.exporting.outlines import NO_OUTLINES, Outlines, trace
from fctl_napari.files import atomic_write
from fctl_napari.imagery.geodesy.areas import ring_areas, square_metres
from fctl_napari.imagery.geodesy.ground import Ground
from fctl_napari.imagery.labels.polygon_files import PX_COORDINATES
from fctl_napari.progress import Progress

LARGE = 20_000
"""Number of vertices above which a polygon's text is not made at once."""

NO_CRS = 'LOCAL_CS["Undefined Cartesian SRS"]'
"""CRS in a GeoPackage whose coordinates are px."""


def write_geojson(extract: Extract, out: Path, *, losses: ExportLosses, progress: Progress | None) -> None:
    """Write regions as GeoJSON, one feature after the other, as ``export`` describes.

    Parameters
    ----------
    extract : Extract
        Classes to write.
    out : Path
        Path of the file.
    losses : ExportLosses
        Counts of what is left out; its ``min_area`` and ``simplify`` decide.
    progress : Progress or None
        Called as ``progress(done, total)`` with counts of rows; None for no progress.

    Raises
    ------
    OutputError
        A library is missing, the disk is full, or the folder is not writable.
    InputError
        The CRS is unknown, or local.
    """
    require(out, "GeoJSON files", "rasterio", "shapely")
    import rasterio
    import shapely

    with rasterio.Env(), atomic_write(out, "w") as file:  # in an Env GDAL's errors become exceptions
        ground = _ground(extract)
        if ground is not None and not ground.on_earth:
            raise InputError(
                f"{out}: GeoJSON is in longitude and latitude, which the image's local coordinate system does not have "
                f"({ground.crs.to_wkt()[:60]}...); export .gpkg, which keeps its coordinates."
            )
        if ground is not None:
            extract = OnEarth(extract.segmentation, extract.window, ground, losses)
        file.write(f'{{"type": "FeatureCollection", {JSON_MARK}, "name": {json.dumps(out.stem)}')
        if ground is None:
            file.write(f', "coordinates": {json.dumps(PX_COORDINATES)}')
        file.write(', "features": [')
        separator = "\n"
        for outlines in _regions(extract, ground, losses, progress):
            shapes = (
                outlines.polygons() if ground is None else lonlat_polygons(outlines, ground, extract.segmentation.shape)
            )
            columns = _columns(extract, ground, outlines)
            rows = zip(*(column.tolist() for column in columns.values()), strict=True)
            small = shapes.copy()
            small[shapely.get_num_coordinates(shapes) > LARGE] = None
            texts = shapely.to_geojson(small)
            for row, geometry, text in zip(rows, shapes, texts, strict=True):
                properties = json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False)
                file.write(f'{separator}{{"type": "Feature", "properties": {properties}, "geometry": ')
                if text is None:
                    _write_geometry(file, geometry)
                else:
                    file.write(text)
                file.write("}")
                separator = ",\n"
        file.write("\n]}\n")


def _write_geometry(file: IO[str], geometry: Any) -> None:
    """Write a polygon or a multipolygon ring by ring, because one text would take many times its memory."""
    import shapely

    file.write(f'{{"type": "{geometry.geom_type}", "coordinates": ')
    parts = shapely.get_parts(geometry)
    file.write("[" if geometry.geom_type == "MultiPolygon" else "")
    for number, polygon in enumerate(parts):
        separator = "[" if number == 0 else ", ["
        for ring in shapely.get_rings(polygon):
            file.write(separator + json.dumps(shapely.get_coordinates(ring).tolist()))
            separator = ", "
        file.write("]")
    file.write("]" if geometry.geom_type == "MultiPolygon" else "")
    file.write("}")


def write_geopackage(extract: Extract, out: Path, *, losses: ExportLosses, progress: Progress | None) -> None:
    """Write regions as a layer of polygons, a batch at a time, as ``export`` describes.

    Parameters
    ----------
    extract : Extract
        Classes to write.
    out : Path
        Path of the file.
    losses : ExportLosses
        Counts of what is left out; its ``min_area`` and ``simplify`` decide.
    progress : Progress or None
        Called as ``progress(done, total)`` with counts of rows; None for no progress.

    Raises
    ------
    OutputError
        A library is missing, the disk is full, or the folder is not writable.
    InputError
        The CRS is unknown.
    """
    require(out, "GeoPackage files", "rasterio", "shapely", "pyogrio")
    import rasterio
    import shapely
    from pyogrio.raw import write

    with rasterio.Env(), replacing(out) as temporary:
        ground = _ground(extract)
        options: dict[str, Any] = {
            "layer": out.stem,
            "driver": "GPKG",
            "geometry_type": "Polygon",
            "crs": NO_CRS if ground is None else ground.crs.to_wkt(),
        }
        # The layer is made even if it has no polygon.
        columns = _columns(extract, ground, NO_OUTLINES)
        write(
            str(temporary),
            np.empty(0, object),
            list(columns.values()),
            list(columns),
            dataset_metadata={"SOFTWARE": SOFTWARE},
            **options,
        )
        for outlines in _regions(extract, ground, losses, progress):
            coordinates = outlines.vertices if ground is None else ground.coordinates(outlines.vertices)
            columns = _columns(extract, ground, outlines)
            polygons = shapely.to_wkb(outlines.polygons(coordinates))
            write(str(temporary), polygons, list(columns.values()), list(columns), append=True, **options)


def _ground(extract: Extract) -> Ground | None:
    """Return the position of the image on the ground.

    Vertices are px of the whole image, also of a part of it.
    """
    georeference = extract.segmentation.georeference
    return None if georeference is None else Ground(georeference)


def _regions(
    extract: Extract, ground: Ground | None, losses: ExportLosses, progress: Progress | None
) -> Iterator[Outlines]:
    measure = partial(ring_areas, ground) if ground is not None and ground.geographic else None
    for outlines in trace(
        extract, simplify=losses.simplify, measure=measure, simplified=losses.count_moved, progress=progress
    ):
        chosen = outlines.select(losses.large_enough(outlines.pixels))
        if len(chosen):
            yield chosen


def _columns(extract: Extract, ground: Ground | None, outlines: Outlines) -> dict[str, NDArray[Any]]:
    """Return the columns of the regions: the class, and the area of its px (also where the polygon is simplified)."""
    table = extract.class_table
    colors = ["#{:02x}{:02x}{:02x}".format(*info.color) for info in table]
    columns = {
        "class": np.array([info.name for info in table], object)[outlines.classes],
        "index": outlines.classes.astype(np.int32),
        "color": np.array(colors, object)[outlines.classes],
        "area_px": outlines.pixels,
    }
    if ground is not None and ground.geographic:
        columns["area_m2"] = outlines.square_metres
    elif ground is not None and (per_pixel := square_metres(ground)) is not None:
        columns["area_m2"] = outlines.pixels * per_pixel
    return columns
