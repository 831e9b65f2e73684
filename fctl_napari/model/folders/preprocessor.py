"""Input of a network as ``preprocessor_config.json`` states it: its size and its normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fctl_napari.exceptions import CheckpointError, fault_of
from fctl_napari.model.bands import RGB
from fctl_napari.model.encoders.base import IMAGENET_MEAN, IMAGENET_STD
from fctl_napari.model.folders.files import PREPROCESSOR, read_document

DEFAULT_TILE = 512
LARGEST_TILE = 4096

Size = int | tuple[int, ...] | dict[str, int | None] | None
"""Side or sides of the input, px."""

_Positive = Annotated[float, Field(gt=0)]


class Preprocessor(BaseModel):
    """Fields of ``preprocessor_config.json`` that count here, with the defaults of transformers.

    Attributes
    ----------
    do_rescale, do_normalize : bool
        If True, values are multiplied by ``rescale_factor``, then normalized by mean and standard deviation.
    rescale_factor : float
        Factor.
    image_mean, image_std : tuple of float
        Mean and standard deviation of each band.
    size : int, tuple of int, dict of str to int or None
        Side or sides of the input, px.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), allow_inf_nan=False)

    do_rescale: bool = True
    rescale_factor: _Positive = 1 / 255
    do_normalize: bool = True
    image_mean: tuple[float, ...] = tuple(value / 255 for value in IMAGENET_MEAN)
    image_std: tuple[_Positive, ...] = tuple(value / 255 for value in IMAGENET_STD)
    size: Size = None


def read_preprocessor(folder: Path) -> Preprocessor:
    """Read the ``preprocessor_config.json`` of a folder.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    Preprocessor
        Its fields; the defaults if there is no such file.

    Raises
    ------
    CheckpointError
        The file is damaged.
    """
    path = folder / PREPROCESSOR
    if not path.is_file():
        return Preprocessor()
    try:
        return Preprocessor.model_validate(read_document(path))
    except ValidationError as error:
        raise CheckpointError(f"{path}: {fault_of(error)}.") from error


def tile_size_of(path: Path, stated: Size, step: int) -> int:
    """Return the tile size that a document states.

    Parameters
    ----------
    path : Path
        The document.
    stated : int, tuple of int, dict of str to int or None
        Its size.
    step : int
        The tile size is a multiple of this, px.

    Returns
    -------
    int
        The multiple that is nearest to the shorter side, px.

    Raises
    ------
    CheckpointError
        The size is too small or too large.
    """
    sides = list(stated.values()) if isinstance(stated, dict) else stated if isinstance(stated, tuple) else [stated]
    side = min((side for side in sides if side), default=DEFAULT_TILE)
    if not step <= side <= LARGEST_TILE:
        raise CheckpointError(f"{path}: states tiles of {side} px; state a size of {step} to {LARGEST_TILE}.")
    return round(side / step) * step


def normalization_of(path: Path, pre: Preprocessor) -> dict[str, Any]:
    """Return the fields of our settings that normalize as a preprocessor does.

    Parameters
    ----------
    path : Path
        Its document.
    pre : Preprocessor
        Its fields.

    Returns
    -------
    dict of str to object
        ``normalization`` or ``bands``; empty if it is ImageNet's.

    Raises
    ------
    CheckpointError
        Mean or deviation cannot be used.
    """
    factor = pre.rescale_factor if pre.do_rescale else 1.0
    mean = [value / factor for value in (pre.image_mean if pre.do_normalize else (0.0, 0.0, 0.0))]
    std = [value / factor for value in (pre.image_std if pre.do_normalize else (1.0, 1.0, 1.0))]
    if len(mean) != 3 or len(std) != 3:
        raise CheckpointError(
            f"{path}: image_mean and image_std have {len(mean)} and {len(std)} values; the network has 3 bands."
        )
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise CheckpointError(f"{path}: rescale_factor {factor:g} leaves no usable mean and deviation; mend it.")
    return normalization_fields(mean, std)


def normalization_fields(mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    """Return the fields of our settings that normalize by a mean and a deviation.

    Parameters
    ----------
    mean, std : sequence of 3 float
        Mean and standard deviation of values of 0..255.

    Returns
    -------
    dict of str to object
        ``normalization`` or ``bands``; empty if they are ImageNet's.
    """
    if _near(mean, IMAGENET_MEAN) and _near(std, IMAGENET_STD):
        return {}
    if _near(mean, (0.0,) * 3) and _near(std, (255.0,) * 3):
        return {"normalization": "unit"}
    return {"bands": [{"name": name, "mean": m, "std": s} for name, m, s in zip(RGB, mean, std, strict=True)]}


def _near(values: Sequence[float], others: Sequence[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in zip(values, others, strict=True))
