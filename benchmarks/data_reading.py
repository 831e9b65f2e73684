"""Speed and memory of reading training tiles from a data set as published and from its OME-Zarr copy.

    python benchmarks/data_reading.py --data AERIAL --images 803 --tiles 120

Makes a data set of the size of DeepGlobe (2448 x 2448 px, JPEG and PNG of colors) in a temporary folder, of crops of
the aerial scenes; further images are links to a few files, each of which is read as a file of its own. Tiles are
508 px with contexts of 1524 px and of the whole image, drawn as in training. Seconds are of CPU, of all threads: what
else the machine does hardly changes them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from fctl_napari.datasets.check import check_data_set
from fctl_napari.datasets.convert import convert_data_set
from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.datasets.layouts import deepglobe_table, find_data_set
from fctl_napari.model.presets import preset
from fctl_napari.training.config import AugmentSettings
from fctl_napari.training.data import TileSampler, open_scenes
from fctl_napari.training.data_settings import DataSettings

SIDE = 2448
FILES = 12
"""So many files differ."""


def make(data: Path, folder: Path, images: int) -> None:
    """Write the data set."""
    (folder / "train").mkdir(parents=True)
    rng = np.random.default_rng(0)
    colors = np.array([info.color for info in deepglobe_table()], np.uint8)
    picture = np.asarray(Image.open(data / "scene5.jpg").convert("RGB"))
    ground_truth = np.asarray(Image.open(data / "scene5_label.png"))
    for number in range(images):
        paths = [folder / "train" / f"{number}{end}" for end in ("_sat.jpg", "_mask.png")]
        if number >= FILES:
            for path in paths:
                os.link(path.with_name(path.name.replace(str(number), str(number % FILES), 1)), path)
            continue
        y, x = (int(rng.integers(length - SIDE)) for length in ground_truth.shape)
        part = np.s_[y : y + SIDE, x : x + SIDE]
        Image.fromarray(picture[part]).save(paths[0], quality=90)
        Image.fromarray(colors[np.minimum(ground_truth[part], 6)]).save(paths[1])


def peak_bytes() -> int:
    """Return the peak memory of this process so far (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def tiles(folder: Path, count: int, limit: int) -> tuple[float, float, float, float]:
    """Measure CPU seconds and memory of reading.

    Returned are the seconds to open the data set, to read all of its ground truth and to read a tile, and the largest
    growth of memory, MB.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = peak_bytes()
    config = preset("fctl_vgg16", classes=6)
    started = time.process_time()
    scenes, _ = open_scenes(DataSettings(layout="deepglobe"), folder, shelf=Shelf(limit))
    opened = time.process_time()
    sampler = TileSampler(scenes, config, AugmentSettings(), 0.5, seed=0)
    looked = time.process_time()
    for step in range(count // 6):
        sampler.batch(step, 6)
    done = time.process_time()
    return opened - started, looked - opened, (done - looked) / (count // 6 * 6), (peak_bytes() - before) / 2**20


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the aerial scenes.")
    parser.add_argument("--images", type=int, default=803)
    parser.add_argument("--copied", type=int, default=24, help="Images that are converted and read from the copy.")
    parser.add_argument("--tiles", type=int, default=120)
    parser.add_argument("--limit", type=int, default=2**29, help="Bytes of decoded px that are kept.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, images in (("all", options.images), ("some", options.copied)):
            make(options.data, folder / name, images)
        started = time.process_time()
        data = find_data_set(folder / "all")
        print(f"{len(data.pairs)} pairs: found in {time.process_time() - started:.2f} s")
        started = time.process_time()
        check_data_set(find_data_set(folder / "some"))
        print(f"check: {(time.process_time() - started) / options.copied:.2f} s per pair")
        started = time.process_time()
        convert_data_set(find_data_set(folder / "some"), folder / "copy")
        seconds = (time.process_time() - started) / options.copied
        size = sum(path.stat().st_size for path in (folder / "copy").rglob("*") if path.is_file()) / options.copied
        print(f"convert: {seconds:.2f} s and {size / 2**20:.1f} MB per pair")
        print("folder | images | open, CPU s | look through, CPU s | CPU s per tile | memory, MB")
        for name in ("all", "some", "copy"):
            figures = tiles(folder / name, options.tiles, options.limit)
            count = len(find_data_set(folder / name).pairs)
            print(
                f"{name} | {count} | {figures[0]:.2f} | {figures[1]:.1f} | {figures[2]:.3f} | {max(figures[3], 0):.0f}"
            )


if __name__ == "__main__":
    main()
