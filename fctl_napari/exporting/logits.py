"""Summed logits that a run kept, as one NumPy file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fctl_napari.exceptions import OutputError
from fctl_napari.files import atomic_write
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation

ROWS = 512
"""Number of rows read at once."""


def check_logits_path(out: Path | str) -> Path:
    """Refuse a path where ``export_logits`` cannot write, or would replace something else.

    Parameters
    ----------
    out : Path or str
        Path of the file.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    OutputError
        The name does not end in ``.npy``, or there is a file that is no float32 array [C, H, W].
    """
    out = Path(out)
    if out.suffix != ".npy":
        raise OutputError(f"{out}: logits are kept as a NumPy file; end the name in .npy.")
    if out.exists():
        try:
            with out.open("rb") as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        except (OSError, ValueError):
            shape, dtype = (), np.dtype(object)
        if dtype != np.float32 or len(shape) != 3:
            raise OutputError(f"{out}: exists and is not an array of logits; choose another name.")
    return out


def export_logits(segmentation: Segmentation, out: Path | str, *, progress: Progress | None = None) -> Path:
    """Write the summed logits that a run kept as one NumPy file.

    The array is float32 [C, H, W], with NaN where nothing was computed.

    Parameters
    ----------
    segmentation : Segmentation
        An opened store.
    out : Path or str
        Path of the file, ``.npy``; earlier logits are replaced.
    progress : callable, optional
        Called as ``progress(done, total)`` with counts of strips.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    OutputError
        The run kept none, the path is not one for them (see ``check_logits_path``), the disk is full, or the folder is
        not writable.
    """
    out = check_logits_path(out)
    logits = segmentation.logits
    if logits is None:
        raise OutputError(f"{segmentation.path}: keeps no logits; run fctl segment --save-logits --fresh.")
    with atomic_write(out) as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": logits.shape}
        np.lib.format.write_array_header_1_0(file, header)
        strips = [(c, y) for c in range(logits.shape[0]) for y in range(0, logits.shape[1], ROWS)]
        for number, (channel, y) in enumerate(strips, 1):
            file.write(np.ascontiguousarray(logits[channel, y : y + ROWS], "<f4").tobytes())
            if progress is not None:
                progress(number, len(strips))
    return out
