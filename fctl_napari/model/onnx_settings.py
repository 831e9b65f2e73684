"""Settings of networks that came as ONNX files, in their model card (no torch)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

OnnxOutput = Literal["logits", "probabilities", "classes"]
"""What a graph computes: logits or probabilities of the classes, or of the second one alone; or indices of classes."""

DEFAULT_OVERLAP = 25.0
"""Overlap of tiles where none is stated, % of the tile's side."""

SMALLEST_TILE, LARGEST_TILE = 32, 4096
"""Sides of tiles that a network may take, px."""

_Positive = Annotated[float, Field(gt=0)]


class OnnxSettings(BaseModel):
    """Input and output of a network that came as an ONNX file.

    Attributes
    ----------
    mean, std : tuple of float
        Mean and standard deviation of each band, 0..255. The graph's input is ``(v - mean) / std`` with values v of
        0..255.
    output : OnnxOutput
        What the graph computes.
    threshold : float
        Probability from which px are of the second class, for a graph with a single output channel.
    pixel_size : float or None
        Side of the px on the ground that the network takes, m. An image whose px are known to be of another size is
        resampled to it, tile by tile. None takes images as they are.
    overlap : float
        Least overlap of the tiles, % of their side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[_Positive, ...] = Field(min_length=1)
    output: OnnxOutput
    threshold: float = Field(default=0.5, gt=0, lt=1)
    pixel_size: float | None = Field(default=None, gt=0)
    overlap: float = Field(default=DEFAULT_OVERLAP, ge=0, le=90)
