"""GeoTIFF tags on every level of a cloud-optimized GeoTIFF: GDAL writes them on the first one alone."""

from __future__ import annotations

import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

WIDTH, HEIGHT, TILE_OFFSETS = 256, 257, 324
PIXEL_SCALE, TIEPOINT, TRANSFORMATION = 33550, 33922, 34264
KEYS = (34735, 34736, 34737)

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each TIFF type."""

NUMBERS = {3: "H", 4: "I", 12: "d", 16: "Q"}
"""Format characters of struct for the types that are read here: SHORT, LONG, DOUBLE, LONG8."""

LEADER = 4
"""Number of bytes that GDAL puts before a tile: its size."""


@dataclass
class _Entry:
    """A tag: its TIFF type, the number of its values, and their bytes."""

    kind: int
    count: int
    data: bytes


_Directory = dict[int, _Entry]


@dataclass(frozen=True)
class _Layout:
    """Byte order and the widths that distinguish a TIFF from a BigTIFF."""

    order: str
    big: bool

    def pack(self, code: str, *values: float) -> bytes:
        return struct.pack(self.order + code, *values)

    def unpack(self, code: str, data: bytes) -> tuple[int, ...]:
        return struct.unpack(self.order + code, data)

    @property
    def offset(self) -> str:
        return "Q" if self.big else "I"

    @property
    def count(self) -> str:
        return "Q" if self.big else "H"

    @property
    def inline(self) -> int:
        return 8 if self.big else 4


def georeference_levels(source: Path, target: Path) -> None:
    """Copy a COG that GDAL wrote, with the GeoTIFF tags of its first level on all levels.

    The tags are scaled to the pixels of each level. The directories stay before the data, and the data is the same: the
    copy is a COG as well.

    Parameters
    ----------
    source : Path
        Path of the COG: georeferenced, tiled, its directories before its data.
    target : Path
        Path of the copy.

    Raises
    ------
    OSError
        The disk is full, or the folder is not writable.
    """
    with source.open("rb") as file:
        head = file.read(16)
        layout = _Layout("<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+"))
        start = 8 if layout.big else 4
        (first,) = layout.unpack(layout.offset, head[start : start + layout.inline])
        directories = _read(file, layout, first)
        tiles = [number for directory in directories for number in _numbers(directory[TILE_OFFSETS], layout)]
        data_start = min(number for number in tiles if number) - LEADER  # 0: a tile that is not stored
        for level in directories[1:]:
            _add_tags(directories[0], level, layout)
        new_start = first + sum(_length(directory, layout) for directory in directories)
        shift = new_start - data_start
        for directory in directories:
            offsets = directory[TILE_OFFSETS]
            moved = [number + shift if number else 0 for number in _numbers(offsets, layout)]
            offsets.data = layout.pack(f"{len(moved)}{NUMBERS[offsets.kind]}", *moved)
        with target.open("wb") as out:
            file.seek(0)
            out.write(file.read(first))  # the header, and GDAL's description of the layout
            for number, directory in enumerate(directories):
                _write(out, directory, layout, last=number == len(directories) - 1)
            file.seek(data_start)
            shutil.copyfileobj(file, out, 2**22)


def _read(file: IO[bytes], layout: _Layout, offset: int) -> list[_Directory]:
    entry = struct.calcsize(layout.order + "HH" + 2 * layout.offset)
    directories = []
    while offset:
        file.seek(offset)
        (count,) = layout.unpack(layout.count, file.read(struct.calcsize(layout.order + layout.count)))
        table = file.read(count * entry + layout.inline)
        directory: _Directory = {}
        for start in range(0, count * entry, entry):
            raw = table[start : start + entry]
            tag, kind, values = layout.unpack("HH" + layout.offset, raw[: -layout.inline])
            size = SIZES[kind] * values
            data = raw[-layout.inline :][:size]
            if size > layout.inline:
                file.seek(layout.unpack(layout.offset, raw[-layout.inline :])[0])
                data = file.read(size)
            directory[tag] = _Entry(kind, values, data)
        directories.append(directory)
        (offset,) = layout.unpack(layout.offset, table[-layout.inline :])
    return directories


def _numbers(entry: _Entry, layout: _Layout) -> tuple[int, ...]:
    return layout.unpack(f"{entry.count}{NUMBERS[entry.kind]}", entry.data)


def _add_tags(first: _Directory, level: _Directory, layout: _Layout) -> None:
    """Give a level the first one's tags, its px being larger by the ratio of the two sizes."""
    across, down = (_numbers(first[tag], layout)[0] / _numbers(level[tag], layout)[0] for tag in (WIDTH, HEIGHT))
    for tag in (*KEYS, TIEPOINT):  # the tiepoint is the corner of the first px
        if tag in first:
            level[tag] = first[tag]
    scales = {PIXEL_SCALE: (across, down, 1.0), TRANSFORMATION: (across, down, 1.0, 1.0) * 4}
    for tag, factors in scales.items():
        if tag in first:
            values = [value * factor for value, factor in zip(_numbers(first[tag], layout), factors, strict=True)]
            level[tag] = _Entry(first[tag].kind, len(values), layout.pack(f"{len(values)}d", *values))


def _table(directory: _Directory, layout: _Layout) -> int:
    """Return the bytes of a directory without the values that lie after it."""
    entry = struct.calcsize(layout.order + "HH" + 2 * layout.offset)
    return struct.calcsize(layout.order + layout.count) + len(directory) * entry + layout.inline


def _length(directory: _Directory, layout: _Layout) -> int:
    values = sum(len(e.data) + len(e.data) % 2 for e in directory.values() if len(e.data) > layout.inline)
    return _table(directory, layout) + values


def _write(out: IO[bytes], directory: _Directory, layout: _Layout, *, last: bool) -> None:
    start = out.tell()
    position = start + _table(directory, layout)
    out.write(layout.pack(layout.count, len(directory)))
    values = b""
    for tag, entry in sorted(directory.items()):
        out.write(layout.pack("HH" + layout.offset, tag, entry.kind, entry.count))
        if len(entry.data) > layout.inline:
            out.write(layout.pack(layout.offset, position + len(values)))
            values += entry.data + b"\0" * (len(entry.data) % 2)
        else:
            out.write(entry.data.ljust(layout.inline, b"\0"))
    out.write(layout.pack(layout.offset, 0 if last else position + len(values)))
    out.write(values)
