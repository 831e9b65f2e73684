"""Cost of reading an image through its mask, end to end, on part of the sample scene.

    python benchmarks/masks.py [--rounds 3] [--device cpu]

The same pixels as an OME-Zarr without a mask, with a mask that hides one px, and as a GeoTIFF whose nodata value no px
has. They are segmented whole by the built-in ``earth`` checkpoint, in turn, round by round, in one worker.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest

PART = (200, 1500, 1480, 3548)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    pixels = open_image(sample_files().image).read(PART)
    opaque = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    opaque[0, 0] = 0
    with tempfile.TemporaryDirectory() as name, Engine() as engine:
        folder = Path(name)
        images = {
            "OME-Zarr, no mask": convert(pyramid_from_array(pixels), folder / "plain.ome.zarr"),
            "OME-Zarr, a mask": convert(
                pyramid_from_array(np.dstack([pixels, opaque]), alpha=True), folder / "masked.ome.zarr"
            ),
        }
        options_tiff = {"tile": (512, 512), "compression": "zlib", "photometric": "rgb"}
        for title, tags in (("GeoTIFF, no mark", []), ("GeoTIFF, a nodata value", [(42113, "s", 0, "0", True)])):
            path = folder / f"{len(images)}.tif"
            tifffile.imwrite(path, np.maximum(pixels, 1), extratags=tags, metadata=None, **options_tiff)
            images[title] = path
        rates: dict[str, list[float]] = {title: [] for title in images}
        for turn in range(options.rounds + 1):
            for title, image in images.items():
                request = SegmentationRequest(
                    str(image), str(folder / f"{turn}-{len(rates[title])}-{image.stem}.ome.zarr"), "earth",
                    device=options.device, precision="fp32",
                )  # fmt: skip
                begun = time.perf_counter()
                final = engine.start(request).wait()
                if final.error is not None:
                    raise final.error
                if turn:  # the first warms up
                    rates[title].append(final.total / (time.perf_counter() - begun))
    print("| image | tiles/s, median | of the one without |\n|---|---|---|")
    plain = 1.0
    for title, found in rates.items():
        median = statistics.median(found)
        plain = median if ", no " in title else plain
        print(f"| {title} | {median:.2f} | {100 * median / plain:.1f} % |")


if __name__ == "__main__":
    main()
