"""Where a fine-tuned network waits for the verdict, and what becomes of it (no torch)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fctl_napari.errors import CheckpointError, OutputError
from fctl_napari.files import output_error


def candidate_place(out: Path | str) -> Path:
    """Where a new network waits for the verdict."""
    out = Path(out)
    return out.with_name(f"{out.stem}.candidate.safetensors")


def state_place(out: Path | str) -> Path:
    """Where an unfinished run is kept."""
    out = Path(out)
    return out.with_name(f".{out.stem}.finetune.pt")


def features_place(out: Path | str) -> Path:
    """Where features lie that do not fit into memory, while a run lasts."""
    out = Path(out)
    return out.with_name(f".{out.stem}.finetune.features")


def request_place(out: Path | str) -> Path:
    """Where an unfinished run's request is remembered; see ``unfinished.py``."""
    out = Path(out)
    return out.with_name(f".{out.stem}.finetune.json")


def traces(out: Path | str) -> tuple[Path, ...]:
    """All that a run leaves while it is not decided."""
    return candidate_place(out), state_place(out), request_place(out), features_place(out)


def keep(out: Path | str) -> Path:
    """Make the candidate that waits beside ``out`` a checkpoint at ``out``; nothing is overwritten.

    Raises
    ------
    CheckpointError
        None waits there.
    OutputError
        The name is taken meanwhile, or the place is not writable.
    """
    out, candidate = Path(out), candidate_place(out)
    try:
        os.link(candidate, out)  # unlike a rename, it fails if the name is taken
    except FileNotFoundError:
        raise CheckpointError(f"{candidate}: there is no network that waits here; fine-tune first.") from None
    except FileExistsError:
        raise OutputError(f"{out}: exists, and checkpoints are not overwritten; choose another name.") from None
    except OSError:  # a file system without links
        check_free(out)
        try:
            os.replace(candidate, out)
        except OSError as error:
            raise output_error(out, error) from error
    roll_back(out)
    return out


def roll_back(out: Path | str) -> None:
    """Remove the candidate beside ``out`` and what is left of its run."""
    candidate_place(out).unlink(missing_ok=True)
    state_place(out).unlink(missing_ok=True)
    request_place(out).unlink(missing_ok=True)
    shutil.rmtree(features_place(out), ignore_errors=True)


def check_free(out: Path | str) -> Path:
    """Refuse a place for a new checkpoint where something stands.

    Raises
    ------
    OutputError
        It does, or the name does not end in ``.safetensors``.
    """
    path = Path(out)
    if path.suffix != ".safetensors":
        raise OutputError(f"{path}: checkpoints end in .safetensors; choose such a name.")
    if path.exists():
        raise OutputError(f"{path}: exists, and checkpoints are not overwritten; choose another name.")
    return path
