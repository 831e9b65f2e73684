"""Plain OME-Zarr label image, alone or among the labels of its image."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from fctl_napari.exceptions import OutputError
from fctl_napari.exporting.destination import LABELS_KIND, replacing
from fctl_napari.exporting.extract import Exportable, Extract
from fctl_napari.exporting.pixel_size import spatial
from fctl_napari.imagery.formats import ngff, ngff_writing
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.segmentation.store.store import ATTRIBUTE

CHUNK = 512
"""Side of a chunk, px."""

ROWS = 2048
"""Number of rows read and written at once: whole chunks, also of the next two levels."""


def image_of(out: Path) -> Path | None:
    """Return the OME-Zarr image among whose labels an export would lie.

    Parameters
    ----------
    out : Path
        Path of the export.

    Returns
    -------
    Path or None
        Path of the image, or None if there is none.
    """
    image = out.absolute().parent.parent
    return image if out.absolute().parent.name == "labels" and image.is_dir() and ngff.is_zarr(image) else None


def write_labels(extract: Extract, out: Path, progress: Progress | None) -> None:
    """Write a label image of the whole image's size, 0 outside the window, as ``export`` describes.

    Parameters
    ----------
    extract : Extract
        Classes to write.
    out : Path
        Folder of the label image.
    progress : Progress or None
        Called as ``progress(done, total)`` with counts of rows; None for no progress.

    Raises
    ------
    OutputError
        The image among whose labels it would lie is another one or an OME-Zarr 0.4, the disk is full, or the folder is
        not writable.
    InputError
        That image cannot be read.
    """
    segmentation = extract.segmentation
    image = image_of(out)
    if image is None:
        levels, placed = None, spatial(segmentation.labels.group, segmentation.path)
    else:
        levels = _check_image(image, out, segmentation)
        placed = spatial(ngff.open_group(image), image)
    georeference = segmentation.georeference
    with replacing(out) as temporary:
        labels = LabelPyramid.create(
            temporary,
            segmentation.shape,
            chunk=CHUNK,
            classes=[info.model_dump(mode="json") for info in extract.class_table.scored],
            attributes={
                ATTRIBUTE: {
                    "kind": LABELS_KIND,
                    "image": {**segmentation.facts["image"], "path": None},  # exports disclose no folder names
                    "georeference": None if georeference is None else asdict(georeference),
                }
            },
            levels=levels,
            **placed,
        )
        x0, x1 = extract.window[1], extract.window[3]
        for y, strip in extract.strips(ROWS, progress):
            labels.write(y, x0, strip + np.uint8(1))  # 255 (not computed) wraps to 0
            labels.update_levels((y, x0, y + len(strip), x1))
        if image is not None:
            ome = labels.attributes["ome"]
            described = {**ome["image-label"], "source": {"image": "../../"}}
            labels.set_attributes({"ome": {**ome, "image-label": described}})
    with ngff_writing.writing(out):
        ngff_writing.list_label(out.absolute())


def _check_image(image: Path, out: Path, segmentation: Exportable) -> list[tuple[int, int]]:
    """Check that an image is the one that was segmented, and return the shapes of its levels."""
    shape = segmentation.shape
    group = ngff.open_group(image)
    levels, axes, _ = ngff.open_levels(group, image)
    shapes = [(int(level.shape[axes.index("y")]), int(level.shape[axes.index("x")])) for level in levels]
    found = shapes[0]
    if found != shape:
        raise OutputError(
            f"{out}: the image is {found[0]} x {found[1]} px (height x width), its segmentation {shape[0]} x "
            f"{shape[1]}; choose the image that was segmented, or another folder."
        )
    if group.metadata.zarr_format != 3:
        raise OutputError(f"{out}: the image is an OME-Zarr 0.4 and labels are written as 0.5; choose another folder.")
    stored = segmentation.facts["image"]
    if stored["fingerprint"] is not None and not same_image(stored, open_image(image)):
        raise OutputError(
            f"{out}: the image is another one than was segmented (its pixels differ); choose that one, or another "
            "folder."
        )
    return shapes
