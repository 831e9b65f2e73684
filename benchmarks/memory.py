"""Memory of a whole-image run, peak and at rest afterwards: parent and worker, for a small and a large square image.

    python benchmarks/memory.py --sides 5000 20000

The images are written chunk by chunk (structured content, all levels); the network is small and random. Every run
has processes of its own, whose peaks the system reports (Linux: ``VmHWM``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest

REST_SECONDS = 3.0
"""Time after the run at which memory is at rest, s."""


class Pattern:
    """An image [side, side, 3] of repeated blobs and gradients, computed where it is read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, side: int) -> None:
        self.shape = (side, side, 3)
        self.chunks = (512, 512, 3)

    def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
        """Compute a window."""
        y = np.arange(self.shape[0])[key[0]][:, None]
        x = np.arange(self.shape[1])[key[1]][None, :]
        channels = [(y * y // 97 + x * 3) % 251, (x * y // 191) % 241, (y // 3 + x // 7) % 256]
        return np.stack([c.astype(np.uint8) for c in channels], -1)[:, :, key[2]]


def make_checkpoint(path: Path) -> None:
    """Save a small network with a medium and a global context."""
    import torch

    from fctl_napari.model.checkpoint import save_checkpoint
    from fctl_napari.model.classes import ClassInfo, ClassTable
    from fctl_napari.model.fctl import FCtL
    from fctl_napari.model.model_card import Card
    from fctl_napari.model.presets import preset

    torch.manual_seed(0)
    config = preset("fctl_lite", tile_size=512, classes=5, width=32, share_encoders="all")
    classes = ClassTable(classes=tuple(ClassInfo(name=f"class {k}", color=(k, k, k)) for k in range(5)))
    save_checkpoint(path, FCtL(config), Card(name="memory", config=config, classes=classes))


def peak_megabytes(pid: int) -> float:
    """Peak resident memory of a process so far, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(image: str, out: str, checkpoint: str, merge: str, overlap: int, threads: int) -> dict[str, float]:
    """Segment an image in this process and its worker; returns peaks in MB, tiles and seconds."""
    request = SegmentationRequest(image, out, checkpoint, merge=merge, overlap=overlap, device="cpu")
    with Engine(threads=threads) as engine:
        begun = time.monotonic()
        final = engine.start(request).wait()
        if final.error is not None:
            raise final.error
        seconds = time.monotonic() - begun
        time.sleep(REST_SECONDS)
        parent = psutil.Process()
        worker = max(parent.children(recursive=True), key=lambda child: peak_megabytes(child.pid))
        found = {}
        for part, process in (("parent", parent), ("worker", worker)):
            found[part] = peak_megabytes(process.pid)
            found[f"{part} at rest"] = process.memory_info().rss / 2**20
    return {**found, "tiles": final.total, "seconds": seconds}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[5000, 20000])
    parser.add_argument("--merge", choices=["crop", "average"], default="crop")
    parser.add_argument("--overlap", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.merge, options.overlap, options.threads)))
        return
    print("| side, px | tiles | parent, MB | at rest | worker, MB | at rest | time, s |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_checkpoint(folder / "network.safetensors")
        for side in options.sides:
            image = convert(pyramid_from_array(Pattern(side), name="pattern"), folder / f"{side}.ome.zarr")
            command = [sys.executable, __file__, "--merge", options.merge, "--overlap", str(options.overlap)]
            command += ["--threads", str(options.threads), "--one"]
            answer = subprocess.run(
                [*command, str(image), str(folder / f"{side}-mask.ome.zarr"), str(folder / "network.safetensors")],
                check=True,
                stdout=subprocess.PIPE,
            )
            found = json.loads(answer.stdout)
            names = ("parent", "parent at rest", "worker", "worker at rest", "seconds")
            print(f"| {side} | {found['tiles']} | {' | '.join(f'{found[name]:.0f}' for name in names)} |", flush=True)


if __name__ == "__main__":
    main()
