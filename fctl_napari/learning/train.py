"""Training: Adam, poly schedule, focal loss, resume after a kill, a checkpoint with its card at the end."""

from __future__ import annotations

import io
import json
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fctl_napari import __version__
from fctl_napari.analysis.metrics import Scores
from fctl_napari.errors import CheckpointError, ConfigError
from fctl_napari.files import atomic_write
from fctl_napari.learning.augment import Batch, collate
from fctl_napari.learning.config import TrainConfig
from fctl_napari.learning.data import Region, Scene, TileSampler, open_scenes, scene_digest
from fctl_napari.learning.losses import focal_loss
from fctl_napari.learning.validate import reliance_on_scenes, score_scenes
from fctl_napari.model.build import make_network
from fctl_napari.model.card import Card, without_folders
from fctl_napari.model.checkpoint import load_checkpoint, round_as_stored, save_checkpoint
from fctl_napari.model.encoders import load_published_weights
from fctl_napari.model.network import Network
from fctl_napari.segmentation.device import resolve_device, resolve_precision

STATE = "state.pt"
LOG = "log.jsonl"
GATES = ("gamma", "z", "v_pos")


class Trainer:
    """One training run in one folder: ``state.pt`` while it runs, ``log.jsonl``, and ``<name>.safetensors``.

    Parameters
    ----------
    config
        Everything that decides the run.
    out
        Its folder. A run of the same settings that was killed goes on where its last state was saved.
    data_folder
        Where relative paths of the config start.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``.

    Raises
    ------
    ConfigError
        The folder holds a run of other settings.
    InputError, CheckpointError
        Data or starting weights cannot be used.
    """

    def __init__(
        self, config: TrainConfig, out: Path | str, *, data_folder: Path | str = ".", device: str = "auto"
    ) -> None:
        self.config = config
        self.out = Path(out)
        self.data_folder = Path(data_folder)
        self.device = resolve_device(device)
        self.bf16 = resolve_precision(config.precision, self.device) == "bf16"
        self.scenes, self.table = open_scenes(config.data, data_folder)
        torch.manual_seed(config.seed)
        network = config.network_config(len(self.table.scored))
        self.model = make_network(network)
        self._start_weights()
        self.model.to(self.device)
        if self.bf16:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._freeze()
        self.sampler = TileSampler(self.scenes, network, config.augment, config.balanced_tiles, config.seed)
        self.weights = self._class_weights()
        self.optimizer = self._optimizer()
        self.step = 0
        self.seconds = 0.0
        self.best = -1.0
        self.best_state: dict[str, Tensor] | None = None
        self._resume()

    # -- start -----------------------------------------------------------------------------------------------------

    def _start_weights(self) -> None:
        if self.config.encoder_weights:
            path = self.data_folder / self.config.encoder_weights
            for encoder in self.model.encoders.values():
                load_published_weights(encoder, path)  # type: ignore[arg-type]
        if self.config.init_from:
            start_from(self.model, self.data_folder / self.config.init_from)

    def _freeze(self) -> None:
        """Parts may keep their weights, and batch norms their statistics."""
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d) and self.config.batch_norm == "frozen":
                module.eval()
        for prefix in self.config.frozen:
            found = [p for name, p in self.model.named_parameters() if name.startswith(prefix)]
            if not found:
                raise ConfigError(f"frozen: nothing in the network starts with {prefix!r}; check the name.")
            for parameter in found:
                parameter.requires_grad_(False)

    def _class_weights(self) -> Tensor | None:
        if self.config.class_weights == "none":
            return None
        shares = np.maximum(self.sampler.class_shares(), 1e-4)
        weights = 1 / np.sqrt(shares)
        return torch.tensor(weights / weights.mean(), dtype=torch.float32, device=self.device)

    def _optimizer(self) -> torch.optim.Optimizer:
        config = self.config
        groups: dict[str, list[nn.Parameter]] = {"encoder": [], "gate": [], "rest": []}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                kind = "encoder" if name.startswith("encoders.") else "rest"
                groups["gate" if name.rsplit(".", 1)[-1] in GATES else kind].append(parameter)
        factors = {"encoder": config.encoder_factor, "gate": config.gate_factor, "rest": 1.0}
        return torch.optim.Adam(
            [
                {
                    "params": parameters,
                    "lr": config.learning_rate * factors[kind],
                    "base_lr": config.learning_rate * factors[kind],
                    "weight_decay": 0.0 if kind == "gate" else config.weight_decay,
                }
                for kind, parameters in groups.items()
                if parameters
            ]
        )

    def _resume(self) -> None:
        path = self.out / STATE
        if not path.is_file():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"] != self.config.model_dump_json():
            raise ConfigError(f"{self.out}: holds a run of other settings; choose another folder.")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.best_state = state["best_state"]

    def _save_state(self) -> None:
        buffer = io.BytesIO()
        state = {
            "config": self.config.model_dump_json(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "best_state": self.best_state,
        }
        torch.save(state, buffer)
        with atomic_write(self.out / STATE) as file:
            file.write(buffer.getvalue())

    # -- run -------------------------------------------------------------------------------------------------------

    def run(self, progress: Callable[[int, int, float], None] | None = None) -> Path:
        """Train to the end, measure, and write the checkpoint.

        Parameters
        ----------
        progress
            Called after each step with step, steps and loss.

        Returns
        -------
        Path
            The checkpoint.
        """
        config = self.config
        with ThreadPoolExecutor(1, thread_name_prefix="fctl-data") as pool:
            waiting = [pool.submit(self._load, self.step)]
            while self.step < config.steps:
                if self.step + 1 < config.steps:
                    waiting.append(pool.submit(self._load, self.step + 1))
                started = time.perf_counter()
                loss = self._train_step(waiting.pop(0))
                self.step += 1
                self.seconds += time.perf_counter() - started
                self._log({"step": self.step, "loss": round(loss, 5), "seconds": round(self.seconds, 1)})
                if progress is not None:
                    progress(self.step, config.steps, loss)
                if config.validate_every and self.step % config.validate_every == 0 and self.step < config.steps:
                    self._validate()
                if self.step % config.save_every == 0:
                    self._save_state()
        return self._finish()

    def _load(self, step: int) -> list[Batch]:
        batches = []
        for part in range(self.config.accumulate):
            number = step * self.config.accumulate + part
            samples = self.sampler.batch(number, self.config.batch)
            batches.append(collate(samples, self.config.augment, np.random.default_rng([self.config.seed, 3, number])))
        return batches

    def _train_step(self, future: Future[list[Batch]]) -> float:
        factor = (1 - self.step / self.config.steps) ** self.config.poly_power
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(1_000_003 * self.config.seed + self.step)  # dropout: a resumed run draws the same
        total = 0.0
        batches = future.result()
        for batch in batches:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                logits = self._forward(batch)
            gamma = self.config.focal_gamma if self.config.loss == "focal" else 0.0
            loss = focal_loss(logits, batch.truth.to(self.device), gamma, self.weights) / len(batches)
            loss.backward()
            total += float(loss.detach())
        self.optimizer.step()
        return total

    def _forward(self, batch: Batch) -> Tensor:
        layout = torch.channels_last if self.bf16 else torch.contiguous_format
        contexts = {
            name: self.model.encode_context(name, images.to(self.device, memory_format=layout))[
                batch.indices[name].to(self.device)
            ]
            for name, images in batch.contexts.items()
        }
        windows = {name: window.to(self.device) for name, window in batch.windows.items()}
        tile = self.model.encode_tile(batch.tile.to(self.device, memory_format=layout))
        return self.model.decode(tile, contexts, windows)

    # -- measure ---------------------------------------------------------------------------------------------------

    def _parts(self, name: str) -> list[tuple[Scene, Sequence[Region]]]:
        return [(scene, getattr(scene, name)) for scene in self.scenes if getattr(scene, name)]

    def _validate(self) -> Scores | None:
        parts = self._parts("val")
        if not parts:
            return None
        scores = score_scenes(self.model, parts, self.table.names)
        self._log({"step": self.step, "val": scores.to_json(), "gates": self.gates()})
        if self.config.keep == "best" and scores.miou > self.best:
            self.best = scores.miou
            self.best_state = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        return scores

    def gates(self) -> dict[str, float]:
        """gamma_U and sigma(z) of each context: watch whether contexts are used."""
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
                figures[name] = score_scenes(self.model, parts, self.table.names).to_json()
                figures[name]["context_reliance"] = round(reliance_on_scenes(self.model, parts), 5)
        figures["gates"] = self.gates()
        card = Card(
            name=self.config.name,
            description=self.config.description,
            config=self.model.config,
            classes=self.table,
            provenance=self._provenance(),
            figures=figures,
        )
        self._log({"step": self.step, "figures": figures})
        path = save_checkpoint(self.out / f"{self.config.name}.safetensors", self.model, card)
        self._save_state()
        return path

    def _provenance(self) -> dict[str, Any]:
        return {
            "training": without_folders(self.config.model_dump(mode="json", exclude={"data": {"classes"}})),
            "data": without_folders({s.name: scene_digest(s) for s in self.scenes}),
            "seconds": round(self.seconds, 1),
            "device": torch.cuda.get_device_name()
            if self.device.type == "cuda"
            else f"CPU, {torch.get_num_threads()} threads",
            "precision": "bf16" if self.bf16 else "fp32",
            "software": f"fctl-napari {__version__}, torch {torch.__version__}, python {platform.python_version()}",
        }

    def _log(self, entry: dict[str, Any]) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def start_from(model: Network, path: Path | str) -> None:
    """Take over a checkpoint's arrays of equal name and shape; context streams without any start from the tile's.

    Raises
    ------
    CheckpointError
        The checkpoint has another encoder.
    """
    source, card = load_checkpoint(path)
    if card.config.encoder != model.config.encoder:
        raise CheckpointError(
            f"{path}: its encoder is {card.config.encoder}, this network's {model.config.encoder}; start from a "
            "checkpoint with the same encoder."
        )
    given = source.state_dict()
    own = model.state_dict()
    taken = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    for key, value in own.items():
        part, _, rest = key.partition(".")
        stream, _, name = rest.partition(".")
        template = f"{part}.tile.{name}"
        another = key not in taken and part in ("encoders", "necks") and stream != "tile"
        if another and template in given and given[template].shape == value.shape:
            taken[key] = given[template]
    model.load_state_dict(taken, strict=False)


def train(
    config: TrainConfig,
    out: Path | str,
    *,
    data_folder: Path | str = ".",
    device: str = "auto",
    progress: Callable[[int, int, float], None] | None = None,
) -> Path:
    """Run a training config in a folder; see ``Trainer``.

    Returns
    -------
    Path
        The checkpoint.
    """
    return Trainer(config, out, data_folder=data_folder, device=device).run(progress)
