"""Atomic writing of files: a crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

from fctl_napari.exceptions import OutputError

_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic_write(path: Path | str, mode: str = "wb") -> Iterator[IO]:  # type: ignore[type-arg]
    """Open a temporary file beside a path and rename it over the path when the block ends well.

    Parameters
    ----------
    path : Path or str
        File to write. Its folder is created.
    mode : str, optional
        ``"wb"`` or ``"w"`` (UTF-8).

    Yields
    ------
    IO
        The temporary file.

    Raises
    ------
    OutputError
        The disk is full or the path is not writable. Nothing is left behind.
    """
    path = Path(path)
    temporary: str | None = None
    made = missing_folders(path.parent)
    written = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)  # mkstemp's files are for their owner alone
        os.replace(temporary, path)
        written = True
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        if not written:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            remove_empty(made)


def write_json(path: Path | str, document: Any, *, indent: int | None = 2) -> None:
    """Write a JSON file atomically.

    Parameters
    ----------
    path : Path or str
        File to write.
    document : object
        Content of the file, without NaN and infinity.
    indent : int or None, optional
        Spaces per level; None writes one line.

    Raises
    ------
    OutputError
        The disk is full or the path is not writable.
    """
    with atomic_write(path, "w") as file:
        json.dump(document, file, indent=indent, allow_nan=False)
        file.write("\n")


def sync(paths: Iterable[Path]) -> None:
    """Wait until files, and their names in their folders, survive the machine's death.

    Parameters
    ----------
    paths : iterable of Path
        Files; missing ones are skipped.

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


@contextmanager
def new_folder(path: Path | str) -> Iterator[None]:
    """Make a folder, and remove it and the folders above it that were made too if the block fails and they are empty.

    Parameters
    ----------
    path : Path or str
        The folder. It may be there already.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """
    path = Path(path)
    made = missing_folders(path)
    try:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(path, error) from error
        yield
    except BaseException:
        remove_empty(made)
        raise


def missing_folders(path: Path) -> list[Path]:
    """List the folders that are made with a folder.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    list of Path
        The folder and those above it, as far as they are not there, the innermost first.
    """
    return list(takewhile(lambda folder: not folder.exists(), (path, *path.parents)))


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders as long as they are empty.

    Parameters
    ----------
    folders : iterable of Path
        The folders, the innermost first. Those that are not there are skipped.
    """
    for folder in folders:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # it holds something, and so do those above it
            return


def remove_folder(path: Path) -> None:
    """Delete a folder with its content.

    The folder is renamed first, so its name is free at once.

    Parameters
    ----------
    path : Path
        The folder.

    Raises
    ------
    OutputError
        The path is not writable.
    """
    shutil.rmtree(set_aside(path), ignore_errors=True)


def set_aside(path: Path) -> Path:
    """Rename a folder that is to be deleted, so that its name is free at once.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    Path
        Its new path, ``.NAME.`` and eight digits, beside the old one.

    Raises
    ------
    OutputError
        The path is not writable.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.rename(aside)
    except OSError as error:
        raise output_error(path, error) from error
    return aside


def output_error(path: Path | str, error: OSError) -> OutputError:
    """Turn an operating-system error met while writing into one readable sentence.

    Parameters
    ----------
    path : Path or str
        File or folder that was written.
    error : OSError
        Error of the operating system.

    Returns
    -------
    OutputError
        Error for the user.
    """
    if error.errno == errno.ENOSPC:
        return OutputError(f"{path}: the disk is full; free some space and run again (what is finished is kept).")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{path}: this path is not writable; choose another.")
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        taken = next((part for part in (Path(path), *Path(path).parents) if _is_no_folder(part)), None)
        if taken is not None:
            return OutputError(f"{taken}: is a file where a folder is needed; choose another path, or move the file.")
    if error.errno == errno.EISDIR:
        return OutputError(f"{path}: is a folder where a file is to be written; choose another path.")
    return OutputError(f"{path}: cannot be written ({error.strerror or error}).")


def _is_no_folder(path: Path) -> bool:
    """Return whether something that is no folder has a path, such as a file or a link to nothing."""
    return os.path.lexists(path) and not path.is_dir()


def local_path(text: str) -> Path:
    """Convert text to a path to write to, and refuse addresses and empty text.

    As a path an address would become a folder named ``http:``, and empty text the current folder.

    Parameters
    ----------
    text : str
        Path.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    OutputError
        The text is an address, or empty.
    """
    if not text.strip():
        raise OutputError("the path of a result cannot be empty; give a file or a folder.")
    if "://" in text:
        raise OutputError(f"{text}: results are written to folders, not to addresses; give a path.")
    return Path(text)
