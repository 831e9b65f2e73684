"""Request of a fine-tuning run (no torch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fctl_napari.exceptions import ConfigError, fault_of
from fctl_napari.imagery.band_names import Bands
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION, Precision

PARTS = ("decoder", "lcc", "gpe", "mcf", "ale", "tile_encoder", "medium_encoder", "large_encoder")
"""Parts of a network that may be trained. An encoder's part includes the 1x1 convolutions that follow it."""

HEADS = ("decoder", "lcc", "gpe", "mcf", "ale")
"""Decoder and fusion, the parts that are trained by default."""


class FinetuneRequest(BaseModel):
    """All settings that decide a fine-tuning run, as plain values that can be sent to another process.

    Attributes
    ----------
    image : str
        The image that was corrected.
    checkpoint : str
        The parent, a built-in checkpoint's name or a file.
    corrections : str
        OME-Zarr label image of the image's size: 0 not corrected, k + 1 class k, 255 not sure.
    further : tuple of (str, str)
        Further images, each with its corrections, that are learned from together with the first.
    out : str
        The new checkpoint, ``.safetensors``, which must not exist.
    truth : str or None
        Ground truth of the image, to measure on. It is not trained on.
    data_folder : str or None
        Folder of the parent's training scenes, if they are at hand (the bundled sample always is).
    parts : tuple of str
        Parts of the network that are trained, among ``PARTS``.
    seed : int
        Seed of everything that is drawn.
    steps : int
        Largest number of optimizer steps.
    seconds : float or None
        Longest time for the steps, s, or None for no limit. A run that is cut by time depends on the machine.
    batch : int
        Tiles per step.
    learning_rate : float
        Adam's largest learning rate. It rises over a tenth of the steps and falls to 0 as
        ``(1 - step / steps) ** 0.9``.
    focal_gamma : float
        Focusing exponent of the focal loss on corrected pixels.
    near : float
        Weight of distillation on the rest of corrected tiles. Where the parent predicts a class that corrections name
        or replace, it falls to 0 as these surely hold for others that are held out, see ``evidence.Gain.trust``.
    replay : float
        Weight of distillation on replay tiles. It falls likewise on those of the corrected images.
    confidence_power : float
        Power of the parent's largest probability by which distillation weighs each pixel. With 0 every pixel is held,
        with more, pixels of which the parent was not sure may change.
    pull : float
        Weight of the squared distance to the parent's weights (L2), times 1/2.
    replay_share : float
        Share of each step's tiles that are replay tiles, 0..1.
    replay_tiles : int
        Number of replay tiles of the scene.
    training_tiles : int
        Number of replay tiles of the training set.
    most_tiles : int
        Largest number of corrected tiles.
    held_out : float
        Share of the corrected regions that is held out, 0..1.
    check_tiles : int
        Number of tiles away from corrections on which agreement is measured. As many of the training set are added.
    truth_tiles : int
        Largest number of tiles, evenly spread, on which the ground truth is compared.
    bound : float or None
        Bound of the gate: agreement with the parent may fall by less than this, 0..1. None for a tenth, and more of
        an image that the parent is unsure of or errs on.
    check_every : int
        Steps between checks.
    patience : int
        Number of checks without improvement after which the run stops early.
    save_every : int
        Steps between saved states.
    cache_megabytes : int
        Memory for features of frozen encoders, MiB. What does not fit is kept on disk beside ``out``.
    device : str
        Device, as for segmenting.
    precision : {"auto", "fp32", "bf16"}
        Precision, as for segmenting.
    exact_contexts : bool
        If True, contexts are resampled from full resolution, as the image is to be segmented.
    value_range : tuple of 2 float or None
        Values of the image that become black and white, as the image is to be segmented.
    bands : Bands or None
        Channels of the image that are red, green and blue, as the image is to be segmented.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str
    checkpoint: str
    corrections: str
    further: tuple[tuple[str, str], ...] = ()
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
    bound: float | None = Field(default=None, gt=0, le=1)
    check_every: int = Field(default=25, ge=1)
    patience: int = Field(default=4, ge=1)
    save_every: int = Field(default=25, ge=1)
    cache_megabytes: int = Field(default=1024, ge=0)
    device: str = DEVICE.default
    precision: Precision = PRECISION.default
    exact_contexts: bool = False
    value_range: tuple[float, float] | None = None
    bands: Bands | None = None

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All images that are learned from, each with its corrections."""
        return ((self.image, self.corrections), *self.further)

    @property
    def name(self) -> str:
        """Name of the new checkpoint."""
        return Path(self.out).stem

    @model_validator(mode="after")
    def _check(self) -> FinetuneRequest:
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not self.parts:
            raise ValueError(f"there is no part {(unknown or [''])[0]!r} of a network; choose from {', '.join(PARTS)}")
        if self.truth is not None and self.further:
            raise ValueError("a ground truth is of one image, and several are learned from; leave it out")
        return self


def finetune_request(**fields: Any) -> FinetuneRequest:
    """Build a request, converting validation errors to ``ConfigError``.

    Parameters
    ----------
    **fields : object
        Fields of ``FinetuneRequest``.

    Returns
    -------
    FinetuneRequest
        The request.

    Raises
    ------
    ConfigError
        A field is unknown or out of range.
    """
    try:
        return FinetuneRequest(**fields)
    except ValidationError as error:
        raise ConfigError(f"fine-tuning: {fault_of(error)}.") from error
