"""Correctness, throughput, memory and fine-tuning on a GPU, in one table.

    benchmarks/gpu.sh wheels --python-version 3.12   # where there is a package index
    benchmarks/gpu.sh --out gpu.md                   # on the machine with the GPU

Every part has a share of ``--seconds``, and what an earlier one leaves over. What does not fit is marked as skipped,
what fails as failed, and the rest goes on. ``--device cpu --quick`` tries every line on small networks and images, but
for graphs and compilation, which run on CUDA alone: its figures mean nothing. ``fctl_lite`` is the built-in ``earth``;
the other networks have random weights.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from correction_round import finished, round_seconds
from gpu_batches import Batch, compiled, graphed, tiles_per_second
from gpu_table import Row, Table
from laptop import agreement
from throughput import Case, make_checkpoint, make_image, our_end_to_end
from throughput_rates import matrix_rate
from torch import Tensor

from fctl_napari.evaluation.cost import count_flops, device_name, peak_memory
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.model_card import read_card
from fctl_napari.model.presets import preset
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.jobs.explanation import ExplainRequest
from fctl_napari.segmentation.tiling.grid import default_overlap

NETWORKS = ("fctl_lite", "fctl_vgg16", "fcn8s")
PRECISIONS = ("fp32", "bf16")
SCENES = {"DeepGlobe": (2448, 0.15), "Inria": (5000, 0.5)}
"""Side of a data set's images, px, and the target from disk to disk, s."""

CONTEXTS = {"DeepGlobe": preset("fctl_vgg16").contexts, "Inria": preset("lcc_released").contexts}
"""Contexts of ``fctl_vgg16`` on a data set's images."""

SETTINGS: dict[str, dict[str, Any]] = {"fctl_vgg16": {"gate_init": 1.0}}
"""Settings of the networks with random weights: contexts count from the start."""

SMALL: dict[str, dict[str, Any]] = {
    "fctl_lite": {},
    "fctl_vgg16": {"tile_size": 124, "fc_channels": 16, "fc_kernel": 1},
    "fcn8s": {"encoder": "efficientnet_lite0", "tile_size": 128},
}
"""Settings of the networks in a quick run."""

QUICK_FINETUNING = {"steps": 1, "batch": 2, "replay_tiles": 1, "training_tiles": 1, "most_tiles": 4, "check_tiles": 1}
MATRIX_SHARE = 0.5
"""Share of the bf16 matrix rate that is aimed at for ``fctl_vgg16``."""


