"""Training CascadePSP's refinement module on truths that were roughened at random."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from fctl_napari.errors import ConfigError
from fctl_napari.learning.augment import collate
from fctl_napari.learning.config import AugmentSettings, DataSettings
from fctl_napari.learning.data import TileSampler, open_scenes, scene_digest
from fctl_napari.model.card import without_folders
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.config import preset
from fctl_napari.model.encoders import load_published_weights
from fctl_napari.model.refinement import Refiner, check_refiner_place, save_refiner
from fctl_napari.segmentation.device import numerics, resolve_device, resolve_precision

GRADIENT_WEIGHT = 5.0
"""Of the loss on edges, as in the paper."""


class RefinerConfig(BaseModel):
    """Everything that decides a refiner's training; the defaults are the paper's.

    Attributes
    ----------
    data
        The scenes; as in a training config.
    augment
        Random changes of crops.
    encoder_weights
        A published ResNet-50 (relative to the data folder or absolute); empty: random.
    crop
        Side, px.
    steps, batch
        Optimizer steps, and crops in each.
    learning_rate
        Adam's; a tenth of it for the last quarter of the steps.
    least_iou
        How rough the masks are at most: their IoU with the truth is drawn from here to 1.
    precision
        ``bf16`` autocast or ``fp32``; ``auto``: bf16 where the device is fast at it.
    seed
        Of everything that is drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataSettings
    augment: AugmentSettings = AugmentSettings()
    encoder_weights: str = ""
    crop: int = Field(default=224, ge=32)
    steps: int = Field(default=30_000, ge=1)
    batch: int = Field(default=9, ge=2)
    learning_rate: float = Field(default=3e-4, gt=0)
    least_iou: float = Field(default=0.8, gt=0, lt=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0


def load_refiner_config(path: Path | str) -> RefinerConfig:
    """Read a TOML file.

    Raises
    ------
    ConfigError
        It is missing, no TOML, or its settings do not fit.
    """
    try:
        return RefinerConfig.model_validate(tomllib.loads(Path(path).read_text("utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a TOML file ({error}).") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}.") from error


def train_refiner(
    config: RefinerConfig,
    out: Path | str,
    *,
    data_folder: Path | str = ".",
    device: str = "auto",
    progress: Callable[[int, int, float], None] | None = None,
) -> Path:
    """Train a refiner and write it.

    Parameters
    ----------
    config
        Everything that decides the run.
    out
        The file to write, ``.safetensors``.
    data_folder
        Where relative paths of the config start.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``.
    progress
        Called after each step with step, steps and loss.

    Raises
    ------
    InputError, CheckpointError
        Data or starting weights cannot be used.
    OutputError
        The place is not one for a refiner.
    """
    out = check_refiner_place(out)
    where = resolve_device(device)
    precision = resolve_precision(config.precision, where)
    scenes, table = open_scenes(config.data, data_folder)
    classes = len(table.scored)
    crops = preset("unet", tile_size=config.crop, classes=classes)  # a network without contexts: crops alone
    sampler = TileSampler(scenes, crops, config.augment, 0.5, config.seed)
    torch.manual_seed(config.seed)
    model = Refiner().train()
    if config.encoder_weights:
        load_published_weights(model.encoder, Path(data_folder) / config.encoder_weights)
    model.to(where).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [config.steps * 3 // 4], 0.1)
    for step in range(config.steps):
        rng = np.random.default_rng([config.seed, 4, step])
        batch = collate(sampler.batch(step, config.batch), config.augment, rng)
        masks, wanted = _questions(batch.truth.numpy(), config.least_iou, rng)
        tile = batch.tile.to(where, memory_format=torch.channels_last)
        with numerics(where, precision):
            logits = {stride: x.float() for stride, x in model(tile, masks.to(where)).items()}
        loss = refinement_loss(logits, wanted.to(where), (batch.truth != IGNORE)[:, None].to(where))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, config.steps, float(loss.detach()))
    facts: dict[str, Any] = {
        "training": without_folders(json.loads(config.model_dump_json())),
        "data": {Path(scene.name).name: scene_digest(scene) for scene in scenes},
    }
    return save_refiner(out, model, facts)


def _questions(truth: NDArray[np.int64], least_iou: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Choose a class of each crop; its roughened mask and its true one, float [B, 1, T, T]."""
    masks, wanted = [], []
    for crop in truth:
        found = np.unique(crop[crop != IGNORE])
        mask = crop == (rng.choice(found) if len(found) else 0)
        masks.append(roughen(mask, rng.uniform(least_iou, 1), rng))
        wanted.append(mask)
    return torch.from_numpy(np.stack(masks)[:, None]).float(), torch.from_numpy(np.stack(wanted)[:, None]).float()


def roughen(mask: NDArray[np.bool_], iou: float, rng: np.random.Generator, most: int = 100) -> NDArray[np.bool_]:
    """Grow or shrink a mask in random boxes on its outline until its IoU with what it was falls to a value.

    Parameters
    ----------
    mask
        [T, T]. One that is all true, or empty, has no outline and stays.
    iou
        At which to stop; down to about 0.7 it is nearly always reached.
    rng
        Draws.
    most
        Boxes at most.
    """
    out = mask.copy()
    size = len(mask)
    grows = rng.choice([0.2, 0.8])  # boxes that grow and boxes that shrink would undo each other
    for _ in range(most):
        outline = np.argwhere(out ^ ndimage.binary_erosion(out, border_value=1))
        if not len(outline) or (out & mask).sum() <= iou * (out | mask).sum():
            break
        y, x = outline[rng.integers(len(outline))]
        half = int(rng.integers(size // 16, size // 4)) + 1
        box = np.s_[max(0, y - half) : y + half, max(0, x - half) : x + half]
        change = ndimage.binary_dilation if rng.random() < grows else ndimage.binary_erosion
        rounds = int(rng.integers(1, size // 16 + 2))
        border = {} if change is ndimage.binary_dilation else {"border_value": 1}
        out[box] = change(out[box], iterations=rounds, **border)
    return out


def refinement_loss(logits: dict[int, Tensor], wanted: Tensor, counted: Tensor) -> Tensor:
    """Loss of the paper: cross entropy at stride 8, L1 + L2 at stride 1, the mean of both at 4; edges at 1.

    Parameters
    ----------
    logits
        As from ``Refiner``.
    wanted
        0 or 1, [B, 1, T, T].
    counted
        Which px have a truth, bool [B, 1, T, T].
    """
    weight = counted.float() / counted.sum().clamp(min=1)

    def entropy(stride: int) -> Tensor:
        return (F.binary_cross_entropy_with_logits(logits[stride], wanted, reduction="none") * weight).sum()

    def distance(stride: int) -> Tensor:
        error = logits[stride].sigmoid() - wanted
        return ((error.abs() + error.square()) * weight).sum()

    edges = ((_gradient(logits[1].sigmoid()) - _gradient(wanted)).abs() * weight).sum()
    return entropy(8) + (entropy(4) + distance(4)) / 2 + distance(1) + GRADIENT_WEIGHT * edges


def _gradient(x: Tensor) -> Tensor:
    """Length of the gradient of [B, 1, T, T], smoothed over 3 x 3 px, by Sobel's operator."""
    x = F.avg_pool2d(x, 3, 1, padding=1)
    kernel = x.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    found = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), torch.stack([kernel, kernel.T])[:, None])
    return (found.square().sum(1, keepdim=True) + 1e-8).sqrt()
