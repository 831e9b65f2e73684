"""An append-only file of records: each is there whole or not at all, whenever the process or the machine dies."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fctl_napari.errors import InputError, OutputError
from fctl_napari.files import atomic_write, output_error, sync

MAGIC = b"FCJ1"
_HEAD = struct.Struct("<4sII")
"""Before each record: the magic, how many bytes follow, and their CRC-32."""
_LENGTH = struct.Struct("<I")
"""Before a record's facts: how many bytes of JSON they are; the body follows them."""


@dataclass(frozen=True)
class Entry:
    """A record of a journal.

    Attributes
    ----------
    facts
        What is kept in memory (JSON).
    start, size
        Where in the file its body lies, bytes.
    """

    facts: dict[str, Any]
    start: int
    size: int


class Journal:
    """Records in a file, read when it is opened; their bodies stay on disk until they are asked for.

    A record that was torn while it was written is not there: a reader leaves it aside, a writer cuts it off. If bytes
    are damaged that others follow, a writer keeps a copy of the file beside it, ending in ``.damaged``, and goes on
    with the records before them.

    Parameters
    ----------
    path
        The file; if it is missing there are no records.
    writable
        Whether it may be changed; one writer at a time is the caller's duty.

    Attributes
    ----------
    entries
        The records, in order.

    Raises
    ------
    InputError
        The file cannot be read.
    OutputError
        It is to be written and cannot be.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._read()
        if writable:
            self._cut()

    def __len__(self) -> int:
        """How many bytes the whole records take."""
        return self._end

    def body(self, entry: Entry) -> bytes:
        """Read the body of a record.

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
        """Add a record; when this returns it survives the machine's death.

        Raises
        ------
        OutputError
            The disk is full or the place is not writable; the record is not there.
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

    def rewrite(self, records: Iterable[tuple[dict[str, Any], bytes]]) -> None:
        """Replace all records at once.

        Raises
        ------
        OutputError
            The disk is full or the place is not writable; the old ones stay.
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
        """Take away what is no whole record."""
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
    """Read the record that follows its head: its facts and the size of its body; None if it is not whole."""
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
    """Tell damage from a record that was cut short, or whose pages never reached the disk: those are the last one."""
    if len(head) < _HEAD.size:
        return False
    magic, length, _ = _HEAD.unpack(head)
    return _HEAD.size + length < left if magic == MAGIC else any(head)
