"""Request of a light head (no torch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fctl_napari.exceptions import ConfigError, fault_of
from fctl_napari.imagery.band_names import Bands
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION, Precision


class HeadRequest(BaseModel):
    """All settings that decide a light head, as plain values that can be sent to another process.

    Attributes
    ----------
    image : str
        The image that was painted on.
    checkpoint : str
        Checkpoint whose encoders and fusion are taken as they are, a built-in one's name or a file.
    corrections : str
        What was painted, in classes of its own.
    out : str
        The new checkpoint, ``.safetensors``.
    replace : bool
        If True, a head that lies there is replaced.
    decoder : {"linear", "mlp"}
        Multinomial logistic regression, or one hidden layer.
    contexts : bool
        If False, the head sees the features of the tile alone.
    seed : int
        Seed of everything that is drawn.
    held_out : float
        Share of the painted regions on which the head is measured and calibrated, 0..1. The head that is written has
        learned from them too.
    device : str
        Device, as for segmenting.
    precision : {"auto", "fp32", "bf16"}
        Precision of the encoders, as for segmenting.
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
    out: str
    replace: bool = False
    decoder: Literal["linear", "mlp"] = "linear"
    contexts: bool = True
    seed: int = Field(default=0, ge=0)
    held_out: float = Field(default=0.2, ge=0, lt=1)
    device: str = DEVICE.default
    precision: Precision = PRECISION.default
    exact_contexts: bool = False
    value_range: tuple[float, float] | None = None
    bands: Bands | None = None

    @property
    def name(self) -> str:
        """Name of the new checkpoint."""
        return Path(self.out).stem


def head_request(**fields: Any) -> HeadRequest:
    """Build a request, converting validation errors to ``ConfigError``.

    Parameters
    ----------
    **fields : object
        Fields of ``HeadRequest``.

    Returns
    -------
    HeadRequest
        The request.

    Raises
    ------
    ConfigError
        A field is unknown or out of range.
    """
    try:
        return HeadRequest(**fields)
    except ValidationError as error:
        raise ConfigError(f"light head: {fault_of(error)}.") from error
