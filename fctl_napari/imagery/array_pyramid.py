"""Pyramids of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.halving import halved_levels
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.validity import StoredMask, Validity


def pyramid_from_array(
    array: Any,
    *,
    coarser: Sequence[Any] = (),
    name: str = "image",
    value_range: tuple[float, float] | None = None,
    bands: tuple[int, int, int] | None = None,
    georeference: Georeference | None = None,
    alpha: bool = False,
    validity: Validity | None = None,
) -> Pyramid:
    """Make a pyramid of an array, with coarser levels computed in memory, each block when it is first read.

    Parameters
    ----------
    array : array_like [y, x] or [y, x, channel]
        A NumPy array, or anything with a shape, a dtype and NumPy's slicing.
    coarser : sequence of array_like, optional
        Coarser levels of it. Those that are a half, a quarter and so on as large, rounded up, are used.
    name : str, optional
        See :class:`Pyramid`.
    value_range : tuple of 2 float or None, optional
        See :class:`Pyramid`.
    bands : tuple of 3 int or None, optional
        See :class:`Pyramid`.
    georeference : Georeference or None, optional
        See :class:`Pyramid`.
    alpha : bool, optional
        If True, the last channel is opacity: px where it is 0 hold no data.
    validity : Validity or None, optional
        Other marks of px of the array without data.

    Returns
    -------
    Pyramid
        Image whose finest level is the array.

    Raises
    ------
    InputError
        The array has other axes, or no pixels.
    """
    if len(array.shape) not in (2, 3) or 0 in array.shape:
        raise InputError(f"{name}: has shape {tuple(array.shape)}; give an image [y, x] or [y, x, channel].")
    axes = "yxc" if len(array.shape) == 3 else "yx"
    first = Level(array, axes)
    height, width, channels = first.shape
    if alpha:
        validity = Validity((StoredMask(first, channels - 1, (height, width)),), "alpha")
    own = [Level(one, axes) for one in coarser if len(one.shape) == len(axes)]
    levels, validity = halved_levels(first, validity, own)
    return Pyramid(
        name,
        levels,
        factors=[(float(2**k), float(2**k)) for k in range(len(levels))],
        native_levels=1 + sum(1 for _ in takewhile(own.__contains__, levels[1:])),
        value_range=value_range,
        bands=bands,
        georeference=georeference,
        validity=validity,
    )