@dataclass(frozen=True)
class Bench:
    """What is measured, and where.

    Attributes
    ----------
    device
        Device that is compared with the CPU.
    quick
        Small networks and images, each measured once.
    folder
        Folder for images, networks and results.
    engine
        Engine for whole images.
    """

    device: torch.device
    quick: bool
    folder: Path
    engine: Engine
    _images: dict[int, Path] = field(default_factory=dict)
    _checkpoints: dict[str, Path] = field(default_factory=dict)

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of tiles at once."""
        return (1, 2, 3) if self.quick else (1, 8, 32)

    @property
    def rounds(self) -> int:
        """How often a whole image is segmented, of which the best counts."""
        return 1 if self.quick else 3

    def image(self, side: int) -> Path:
        """Return a square image, which is made once."""
        if side not in self._images:
            self._images[side] = make_image(side, self.folder / f"{side}.ome.zarr")
        return self._images[side]

    def checkpoint(self, network: str, **settings: object) -> Path:
        """Return a network, which is made once for its settings."""
        key = f"{network} {settings}"
        if key not in self._checkpoints:
            folder = self.folder / str(len(self._checkpoints))
            folder.mkdir()
            settings |= SETTINGS.get(network, {}) | (SMALL[network] if self.quick else {})
            self._checkpoints[key] = make_checkpoint(network, folder, **settings)
        return self._checkpoints[key]

    def case(self, network: str, tiles: int, precision: str = "bf16") -> Case:
        """Return a network with an image of at least some tiles."""
        checkpoint = self.checkpoint(network)
        size = read_card(checkpoint).config.tile_size
        side = math.ceil(math.sqrt(tiles)) * (size - default_overlap(size)) + default_overlap(size)
        return Case(checkpoint, self.image(side), self.folder, self.device, precision)


# ---- correctness


def correctness(bench: Bench) -> Iterator[Row]:
    """Compare the device with the CPU in fp32."""
    cpu = torch.device("cpu")
    for network in NETWORKS:
        case = bench.case(network, bench.batches[1])
        reference = cache(partial(logits_of, replace(case, device=cpu, precision="fp32"), bench.batches[1]))
        for precision in PRECISIONS:
            same = replace(case, precision=precision)
            yield Row(f"{network}, {precision}: logits", partial(compare_logits, reference, same, bench.batches[1]))
    reference = cache(partial(segment, bench, "cpu", "fp32"))
    for precision in PRECISIONS:
        measure = partial(compare_segmentations, bench, reference, precision)
        yield Row(f"sample scene with earth, {precision}: classes", measure)
    yield Row("earth, fp32: an explanation", partial(compare_explanations, bench))


def logits_of(case: Case, tiles: int) -> np.ndarray:
    """Compute the logits of the first tiles of an image."""
    pyramid = open_image(case.image)
    grid = case.grid(pyramid)
    windows = [grid.window(cell) for cell in grid.cells_in((0, 0, *pyramid.shape))[:tiles]]
    model, _ = load_checkpoint(case.checkpoint)
    predictor = Predictor(model, device=str(case.device), precision=case.precision)
    try:
        return np.stack([logits for _, logits in predictor.predict(pyramid, windows)])
    finally:
        predictor.close()


def compare_logits(reference: Callable[[], np.ndarray], case: Case, tiles: int) -> str:
    """Compare logits with those of the CPU."""
    expected, found = reference(), logits_of(case, tiles)
    same = np.mean(expected.argmax(1) == found.argmax(1))
    return f"differ by {np.abs(expected - found).max():.2g} of {np.abs(expected).max():.3g}; {same_px(same)}"


def same_px(share: float) -> str:
    """Say which share of px has the same class."""
    return f"{100 * share:.3f} % of px of the same class"


def scene(bench: Bench) -> Path:
    """Return the sample scene, or a small part of it."""
    return bench.image(300) if bench.quick else sample_files().image


def segment(bench: Bench, device: str, precision: str) -> Path:
    """Segment the sample scene with torch."""
    out = bench.folder / f"{device} {precision}.ome.zarr"
    request = SegmentationRequest(
        str(scene(bench)), str(out), "earth", device=device, precision=precision, engine="torch", fresh=True
    )
    finished(bench.engine.start(request).wait())
    return out


def compare_segmentations(bench: Bench, reference: Callable[[], Path], precision: str) -> str:
    """Compare a segmentation with that of the CPU."""
    expected = reference()
    found = segment(bench, bench.device.type, precision)
    return same_px(agreement(expected, found))


def compare_explanations(bench: Bench) -> str:
    """Compare the explanation of the pixel in the middle with that of the CPU."""
    height, width = open_image(scene(bench)).shape
    request = ExplainRequest(str(scene(bench)), "earth", (height / 2, width / 2), precision="fp32")
    expected, found = (
        bench.engine.explain(replace(request, device=device)).result() for device in ("cpu", bench.device.type)
    )
    probabilities = np.abs(expected.probabilities - found.probabilities).max()
    attention = max(
        np.abs(a.combined - b.combined).max() / a.combined.max()
        for a, b in zip(expected.contexts, found.contexts, strict=True)
    )
    same = same_px(np.mean(expected.labels == found.labels))
    return f"probabilities differ by {probabilities:.2g}, attention by {attention:.2g} of its maximum; {same}"


# ---- throughput


def model_only(bench: Bench) -> Iterator[Row]:
    """Measure the network alone, and its share of the matrix rate."""
    peak = cache(partial(matrix_rate, bench.device))
    yield Row("product of large bf16 matrices", lambda: f"{peak() / 1e12:.3g} TFLOP/s")
    for network, size in product(NETWORKS, bench.batches):
        case = bench.case(network, size)
        aim = network == "fctl_vgg16" and size == bench.batches[-1] and not bench.quick
        target = f"{100 * MATRIX_SHARE:.0f} % of the matrix rate" if aim else ""
        yield Row(f"{network}, bf16, batch {size}", partial(alone, case, size, peak, bench.quick), target)


def alone(case: Case, size: int, peak: Callable[[], float], quick: bool) -> str:
    """Measure tiles per second of the network alone."""
    batch = Batch.ready(case, size)
    found = tiles_per_second(batch.run, batch, quick)
    flops = sum(count_flops(read_card(case.checkpoint).config, shared_contexts=True).values())
    return f"{found:.3g} tiles/s, {100 * found * flops / peak():.1f} % of the matrix rate"


def end_to_end(bench: Bench) -> Iterator[Row]:
    """Measure whole images from disk to disk, the worker process being up."""
    for name, (side, seconds) in SCENES.items():
        side = side // 16 if bench.quick else side
        settings = {"fctl_lite": {}, "fctl_vgg16": {"contexts": CONTEXTS[name]}}
        for network in settings:
            target = "" if bench.quick else f"{seconds} s"
            measure = partial(whole, bench, network, side, settings[network])
            yield Row(f"{name}, {side} px, {network}, bf16: disk to disk", measure, target)


def whole(bench: Bench, network: str, side: int, settings: dict[str, Any]) -> str:
    """Measure the seconds of one image, the best of some rounds."""
    case = Case(bench.checkpoint(network, **settings), bench.image(side), bench.folder, bench.device, "bf16")
    tiles = len(case.grid(open_image(case.image)).tiles_over((0, 0, side, side)))
    best = max(our_end_to_end(case, bench.engine).tiles for _ in range(bench.rounds))
    return f"{tiles / best:.3f} s, {tiles} tiles, {best:.3g} tiles/s"


# ---- memory, fine-tuning, graphs


def memory(bench: Bench) -> Iterator[Row]:
    """Measure peaks of memory on the device."""
    for network in NETWORKS:
        case = bench.case(network, bench.batches[-1])
        yield Row(f"{network}, bf16, batch {bench.batches[-1]}", partial(peak_of, case, bench.batches[-1]))
    yield Row("worker after the sample scene with earth", partial(held, bench))


def peak_of(case: Case, size: int) -> str:
    """Measure the peak of a batch."""
    batch = Batch.ready(case, size)
    batch.run()
    return f"{peak_memory(case.device, batch.run) / 2**20:.0f} MiB beside weights and inputs"


def held(bench: Bench) -> str:
    """Read what the worker holds after a run."""
    out = bench.folder / "held.ome.zarr"
    request = SegmentationRequest(str(scene(bench)), str(out), "earth", device=bench.device.type, fresh=True)
    end = bench.engine.start(request).wait()
    finished(end)
    return f"{(end.memory_bytes or 0) / 2**20:.0f} MiB, {end.device}"


def fine_tuning(bench: Bench) -> Iterator[Row]:
    """Measure a round of corrections."""
    strokes, settings = (2, QUICK_FINETUNING) if bench.quick else (20, {})
    yield Row(f"{strokes} strokes to the new mask of the view", partial(learned, bench, strokes, settings))


def learned(bench: Bench, strokes: int, settings: dict[str, Any]) -> str:
    """Measure the parts of a round."""
    parts = round_seconds(strokes, 0, bench.device.type, **settings)
    return "; ".join(f"{what} {seconds:.2f} s" for what, seconds in reversed(parts))


def graphs(bench: Bench) -> Iterator[Row]:
    """Compare eager torch with CUDA graphs and with compilation, for batches of a fixed size."""
    if bench.device.type != "cuda":
        yield Row("CUDA graphs and torch.compile", lambda: "only on CUDA")
        return
    for network, size in product(("fctl_lite", "fctl_vgg16"), bench.batches[:2]):
        case = bench.case(network, size)
        for way, make in WAYS.items():
            yield Row(f"{network}, bf16, batch {size}, {way}", partial(against_eager, case, size, make, bench.quick))


WAYS: dict[str, Callable[[Batch], Callable[[int], Tensor]]] = {"CUDA graph": graphed, "compiled": compiled}


def against_eager(case: Case, size: int, make: Callable[[Batch], Callable[[int], Tensor]], quick: bool) -> str:
    """Compare a way to run a batch with eager torch."""
    batch = Batch.ready(case, size)
    expected = batch.run().argmax(1)
    begun = time.perf_counter()
    run = make(batch)
    run(0)
    prepared = time.perf_counter() - begun
    same = (run(0).argmax(1) == expected).float().mean().item()
    eager, found = (tiles_per_second(one, batch, quick) for one in (batch.run, run))
    speeds = f"{found:.3g} against {eager:.3g} tiles/s ({found / eager:.2f}x)"
    return f"{speeds}, prepared in {prepared:.1f} s; {same_px(same)}"


# ---- the table

PARTS: dict[str, tuple[float, Callable[[Bench], Iterator[Row]]]] = {
    "correctness": (0.2, correctness),
    "model only": (0.15, model_only),
    "end to end": (0.25, end_to_end),
    "memory": (0.05, memory),
    "fine-tuning": (0.15, fine_tuning),
    "graphs": (0.2, graphs),
}
"""Share of the time and rows of each part, in order. The last may leave CUDA in disorder."""


def fill(table: Table, bench: Bench, begun: float, seconds: float) -> int:
    """Measure all parts, each until its share of the time is over.

    Returned is the number of rows that failed.
    """
    end, failed = begun, 0
    for part, (share, rows) in PARTS.items():
        end += share * seconds
        for row in rows(bench):
            if time.monotonic() > end:
                table.row(part, f"{row.what} and what follows in this part", "skipped: the time is short", row.target)
                break
            try:
                found = row.measure()
            except Exception as error:
                traceback.print_exc()
                failed += 1
                found = f"failed: {type(error).__name__}: {error}"[:300]
            table.row(part, row.what, found, row.target)
            if bench.device.type == "cuda":
                torch.cuda.empty_cache()
    return failed


def main() -> int:
    """Print the table, and return 1 if a row failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="small networks and images, each measured once")
    parser.add_argument("--seconds", type=float, default=450, help="of all parts together; a row is not interrupted")
    parser.add_argument("--out", type=Path, help="file for the table, Markdown")
    options = parser.parse_args()
    begun = time.monotonic()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error(f"torch {torch.__version__} finds no GPU here; use --device cpu --quick to try the script.")
    table = Table(options.out)
    table.line(f"{device_name(device)}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    if device.type == "cpu":
        table.line("\n**CUDA is unmeasured: this ran on the CPU.**")
    if options.quick:
        table.line("\n**A quick run on small networks and images: its figures mean nothing.**")
    table.line("\n| part | what | found | target |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, Engine() as engine:
        failed = fill(table, Bench(device, options.quick, Path(folder), engine), begun, options.seconds)
    table.line(f"\n{time.monotonic() - begun:.0f} s; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
