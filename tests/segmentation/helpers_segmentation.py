"""What the tests of segmentation share: a network whose answer varies, and runs in this process."""

from __future__ import annotations

import os
import random
import signal
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import Card, checkpoint_hash, read_card
from fctl_napari.segmentation.jobs.loaded_networks import Network
from fctl_napari.segmentation.jobs.worker import Job, compute
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.average_plan import AveragePlan
from fctl_napari.segmentation.tiling.grid import Cell, Grid, TileGrid
from fctl_napari.segmentation.tiling.merge import drop_logits, saved_tiles
from fctl_napari.segmentation.tiling.plan import CropPlan
from fctl_napari.windows import IntWindow

TILE, OVERLAP = 64, 16
SCENE = (440, 500)
"""(height, width) of the image that the worker is given, px."""
CELLS = 10 * 11
"""How many cells it has."""


def save_lively_network(path: Path, config: FCtLConfig, seed: int = 0) -> Path:
    """Save a network of random weights whose logits are of order 1, gates and last layers included."""
    import torch

    from fctl_napari.model.checkpoint import save_checkpoint
    from fctl_napari.model.fctl import FCtL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FCtL(config).eval()
        for name, value in model.named_parameters():
            if name.startswith("decoder") and value.dim() > 1:
                torch.nn.init.normal_(value, std=2 / np.sqrt(value[0].numel()))
            elif value.dim() == 0:
                torch.nn.init.constant_(value, 0.5)
    classes = tuple(ClassInfo(name=f"class {k}", color=(40 * k, 99, 0)) for k in range(config.classes))
    save_checkpoint(path, model, Card(name=path.stem, config=config, classes=ClassTable(classes=classes)))
    return path


class Local(NamedTuple):
    """Runs of the network in this process, task by task, in any order: what the worker does, without dask."""

    checkpoint: Path

    def create(self, out: Path, image: Path, merge: str, maps: bool = False) -> Segmentation:
        pyramid = open_image(image)
        return Segmentation.create(
            out,
            image=pyramid,
            grid=TileGrid(pyramid.shape, TILE, OVERLAP),
            card=read_card(self.checkpoint),
            checkpoint_hash=checkpoint_hash(self.checkpoint),
            settings={"merge": merge, **({"kept_output": "maps"} if maps else {})},
        )

    def job(self, out: Path, image: Path, merge: str, **network: object) -> Job:
        settings = {"device": "cpu", "precision": "fp32", "threads": 1, **network}
        described = Network(str(self.checkpoint), checkpoint_hash(self.checkpoint), **settings)
        return Job(uuid.uuid4().hex, described, str(image), None, None, str(out), merge)

    def segment(
        self,
        out: Path,
        image: Path,
        merge: str = "crop",
        *,
        region: IntWindow | None = None,
        order: random.Random | None = None,
        batch: int | None = None,
        workers: int = 1,
        maps: bool = False,
    ) -> Segmentation:
        """Segment; with ``order``, task sizes and the order in which tasks are carried out are random."""
        store = self.create(out, image, merge, maps)
        job = self.job(out, image, merge, batch=batch)
        grid = store.grid
        missing = bitmap(grid, store.missing(region))
        plan = CropPlan(grid, missing) if merge == "crop" else AveragePlan(grid, missing, saved_tiles(store.scratch))
        under_way = []
        while True:
            task = plan.next(order.randint(1, 5) if order else 4) if len(under_way) < workers else None
            if task is not None:
                under_way.append(task)
                continue
            if not under_way:
                return store
            task = under_way.pop(order.randrange(len(under_way)) if order else 0)
            assert compute(job, task).task == task
            done = plan.finish(task)
            store.finish(done)
            drop_logits(store.scratch, plan.released(done))


def bitmap(grid: Grid, cells: Iterable[Cell]) -> np.ndarray:
    """Cells of a grid as a bitmap, bool [rows, cols]."""
    marked = np.zeros((grid.rows, grid.cols), bool)
    for cell in cells:
        marked[cell] = True
    return marked


def pixels(store: Segmentation, window: IntWindow | None = None) -> np.ndarray:
    """Labels and confidence of a window, uint8 [2, y, x]."""
    window = window or (0, 0, *store.shape)
    return np.stack([store.labels.read(window), store.confidence.read(window)])


def map_pixels(store: Segmentation, window: IntWindow | None = None) -> np.ndarray:
    """All maps of a window, uint8 [maps, y, x]."""
    window = window or (0, 0, *store.shape)
    return np.stack([pyramid.read(window) for pyramid in store.maps.values()])


def chunk_times(store: Segmentation) -> dict[str, int]:
    """When the level-0 chunks of labels and confidence were written, ns, by name."""
    return {
        f"{part}/{file.relative_to(store.path / part)}": file.stat().st_mtime_ns
        for part in ("0", "confidence/0")
        for file in (store.path / part).rglob("c/*/*")
    }


def done_chunks(store: Segmentation) -> set[str]:
    """Names, as in ``chunk_times``, of the chunks of cells that are done."""
    cells = np.argwhere(store.done())
    return {f"{part}/c/{row}/{col}" for part in ("0", "confidence/0") for row, col in cells}


def die(*_: object) -> None:
    """End this process as a kernel that ran out of memory would."""
    os.kill(os.getpid(), signal.SIGKILL)
