"""Export of a segmentation in a thread, and napari's writer of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import napari

from fctl_napari.corrections.final_map import find_final_map
from fctl_napari.corrections.provenance import Provenance
from fctl_napari.errors import InputError
from fctl_napari.export.export import check_export, export
from fctl_napari.export.losses import ExportLosses
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.common.notify import report, say
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
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

    See ``fctl_napari.export.export.export``.

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


def start_export(inputs: ExportInputs) -> Job:
    """Export in a thread, with a bar in napari's activity dock.

    A notification reports how it ended.

    Parameters
    ----------
    inputs : ExportInputs
        The inputs.

    Returns
    -------
    Job
        The started job.
    """
    job = Job(export_work(inputs), label=f"export to {inputs.out.name}")
    job.finished.connect(say)
    job.failed.connect(report)
    job.start()
    return job


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a layer of labels (napari's writer).

    A segmentation is exported by the end of the name. In a window a thread does it, and a notification reports when the
    file is there; in scripts it is there on return. Labels that are no segmentation of ours are left to napari where it
    can write them.

    Parameters
    ----------
    path : str
        Path of the file to write.
    data : object
        Data of the layer. Of a segmentation the store is read instead.
    attributes : dict of str to object
        Attributes of the layer.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    InputError
        The layer shows no segmentation of ours, and napari cannot write it there.
    FctlError
        See ``export``.
    """
    store = attributes.get("metadata", {}).get(STORE_KEY)
    if store is None:
        return _write_other(path, data, attributes)
    if napari.current_viewer() is None:
        return [str(export(Segmentation.open(store), path))]
    check_export(Path(path))
    start_export(ExportInputs(store, Path(path)))
    return [path]


def _write_other(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save labels that are no segmentation of ours, by napari's own writer."""
    name = attributes.get("name", path)
    if Path(path).suffix not in (".tif", ".tiff"):
        raise InputError(f"{name}: is no segmentation by FCtL; save it as .tif.")
    if isinstance(data, Sequence) or not hasattr(data, "shape"):
        raise InputError(f"{name}: has several levels and is no segmentation by FCtL; save a layer with one level.")
    from napari_builtins.io import napari_write_labels

    return [str(napari_write_labels(path, data, attributes))]
