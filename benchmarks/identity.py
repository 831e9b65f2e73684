"""Seconds of identifying an image by its pixels, sampled and whole, and of opening it, by format.

``python benchmarks/identity.py [--side 10000]`` writes one picture in several formats into a temporary folder and
prints seconds (medians of rounds that alternate between the formats), and the sampled as a share of the whole.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image

from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.fingerprint import fingerprint, whole_fingerprint
from fctl_napari.imagery.open import open_image

TILED = {"tiled": True, "blockxsize": 512, "blockysize": 512}
GEOTIFFS = {
    "tiles, deflate": {**TILED, "compress": "deflate"},
    "tiles, JPEG": {**TILED, "compress": "jpeg", "photometric": "ycbcr"},
    "strips, not compressed": {},
    "strips, LZW": {"compress": "lzw"},
}


def main() -> None:
    """Write the files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10000, help="px")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), arguments.side)
        taken: dict[str, dict[str, list[float]]] = {name: {"open": [], "sampled": [], "whole": []} for name in files}
        for _ in range(arguments.rounds):
            for name, path in files.items():
                image = timed(taken[name]["open"], lambda path=path: open_image(path))
                timed(taken[name]["sampled"], lambda image=image: fingerprint(image))
                timed(taken[name]["whole"], lambda image=image: whole_fingerprint(image))
    print(f"{arguments.side} x {arguments.side} px, seconds, medians of {arguments.rounds} rounds\n")
    print("| file | opened | sampled | whole | sampled / whole |\n|---|---|---|---|---|")
    for name, times in taken.items():
        opened, sampled, whole = (statistics.median(times[key]) for key in ("open", "sampled", "whole"))
        print(f"| {name} | {opened:.3f} | {sampled:.3f} | {whole:.2f} | {sampled / whole:.1%} |")


def write(folder: Path, side: int) -> dict[str, Path]:
    """Write the picture in every format."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 250, (side // 16 + 1, side // 16 + 1, 3), np.uint8)
    pixels = np.repeat(np.repeat(coarse, 16, 0), 16, 1)[:side, :side] + rng.integers(0, 5, (side, side, 3), np.uint8)
    files = {}
    shape = {"width": side, "height": side, "count": 3, "dtype": "uint8"}
    for number, (name, options) in enumerate(GEOTIFFS.items()):
        path = files[f"GeoTIFF, {name}"] = folder / f"{number}.tif"
        with rasterio.open(path, "w", driver="GTiff", **shape, **options) as file:
            file.write(pixels.transpose(2, 0, 1))
    files["OME-Zarr"] = convert(open_image(folder / "0.tif"), folder / "image.ome.zarr")
    files["PNG"] = folder / "image.png"
    Image.fromarray(pixels).save(files["PNG"], compress_level=1)
    return files


def timed(times: list[float], work: Callable[[], Any]) -> Any:
    """Do some work, append its seconds to ``times``, and return its result."""
    start = time.perf_counter()
    result = work()
    times.append(time.perf_counter() - start)
    return result


if __name__ == "__main__":
    main()
