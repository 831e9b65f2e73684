"""Checksums of kept files, so that one that a crash has damaged is made anew and not used (no torch)."""

from __future__ import annotations

import contextlib
import json
import zlib
from pathlib import Path

SUMS_FILE = "sums.json"


def sums_of(folder: Path, pattern: str) -> dict[str, int]:
    """Compute the checksums of files.

    Parameters
    ----------
    folder : Path
        Folder of the files; it may be missing.
    pattern : str
        Pattern of their names.

    Returns
    -------
    dict of str to int
        CRC-32 by name.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    return {file.name: zlib.crc32(file.read_bytes()) for file in sorted(folder.glob(pattern))}


def drop_damaged(folder: Path, pattern: str) -> None:
    """Delete the files that are not as they were when ``keep_sums`` was called.

    Parameters
    ----------
    folder : Path
        Folder of the files; it may be missing.
    pattern : str
        Pattern of their names.
    """
    known: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        known = dict(json.loads((folder / SUMS_FILE).read_text()))
    with contextlib.suppress(OSError):
        for name, value in sums_of(folder, pattern).items():
            if known.get(name) != value:
                (folder / name).unlink()


def keep_sums(folder: Path, pattern: str) -> None:
    """Write the checksums of files beside them, if there is a place for them.

    Parameters
    ----------
    folder : Path
        Folder of the files; it may be missing.
    pattern : str
        Pattern of their names.
    """
    with contextlib.suppress(OSError):
        unfinished = folder / f".{SUMS_FILE}"
        unfinished.write_text(json.dumps(sums_of(folder, pattern)))
        unfinished.replace(folder / SUMS_FILE)
