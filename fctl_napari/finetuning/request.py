"""What decides a fine-tuning run (no torch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fctl_napari.errors import ConfigError

PARTS = ("decoder", "lcc", "gpe", "mcf", "ale", "tile_encoder", "medium_encoder", "large_encoder")
"""Parts of a network that may learn; an encoder's part includes the 1x1 convs behind it."""

HEADS = ("decoder", "lcc", "gpe", "mcf", "ale")
"""Decoder and fusion: what learns by default."""


class FinetuneRequest(BaseModel):
    """Everything that decides a fine-tuning run; plain values, so that it travels to another process.

    Attributes
    ----------
    image
        The image that was corrected.
    checkpoint
        The parent: a built-in checkpoint's name or a file.
    corrections
        An OME-Zarr label image of the image's size: 0 nothing said, k + 1 class k, 255 not sure.
    out
        The new checkpoint, ``.safetensors``; it must not be there.
    truth
        Truth of the image, to measure on; it is not trained on.
    data_folder
        Where the parent's training scenes lie, if they are at hand (the bundled sample always is).
    parts
        What learns, of ``PARTS``.
    seed
        Of everything that is drawn.
    steps
        Optimizer steps, at most.
    seconds
        Time for the steps, at most; None: no limit. A run that is cut by time depends on the machine.
    batch
        Tiles per step.
    learning_rate
        Adam's largest; it rises over a tenth of the steps and falls to 0 as ``(1 - step / steps) ** 0.9``.
    focal_gamma
        Of the focal loss on corrected pixels.
    near
        Weight of distillation on the rest of corrected tiles.
    replay
        Weight of distillation on replay tiles.
    confidence_power
        Distillation weighs each pixel with its largest probability (by the parent) to this power: 0 holds every pixel,
        more lets pixels go of which the parent was not sure.
    pull
        Weight of the squared distance to the parent's weights (L2), times 1/2.
    replay_share
        Share of each step's tiles that are replay tiles.
    replay_tiles, training_tiles
        How many replay tiles there are of the scene, and of the training set.
    most_tiles
        How many corrected tiles are used, at most.
    held_out
        Share of the corrected regions that is not trained on but measured.
    check_tiles
        How many tiles away from corrections the agreement is measured on, and as many of the training set.
    truth_tiles
        How many tiles the truth is measured on, at most, evenly spread.
    bound
        Gate: agreement with the parent may fall by less than this, 0..1.
    check_every
        Steps between measurements.
    patience
        Measurements without a better one after which the run stops early.
    save_every
        Steps between saved states.
    cache_megabytes
        Memory for features of frozen encoders; what does not fit lies on disk beside ``out``.
    device, precision
        As for segmenting.
    exact_contexts, value_range, bands
        As the image is to be segmented.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str
    checkpoint: str
    corrections: str
    out: str
    truth: str | None = None
    data_folder: str | None = None
    parts: tuple[str, ...] = HEADS
    seed: int = Field(default=0, ge=0)
    steps: int = Field(default=75, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    batch: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    focal_gamma: float = Field(default=1.0, ge=0)
    near: float = Field(default=1.0, ge=0)
    replay: float = Field(default=10.0, ge=0)
    confidence_power: float = Field(default=2.0, ge=0)
    pull: float = Field(default=1e-3, ge=0)
    replay_share: float = Field(default=0.6, ge=0, lt=1)
    replay_tiles: int = Field(default=24, ge=0)
    training_tiles: int = Field(default=72, ge=0)
    most_tiles: int = Field(default=400, ge=1)
    held_out: float = Field(default=0.2, ge=0, lt=1)
    check_tiles: int = Field(default=16, ge=0)
    truth_tiles: int = Field(default=256, ge=1)
    bound: float = Field(default=0.1, gt=0, le=1)
    check_every: int = Field(default=25, ge=1)
    patience: int = Field(default=4, ge=1)
    save_every: int = Field(default=25, ge=1)
    cache_megabytes: int = Field(default=1024, ge=0)
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    exact_contexts: bool = False
    value_range: tuple[float, float] | None = None
    bands: tuple[int, int, int] | None = None

    @property
    def name(self) -> str:
        """Of the new checkpoint."""
        return Path(self.out).stem

    @model_validator(mode="after")
    def _check(self) -> FinetuneRequest:
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not self.parts:
            raise ValueError(f"there is no part {(unknown or [''])[0]!r} of a network; choose of {', '.join(PARTS)}")
        return self


def finetune_request(**fields: Any) -> FinetuneRequest:
    """Build a request, with errors of ours.

    Raises
    ------
    ConfigError
        A field is unknown or out of range.
    """
    try:
        return FinetuneRequest(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"fine-tuning: {where + ': ' if where else ''}{message}.") from error
