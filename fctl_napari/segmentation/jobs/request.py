"""Request of a run: image, network, settings and store (no torch)."""

from __future__ import annotations

from dataclasses import dataclass

from fctl_napari.exceptions import ConfigError
from fctl_napari.imagery.band_names import Bands
from fctl_napari.segmentation.inference.engines import check_engine_name
from fctl_napari.segmentation.inference.hardware import check_device_name, check_precision_name
from fctl_napari.segmentation.inference.tile_predictor import check_batch
from fctl_napari.segmentation.jobs.parameters import (
    BANDS,
    BATCH,
    DEVICE,
    ENGINE,
    EXACT_CONTEXTS,
    FRESH,
    MAPS,
    MERGE,
    PRECISION,
    REGION,
    VALUE_RANGE,
    Merge,
)
from fctl_napari.segmentation.tiling.grid import Cell
from fctl_napari.windows import IntWindow


@dataclass(frozen=True)
class SegmentationRequest:
    """Request to segment an image with a network into a store.

    Attributes
    ----------
    image : str
        File, folder or address of the image.
    out : str
        Folder of the segmentation (``.ome.zarr``). An existing one with the same settings is resumed.
    checkpoint : str
        Built-in name or file of the checkpoint.
    region : IntWindow or None
        Region in full-resolution px: only the cells that meet it are computed. None means the whole image.
    merge : {"crop", "average", "released"}
        ``crop``: each tile owns its core. ``average``: the mean of the overlapping tiles' logits. ``released``: the
        released code's grid and its sum of logits, with contexts resampled from full resolution.
    augment : bool
        If True, each tile is seen in eight orientations (with ``released``).
    keep_logits : bool
        If True, the summed logits are kept in the store (not with ``crop``).
    maps : bool
        If True, maps of certainty and of each context's weight are kept in the store (``map_names``; with ``crop``). A
        store that already has them keeps them in any case.
    overlap : int or None
        Overlap of the tiles, px. None means about a quarter of the tile.
    device : str
        Device, as for ``Predictor``.
    precision : str
        Precision, as for ``Predictor``.
    batch : int or None
        Number of tiles at once, as for ``Predictor``.
    engine : str
        Engine that runs the network, as for ``resolve_engine``.
    exact_contexts : bool
        If True, contexts are resampled from full resolution, as for ``Predictor``.
    value_range : tuple of 2 float or None
        Range of values, as for ``open_image``.
    bands : Bands or None
        Bands, as for ``open_image``.
    cells : tuple of Cell or None
        (row, column) of the only cells to compute (with ``crop``). None means all that the region meets.
    inherit : str or None
        Folder of a parent's segmentation of the same image, grid and classes. Its predictions are taken over where
        nothing is computed yet, and marked as such (``Segmentation.inherited``), until a run computes them (with
        ``crop``).
    refine : str or None
        Folder of a segmentation of the same image, with the same classes, whose masks are fed to a network that
        refines. It is complete for two tiles around the region.
    fresh : bool
        If True, an existing segmentation is started over.
    renew : bool
        If True, an existing segmentation by another checkpoint is begun anew in its place (with ``crop``). Where the
        classes are the same, its predictions stay until a run computes those cells, marked as inherited.
    live : bool
        If True, the run stays open until it is cancelled and computes only the tiles in the view of ``Run.look`` (with
        ``crop``).
    """

    image: str
    out: str
    checkpoint: str
    region: IntWindow | None = REGION.default
    merge: Merge = MERGE.default
    augment: bool = False
    keep_logits: bool = False
    maps: bool = MAPS.default
    overlap: int | None = None
    device: str = DEVICE.default
    precision: str = PRECISION.default
    batch: int | None = BATCH.default
    engine: str = ENGINE.default
    exact_contexts: bool = EXACT_CONTEXTS.default
    value_range: tuple[float, float] | None = VALUE_RANGE.default
    bands: Bands | None = BANDS.default
    cells: tuple[Cell, ...] | None = None
    inherit: str | None = None
    refine: str | None = None
    fresh: bool = FRESH.default
    renew: bool = False
    live: bool = False


def check_request(request: SegmentationRequest) -> None:
    """Check the settings of a request, as far as they can be without the image, the network and the device.

    A map that is complete needs no device, but the same call is refused whether it is complete or not.

    Parameters
    ----------
    request : SegmentationRequest
        The request.

    Raises
    ------
    ConfigError
        There is no such device, precision, engine or merge, the batch is not positive, or the settings do not go with
        the merge.
    """
    check_device_name(request.device)
    check_precision_name(request.precision)
    check_engine_name(request.engine)
    check_batch(request.batch)
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
    if request.renew and request.merge != "crop":
        raise ConfigError("a segmentation is renewed in its place with the merge 'crop' only; start it afresh instead.")
    if request.live and (request.merge != "crop" or request.region is not None):
        raise ConfigError("a live run computes what is in view with the merge 'crop'; leave region and merge out.")
