"""Seconds and bytes of a stroke of corrections on a huge image: ``python benchmarks/corrections.py [--side PX]``.

Brush strokes (a curved line of 20 px), filled areas and whole edit windows at random positions of an image that does
not exist (zeros of any size), then undo, opening, and listing the regions.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import numbered_classes


class Blank:
    """Pixels of an image that does not exist."""

    dtype = np.dtype(np.uint8)

    def __init__(self, side: int) -> None:
        self.shape = (side, side, 3)

    def __getitem__(self, key: Any) -> Any:
        return np.zeros([len(range(*part.indices(size))) for part, size in zip(key, self.shape, strict=True)], "u1")


def brush(rng: np.random.Generator) -> np.ndarray:
    """Draw a curved line, 20 px wide and some hundred px long."""
    y, x = np.mgrid[:300, :400]
    return np.abs(y - 150 - 80 * np.sin(x / rng.uniform(40, 90))) < 10


def area(rng: np.random.Generator) -> np.ndarray:
    """Draw an ellipse of about 500 px."""
    y, x = np.mgrid[:600, :600]
    return ((y - 300) / rng.uniform(150, 300)) ** 2 + ((x - 300) / rng.uniform(150, 300)) ** 2 < 1


def window(rng: np.random.Generator) -> np.ndarray:
    """Return the mask of a whole edit window."""
    return rng.random((2048, 2048)) < 2


def used(path: Path) -> int:
    """Count the bytes on disk, in whole blocks."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def timed(action: Callable[[], Any]) -> float:
    """Time a call, ms."""
    start = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - start)


def measure(side: int, strokes: int, folder: Path) -> None:
    """Print one line for each kind of stroke."""
    rng = np.random.default_rng(0)
    image = Pyramid("blank", [Level(Blank(side))])
    for name, shape, count in (("brush", brush, strokes), ("area", area, strokes), ("window", window, strokes // 10)):
        path = folder / f"{name}.ome.zarr"
        with Corrections.create(path, image, numbered_classes(7)) as corrections:
            empty, took = used(path), []
            for number in range(count):
                mask = shape(rng)
                y, x = (int(rng.integers(0, side - size)) for size in mask.shape)
                values = mask.astype(np.uint8) * np.uint8(1 + number % 7)
                took.append(timed(lambda v=values, m=mask, y=y, x=x: corrections.write(y, x, v, mask=m, author="a")))  # type: ignore[misc]
            undo = [timed(corrections.undo) for _ in range(min(count, 20))]
            redo = [timed(corrections.redo) for _ in range(min(count, 20))]
        journal = (path / "journal").stat().st_size / count
        bytes_each = (used(path) - empty) / count
        opening = timed(lambda path=path: Corrections.open(path))  # type: ignore[misc]
        found = Corrections.open(path)
        listing = timed(found.regions)
        took.sort()
        print(
            f"{name:<7} {count:4} strokes: median {took[count // 2]:.0f} ms, 95 % {took[int(count * 0.95)]:.0f}, "
            f"longest {took[-1]:.0f}; {bytes_each / 1024:.0f} KiB on disk each, {journal / 1024:.1f} of it journal; "
            f"undo {np.median(undo):.0f} ms, redo {np.median(redo):.0f} ms; opening {opening:.0f} ms, "
            f"listing {len(found.regions())} regions {listing:.0f} ms",
            flush=True,
        )


def main() -> None:
    """Measure in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=100_000, help="of the image, px")
    parser.add_argument("--strokes", type=int, default=150)
    parser.add_argument("--folder", type=Path, help="a folder on the disk to be measured")
    given = parser.parse_args()
    print(f"{given.side} x {given.side} px; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        measure(given.side, given.strokes, Path(folder))


if __name__ == "__main__":
    main()
