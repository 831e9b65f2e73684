"""What an ablation computes in a worker process. Importing this module loads no torch; the functions do."""

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
from fctl_napari.segmentation.inference.tile_reader import Recent
from fctl_napari.training.data import Scene, open_scenes

if TYPE_CHECKING:
    from fctl_napari.ablation.frozen_features import FeatureMaker
    from fctl_napari.training.train import Trainer

TIMED_STEPS = 5
"""Steps of each network that the budget in minutes is worked out from, after one that is not counted."""

_makers: Recent[object, FeatureMaker] = Recent(1)
_scenes: Recent[tuple[str, str], list[Scene]] = Recent(1)


@dataclass(frozen=True)
class Share:
    """What one worker process has of the machine.

    Attributes
    ----------
    threads
        torch threads; 0: all cores.
    spread
        Whether the processes are ours and share the machine's GPUs by their numbers.
    """

    threads: int = 0
    spread: bool = False

    def take(self, device: str) -> str:
        """Set torch's threads; returns the device of this process."""
        import torch

        torch.set_num_threads(self.threads or usable_cores())
        if device != "auto" or not self.spread or torch.cuda.device_count() < 2:
            return device
        from distributed import get_worker

        return f"cuda:{int(get_worker().name) % torch.cuda.device_count()}"


def make_features(training: Training, chunk: Chunk, share: Share) -> None:
    """Write one file of features, unless it is there.

    Raises
    ------
    FctlError
        Data or the checkpoint cannot be used, or the disk is full.
    """
    device = share.take(training.device)

    def maker() -> FeatureMaker:
        from fctl_napari.ablation.frozen_features import FeatureMaker
        from fctl_napari.segmentation.inference.device import resolve_device, resolve_precision

        assert training.frozen is not None
        found = resolve_device(device)
        scenes, tiles = _measured(training)
        precision = resolve_precision(training.config.precision, found)
        return FeatureMaker(
            training.config, scenes, tiles, training.network, training.frozen, chunk.stream, found, precision
        )

    _makers.get((training.settings, training.frozen, chunk.stream), maker).make(chunk)


def train_and_measure(training: Training, share: Share) -> dict[str, Any]:
    """Train a network, or go on with it, and measure it; a finished one is only read.

    Returns
    -------
    dict
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
    others = [value for name, value in iou.items() if name != card.classes.names[0]]
    parameters = count_parameters(training.network, training.config.frozen)
    return {
        "miou": figures["miou"],
        "miou_without_class_0": statistics.mean(others) if others else None,
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
    """Time some steps of a network, which nothing is kept of.

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
    pass


def _trainer(training: Training, device: str) -> Trainer:
    from fctl_napari.ablation.frozen_trainer import FrozenTrainer
    from fctl_napari.training.train import Trainer

    where: dict[str, Any] = {"data_folder": training.data_folder, "device": device}
    if training.frozen is None:
        return Trainer(training.config, training.folder, **where)
    tiles = _measured(training)[1]
    return FrozenTrainer(training.config, training.folder, training.frozen, tiles, training.part, **where)


def _measured(training: Training) -> tuple[list[Scene], list[MeasuredTile]]:
    key = (training.config.data.model_dump_json(), str(training.data_folder))
    scenes = _scenes.get(key, lambda: open_scenes(training.config.data, training.data_folder)[0])
    return scenes, measured_tiles(scenes, training.part, training.network.tile_size)
