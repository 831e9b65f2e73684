"""The released network: a plain transcription of the released loop against this project, tile by tile, in one run.

    python benchmarks/released.py ALL.pth MEDIUM.pth LARGE.pth IMAGE

Prints tiles per second and how far the logits are apart. The same tiles, weights, threads and process for all.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import released_reference
import torch

from fctl_napari.imagery.open import open_image
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.encoders.vgg16 import VGG16
from fctl_napari.model.released import import_released
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.tiling.released_grid import ReleasedGrid


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs=3, type=Path, metavar=("ALL.pth", "MEDIUM.pth", "LARGE.pth"))
    parser.add_argument("image", type=Path)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    pyramid = open_image(arguments.image)
    grid = ReleasedGrid(pyramid.shape, released_reference.TILE)
    windows = [grid.window(tile) for tile in grid.tiles_over((0, 0, *pyramid.shape))]
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}; {len(windows)} tiles\n")
    print("| | seconds a tile | tiles/s | against plain | logits apart by | same class |\n|---|---|---|---|---|---|")

    expected, slow = timed(plain_loop(arguments.files, device, pyramid.read((0, 0, *pyramid.shape)), windows))
    row("plain loop, fp32", slow, slow, expected, expected)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = import_released(*arguments.files, Path(folder) / "released.safetensors")
        for label, precision, savings in (
            ("ours, fp32, no savings", "fp32", False),
            ("ours, fp32", "fp32", True),
            ("ours, bf16, no savings", "bf16", False),
            ("ours, bf16", "bf16", True),
        ):
            model, _ = load_checkpoint(checkpoint)
            for encoder in model.encoders.values():
                assert isinstance(encoder, VGG16)
                encoder.skip_constant_border = savings
            predictor = Predictor(model, device=arguments.device, precision=precision, exact_contexts=True)
            got, seconds = timed(logits for _, logits in predictor.predict(pyramid, windows))
            predictor.close()
            row(label, seconds, slow, got, expected)


def plain_loop(
    files: Sequence[Path], device: torch.device, image: np.ndarray, windows: Sequence[tuple[int, int, int, int]]
) -> Iterator[np.ndarray]:
    """Yield logits tile by tile, as the released code computes them."""
    states = {
        key: {k.removeprefix("module."): v.to(device) for k, v in torch.load(file, weights_only=True).items()}
        for key, file in zip(("all", "B10", "B15"), files, strict=True)
    }
    for top, left, *_ in windows:
        streams = (stream.to(device) for stream in released_reference.inputs(image, top, left))
        with torch.no_grad():
            yield released_reference.forward(states, *streams)["logits"][0].cpu().numpy()


def timed(tiles: Iterator[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """Return the logits of all tiles, and the mean seconds of a tile after the first, which warms up."""
    found = [next(tiles)]
    begun = time.perf_counter()
    found += list(tiles)
    return found, (time.perf_counter() - begun) / (len(found) - 1)


def row(label: str, seconds: float, slow: float, got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Print one row."""
    apart = max(float(np.abs(a - b).max()) for a, b in zip(got, expected, strict=True))
    apart /= max(float(np.abs(b).max()) for b in expected)
    same = np.mean([(a.argmax(0) == b.argmax(0)).mean() for a, b in zip(got, expected, strict=True)])
    print(
        f"| {label} | {seconds:.2f} | {1 / seconds:.3f} | {slow / seconds:.2f}x | {apart:.1e} | {100 * same:.2f} % |",
        flush=True,
    )


if __name__ == "__main__":
    main()
