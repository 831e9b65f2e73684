"""Computations of an ablation in a worker process.

Importing this module loads no torch. The functions do.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fctl_napari.ablation.frozen_tiles import Chunk, MeasuredTile, measured_tiles
from fctl_napari.ablation.plan import Training
from fctl_napari.cores import usable_cores
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.inference.tile_prefetch import Recent
from fctl_napari.training.data import Scene, open_scenes

if TYPE_CHECKING:
    from fctl_napari.ablation.frozen_features import FeatureMaker
    from fctl_napari.training.trainer import Trainer

TIMED_STEPS = 5
"""Steps of each network that are timed to convert a budget in minutes, after one that is not counted."""

_makers: Recent[object, FeatureMaker] = Recent(1)
_scenes: Recent[tuple[str, str], list[Scene]] = Recent(1)


@dataclass(frozen=True)
class Share:
    """Share of the machine that one worker process has.

    Attributes
    ----------
    threads : int
        Number of torch threads. 0 uses all cores.
    spread : bool
        True if the processes are this package's own and share the machine's GPUs by their numbers.
    """

    threads: int = 0
    spread: bool = False

    def take(self, device: str) -> str:
        """Set torch's threads and choose the device of this process.

        Parameters
        ----------
        device : str
            The requested device, ``"auto"``, ``"cpu"`` or ``"cuda"``.

        Returns
        -------
        str
            The device. With ``"auto"`` and several GPUs, the one of this process.
        """
        import torch

        torch.set_num_threads(self.threads or usable_cores())
        if device != "auto" or not self.spread or torch.cuda.device_count() < 2:
            return device
        from distributed import get_worker

        return f"cuda:{int(get_worker().name) % torch.cuda.device_count()}"


def make_features(training: Training, chunk: Chunk, share: Share) -> None:
    """Write one file of features unless it exists.

    Parameters
    ----------
    training : Training
        Any training that needs the features.
    chunk : Chunk
        The tiles of the file.
    share : Share
        Share of the machine that this process has.

    Raises
    ------
    FctlError
        Data or the checkpoint cannot be used, or the disk is full.
    """
    device = share.take(training.device)

    def maker() -> FeatureMaker:
        from fctl_napari.ablation.frozen_features import FeatureMaker
        from fctl_napari.segmentation.inference.hardware import resolve_device, resolve_precision

        assert training.frozen is not None
        found = resolve_device(device)
        scenes, tiles = _measured(training)
        precision = resolve_precision(training.config.precision, found.type)
        return FeatureMaker(
            training.config, scenes, tiles, training.network, training.frozen, chunk.stream, found, precision
        )

    _makers.get((training.settings, training.frozen, chunk.stream), maker).make(chunk)


def train_and_measure(training: Training, share: Share) -> dict[str, Any]:
    """Train a network, or resume its training, and measure it.

    A finished one is only read.

    Parameters
    ----------
    training : Training
        The training.
    share : Share
        Share of the machine that this process has.

    Returns
    -------
    dict of str to object
        The fields of ``Result`` that are not known beforehand.

    Raises
    ------
    FctlError
        Data or starting weights cannot be used, or the disk is full.
    """
    from fctl_napari.evaluation.cost import count_parameters
    from fctl_napari.training.run_state import STATE

    device = share.take(training.device)
    checkpoint = training.folder / f"{training.config.name}.safetensors"
    if not checkpoint.exists():
        _trainer(training, device).run()
    (training.folder / STATE).unlink(missing_ok=True)
    card = read_card(checkpoint)
    figures, facts = card.figures[training.part], card.provenance
    iou = {name: value for name, value in figures["iou"].items() if value is not None}
    background = card.classes.background
    others = [value for name, value in iou.items() if background is None or name != card.classes.names[background]]
    known = others if background is not None else []
    parameters = count_parameters(training.network, training.config.frozen)
    return {
        "miou": figures["miou"],
        "miou_without_background": statistics.mean(known) if known else None,
        "f1": figures["f1"],
        "accuracy": figures["accuracy"],
        "iou": iou,
        "context_reliance": figures["context_reliance"],
        "parameters": parameters.live,
        "trained_parameters": parameters.trainable,
        "seconds": facts["seconds"],
        "device": facts["device"],
        "precision": facts["precision"],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def seconds_per_step(training: Training, share: Share) -> float:
    """Time some steps of a network without keeping their result.

    Parameters
    ----------
    training : Training
        The training.
    share : Share
        Share of the machine that this process has.

    Returns
    -------
    float
        Median time of a step, s.

    Raises
    ------
    FctlError
        Data or starting weights cannot be used.
    """
    device = share.take(training.device)
    with tempfile.TemporaryDirectory() as folder:
        running = _trainer(replace(training, folder=Path(folder)), device)
        times: list[float] = []
        steps = 1 + TIMED_STEPS

        def note(*_: object) -> None:
            times.append(time.perf_counter())
            if len(times) > steps:
                raise _Enough

        with contextlib.suppress(_Enough):
            running.run(note)
        return statistics.median(b - a for a, b in itertools.pairwise(times))


class _Enough(Exception):
    """Signal that enough steps have been timed."""

    pass


def _trainer(training: Training, device: str) -> Trainer:
    from fctl_napari.ablation.frozen_trainer import FrozenTrainer
    from fctl_napari.training.trainer import Trainer

    where: dict[str, Any] = {"data_folder": training.data_folder, "device": device}
    if training.frozen is None:
        return Trainer(training.config, training.folder, **where)
    tiles = _measured(training)[1]
    return FrozenTrainer(training.config, training.folder, training.frozen, tiles, training.part, **where)


def _measured(training: Training) -> tuple[list[Scene], list[MeasuredTile]]:
    """Return the scenes of a training, opened once, and its measured tiles."""
    key = (training.config.data.model_dump_json(), str(training.data_folder))
    scenes = _scenes.get(key, lambda: open_scenes(training.config.data, training.data_folder)[0])
    return scenes, measured_tiles(scenes, training.part, training.network.tile_size)
