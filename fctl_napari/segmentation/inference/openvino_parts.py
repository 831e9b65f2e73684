"""A network as parts in OpenVINO's format, kept as files by a checkpoint's hash (no torch)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari import __version__
from fctl_napari.segmentation.inference.openvino_runtime import ov

TILE = "tile"
"""Name of the part that computes a tile; the others have the names of their contexts."""

OUTPUTS = ("logits", "labels", "confidence", "certainty", "weights")
"""What the tile's part computes, in the order of its outputs: the last one only where the network has LCF."""

FACTS_FILE = "network.json"

LAYOUT = 2
"""Number to raise when parts of the same network change: those that are kept are not used then."""

KEPT = 8
"""Number of networks whose parts are kept: those used last."""


@dataclass(frozen=True)
class Parts:
    """Parts of a network, each for one tile.

    Attributes
    ----------
    tile : openvino.Model
        From the pixels of the tile, features of the outer contexts, and windows of the tile and of the contexts, to
        ``OUTPUTS``.
    contexts : dict of str to openvino.Model
        From the pixels of an outer context to its features, by name, in the order of the tile's inputs.
    cells : ndarray of int64 [T]
        Cell of the tile's weights that covers each px along an axis.
    """

    tile: ov.Model
    contexts: dict[str, ov.Model]
    cells: NDArray[np.int64]


def save_parts(parts: Parts, folder: Path) -> None:
    """Write parts as files, all or none.

    Parameters
    ----------
    parts : Parts
        The parts.
    folder : Path
        Folder to make. If it is there already, it stays.

    Raises
    ------
    OSError
        The disk is full, or the folder is not writable.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, model in {TILE: parts.tile, **parts.contexts}.items():
            ov.save_model(model, made / f"{name}.xml", compress_to_fp16=False)
        facts = {"contexts": list(parts.contexts), "cells": parts.cells.tolist()}
        (made / FACTS_FILE).write_text(json.dumps(facts))
        if not folder.exists():
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def load_parts(folder: Path, core: ov.Core) -> Parts:
    """Read parts that were written.

    Parameters
    ----------
    folder : Path
        Folder of ``save_parts``.
    core : openvino.Core
        Runtime that reads them.

    Returns
    -------
    Parts
        The parts.

    Raises
    ------
    OSError, ValueError, RuntimeError
        A file is missing or damaged.
    """
    facts: dict[str, Any] = json.loads((folder / FACTS_FILE).read_text())
    os.utime(folder)  # it is used now
    contexts = facts["contexts"]
    tile, *others = (core.read_model(folder / f"{name}.xml") for name in (TILE, *contexts))
    return Parts(tile, dict(zip(contexts, others, strict=True)), np.array(facts["cells"]))


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
