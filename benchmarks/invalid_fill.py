"""Accuracy beside a collar without data, by what the network is shown there.

    python benchmarks/invalid_fill.py --data AERIAL [--scenes 3 6] [--checkpoint aerial]

Each scene gets the collar of a rotated footprint. The collar is filled in each way before the network sees the image,
which knows nothing of it. The last row is the image with its collar transparent. Px are scored that hold data, near the
collar and elsewhere.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation

NEAR = 16
"""Distance from the collar, px, up to which a px counts as near."""

IMAGENET_MEAN = (124, 116, 104)


def footprint(height: int, width: int, degrees: float = 20.0, share: float = 0.33) -> np.ndarray:
    """Make a rotated rectangle: bool [height, width], True inside."""
    y, x = np.mgrid[:height, :width].astype(float)
    angle = np.deg2rad(degrees)
    y, x = y - height / 2, x - width / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (abs(along) < share * width) & (abs(across) < share * height)


def nearest(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Repeat the nearest valid px."""
    y, x = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return pixels[y, x]


def mirrored(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mirror the valid px at the border of the collar; the nearest one where the mirror shows none."""
    y, x = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    rows, columns = np.indices(valid.shape)
    height, width = valid.shape
    other_y, other_x = (2 * y - rows).clip(0, height - 1), (2 * x - columns).clip(0, width - 1)
    there = valid[other_y, other_x]
    return pixels[np.where(there, other_y, y), np.where(there, other_x, x)]


def constant(color: tuple[float, ...]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fill with one color."""
    return lambda pixels, valid: np.where(valid[..., None], pixels, np.array(color)).astype(np.uint8)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scenes", nargs="+", default=["3", "6"])
    parser.add_argument("--checkpoint", default="aerial")
    options = parser.parse_args()
    right: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder, Engine() as engine:
        for scene in options.scenes:
            pixels = np.asarray(Image.open(options.data / f"scene{scene}.jpg").convert("RGB"))
            labels = np.asarray(Image.open(options.data / f"scene{scene}_label.png"))
            valid = footprint(*labels.shape)
            distance = ndimage.distance_transform_edt(valid)
            scored = labels < 5
            fills = {
                "the whole scene (no collar)": lambda pixels, valid: pixels,
                "black": constant((0, 0, 0)),
                "white": constant((255, 255, 255)),
                "mean of ImageNet": constant(IMAGENET_MEAN),
                "mean of the image": constant(tuple(pixels[valid].mean(0).round())),
                "nearest px": nearest,
                "mirrored": mirrored,
                "transparent": lambda pixels, valid: np.dstack([pixels, np.where(valid, 255, 0)]).astype(np.uint8),
            }
            for name, fill in fills.items():
                path, out = Path(folder) / f"{scene}.png", Path(folder) / f"{scene}-{len(right)}-{name}.ome.zarr"
                Image.fromarray(fill(pixels, valid)).save(path)
                request = SegmentationRequest(str(path), str(out), options.checkpoint, precision="fp32")
                final = engine.start(request).wait()
                if final.error is not None:
                    raise final.error
                found = Segmentation.open(out).labels.read((0, 0, *labels.shape))
                same = found == labels + 1
                near = scored & valid & (distance <= NEAR)
                far = scored & valid & (distance > NEAR)
                right.setdefault(name, []).append(np.array([same[near].sum(), near.sum(), same[far].sum(), far.sum()]))
    print(f"| shown in the collar | accuracy within {NEAR} px of it | accuracy elsewhere |\n|---|---|---|")
    for name, counts in right.items():
        near, near_px, far, far_px = np.sum(counts, 0)
        print(f"| {name} | {near / near_px:.3f} | {far / far_px:.3f} |", flush=True)


if __name__ == "__main__":
    main()
