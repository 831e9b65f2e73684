"""Parts of checkpoints, converted once and kept in the cache folder by the checkpoint's hash (no torch)."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from fctl_napari import __version__
from fctl_napari.cache.entries import NETWORKS, cache_path
from fctl_napari.cache.use import Use, use
from fctl_napari.segmentation.inference.openvino_parts import Parts, load_parts, save_parts
from fctl_napari.segmentation.inference.openvino_runtime import ov

LAYOUT = 3
"""Number to raise when parts of the same network change: those that are kept are not used then."""

KEPT = 8
"""Number of networks whose parts are kept: those used last."""

_used: dict[Path, Use | None] = {}
"""Parts that this process may read until it ends."""

UNREADABLE = OSError, ValueError, LookupError, TypeError, RuntimeError
"""Errors of reading parts that are not there yet, or are damaged."""


def kept_parts(checkpoint: str, checkpoint_hash: str, core: ov.Core) -> tuple[Parts, Path]:
    """Return the parts of a checkpoint, which are converted unless they are kept.

    Parameters
    ----------
    checkpoint : str
        Path of the checkpoint.
    checkpoint_hash : str
        SHA-256 of the checkpoint.
    core : openvino.Core
        Runtime that reads them.

    Returns
    -------
    parts : Parts
        The parts.
    folder : Path
        Folder in which they are kept. It is missing where nothing can be written.

    Raises
    ------
    CheckpointError
        The checkpoint is missing or damaged.
    """
    folder = parts_folder(cache_path() / NETWORKS, checkpoint_hash)
    if folder not in _used:
        _used[folder] = use(folder)
    with contextlib.suppress(*UNREADABLE):
        return load_parts(folder, core), folder
    _remove(folder)
    if "torch" not in sys.modules:
        _convert_elsewhere(checkpoint, folder)
        with contextlib.suppress(*UNREADABLE):
            return load_parts(folder, core), folder
    return convert_checkpoint(checkpoint, folder), folder


def convert_checkpoint(checkpoint: str, folder: Path) -> Parts:
    """Convert a checkpoint with torch, and keep its parts if there is a place for them.

    Parameters
    ----------
    checkpoint : str
        Path of the checkpoint.
    folder : Path
        Folder to make.

    Returns
    -------
    Parts
        The parts.

    Raises
    ------
    CheckpointError
        The checkpoint is missing or damaged.
    """
    from fctl_napari.model.checkpoint import load_checkpoint
    from fctl_napari.segmentation.inference.openvino_conversion import convert_network

    parts = convert_network(load_checkpoint(checkpoint)[0])
    with contextlib.suppress(OSError):  # without a place to keep them they are converted again
        save_parts(parts, folder)
        drop_oldest(folder.parent)
    return parts


def _remove(path: Path) -> None:
    """Remove what cannot be read, be it a folder or a file."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _convert_elsewhere(checkpoint: str, folder: Path) -> None:
    """Convert a checkpoint in a process of its own, so that this one does not hold torch from then on.

    What fails there fails here too, where it is reported.
    """
    arguments = f"{os.path.abspath(checkpoint)!r}, Path({str(folder)!r})"
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from pathlib import Path; "
        f"from {__name__} import convert_checkpoint; convert_checkpoint({arguments})"
    )
    quiet = subprocess.DEVNULL
    with contextlib.suppress(OSError):
        subprocess.run([sys.executable, "-c", program], stdin=quiet, stdout=quiet, stderr=quiet, check=False)


def drop_oldest(cache: Path) -> None:
    """Delete the parts of all networks but those used last, ``KEPT`` of them.

    Parameters
    ----------
    cache : Path
        Folder of all parts.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    folders = [folder for folder in cache.iterdir() if not folder.name.startswith(".")]
    for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def parts_folder(cache: Path, checkpoint_hash: str) -> Path:
    """Return the folder of a checkpoint's parts.

    Parameters
    ----------
    cache : Path
        Folder of all parts.
    checkpoint_hash : str
        SHA-256 of the checkpoint.

    Returns
    -------
    Path
        Folder; another one for each version of the code and of OpenVINO.
    """
    version = ov.__version__.partition("-")[0]
    return cache / f"{checkpoint_hash[:32]}-{__version__}-{LAYOUT}-{version}"
