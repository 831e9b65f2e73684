"""Tasks of a worker process, which keeps its network, reads its own tiles and writes its own cells.

Importing this module loads no torch; the functions do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import CheckpointError, FctlError, InputError
from fctl_napari.imagery.band_names import Bands
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.inference.image_with_mask import MaskedImage, masks_of
from fctl_napari.segmentation.inference.tile_predictor import TilePredictor
from fctl_napari.segmentation.inference.tile_prefetch import Recent
from fctl_napari.segmentation.jobs.explanation import ExplainRequest, TileExplanation
from fctl_napari.segmentation.jobs.loaded_networks import Network, load, load_to_explain, one_at_a_time
from fctl_napari.segmentation.jobs.parameters import Merge
from fctl_napari.segmentation.jobs.writing import Writing
from fctl_napari.segmentation.store.store import SCRATCH, Segmentation
from fctl_napari.segmentation.tiling.merge import classify, save_logits, sum_cell
from fctl_napari.segmentation.tiling.plan import Task, Tile
from fctl_napari.windows import FloatWindow, Window


@dataclass(frozen=True)
class Job:
    """Facts that the tasks of one run have in common.

    Attributes
    ----------
    run : str
        Name that is unique to the run.
    network : Network
        The network.
    image : str
        Path or address of the image.
    value_range : tuple of 2 float or None
        Range of values, as for ``open_image``.
    bands : Bands or None
        Bands, as for ``open_image``.
    out : str
        Folder of the segmentation.
    merge : {"crop", "average", "released"}
        Way in which tiles become cells.
    refine : str or None
        Folder of the segmentation whose masks go with the image, or None.
    """

    run: str
    network: Network
    image: str
    value_range: tuple[float, float] | None
    bands: Bands | None
    out: str
    merge: Merge
    refine: str | None = None

    @property
    def stop_file(self) -> Path:
        """File whose presence makes the workers stop at the next tile."""
        return Path(self.out) / SCRATCH / f".stop-{self.run}"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a task.

    Attributes
    ----------
    task : Task
        The part that was carried out: all of it unless the run was stopped.
    run : int
        Number of its tiles that the network was run on: those that hold data.
    seconds : float
        Time that it took, s.
    memory_bytes : int
        Memory of this process, or on a GPU what torch holds there.
    """

    task: Task
    run: int
    seconds: float
    memory_bytes: int


WRITERS = 2
"""Number of threads that write. Encoding a cell takes about 2 ms, more than a GPU needs for a tile."""

_images: Recent[tuple[object, ...], Pyramid] = Recent(2)
_stores: Recent[str, Segmentation] = Recent(2)


def guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function here, and return an error that is meant for the user as a value.

    dask would log such an error with its traceback, once on each side. Its causes stay here, and are released with
    everything that they hold.

    Parameters
    ----------
    function : callable
        Function to call.
    *arguments : object
        Arguments of the function.

    Returns
    -------
    object
        Result of the function, or the ``FctlError`` that it raised.
    """
    try:
        return function(*arguments)
    except FctlError as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)


def compute(job: Job, task: Task) -> Outcome:
    """Carry out a task: run its tiles, average its cells, write complete cells to level 0 of the store.

    Parameters
    ----------
    job : Job
        Facts of the run.
    task : Task
        Tiles and cells to compute.

    Returns
    -------
    Outcome
        The part that was carried out, its duration and the memory in use.

    Raises
    ------
    FctlError
        The image is damaged there, the disk is full, memory does not suffice, or the checkpoint does not fit.
    """
    with one_at_a_time:
        predictor = load(job.network).predictor
        image = _open_image(job.image, job.value_range, job.bands)
        store = _stores.get(job.run, lambda: Segmentation.open(job.out, mode="r+"))
        if job.refine is not None:
            image = _images.get((job.run,), partial(_masked, image, job.refine, store.class_table.names))
        if predictor.config.classes != len(store.class_table.scored):
            raise CheckpointError(
                f"{job.network.checkpoint}: predicts {predictor.config.classes} classes, but {job.out} holds "
                f"{len(store.class_table.scored)}; choose another name or start it afresh."
            )
        begun = time.perf_counter()
        merged = 0
        for cell in task.merges:
            if job.stop_file.exists():
                break
            total, count = sum_cell(store.scratch, store.grid, cell)
            valid = predictor.read_valid(image, store.grid.core(cell))
            store.write_logits(cell, np.where(valid, total, 0).astype(np.float32))
            store.write_cell(cell, *(values * valid for values in classify(total / count)))
            merged += 1
        finished, run = (0, 0) if job.stop_file.exists() else _run_tiles(job, task, predictor, image, store)
        return Outcome(task.first(finished, merged), run, time.perf_counter() - begun, predictor.memory_bytes())


def explain(network: Network, request: ExplainRequest, image: Pyramid | None = None) -> TileExplanation:
    """Explain one pixel.

    The last tile is kept for the next request.

    Parameters
    ----------
    network : Network
        Network of the request.
    request : ExplainRequest
        The request.
    image : Pyramid or None, optional
        Image of the request if it is open already.

    Returns
    -------
    TileExplanation
        The explanation.

    Raises
    ------
    FctlError
        The pixel lies outside the image, the image is damaged there, the network has no such parts, memory does not
        suffice, or the checkpoint was replaced.
    """
    from fctl_napari.segmentation.inference.explaining_predictor import ExplainingPredictor
    from fctl_napari.segmentation.jobs.explainer import Explainer

    with one_at_a_time:
        found = load_to_explain(network)
        assert isinstance(found.predictor, ExplainingPredictor)
        if found.explainer is None:
            found.explainer = Explainer(found.predictor, read_card(network.checkpoint).classes)
        opened = _open_image(request.image, request.value_range, request.bands) if image is None else image
        return found.explainer.explain(opened, request)


def _run_tiles(job: Job, task: Task, predictor: TilePredictor, image: Pyramid, store: Segmentation) -> tuple[int, int]:
    """Run the tiles of a task until the run is stopped.

    They are written while the next ones are run. The network is not run on tiles without data.

    Returns
    -------
    finished : int
        Number of tiles that are finished.
    run : int
        Number of these that the network was run on.
    """
    grid = store.grid
    # The cells of a tile that are written, or the tile itself where its logits are kept.
    needed = [
        Window.bounding(map(grid.core, tile.cells)) if tile.cells else grid.window(tile.cell) for tile in task.tiles
    ]
    valid = [predictor.read_valid(image, window) for window in needed]
    with_data = [bool(part.any()) for part in valid]
    tiles = [tile for tile, there in zip(task.tiles, with_data, strict=True) if there]
    finished = 0
    with Writing(WRITERS if predictor.on_gpu else 0) as writing:
        outputs = _outputs(job, predictor, image, store, tiles)
        for tile, window, part, there in zip(task.tiles, needed, valid, with_data, strict=True):
            output = next(outputs) if there else None
            if job.merge != "crop":
                blank = np.zeros((predictor.config.classes, grid.tile_size, grid.tile_size), np.float32)
                writing.start(save_logits, store.scratch, tile.cell, blank if output is None else output)
            elif output is not None:
                _write_cells(writing, store, tile, window, part, output)
            finished += 1
            if job.stop_file.exists():
                break
    return finished, sum(with_data[:finished])


def _write_cells(
    writing: Writing,
    store: Segmentation,
    tile: Tile,
    window: Window,
    valid: NDArray[np.bool_],
    output: NDArray[np.uint8],
) -> None:
    """Write labels, confidence and maps [2 + maps, T, T] of a tile to its cells, 0 where there is no data."""
    top, left = store.grid.window(tile.cell)[:2]
    for cell in tile.cells:
        core = store.grid.core(cell)
        y0, x0, y1, x1 = core
        labels, confidence, *maps = (
            output[:, y0 - top : y1 - top, x0 - left : x1 - left] * valid[core.slices_in(window)]
        )
        writing.start(store.write_cell, cell, labels, confidence, maps)


def _outputs(
    job: Job, predictor: TilePredictor, image: Pyramid, store: Segmentation, tiles: Sequence[Tile]
) -> Iterator[NDArray[Any]]:
    """Yield what is kept of each tile: labels, confidence and maps [2 + maps, T, T], or its logits [C, T, T]."""
    windows = [store.grid.window(tile.cell) for tile in tiles]
    if job.merge == "crop":
        yield from _classified(predictor, image, windows, bool(store.maps))
        return
    for _, logits in predictor.predict(image, windows, [store.grid.turn(tile.cell) for tile in tiles]):
        yield logits


def _classified(
    predictor: TilePredictor, image: Pyramid, windows: Sequence[FloatWindow], with_maps: bool
) -> Iterator[NDArray[np.uint8]]:
    """Yield labels, confidence and maps [2 + maps, T, T] of tiles, without maps unless the store keeps them."""
    if with_maps:
        for _, labels, confidence, maps in predictor.classify_with_maps(image, windows):
            yield np.stack([labels, confidence, *maps])
        return
    for _, labels, confidence in predictor.classify(image, windows):
        yield np.stack([labels, confidence])


def _masked(image: Pyramid, segmentation: str, names: Sequence[str]) -> Pyramid:
    there = Segmentation.open(segmentation)
    masks = masks_of(there.labels, there.class_table.names, names)
    if masks is None:
        raise InputError(f"{segmentation}: was replaced by one of other classes during the run; run again.")
    return MaskedImage(image, masks)


def _open_image(image: str, value_range: tuple[float, float] | None, bands: Bands | None) -> Pyramid:
    # A file that was rewritten meanwhile is another image.
    modified = os.stat(image).st_mtime_ns if os.path.exists(image) else None
    key = (image, modified, value_range, bands)
    # Of an array's copy the parts are there that are read here: whoever sends a task has filled them.
    return _images.get(key, lambda: open_image(image, value_range=value_range, bands=bands, parts=True))
