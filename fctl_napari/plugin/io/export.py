"""Export of a segmentation: its inputs, and its work for a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fctl_napari.correcting.final_map import find_final_map
from fctl_napari.correcting.provenance import Provenance
from fctl_napari.exporting.export import export
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow

What = Literal["final map", "prediction", "provenance"]
"""What an export writes."""

FILTERS = (
    "GeoTIFF, TIFF (*.tif)",
    "GeoPackage polygons (*.gpkg)",
    "GeoJSON polygons (*.geojson)",
    "COCO annotations (*.coco.json)",
    "OME-Zarr labels (*.ome.zarr)",
    "PNG of class indices (*.png)",
    "Report, a page (*.html)",
    "Report, PDF (*.pdf)",
)
"""Kinds of files that the tab Export writes, for the dialog of the path."""


@dataclass(frozen=True)
class ExportInputs:
    """Inputs of an export.

    See ``fctl_napari.exporting.export.export``.

    Attributes
    ----------
    store : str
        Path of the segmentation's store.
    out : Path
        Path of the file to write; its suffix gives the format.
    region : IntWindow or None
        (y0, x0, y1, x1) px. None means the whole image.
    simplify : float or None
        Tolerance of simplified polygons, px. None means exact polygons.
    min_area : int
        Number of px of the smallest region that is written.
    what : {"final map", "prediction", "provenance"}
        What is written: the prediction with the corrections of the image, the prediction alone, or who said each px.
    """

    store: str
    out: Path
    region: IntWindow | None = None
    simplify: float | None = None
    min_area: int = 0
    what: What = "final map"


def export_work(inputs: ExportInputs) -> Callable[[Progress], str]:
    """Return the work of an export, which is done in a thread.

    Parameters
    ----------
    inputs : ExportInputs
        The inputs.

    Returns
    -------
    callable
        Function ``work(progress)`` that exports and returns a sentence about it. A former file stays if it is stopped.
    """

    def work(progress: Progress) -> str:
        losses = ExportLosses()
        segmentation = Segmentation.open(inputs.store)
        final = None if inputs.what == "prediction" else find_final_map(segmentation)
        chosen = final or segmentation
        path = export(
            Provenance(chosen) if inputs.what == "provenance" else chosen,
            inputs.out,
            region=inputs.region,
            simplify=inputs.simplify,
            min_area=inputs.min_area,
            losses=losses,
            progress=progress,
        )
        with_corrections = "" if final is None else f", with {final.counts()['corrected']:,} corrected px"
        return "; ".join([f"{path}: is exported{with_corrections}", *losses.sentences()]) + "."

    return work
