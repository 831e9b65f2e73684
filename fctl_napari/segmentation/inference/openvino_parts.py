"""A network as parts in OpenVINO's format, in memory and as files (no torch)."""

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

from fctl_napari.segmentation.inference.checksums import sums_of
from fctl_napari.segmentation.inference.openvino_runtime import ov

TILE = "tile"
"""Name of the part that computes a tile; the others have the names of their contexts."""

OUTPUTS = ("logits", "labels", "confidence", "certainty", "weights")
"""What the tile's part computes, in the order of its outputs: the last one only where the network has LCF."""

FACTS_FILE = "network.json"


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
        facts = {"contexts": list(parts.contexts), "cells": parts.cells.tolist(), "sums": sums_of(made, "*")}
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
    names = {f"{name}.{kind}" for name in (TILE, *contexts) for kind in ("xml", "bin")}
    if sums_of(folder, "*.xml") | sums_of(folder, "*.bin") != facts["sums"] or names != set(facts["sums"]):
        raise ValueError(f"{folder}: a file is damaged")
    tile, *others = (core.read_model(folder / f"{name}.xml") for name in (TILE, *contexts))
    return Parts(tile, dict(zip(contexts, others, strict=True)), np.array(facts["cells"]))
