"""The saved state of an unfinished fine-tuning run: what it needs to go on after it was stopped."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

from fctl_napari.files import atomic_write
from fctl_napari.finetuning.candidates import state_place
from fctl_napari.finetuning.request import FinetuneRequest

_PLACES = ("image", "corrections", "out", "truth", "data_folder", "cache_megabytes")
"""Fields of a request that do not decide the weights: what lies there does, and is hashed."""


def run_key(request: FinetuneRequest, parent_hash: str, data_hash: str, scenes: int) -> str:
    """Hash what decides a run: a saved state of another key is not taken up.

    Parameters
    ----------
    request
        All its settings but places count.
    parent_hash, data_hash
        Of the checkpoint that learns, and of what it learns from.
    scenes
        How many training scenes are at hand.
    """
    settings = request.model_dump(exclude=set(_PLACES), mode="json")
    settings |= {"checkpoint": parent_hash, "data": data_hash, "scenes": scenes}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def save_state(out: Path, key: str, state: dict[str, Any]) -> None:
    """Write the state of a run with this key beside where its network goes, whole or not at all.

    Raises
    ------
    OutputError
        The disk is full or the place is not writable.
    """
    buffer = io.BytesIO()
    torch.save({"key": key, **state}, buffer)
    with atomic_write(state_place(out)) as file:
        file.write(buffer.getvalue())


def load_state(out: Path, key: str, device: torch.device) -> dict[str, Any] | None:
    """Read the state of a run with this key; None if there is none, of another key, or of no run."""
    path = state_place(out)
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception:  # whatever torch says of a file that is none of ours
        return None
    return state if state.get("key") == key else None
