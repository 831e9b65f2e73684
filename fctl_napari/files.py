"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fctl_napari.errors import OutputError

_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic_write(path: Path | str, mode: str = "wb") -> Iterator[IO]:  # type: ignore[type-arg]
    """Open a temporary file beside ``path`` and rename it over ``path`` when the block ends well.

    Parameters
    ----------
    path
        Where the file is to stand. Its folder is created.
    mode
        ``"wb"`` or ``"w"`` (UTF-8).

    Raises
    ------
    OutputError
        The disk is full or the place is not writable; nothing is left behind.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)  # mkstemp's files are for their owner alone
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def write_json(path: Path | str, document: Any, *, indent: int | None = 2) -> None:
    """Write a JSON file, whole or not at all; without ``indent`` on one line.

    Raises
    ------
    OutputError
        The disk is full or the place is not writable.
    """
    with atomic_write(path, "w") as file:
        json.dump(document, file, indent=indent, allow_nan=False)
        file.write("\n")


def sync(paths: Iterable[Path]) -> None:
    """Wait until files, and their names in their folders, survive the machine's death; missing files are left aside.

    Raises
    ------
    OutputError
        The disk failed.
    """
    paths = list(paths)
    for path in [*paths, *dict.fromkeys(path.parent for path in paths)]:
        try:
            handle = os.open(path, os.O_RDONLY)
        except (FileNotFoundError, PermissionError):  # Windows opens no folders
            continue
        try:
            os.fsync(handle)
        except OSError as error:
            raise output_error(path, error) from error
        finally:
            os.close(handle)


def remove_folder(path: Path) -> None:
    """Delete a folder with all that is in it; by its name it is gone at once.

    Raises
    ------
    OutputError
        The place is not writable.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.rename(aside)
    except OSError as error:
        raise output_error(path, error) from error
    shutil.rmtree(aside, ignore_errors=True)


def output_error(path: Path | str, error: OSError) -> OutputError:
    """Turn an operating-system error met while writing ``path`` into one readable sentence."""
    if error.errno == errno.ENOSPC:
        return OutputError(f"{path}: the disk is full; free some space and run again (what is finished is kept).")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{path}: this place is not writable; choose another.")
    return OutputError(f"{path}: cannot be written ({error.strerror or error}).")


def local_path(text: str) -> Path:
    """Take a place to write to; as a path an address would become a folder called ``http:``.

    Raises
    ------
    OutputError
        It is an address.
    """
    if "://" in text:
        raise OutputError(f"{text}: results are written to folders, not to addresses; give a path.")
    return Path(text)
