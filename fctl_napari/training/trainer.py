"""Trainer with Adam, a poly schedule and focal loss, which resumes after a kill and ends with a checkpoint."""

from __future__ import annotations

import math
import platform
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fctl_napari import __version__
from fctl_napari.datasets.prefetch import Prefetch
from fctl_napari.evaluation.metrics import Scores
from fctl_napari.evaluation.trained_on import seen_images
from fctl_napari.exceptions import ConfigError, InputError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import round_as_stored, save_checkpoint
from fctl_napari.model.domain import Confidence, Domain
from fctl_napari.model.model_card import Card, without_folders
from fctl_napari.model.presets import preset
from fctl_napari.segmentation.inference.device import reproducible
from fctl_napari.segmentation.inference.hardware import resolve_device, resolve_precision
from fctl_napari.segmentation.inference.image_tiles import image_tiles
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.training.augment import Batch, collate
from fctl_napari.training.auxiliary_losses import auxiliary_losses
from fctl_napari.training.band_figures import with_band_figures
from fctl_napari.training.batch_loss import batch_loss, forward_pass
from fctl_napari.training.cascade_losses import learned_view
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import Scene, TileSampler, open_scenes
from fctl_napari.training.data_checks import can_validate, unlearnable
from fctl_napari.training.distributed import Group
from fctl_napari.training.domain_facts import confidence_on, measure_domain
from fctl_napari.training.epochs import counted
from fctl_napari.training.optimizer import freeze, make_optimizer, norms_to_train, train_norms
from fctl_napari.training.pretraining.unlabelled import open_images, table_of_bands
from fctl_napari.training.run_state import RunLog, load_state, save_state
from fctl_napari.training.scene_identity import scene_fingerprint
from fctl_napari.training.tones import SceneTones
from fctl_napari.training.validate import reliance_on_scenes, score_scenes
from fctl_napari.training.weight_init import parent_card, start
from fctl_napari.windows import IntWindow
from fctl_napari.words import count_of

PART_SEEDS = 1_000_000_007
"""Distance between the dropout seeds of a step's forward passes."""
MERGES: tuple[Literal["crop"], Literal["released"]] = ("crop", "released")
"""Merges with which the trained network is measured: the default, and that of the paper."""

PRETRAINED = "Pretrained on images without ground truth: it fills in hidden px, and has no classes yet."
"""Beginning of the description of such a network."""

_NO_SETTINGS: Any = {"data": {"classes"}, "run": True, "stages": True}
"""Settings left out of the model card: the classes, which it has anyway, and what does not change the weights."""


