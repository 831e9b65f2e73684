"""An append-only file of records, each whole or absent even if the process or the machine crashes."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.files import atomic_write, output_error, sync

MAGIC = b"FCJ1"
_HEAD = struct.Struct("<4sII")
"""Head of each record: the magic, the number of bytes that follow, and their CRC-32."""
_LENGTH = struct.Struct("<I")
"""Length of a record's facts, bytes of JSON, which stands before them. The body follows them."""


@dataclass(frozen=True)
class Entry:
    """A record of a journal.

    Attributes
    ----------
    facts : dict of str to object
        Part that is kept in memory (JSON).
    start : int
        Position of its body in the file, bytes.
    size : int
        Size of its body, bytes.
    """

    facts: dict[str, Any]
    start: int
    size: int


class Journal:
    """Records in a file, read when it is opened, whose bodies stay on disk until they are requested.

    A record that was torn while it was written does not count: a reader skips it, a writer cuts it off. If damaged
    bytes are followed by others, a writer keeps a copy of the file beside it, ending in ``.damaged``, and continues
    with the records before them.

    Parameters
    ----------
    path : Path
        File. If it is missing there are no records.
    writable : bool
        If True, the file may be changed. Ensuring that there is one writer at a time is the caller's duty.

    Attributes
    ----------
    entries : list of Entry
        Records, in order.

    Raises
    ------
    InputError
        The file cannot be read.
    OutputError
        The file is opened for writing and cannot be written.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._read()
        if writable:
            self._cut()

    def __len__(self) -> int:
        """Return the number of bytes that the whole records take."""
        return self._end

    def body(self, entry: Entry) -> bytes:
        """Read the body of a record.

        Parameters
        ----------
        entry : Entry
            Record of this journal.

        Returns
        -------
        bytes
            Body.

        Raises
        ------
        InputError
            The file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(entry.start)
                return file.read(entry.size)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror}).") from error

    def append(self, facts: dict[str, Any], body: bytes = b"") -> Entry:
        """Add a record. When this returns, it survives a crash of the machine.

        Parameters
        ----------
        facts : dict of str to object
            Part that is kept in memory (JSON).
        body : bytes, optional
            Part that stays on disk.

        Returns
        -------
        Entry
            New record.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable. The record is not there then.
        """
        record = _record(facts, body)
        try:
            with self.path.open("r+b" if self.path.exists() else "wb", buffering=0) as file:
                file.seek(self._end)
                try:
                    left = memoryview(record)
                    while left:
                        left = left[file.write(left) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(self._end)
                    raise
        except OSError as error:
            raise output_error(self.path, error) from error
        entry = Entry(facts, self._end + len(record) - len(body), len(body))
        self._end += len(record)
        self.entries.append(entry)
        return entry

    def drop_last(self) -> None:
        """Remove the last record.

        Raises
        ------
        OutputError
            The location is not writable. The record stays then.
        """
        end = sum((self.entries[-2].start, self.entries[-2].size)) if len(self.entries) > 1 else 0
        try:
            with self.path.open("r+b") as file:
                file.truncate(end)
                self.entries.pop()
                self._end = end
                with suppress(OSError):  # it is gone already; only a crash of the machine could bring it back
                    os.fsync(file.fileno())
        except OSError as error:
            raise output_error(self.path, error) from error

    def rewrite(self, records: Iterable[tuple[dict[str, Any], bytes]]) -> None:
        """Replace all records at once.

        Parameters
        ----------
        records : iterable of tuple of (dict of str to object, bytes)
            Facts and body of each record.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable. The old records stay then.
        """
        with atomic_write(self.path) as file:
            for facts, body in records:
                file.write(_record(facts, body))
        sync([self.path])
        self._read()

    def _read(self) -> None:
        self.entries: list[Entry] = []
        self._end = 0
        try:
            with self.path.open("rb") as file:
                while (found := _next(file.read(_HEAD.size), file)) is not None:
                    facts, size = found
                    self._end = file.tell()
                    self.entries.append(Entry(facts, self._end - size, size))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror}).") from error

    def _cut(self) -> None:
        """Cut off what is no whole record."""
        try:
            with self.path.open("r+b") as file:
                file.seek(self._end)
                head = file.read(_HEAD.size)
                size = file.seek(0, os.SEEK_END)
                if size == self._end:
                    return
                if _damaged(head, size - self._end):
                    shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.damaged"))
                file.truncate(self._end)
                os.fsync(file.fileno())
        except FileNotFoundError:
            return
        except OSError as error:
            raise output_error(self.path, error) from error


def _record(facts: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()
    length = _LENGTH.size + len(text) + len(body)
    if length >= 2**32:
        raise OutputError("a single change is too large for the journal; make it in parts.")
    payload = _LENGTH.pack(len(text)) + text + body
    return _HEAD.pack(MAGIC, length, zlib.crc32(payload)) + payload


def _next(head: bytes, file: Any) -> tuple[dict[str, Any], int] | None:
    """Read the record that follows a head: its facts and the size of its body. None if it is not whole."""
    if len(head) < _HEAD.size:
        return None
    magic, length, crc = _HEAD.unpack(head)
    if magic != MAGIC or length < _LENGTH.size:
        return None
    payload = file.read(length)
    if len(payload) < length or zlib.crc32(payload) != crc:
        return None
    (text,) = _LENGTH.unpack_from(payload)
    facts: dict[str, Any] = json.loads(payload[_LENGTH.size : _LENGTH.size + text])
    return facts, length - _LENGTH.size - text


def _damaged(head: bytes, left: int) -> bool:
    """Return whether bytes are damaged, in contrast to a last record that was cut short or never reached the disk."""
    if len(head) < _HEAD.size:
        return False
    magic, length, _ = _HEAD.unpack(head)
    return _HEAD.size + length < left if magic == MAGIC else any(head)
