"""Segmentation of images, and refinement of maps."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.api.checked import AnyWindow, checked
from fctl_napari.api.checkpoints import CheckpointLike, load_checkpoint
from fctl_napari.api.forms import AnyBands, Number, OutPath, Text, ValueRange
from fctl_napari.api.locations import result_path
from fctl_napari.api.maps import Map
from fctl_napari.api.opening import ImageLike, as_image
from fctl_napari.api.progress import Shown
from fctl_napari.api.running import run, stored
from fctl_napari.exceptions import InputError
from fctl_napari.segmentation.inference.network_image import check_image_options
from fctl_napari.segmentation.jobs.engine import SegmentationRequest
from fctl_napari.segmentation.jobs.parameters import DEVICE, ENGINE, MERGE, PRECISION, Merge
from fctl_napari.segmentation.jobs.refining import image_of
from fctl_napari.segmentation.store.result_paths import own_path


@checked
def segment(
    image: ImageLike,
    checkpoint: CheckpointLike = "earth",
    out: OutPath | None = None,
    *,
    region: AnyWindow | None = None,
    maps: bool = False,
    merge: Merge = MERGE.default,
    value_range: ValueRange | None = None,
    bands: AnyBands | None = None,
    device: str = DEVICE.default,
    precision: str = PRECISION.default,
    engine: str = ENGINE.default,
    batch: Number | None = None,
    fresh: bool = False,
    scheduler: Text | None = None,
    progress: Shown = True,
) -> Map:
    """Segment an image tile by tile in a worker process.

    What is done is kept: the same call resumes after an interrupt, and another region is added to the same map.

    Parameters
    ----------
    image : Image, str, Path or array
        The image, as for ``fctl.open``. An array is written beside the result first.
    checkpoint : Checkpoint, str or Path, optional
        The network: the name of a built-in one, or a file.
    out : Path, str or None, optional
        Folder of the result, ``.ome.zarr``. None is the place where the window looks for it: beside the image.
    region : tuple of 4 int or None, optional
        (y0, x0, y1, x1) px: only the tiles that meet it. None is the whole image.
    maps : bool, optional
        If True, maps of certainty and of each context's weight are kept.
    merge : {"crop", "average", "released"}, optional
        How tiles meet, as ``SegmentationRequest`` says.
    value_range : tuple of 2 float or None, optional
        (low, high) values that become 0 and 255, for data that is not uint8.
    bands : sequence or None, optional
        Bands, as for ``fctl.open``.
    device : str, optional
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    precision : str, optional
        ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
    engine : str, optional
        Library that runs the network on a CPU, as ``resolve_engine`` says.
    batch : int or None, optional
        Number of tiles at once. None finds it.
    fresh : bool, optional
        If True, an earlier result with other settings is started over.
    scheduler : str or None, optional
        Address of a dask scheduler whose workers see the same files. None computes on this machine.
    progress : bool or callable, optional
        Whether a bar is shown, or what takes the counts.

    Returns
    -------
    Map
        The map, with the corrections that lie beside the image.

    Raises
    ------
    FctlError
        The image, the network, the device or a setting does not do; the sentence says what to do.

    Examples
    --------
    >>> import fctl_napari as fctl
    >>> scene = fctl.sample("data")
    >>> land = fctl.segment(scene, "earth", region=(500, 2700, 900, 3100))
    >>> land.checkpoint
    'earth'
    >>> land.read((600, 2800, 602, 2804))  # class 4 of 0 to 4: barren
    array([[4, 4, 4, 4],
           [4, 4, 4, 4]], dtype=uint8)
    """
    network = load_checkpoint(checkpoint)
    check_image_options(network.card.config, value_range, bands)
    found = as_image(image, value_range=value_range, bands=bands)
    if out is None and found.path is None:
        raise InputError(f"{found.name}: is an array, and has no folder to keep its map in; name one with out.")
    target = own_path(result_path(str(found.path), network.path), found.pyramid) if out is None else Path(out)
    target = target.absolute()
    with stored(found, target) as location:
        request = SegmentationRequest(
            image=location,
            out=str(target),
            checkpoint=str(network.path.absolute()),
            region=region,
            merge=merge,
            maps=maps,
            device=device,
            precision=precision,
            engine=engine,
            batch=batch,
            value_range=found.value_range,
            bands=found.bands,
            fresh=fresh,
        )
        run(request, f"Segmenting with {network.name}", progress, scheduler)
    return Map(target)


@checked
def refine(
    source: Map | Path | str,
    refiner: CheckpointLike,
    out: OutPath,
    *,
    region: AnyWindow | None = None,
    device: str = DEVICE.default,
    precision: str = PRECISION.default,
    batch: Number | None = None,
    fresh: bool = False,
    scheduler: Text | None = None,
    progress: Shown = True,
) -> Map:
    """Refine a map by its image, tile by tile, with overlaps averaged.

    The same call resumes.

    Parameters
    ----------
    source : Map, Path or str
        The map, which stays as it is.
    refiner : Checkpoint, str or Path
        A refiner, from ``fctl.train``.
    out : Path or str
        Folder of the result, ``.ome.zarr``.
    region : tuple of 4 int or None, optional
        (y0, x0, y1, x1) px: only this part.
    device, precision : str, optional
        As for ``fctl.segment``.
    batch : int or None, optional
        As for ``fctl.segment``.
    fresh : bool, optional
        As for ``fctl.segment``.
    scheduler : str or None, optional
        As for ``fctl.segment``.
    progress : bool or callable, optional
        Whether a bar is shown, or what takes the counts.

    Returns
    -------
    Map
        The refined map.

    Raises
    ------
    FctlError
        The map, the refiner or a setting does not do; the sentence says what to do.
    """
    chosen = source if isinstance(source, Map) else Map(source, raw=True)
    network = load_checkpoint(refiner)
    image, value_range, bands = image_of(chosen.prediction.source)  # type: ignore[arg-type]
    request = SegmentationRequest(
        image=image,
        out=str(Path(out).absolute()),
        checkpoint=str(network.path.absolute()),
        region=region,
        merge="average",
        value_range=value_range,
        bands=bands,
        refine=str(chosen.path.absolute()),
        device=device,
        precision=precision,
        batch=batch,
        fresh=fresh,
    )
    run(request, f"Refining with {network.name}", progress, scheduler)
    return Map(out)
