"""Export of maps for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from fctl_napari.api.checked import AnyWindow, checked
from fctl_napari.api.forms import Length, Number, OutPath
from fctl_napari.api.maps import Map
from fctl_napari.api.progress import Shown, progress_bar
from fctl_napari.correcting.correction_store import is_corrections
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.files import export_corrections
from fctl_napari.correcting.provenance import Provenance, check_provenance_path
from fctl_napari.exceptions import InputError
from fctl_napari.exporting.export import export as write
from fctl_napari.exporting.losses import ExportLosses


@checked
def export(
    source: Map | Corrections | Path | str,
    out: OutPath,
    *,
    kind: Literal["coco", "geojson", "provenance"] | None = None,
    region: AnyWindow | None = None,
    simplify: Length | None = None,
    min_area: Number = 0,
    losses: ExportLosses | None = None,
    progress: Shown = True,
) -> Path:
    """Write a map for other programs, as the end of the name says.

    Parameters
    ----------
    source : Map, Corrections, Path or str
        What is written: a map, or corrections, whose px that are not sure have no class.
    out : Path or str
        ``.tif`` and ``.png``: class indices, 255 where there is none. ``.gpkg``, ``.geojson``: polygons.
        ``.coco.json``: annotations. ``.ome.zarr``: labels. A style for QGIS lies beside ``.tif``, ``.gpkg`` and
        ``.geojson``. An earlier export is replaced, another file never. Folders that are missing are made.
    kind : {"coco", "geojson", "provenance"} or None, optional
        What a file that ends in ``.json`` is; or ``"provenance"``: who said the class of each px, as a raster.
    region : tuple of 4 int or None, optional
        (y0, x0, y1, x1) px: only this part.
    simplify : float or None, optional
        Simplify polygons by about so many px. Neighbors keep their common border.
    min_area : int, optional
        Polygons of fewer px are left out.
    losses : ExportLosses or None, optional
        Counts of what polygons leave out; they are filled in.
    progress : bool or callable, optional
        Whether a bar is shown, or what takes the counts.

    Returns
    -------
    Path
        The file or folder.

    Raises
    ------
    InputError
        The region holds no px, or the CRS is unknown.
    OutputError
        The name does not say how, an option does not go with it, or it cannot be written.

    Examples
    --------
    >>> import fctl_napari as fctl
    >>> scene = fctl.sample("data")
    >>> land = fctl.segment(scene, "earth", region=(500, 2700, 900, 3100))
    >>> fctl.export(land, "land.geojson", min_area=4).name
    'land.geojson'
    """
    out = Path(out)
    if kind == "provenance":
        check_provenance_path(out)
    if isinstance(source, Path | str):
        source = Corrections.open(source) if is_corrections(Path(source)) else Map(source)
    with progress_bar("Exporting", progress) as report:
        how: Any = {"region": region, "simplify": simplify, "min_area": min_area, "losses": losses, "progress": report}
        if isinstance(source, Map):
            if kind == "provenance":
                return write(Provenance(source.source), out, **how)
            return write(source.source, out, kind=kind, **how)
        if kind == "provenance":
            raise InputError(f"{source.path}: holds corrections, and provenance is of a map; give the map.")
        return export_corrections(source, out, kind=kind, **how)
