"""Paths of new checkpoints, which never replace a file (no torch)."""

from __future__ import annotations

import os
from pathlib import Path

from fctl_napari.exceptions import OutputError
from fctl_napari.files import output_error


def move_to_free(path: Path, free: Path) -> None:
    """Move a checkpoint's file to a path in its folder that nothing has.

    Parameters
    ----------
    path : Path
        The file.
    free : Path
        Its new path.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    OutputError
        The new path is taken, or the folder is not writable.
    """
    try:
        os.link(path, free)  # unlike a rename, a link fails if the name is taken
    except FileNotFoundError:
        raise
    except FileExistsError:
        raise OutputError(f"{free}: exists, and checkpoints are not overwritten; choose another name.") from None
    except OSError:  # the file system has no links
        check_free(free)
        try:
            os.replace(path, free)
        except OSError as error:
            raise output_error(free, error) from error
    else:
        path.unlink()


def check_free(out: Path | str) -> Path:
    """Check that a new checkpoint can have a path.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    OutputError
        The path exists, or the name does not end in ``.safetensors``.
    """
    path = Path(out)
    if path.suffix != ".safetensors":
        raise OutputError(f"{path}: checkpoints end in .safetensors; choose such a name.")
    if os.path.exists(path):
        raise OutputError(f"{path}: exists, and checkpoints are not overwritten; choose another name.")
    return path
