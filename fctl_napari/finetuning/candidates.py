"""Paths of a candidate (a fine-tuned network that is not decided on), and its acceptance or removal (no torch)."""

from __future__ import annotations

import shutil
from pathlib import Path

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.free_path import move_to_free
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.store_lock import lock_store, remove_store

CANDIDATE_SUFFIX = ".candidate.safetensors"
"""End of the names of candidates."""


def candidate_path(out: Path | str) -> Path:
    """Return the path of the candidate of a new checkpoint.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.

    Returns
    -------
    Path
        Path beside ``out`` where the candidate waits to be decided on.
    """
    out = Path(out)
    return out.with_name(out.stem + CANDIDATE_SUFFIX)


def state_path(out: Path | str) -> Path:
    """Return the path of the saved state of an unfinished run.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.

    Returns
    -------
    Path
        Path beside ``out``.
    """
    out = Path(out)
    return out.with_name(f".{out.stem}.finetune.pt")


def features_path(out: Path | str) -> Path:
    """Return the path of the folder for features that do not fit into memory during a run.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.

    Returns
    -------
    Path
        Path beside ``out``.
    """
    out = Path(out)
    return out.with_name(f".{out.stem}.finetune.features")


def request_path(out: Path | str) -> Path:
    """Return the path of the saved request of an unfinished run, see ``unfinished.py``.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.

    Returns
    -------
    Path
        Path beside ``out``.
    """
    out = Path(out)
    return out.with_name(f".{out.stem}.finetune.json")


def traces(out: Path | str) -> tuple[Path, ...]:
    """List the paths of everything that an undecided run leaves.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.

    Returns
    -------
    tuple of Path
        Paths of candidate, state, request and features, whether or not they exist.
    """
    return candidate_path(out), state_path(out), request_path(out), features_path(out)


def keep(out: Path | str) -> Path:
    """Make the candidate that waits beside ``out`` the checkpoint at ``out``.

    Nothing is overwritten. What is left of the run is removed.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    CheckpointError
        There is no candidate.
    OutputError
        The name has been taken meanwhile, or the folder is not writable.
    """
    out, candidate = Path(out), candidate_path(out)
    try:
        move_to_free(candidate, out)
    except FileNotFoundError:
        raise CheckpointError(f"{candidate}: there is no network that waits here; fine-tune first.") from None
    roll_back(out)
    return out


def roll_back(out: Path | str) -> None:
    """Remove the candidate beside ``out`` and what is left of its run.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.
    """
    candidate_path(out).unlink(missing_ok=True)
    state_path(out).unlink(missing_ok=True)
    request_path(out).unlink(missing_ok=True)
    shutil.rmtree(features_path(out), ignore_errors=True)


def remove_result(path: Path, checkpoint: str) -> None:
    """Delete a segmentation if it was made by a given network.

    Parameters
    ----------
    path : Path
        Location of the segmentation.
    checkpoint : str
        Hash of the network.

    Raises
    ------
    OutputError
        It is in use, or the location is not writable.
    """
    lock = lock_store(path)
    try:
        if Segmentation.open(path).checkpoint_hash == checkpoint:
            remove_store(path)
    finally:
        lock.release()
