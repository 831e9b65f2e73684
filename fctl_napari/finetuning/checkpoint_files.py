"""Checkpoint files renamed and deleted (no torch)."""

from __future__ import annotations

import os
from pathlib import Path

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.files import output_error
from fctl_napari.finetuning.candidates import traces
from fctl_napari.model.free_path import move_to_free
from fctl_napari.model.model_card import builtin_checkpoints, read_card


def rename_checkpoint(path: Path | str, name: str) -> Path:
    """Give a checkpoint's file another name in its folder.

    Its content, and so its hash, by which its children and results know it, stays. Nothing is overwritten.

    Parameters
    ----------
    path : Path or str
        The checkpoint.
    name : str
        New name of the file, with or without its end ``.safetensors``.

    Returns
    -------
    Path
        The renamed file.

    Raises
    ------
    CheckpointError
        It is not a checkpoint.
    InputError
        It is a built-in one, or the name cannot be that of a file.
    OutputError
        The name is taken, or the folder is not writable.
    """
    path = _own(path)
    name = name.removesuffix(".safetensors").strip()
    odd = not name.isprintable() or name.startswith(".") or name.endswith(".candidate")
    if not name or odd or Path(name).name != name or "\\" in name:
        raise InputError(f"{name or 'nothing'}: cannot be the name of a checkpoint; give a name without folders.")
    renamed = path.with_name(f"{name}.safetensors")
    if renamed == path:
        return path
    if any(os.path.exists(trace) for trace in traces(renamed)):
        raise OutputError(f"{renamed}: an earlier run of this name is not decided; decide it, or choose another name.")
    move_to_free(path, renamed)
    return renamed


def delete_checkpoint(path: Path | str) -> None:
    """Delete a checkpoint's file.

    Its children and its results stay.

    Parameters
    ----------
    path : Path or str
        The checkpoint.

    Raises
    ------
    CheckpointError
        It is not a checkpoint.
    InputError
        It is a built-in one.
    OutputError
        The folder is not writable.
    """
    path = _own(path)
    try:
        path.unlink()
    except OSError as error:
        raise output_error(path, error) from error


def _own(path: Path | str) -> Path:
    """Return a checkpoint that is not built in."""
    path = Path(path).absolute()
    if path in {built.absolute() for built in builtin_checkpoints().values()} or str(path) in builtin_checkpoints():
        raise InputError(f"{path.stem}: is built in, and stays as it is; choose a checkpoint of your own.")
    read_card(path)
    return path