class Trainer:
    """One training run in one folder.

    The run keeps ``state.pt`` and ``log.jsonl`` in the folder and ends with ``<name>.safetensors`` there.

    Parameters
    ----------
    config : TrainConfig
        Settings that decide the run. Stages are runs of their own, see ``train``.
    out : Path or str
        Folder of the run. A run of the same settings that was killed resumes from its last saved state.
    data_folder : Path or str, optional
        Folder that relative paths of the config start from.
    device : str, optional
        ``"auto"``, ``"cpu"`` or ``"cuda"``. It is ignored if there is a group, which has a device of its own.
    group : Group or None, optional
        Processes that share the run. The first one alone reads starting weights and state, and writes. None is this
        process alone.

    Attributes
    ----------
    config : TrainConfig
        The settings, with epochs converted to steps.
    scenes : list of Scene
        Every scene of the data.
    table : ClassTable
        The class table.
    model : Network
        The network, on its device.
    sampler : TileSampler
        Sampler of the training tiles.
    weights : Tensor of float32 [C] or None
        Class weights of the loss.
    optimizer : torch.optim.Optimizer
        The optimizer.
    bf16 : bool
        True if forward passes run in bf16 autocast.
    started : tuple of str
        Sentences on what was taken from which checkpoint.
    auxiliary : AuxiliaryLosses or None
        Heads that are trained beside the network and left out of the checkpoint.
    live_norms : list of str
        Names of the batch norms that follow the batches.
    step : int
        Number of finished steps.
    seconds : float
        Time spent in steps, s.
    best : float
        Best mIoU on the validation regions so far, -1 before there is one.
    best_state : dict of str to Tensor or None
        State dict of the best network, on the CPU.

    Raises
    ------
    ConfigError
        The folder holds a run of other settings, there are more processes than forward passes in a step, or settings do
        not fit the network or the data.
    InputError
        The data cannot be used.
    CheckpointError
        The starting weights cannot be used.
    """

    def __init__(
        self,
        config: TrainConfig,
        out: Path | str,
        *,
        data_folder: Path | str = ".",
        device: str = "auto",
        group: Group | None = None,
    ) -> None:
        self.out = Path(out)
        self.data_folder = Path(data_folder)
        self.group = group or Group(resolve_device(device))
        if self.group.size > config.accumulate:
            raise ConfigError(
                f"accumulate: {self.group.size} processes share {count_of(config.accumulate, 'forward pass')} a step; "
                "raise accumulate (and lower batch) to that number or more."
            )
        self.device = self.group.device
        self.bf16 = resolve_precision(config.precision, self.device.type) == "bf16"
        if config.data.images:
            self.scenes = open_images(config.data, data_folder)
            self.table = table_of_bands(preset(config.preset, **config.network).band_names)
        else:
            self.scenes, self.table = open_scenes(config.data, data_folder)
        if config.keep == "best" and not can_validate(self.scenes):
            raise ConfigError(
                "keep = 'best' needs validation regions with labeled px to choose by, and there are none; give some "
                "(val.txt, a folder val, or val of a scene), or set keep = 'last'."
            )
        torch.manual_seed(config.seed)
        parent = parent_card(config, self.data_folder)
        self._earlier = () if parent is None else seen_images(parent)
        network = with_band_figures(
            config.network_config(len(self.table.scored)), self.scenes, None if parent is None else parent.config
        )
        self.config = config = counted(config, self.scenes, learned_view(network))
        self.model = make_network(network)
        state = load_state(self.out, config) if self.group.first else None
        self.started: tuple[str, ...] = ()
        given: Collection[str] = () if state is None else state["model"]
        if self.group.first and state is None:
            self.started, given = start(self.model, config, self.data_folder, self.table.names)
        self.model.to(self.device)
        # A step of EfficientNet-Lite takes a quarter less time so in fp32 on a CPU, and other encoders about the same.
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze(self.model, config)
        before = state is not None and "auxiliary" not in state  # a run of an earlier version, without such heads
        self.auxiliary = None if self.group.broadcast(before) else auxiliary_losses(self.model)
        if self.auxiliary is not None:
            self.auxiliary.to(self.device)
        live = norms_to_train(self.model, config, given)  # of earlier versions, whose states do not name them, as well
        self.live_norms = self.group.broadcast(live if state is None else state.get("live_norms", live))
        train_norms(self.model, config, self.live_norms)
        for encoder in self.model.encoders.values():
            encoder.gradient_checkpointing = config.run.gradient_checkpointing  # type: ignore[assignment]
        seen = learned_view(network)
        self.sampler = TileSampler(self.scenes, seen, config.augment, config.balanced_tiles, config.seed)
        self._tones = SceneTones(self.scenes, seen)
        for warning in unlearnable(self.sampler, () if config.data.images else self.table.names):
            warnings.warn(warning, stacklevel=2)
        self.weights = self._class_weights()
        self.optimizer = make_optimizer(self.model, config, self.auxiliary)
        self.step = 0
        self.seconds = 0.0
        self.best, self.by_miou = -1.0, False
        self.best_state: dict[str, Tensor] | None = None
        self._resume(self.group.broadcast(state))
        self.group.spread([*self.model.state_dict().values(), *self._auxiliary_state().values()])
        self._log_file: RunLog | None = None

    # -- start -----------------------------------------------------------------------------------------------------

    def _statistics(self) -> list[Tensor]:
        """List the statistics of batch norms that follow the batches."""
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
        return [s for norm in norms for s in (norm.running_mean, norm.running_var) if s is not None]

    def _auxiliary_state(self) -> dict[str, Tensor]:
        return {} if self.auxiliary is None else self.auxiliary.state_dict()

    def _class_weights(self) -> Tensor | None:
        if self.config.class_weights == "none":
            return None
        weights = 1 / np.sqrt(np.maximum(self.sampler.class_shares(), 1e-4))
        return torch.tensor(weights / weights.mean(), dtype=torch.float32, device=self.device)

    def _resume(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        if self.auxiliary is not None:
            self.auxiliary.load_state_dict(state["auxiliary"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.best_state = state["best_state"]
        self.by_miou = "headline" not in state  # earlier versions chose so, also of buildings
        self.started = tuple(state.get("started", ()))

    def _save_state(self, finished: bool = False) -> None:
        if self.group.first:
            state = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "best": self.best,
                "best_state": self.best_state,
                **({} if self.by_miou else {"headline": True}),
                "started": list(self.started),
                "live_norms": self.live_norms,
                "auxiliary": self._auxiliary_state(),
                "finished": finished,
            }
            save_state(self.out, self.config, state)

    # -- run -------------------------------------------------------------------------------------------------------

    def run(self, progress: Callable[[int, int, float], None] | None = None) -> Path:
        """Train to the end, measure the network, and write the checkpoint.

        Parameters
        ----------
        progress : callable or None, optional
            Called after each step with step, steps and loss.

        Returns
        -------
        Path
            The checkpoint. Only the first process of a group writes it.

        Raises
        ------
        ConfigError
            TensorBoard is asked for but not installed, or the training diverges.
        InputError
            An image or its ground truth is damaged.
        OutputError
            The state or the checkpoint cannot be written.
        """
        config = self.config
        if self.group.first:
            self._log_file = RunLog(self.out, self.step, config.run.tensorboard)
        steps = range(self.step, config.steps)
        try:
            with (
                reproducible(self.device),
                Prefetch(self._load, self._parts_of, steps, config.run.read_ahead, config.run.readers) as prefetch,
            ):
                for batches in prefetch:
                    started = time.perf_counter()
                    loss = self._train_step(batches)
                    self.step += 1
                    if not math.isfinite(loss):
                        raise ConfigError(
                            f"the loss of step {self.step} is {loss}: the training diverged; lower learning_rate"
                            f"{', or use precision = fp32' if self.bf16 else ''}."
                        )
                    self.seconds += time.perf_counter() - started
                    self._log({"step": self.step, "loss": round(loss, 5), "seconds": round(self.seconds, 1)})
                    if progress is not None:
                        progress(self.step, config.steps, loss)
                    if config.validate_every and self.step % config.validate_every == 0 and self.step < config.steps:
                        self._validate()
                    if self.step % config.save_every == 0:
                        self._save_state()
            return self._finish()
        finally:
            if self._log_file is not None:
                self._log_file.close()

    def _parts_of(self, step: int) -> range:
        """List the numbers of the forward passes of a step that this process makes."""
        first = step * self.config.accumulate
        return range(first + self.group.rank, first + self.config.accumulate, self.group.size)

    def _load(self, number: int) -> Batch:
        """Load the tiles of one forward pass, which depend on the seed and the number alone."""
        samples = self.sampler.batch(number, self.config.batch)
        return collate(
            samples,
            self.config.augment,
            np.random.default_rng([self.config.seed, 3, number]),
            self.model.config.in_channels,
            self._tiles_of if self.model.gathers else None,
            self._tones,
        )

    def _tiles_of(self, scene: int) -> Iterator[tuple[NDArray[np.uint8], IntWindow]]:
        """Read all tiles of a scene."""
        config = self.model.config
        return image_tiles(network_image(self.scenes[scene].pyramid, config), config)

    def _train_step(self, batches: Iterator[tuple[int, Batch]]) -> float:
        config = self.config
        factor = (1 - self.step / config.steps) ** config.poly_power
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        total = np.zeros(1)
        for number, batch in batches:
            # seeds dropout, so that a resumed run and one of several processes draw the same
            part = number - self.step * config.accumulate
            torch.manual_seed(1_000_003 * config.seed + self.step + part * PART_SEEDS)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss = self._loss(batch) / config.accumulate
            loss.backward()
            total += float(loss.detach())
        self.group.sum_gradients(p for group in self.optimizer.param_groups for p in group["params"])
        self.optimizer.step()
        self.group.average(self._statistics())
        return float(self.group.sum(total)[0])

    def _loss(self, batch: Batch) -> Tensor:
        return batch_loss(self.model, self.auxiliary, batch, self._forward, self.config, self.weights, self.device)

    def _forward(self, batch: Batch) -> Tensor:
        return forward_pass(self.model, batch, self.device)

    # -- measure ---------------------------------------------------------------------------------------------------

    def _parts(self, name: str) -> list[tuple[Scene, Sequence[IntWindow]]]:
        return [(scene, getattr(scene, name)) for scene in self.scenes if getattr(scene, name)]

    def _validate(self) -> Scores | None:
        """Measure the network on the validation regions and keep it if it is the best so far."""
        parts = self._parts("val")
        if not parts:
            return None
        scores = score_scenes(self.model, parts, self.table.names, group=self.group)
        self._log({"step": self.step, "val": scores.to_json(), "gates": self.gates()})
        value = scores.miou if self.by_miou else scores.headline[1]
        if self.config.keep == "best" and value > self.best:
            self.best = value
            self.best_state = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        return scores

    def gates(self) -> dict[str, float]:
        """Read the gates gamma_U and sigma(z) of each context, which show whether contexts are used.

        Returns
        -------
        dict of str to float
            Values by ``gamma_CONTEXT`` and ``sigma_z_CONTEXT``, rounded to 4 digits.
        """
        found = {}
        for name, parameter in self.model.named_parameters():
            context = name.split(".")[-2]
            if name.endswith(".gamma"):
                found[f"gamma_{context}"] = round(parameter.item(), 4)
            elif name.endswith(".z"):
                found[f"sigma_z_{context}"] = round(torch.sigmoid(parameter).item(), 4)
        return found

    def _finish(self) -> Path:
        self._validate()
        if self.best_state is not None:
            self.model.load_state_dict(self.best_state)
        round_as_stored(self.model.eval())
        figures: dict[str, Any] = {}
        for name in ("val", "test"):
            parts = self._parts(name)
            if parts:
                figures[name] = self._figures(parts)
        figures["gates"] = self.gates()
        path = self.out / f"{self.config.name}.safetensors"
        if not self.group.first:
            return path
        self._log({"step": self.step, "figures": figures})
        card = Card(
            name=self.config.name,
            description=" ".join(
                filter(None, (PRETRAINED if self.config.data.images else "", self.config.description))
            ),
            config=self.model.config,
            classes=self.table,
            provenance=self._provenance(),
            figures=figures,
            domain=self._domain(),
        )
        save_checkpoint(path, self.model, card)
        self._save_state(finished=True)
        return path

    def _figures(self, parts: Sequence[tuple[Scene, Sequence[IntWindow]]]) -> dict[str, Any]:
        """Measure regions with the default merge, and beside it with the paper's.

        Networks that refine masks are not measured with that one: each tile sees masks that are roughened anew.
        """
        crop, *others = (
            score_scenes(self.model, parts, self.table.names, group=self.group, merge=merge).to_json()
            | {"merge": merge}
            for merge in (MERGES[:1] if self.model.config.refines else MERGES)
        )
        reliance = round(reliance_on_scenes(self.model, parts, self.group), 5)
        return crop | {"context_reliance": reliance} | {figures["merge"]: figures for figures in others}

    def _domain(self) -> Domain | None:
        """Measure the facts of the training data, for which no trained network is lost."""
        try:
            return measure_domain(self.scenes, self.model.config, confidence=self._confidence(), earlier=self._earlier)
        except InputError as error:
            warnings.warn(f"the card keeps no facts of the training data: {error}", stacklevel=2)
            return None

    def _confidence(self) -> Confidence | None:
        """Measure the network's confidence where it was not trained, if there are such regions."""
        for name, words in (("val", "its validation regions"), ("test", "its test regions")):
            if parts := self._parts(name):
                return confidence_on(self.model, parts, words)
        return None

    def _provenance(self) -> dict[str, Any]:
        return {
            "training": without_folders(self.config.model_dump(mode="json", exclude=_NO_SETTINGS)),
            "data": without_folders({s.name: scene_fingerprint(s) for s in self.scenes}),
            "trained_on": without_folders({s.name: s.train for s in self.scenes if s.train}),
            **({"started_from": list(self.started)} if self.started else {}),
            "seconds": round(self.seconds, 1),
            "device": torch.cuda.get_device_name()
            if self.device.type == "cuda"
            else f"CPU, {count_of(torch.get_num_threads(), 'thread')}",
            "precision": "bf16" if self.bf16 else "fp32",
            "software": f"fctl-napari {__version__}, torch {torch.__version__}, python {platform.python_version()}",
        }

    def _log(self, entry: dict[str, Any]) -> None:
        if self._log_file is not None:
            self._log_file.write(entry)
