"""Settings file of an ONNX network (no torch)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fctl_napari.exceptions import ConfigError, InputError, fault_of, reason_of
from fctl_napari.model.bands import Band
from fctl_napari.model.onnx_settings import LARGEST_TILE, SMALLEST_TILE, OnnxOutput

_Byte = Annotated[int, Field(ge=0, le=255)]
_Positive = Annotated[float, Field(gt=0)]


class StatedClass(BaseModel):
    """A class of an ONNX network.

    In a settings file a name alone stands for one without a color.

    Attributes
    ----------
    name : str
        Name of the class.
    color : tuple of 3 int or None
        (red, green, blue), 0..255. None takes one that differs from the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    color: tuple[_Byte, _Byte, _Byte] | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Statement(BaseModel):
    """Settings of an ONNX network, as its metadata or a file states them. None stands for what is not stated.

    Attributes
    ----------
    classes : tuple of StatedClass or None
        Classes in the order of the output's channels or indices.
    pixel_size : float or None
        Side of the px on the ground that it takes, m.
    tile_size : int or None
        Side of the tiles, px, where the graph takes any.
    overlap : float or None
        Least overlap of the tiles, % of their side.
    bands : tuple of Band or None
        Bands in the order of the input: names, or names with ranges of values. None stands for red, green and blue.
    value_scale : {1, 255} or None
        Value of the input that stands for 255, before mean and standard deviation. None is 1.
    mean, std : tuple of float or None
        Mean and standard deviation of each band by which the input is normalized, in units of ``value_scale``. None
        normalizes nothing.
    output : OnnxOutput or None
        What the graph computes. None has it told from what it gives.
    threshold : float or None
        Probability from which px are of the second class, for a graph with a single output channel. None is 0.5.
    license : str or None
        License of the network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    classes: tuple[StatedClass, ...] | None = Field(default=None, min_length=1, max_length=250)
    pixel_size: _Positive | None = None
    tile_size: int | None = Field(default=None, ge=SMALLEST_TILE, le=LARGEST_TILE)
    overlap: float | None = Field(default=None, ge=0, le=90)
    bands: tuple[Band, ...] | None = Field(default=None, min_length=1)
    value_scale: Literal[1, 255] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[_Positive, ...] | None = None
    output: OnnxOutput | None = None
    threshold: float | None = Field(default=None, gt=0, lt=1)
    license: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Statement:
        ranges = [band.value_range for band in self.bands or ()]
        if None in ranges and any(ranges):
            raise ValueError("some bands have a value_range and others have none; state one for each, or for none")
        stated = [band.name for band in self.bands or () if band.mean is not None or band.std is not None]
        if stated:
            raise ValueError(
                f"the band {stated[0]!r} has a mean or std of its own; state those of all bands beside bands"
            )
        return self


def read_statement(path: Path | str) -> Statement:
    """Read a settings file of an ONNX network.

    Parameters
    ----------
    path : Path or str
        A TOML file.

    Returns
    -------
    Statement
        What it says.

    Raises
    ------
    InputError
        The file is missing or is no TOML file.
    ConfigError
        A setting is unknown or out of range.
    """
    try:
        stated = tomllib.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such settings file; check the path.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not a TOML file ({reason_of(error)}); mend it.") from error
    try:
        return Statement.model_validate(stated)
    except ValidationError as error:
        raise ConfigError(f"{path}: {fault_of(error)}.") from error
