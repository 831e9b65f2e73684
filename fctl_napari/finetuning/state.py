"""Saved state of an unfinished fine-tuning run, from which it resumes."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

from fctl_napari.files import atomic_write
from fctl_napari.finetuning.candidates import state_path
from fctl_napari.finetuning.request import FinetuneRequest

_PATHS = ("image", "corrections", "further", "out", "truth", "data_folder", "cache_megabytes")
"""Fields of a request that do not decide the weights. The content of the files does, and is hashed."""


def run_key(request: FinetuneRequest, parent_hash: str, data_hash: str, scenes: int) -> str:
    """Hash what decides a run, so that the saved state of another run is not taken up.

    Parameters
    ----------
    request : FinetuneRequest
        The request. All its settings but paths count.
    parent_hash : str
        Hash of the checkpoint that is trained.
    data_hash : str
        Hash of what is learned, see ``tile_sampling.data_hash``.
    scenes : int
        Number of training scenes at hand.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    settings = request.model_dump(exclude=set(_PATHS), mode="json")
    settings |= {"checkpoint": parent_hash, "data": data_hash, "scenes": scenes}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def save_state(out: Path, key: str, state: dict[str, Any]) -> None:
    """Write the state of a run atomically beside its new checkpoint.

    Parameters
    ----------
    out : Path
        Path of the new checkpoint.
    key : str
        Key of the run, from ``run_key``.
    state : dict of str to object
        Tensors, numbers, strings, and lists and dicts of them.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    buffer = io.BytesIO()
    torch.save({"key": key, **state}, buffer)
    with atomic_write(state_path(out)) as file:
        file.write(buffer.getvalue())


def load_state(out: Path, key: str, device: torch.device) -> dict[str, Any] | None:
    """Read the saved state of a run.

    Parameters
    ----------
    out : Path
        Path of the new checkpoint.
    key : str
        Key of the run, from ``run_key``.
    device : torch.device
        Device of the tensors.

    Returns
    -------
    dict of str to object or None
        The state, or None if there is none, it has another key, or the file is no state.
    """
    path = state_path(out)
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception:  # torch raises various errors for other files
        return None
    return state if state.get("key") == key else None
