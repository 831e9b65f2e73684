"""Refinement after CascadePSP as a step on masks: a segmentation and its image give a second segmentation.

This is the paper's local step: crops at full resolution, each class of a crop on its own. Its global step, which sees
the downscaled image first, is left out: in images of this size a pixel of it would cover many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fctl_napari.errors import InputError
from fctl_napari.imagery.formats import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.card import Card, checkpoint_hash
from fctl_napari.model.config import preset
from fctl_napari.model.refinement import Refiner, load_refiner
from fctl_napari.segmentation.device import Precision, numerics, resolve_device, resolve_precision
from fctl_napari.segmentation.grid import IntWindow, TileGrid, default_overlap
from fctl_napari.segmentation.store import Segmentation
from fctl_napari.segmentation.store_place import lock_store, open_or_create

CROP = 512
"""Side of a crop, px, unless asked otherwise."""


def refine_segmentation(
    segmentation: Segmentation,
    refiner: Path | str,
    out: Path | str,
    *,
    region: IntWindow | None = None,
    crop: int = CROP,
    device: str = "auto",
    precision: str = "auto",
    fresh: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Segmentation:
    """Refine a segmentation crop by crop; what is done is kept, and a second call goes on from there.

    A crop whose cells are not all segmented yet is passed over. The class of a px is the one that its refined mask
    is surest of; where every mask says no, too. Its confidence is that probability; in crops of several classes,
    over the sum of theirs.

    Parameters
    ----------
    segmentation
        Whose image is still where it was; it is only read.
    refiner
        A file from ``save_refiner``.
    out
        Folder of the new segmentation.
    region
        Only crops whose cores meet it, px.
    crop
        Side of a crop, px.
    device, precision
        As for ``Predictor``.
    fresh
        Replace a segmentation by other settings that is there.
    progress
        Called with crops done and their number.

    Raises
    ------
    InputError
        The image is gone.
    CheckpointError
        The refiner cannot be read.
    OutputError
        Something else is in the place, or it cannot be written.
    """
    if segmentation.image_path is None:
        raise InputError(f"{segmentation.path}: was not made from a file, so its image cannot be read again.")
    settings = segmentation.settings
    image = open_image(segmentation.image_path, value_range=settings.get("value_range"), bands=settings.get("bands"))
    where = resolve_device(device)
    arithmetic = resolve_precision(precision, where)
    model = load_refiner(refiner, where)
    by = checkpoint_hash(refiner)
    table = segmentation.class_table
    name = f"{segmentation.facts['checkpoint']['name']}, refined by {Path(refiner).stem}"
    # of a card that a segmentation gets, only name and classes are kept
    card = Card(name=name, config=preset("unet", classes=len(table.scored)), classes=table)
    out = Path(out)
    with lock_store(out):
        store = open_or_create(
            out,
            image=image,
            grid=TileGrid(segmentation.shape, crop, default_overlap(crop)),
            card=card,
            checkpoint_hash=hashlib.sha256((segmentation.checkpoint_hash + by).encode()).hexdigest(),
            settings={
                **{key: value for key, value in settings.items() if key != "kept_output"},
                "refined_from": segmentation.checkpoint_hash,
                "refined_by": by,
            },
            fresh=fresh,
        )
        cells = store.missing(region)
        for number, cell in enumerate(cells):
            window = store.grid.window(cell)
            y0, x0, y1, x1 = store.grid.core(cell)
            labels = segmentation.labels.read(_inside(window, store.shape))
            if (labels > 0).all():
                found = refine_crop(model, image, window, labels, arithmetic)
                part = slice(y0 - window[0], y1 - window[0]), slice(x0 - window[1], x1 - window[1])
                store.write_cell(cell, found[0][part], found[1][part])
                store.finish([cell])
            if progress is not None:
                progress(number + 1, len(cells))
    return Segmentation.open(out)


@torch.inference_mode()
def refine_crop(
    model: Refiner, image: Pyramid, window: IntWindow, labels: NDArray[np.uint8], precision: Precision
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Refine one crop.

    Parameters
    ----------
    model
        In evaluation mode.
    image
        The image.
    window
        The crop, px; it may reach outside the image.
    labels
        k + 1 for class k, uint8 [h, w]: the crop's part inside the image.
    precision
        Of the arithmetic.

    Returns
    -------
    tuple of arrays
        Labels and confidence (1..255), uint8 [h, w].
    """
    height, width = labels.shape
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(image.read(window).transpose(2, 0, 1)))[None].to(device)
    classes = np.unique(labels)
    side = window[2] - window[0]
    around = np.zeros((side, side), np.uint8)
    around[:height, :width] = labels
    refined = []
    with numerics(device, precision):
        for k in classes:  # one by one: a crop's memory does not grow with its classes
            mask = torch.from_numpy(around == k)[None, None].to(device)
            refined.append(model(pixels, mask)[1][0, 0, :height, :width].float().sigmoid())
    probabilities = torch.stack(refined)
    best, index = probabilities.max(0)
    sure = best / probabilities.sum(0) if len(classes) > 1 else best
    confidence = (sure * 255).round().clamp(1, 255).to(torch.uint8)
    return classes[index.cpu().numpy()], confidence.cpu().numpy()


def _inside(window: IntWindow, shape: tuple[int, int]) -> IntWindow:
    return window[0], window[1], min(window[2], shape[0]), min(window[3], shape[1])
