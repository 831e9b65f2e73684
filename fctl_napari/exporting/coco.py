"""Regions as COCO annotations: polygons, or runs of pixels where a region has holes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exporting.destination import JSON_MARK, require
from fctl_napari.exporting.extract import Extract
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.exporting.outlines import trace
from fctl_napari.files import atomic_write
from fctl_napari.imagery.numbered import image_file
from fctl_napari.progress import Progress


def write_coco(
    extract: Extract, out: Path, *, min_area: int, progress: Progress | None, losses: ExportLosses | None = None
) -> None:
    """Write regions as COCO annotations, one after the other, as ``export`` describes.

    Ids count from 1; category k + 1 is class k.

    Parameters
    ----------
    extract : Extract
        Classes to write.
    out : Path
        Path of the file.
    min_area : int
        Regions of fewer pixels are left out, unless ``losses`` is given.
    progress : Progress or None
        Called as ``progress(done, total)`` with counts of rows; None for no progress.
    losses : ExportLosses or None, optional
        Counts of what is left out; its ``min_area`` decides.

    Raises
    ------
    OutputError
        A library is missing, the disk is full, or the folder is not writable.
    """
    require(out, "COCO files", "rasterio")
    import rasterio

    losses = ExportLosses(min_area=min_area) if losses is None else losses
    segmentation = extract.segmentation
    height, width = segmentation.shape
    path = segmentation.image_path
    image = {"id": 1, "file_name": image_file(Path(path)).name if path else "", "width": width, "height": height}
    categories = [
        {"id": index + 1, "name": info.name, "supercategory": "", "color": list(info.color)}
        for index, info in enumerate(extract.class_table.scored)
    ]
    with rasterio.Env(), atomic_write(out, "w") as file:
        file.write(f'{{"info": {{{JSON_MARK}, "description": {json.dumps(str(segmentation.path.name))}}}')
        file.write(f',\n"images": [{json.dumps(image)}],\n"categories": {json.dumps(categories)},\n"annotations": [')
        number = 0
        for outlines in trace(extract, progress=progress):
            for index in np.flatnonzero(losses.large_enough(outlines.pixels)).tolist():
                number += 1
                annotation = {
                    "id": number,
                    "image_id": 1,
                    "category_id": int(outlines.classes[index]) + 1,
                    "iscrowd": 0,
                    "area": int(outlines.pixels[index]),
                    **_shape(outlines.rings(index), (height, width)),
                }
                file.write(("," if number > 1 else "") + "\n" + json.dumps(annotation))
        file.write("\n]}\n")


def _shape(rings: list[NDArray[np.float64]], shape: tuple[int, int]) -> dict[str, Any]:
    """Return bounding box [x, y, width, height] and outline: a polygon, or runs down the image's columns."""
    outer = rings[0].astype(np.int64)
    (left, top), (right, bottom) = outer.min(axis=0).tolist(), outer.max(axis=0).tolist()
    segmentation: Any = [outer[:-1].ravel().tolist()]
    if len(rings) > 1:
        segmentation = {"size": list(shape), "counts": _runs(rings, shape)}
    return {"bbox": [left, top, right - left, bottom - top], "segmentation": segmentation}


def _runs(rings: list[NDArray[np.float64]], shape: tuple[int, int]) -> list[int]:
    """Compute the lengths of runs outside, inside, outside, ... of rings along px edges.

    The runs go down column by column, from the left.
    """
    height, width = shape
    indices = []
    for ring in rings:
        start, stop = ring[:-1].astype(np.int64), ring[1:].astype(np.int64)
        across = start[:, 1] == stop[:, 1]
        y = start[across, 1]
        low = np.minimum(start[across, 0], stop[across, 0])
        lengths = np.abs(stop[across, 0] - start[across, 0])
        columns = np.arange(lengths.sum()) + np.repeat(low - np.cumsum(lengths) + lengths, lengths)
        indices.append(columns * height + np.repeat(y, lengths))
    # Down a column the inside begins and ends at every edge. It continues from the foot of one column to the head of
    # the next.
    changes, counts = np.unique(np.concatenate(indices), return_counts=True)
    changes = changes[counts % 2 == 1]
    runs: list[int] = np.diff(changes, prepend=0, append=height * width).tolist()
    return runs if runs[-1] else runs[:-1]
