"""Large arrays in NumPy's own files, mapped and never unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from fctl_napari.exceptions import InputError, reason_of
from fctl_napari.imagery.level import Level, MappedArray

NPY_MAGIC = b"\x93NUMPY"


def read_npy(path: Path) -> Level:
    """Open a ``.npy`` file of an array [y, x] or [y, x, channel].

    Values are read when the level is indexed.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    Level
        Array as a level.

    Raises
    ------
    InputError
        The file is truncated or damaged, or holds something else.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OSError) as error:
        if "Python objects" in str(error):
            raise InputError(
                f"{path}: holds Python objects, which are never loaded here; save plain numbers."
            ) from error
        reason = reason_of(error)
        raise InputError(f"{path}: is truncated or damaged; fetch it again ({reason}).") from error
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise InputError(f"{path}: has shape {array.shape}; save an image [y, x] or [y, x, channel].")
    order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
    return Level(MappedArray(path, array.dtype, array.offset, array.shape, order), "yxc"[: array.ndim])
