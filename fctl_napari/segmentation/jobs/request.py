"""What is asked of a run: which image, by which network, how, and into which store (no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fctl_napari.errors import ConfigError
from fctl_napari.segmentation.tiling.grid import Cell
from fctl_napari.windows import IntWindow


@dataclass(frozen=True)
class SegmentationRequest:
    """What to segment, by what, into what.

    Attributes
    ----------
    image
        Its file or folder, or its address.
    out
        Folder of the segmentation (``.ome.zarr``); one that is there with the same settings is gone on with.
    checkpoint
        A built-in name or a file.
    region
        ``(y0, x0, y1, x1)``, full-resolution px: only the cells that meet it; None: the whole image.
    merge
        ``crop``: each tile owns its core; ``average``: the mean of the overlapping tiles' logits; ``released``: the
        released code's grid and its sum of logits, with contexts resampled from full resolution.
    augment
        With ``released``: eight orientations of each tile.
    keep_logits
        Keep the summed logits in the store (not with ``crop``).
    maps
        Keep maps of certainty and of each context's weight in the store (``map_names``; with ``crop``). A store that
        has them goes on to keep them, whether this says so or not.
    overlap
        px; None: about a quarter of the tile.
    device, precision, batch, exact_contexts
        As for ``Predictor``.
    value_range, bands
        As for ``open_image``.
    cells
        ``(row, column)`` of the only cells to compute (with ``crop``); None: all that the region meets.
    inherit
        A segmentation of the same image, grid and classes, by a parent: what it says is taken over where nothing is
        computed yet, and marked as such (``Segmentation.inherited``), until a run computes it (with ``crop``).
    refine
        A segmentation of the same image, with the same classes, whose masks a network that refines is fed; it is
        complete for two tiles around the region.
    fresh
        Start over what is there.
    live
        Stay open until cancelled and compute only what :meth:`Run.look` shows (with ``crop``).
    """

    image: str
    out: str
    checkpoint: str
    region: IntWindow | None = None
    merge: Literal["crop", "average", "released"] = "crop"
    augment: bool = False
    keep_logits: bool = False
    maps: bool = False
    overlap: int | None = None
    device: str = "auto"
    precision: str = "auto"
    batch: int | None = None
    exact_contexts: bool = False
    value_range: tuple[float, float] | None = None
    bands: tuple[int, int, int] | None = None
    cells: tuple[Cell, ...] | None = None
    inherit: str | None = None
    refine: str | None = None
    fresh: bool = False
    live: bool = False


def check_merge(request: SegmentationRequest) -> None:
    """Check that what a request asks for goes with its merge.

    Raises
    ------
    ConfigError
        It does not.
    """
    if request.merge not in ("crop", "average", "released"):
        raise ConfigError(f"there is no merge {request.merge!r}; use crop, average or released.")
    if request.augment and request.merge != "released":
        raise ConfigError("eight orientations of each tile go with the merge 'released' only; choose it, or none.")
    if request.keep_logits and request.merge == "crop":
        raise ConfigError("the merge 'crop' sums no logits to keep; use average or released.")
    if request.maps and request.merge != "crop":
        raise ConfigError("maps are of single tiles, which other merges sum; use the merge 'crop', or leave them out.")
    if (request.inherit is not None or request.cells is not None) and (request.merge != "crop" or request.live):
        raise ConfigError("tiles are chosen or taken over with the merge 'crop' and not live; leave one of them out.")
    if request.live and (request.merge != "crop" or request.region is not None):
        raise ConfigError("a live run computes what is in view with the merge 'crop'; leave region and merge out.")
