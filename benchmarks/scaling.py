"""Cost and memory of ``fctl segment`` as the image grows, and of more worker processes on a dask cluster (Linux).

    python benchmarks/scaling.py --plot scaling.png

Three tables of medians over the rounds, whose runs take turns:

* a region of the same size in sparse images of more and more megapixels: chunks are there in a corner of 16 MP only;
  "begun" is a run over the whole of it until it reports its first tiles, with the parent's CPU time and peak;
* whole images: ``--whole 1000`` is one of a gigapixel, which takes minutes and 3 GB of disk;
* worker processes of one thread on a dask cluster of this machine, which have loaded the network before.

The pixels are those of the sample scene, repeated. Each command runs in a process of its own. A list without numbers
leaves its table out.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr
from distributed import Client
from distributed.diagnostics.plugin import SchedulerPlugin
from laptop import agreement
from matplotlib.figure import Figure
from memory import peak_megabytes
from processes import one

from fctl_napari.cores import usable_cores
from fctl_napari.figures.files import save_figure
from fctl_napari.imagery.formats import ngff_writing
from fctl_napari.imagery.halving import halve
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap

CONTENT = 4096
"""Side of the part of a sparse image that holds pixels, px."""

BLOCK = 2048
"""Side of the blocks that are written at once, px."""

CHUNK = 512
"""Side of a chunk of the image, px."""

WAY = ("checkpoint", "engine", "precision")
"""Options of the command that are options of this script, too."""

AFRESH: dict[str, Any] = {"device": "cpu", "fresh": True}
"""Further fields of a request."""

CLUSTER_SIDE = 2560
"""Side of the image that the workers of a cluster share, px."""


def side_of(megapixels: float) -> int:
    """Return the side of a square, px."""
    return round(math.sqrt(megapixels * 1e6))


def make_image(path: Path, side: int, content: int) -> Path:
    """Write a square image with all levels, whose top left square of ``content`` px is the repeated scene."""
    scene = open_image(sample_files().image)
    pixels = scene.read((0, 0, *scene.shape)).transpose(2, 0, 1)

    def fill(group: zarr.Group) -> None:
        levels = ngff_writing.create_levels(group, "cyx", ngff_writing.level_shapes((side, side)), CHUNK, np.uint8, 3)
        for y, x in itertools.product(range(0, content, BLOCK), repeat=2):
            rows, columns = (np.arange(start, min(start + BLOCK, content)) for start in (y, x))
            block = pixels.take(rows, axis=1, mode="wrap").take(columns, axis=2, mode="wrap").transpose(1, 2, 0)
            for index, level in enumerate(levels):
                top, left = y >> index, x >> index
                level[:, top : top + block.shape[0], left : left + block.shape[1]] = block.transpose(2, 0, 1)
                block = halve(block)
        scales = ngff_writing.multiscale_metadata(
            path.name, "cyx", ngff_writing.halved_factors(len(levels)), kind="mean", centred=True
        )
        group.update_attributes({"ome": {"version": ngff_writing.VERSION, "multiscales": [scales]}})

    ngff_writing.create_group(path, fill)
    return path


def own_process(*arguments: str) -> dict[str, float]:
    """Run this script with hidden options in a process of its own, and return what it printed."""
    call = [sys.executable, __file__, *arguments]
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def command(arguments: list[str]) -> dict[str, float]:
    """Run ``fctl segment`` in this process, and return its seconds and its peaks of memory, MB."""
    found = one(arguments)
    return found | {
        "parent, MB": peak_megabytes(os.getpid()),
        "worker, MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def begin(arguments: Sequence[str]) -> dict[str, float]:
    """Run ``Engine`` in this process until it reports the first tiles, and return what that took."""
    image, out, *way = arguments
    request = SegmentationRequest(image, out, **dict(zip(WAY, way, strict=True)), **AFRESH)
    reported = threading.Event()
    begun = time.perf_counter()
    with Engine() as run_by:
        run = run_by.start(request, lambda event: reported.set() if event.done or event.error else None)
        reported.wait()
        found = {"begun, s": time.perf_counter() - begun, "begun, CPU s": time.process_time()}
        run.cancel()
        final = run.wait()
        if final.error is not None:
            raise final.error
    return found | {"begun, MB": peak_megabytes(os.getpid())}


class Image:
    """An image to segment, or a region of it, with what was found so far."""

    def __init__(self, path: Path, side: int, cells: int | None, step: int) -> None:
        self.path = path
        self.out = path.with_name(f"{path.name}-mask.ome.zarr")
        self.megapixels = side * side / 1e6
        self.cells = math.ceil(side / step) ** 2
        self.segmented = self.megapixels if cells is None else (cells * step) ** 2 / 1e6
        self._region = [] if cells is None else ["--region", *map(str, [step, step, *[(1 + cells) * step] * 2])]
        self._expected = self.cells if cells is None else cells**2
        self._rounds: list[dict[str, float]] = []

    def run(self, way: Sequence[str], keep: bool) -> None:
        """Segment it afresh, in a process of its own; of a sparse image begin with the whole of it, too."""
        options = [f"--{name}={value}" for name, value in zip(WAY, way, strict=True)]
        found = own_process(
            "--one", str(self.path), "--out", str(self.out), "--fresh", "--device=cpu", *self._region, *options
        )
        assert np.count_nonzero(Segmentation.open(self.out).done()) == self._expected, self.path
        if self._region:
            found |= own_process("--begin", str(self.path), str(self.out), *way)
        if keep:
            self._rounds.append(found)

    def median(self, name: str) -> float:
        """Return the median of a figure."""
        return statistics.median(found[name] for found in self._rounds)

    @property
    def cpu(self) -> float:
        """CPU time of all processes, s."""
        return statistics.median(found["parent"] + found["worker"] for found in self._rounds)


def print_images(images: Sequence[Image], whole: bool) -> None:
    """Print a row for each image.

    Of whole images there is the cost of the megapixels that one has more than the one before, of sparse ones that of
    a run over all of them until its first tiles.
    """
    begun = ["begun, s", "begun, CPU s", "begun, MB"]
    names = ["image, MP", "cells", "segmented, MP", "wall, s", "parent, CPU s", "worker, CPU s", "CPU s/MP"]
    names += [*(["of each further MP"] if whole else []), "parent, MB", "worker, MB", *([] if whole else begun)]
    print(f"| {' | '.join(names)} |")
    print("|---" * len(names) + "|")
    before = None
    for image in images:
        figures = [f"{image.megapixels:.0f}", str(image.cells), f"{image.segmented:.1f}"]
        figures += [f"{image.median(name):.2f}" for name in ("wall", "parent", "worker")]
        figures.append(f"{image.cpu / image.segmented:.2f}")
        if whole:
            more = None if before is None else (image.cpu - before.cpu) / (image.segmented - before.segmented)
            figures.append("" if more is None else f"{more:.2f}")
        figures += [f"{image.median(name):.0f}" for name in ("parent, MB", "worker, MB")]
        if not whole:
            figures += [f"{image.median(name):.{0 if name.endswith('MB') else 2}f}" for name in begun]
        print(f"| {' | '.join(figures)} |", flush=True)
        before = image


class Depth(SchedulerPlugin):
    """Largest number of tasks that a worker had at once, and the number of tasks."""

    name = "depth"

    def __init__(self) -> None:
        self.deepest = self.tasks = 0
        self._workers: Any = None

    async def start(self, scheduler: Any) -> None:
        """Remember the scheduler's workers."""
        self._workers = scheduler.workers

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Look at the workers whenever a task has been handed out."""
        if finish == "processing":
            self.tasks += 1
            self.deepest = max(self.deepest, *(len(state.processing) for state in self._workers.values()))


def counters(streams: Sequence[Any]) -> list[int]:
    """Return messages, batches and bytes that were sent through streams of dask."""
    return [sum(getattr(stream, f"{name}_count") for stream in streams) for name in ("message", "batch", "byte")]


def sent(client: Client) -> np.ndarray:
    """Return messages, batches and bytes sent so far: by the client, the scheduler and the workers."""
    scheduler = client.run_on_scheduler(
        lambda dask_scheduler: counters([*dask_scheduler.stream_comms.values(), *dask_scheduler.client_comms.values()])
    )
    workers = client.run(lambda dask_worker: counters([dask_worker.batched_stream]))
    return np.array([counters([client.scheduler_comm]), scheduler, np.sum(list(workers.values()), axis=0)])


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """Return the CPU time of processes so far, s."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@contextlib.contextmanager
def cluster(folder: Path, number: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Start a scheduler and workers; yields the address and the processes, the scheduler first."""
    file = folder / f"scheduler-{number}.json"
    call = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    calls = [[*call, "--no-dashboard", "--scheduler-file", str(file)]]
    call = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--host", "127.0.0.1"]
    calls += [[*call, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)]] * number
    started: list[psutil.Popen] = []
    try:
        for arguments in calls:
            started.append(psutil.Popen(arguments, stderr=subprocess.DEVNULL))
            while not file.exists():
                time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(number)
        yield address, list(started)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
        file.unlink(missing_ok=True)  # the next scheduler has another address


def with_workers(request: Callable[[Path], SegmentationRequest], out: Path, number: int) -> dict[str, Any]:
    """Segment an image with a number of workers that have loaded the network, and return what it took."""
    with cluster(out.parent, number) as (address, processes), Engine(address, threads=1) as engine:
        client = engine._workers.client()  # its counters are nowhere else

        def segment() -> int:
            final = engine.start(request(out)).wait()
            if final.error is not None:
                raise final.error
            return final.total

        segment()
        client.register_plugin(Depth())
        before = [cpu_seconds(group) for group in ([psutil.Process(), processes[0]], processes[1:])], sent(client)
        begun = time.perf_counter()
        tiles = segment()
        wall = time.perf_counter() - begun
        after = [cpu_seconds(group) for group in ([psutil.Process(), processes[0]], processes[1:])], sent(client)
        depth = client.run_on_scheduler(
            lambda dask_scheduler: [getattr(dask_scheduler.plugins["depth"], name) for name in ("deepest", "tasks")]
        )
        return {
            "tiles": tiles,
            "wall": wall,
            "cpu": np.subtract(after[0], before[0]),
            "sent": after[1] - before[1],
            "deepest": depth[0],
            "tasks": depth[1],
            "peak": max(peak_megabytes(process.pid) for process in processes[1:]),
        }


def print_workers(found: dict[int, list[dict[str, Any]]], outs: dict[int, Path]) -> None:
    """Print a row for each number of workers, and what was sent."""
    print("| workers | wall, s | parent and scheduler, CPU s | workers, CPU s | peak of a worker, MB ", end="")
    print("| tasks | deepest queue | messages a task | kB a task | px of the same class |")
    print("|---" * 10 + "|")
    first = next(iter(outs.values()))
    for number, rounds in found.items():
        figures = [statistics.median(each["wall"] for each in rounds)]
        figures += list(np.median([each["cpu"] for each in rounds], axis=0))
        tasks = statistics.median(each["tasks"] for each in rounds)
        messages, _, size = np.median([each["sent"].sum(axis=0) / each["tasks"] for each in rounds], axis=0)
        print(f"| {number} | {' | '.join(f'{figure:.2f}' for figure in figures)} ", end="")
        print(f"| {statistics.median(each['peak'] for each in rounds):.0f} | {tasks:.0f} ", end="")
        print(f"| {max(each['deepest'] for each in rounds)} | {messages:.1f} | {size / 1e3:.1f} ", end="")
        print(f"| {100 * agreement(first, outs[number]):.3f} % |", flush=True)
    every = [each for rounds in found.values() for each in rounds]
    deepest = max(each["deepest"] for each in every)
    tiles = statistics.median(each["tiles"] / each["tasks"] for each in every)
    print(
        f"\n{every[0]['tiles']} tiles, {tiles:.1f} a task; "
        f"a worker had at most {deepest} tasks at once, the one that it computes among them. "
        f"This machine has {usable_cores()} cores: more workers than that cannot bring more."
    )
    sent_each = np.median([each["sent"] / each["tasks"] for each in every], axis=0)
    for sender, (messages, batches, _) in zip(("parent", "scheduler", "workers"), sent_each, strict=True):
        print(f"The {sender} sent {messages:.1f} messages a task in {batches:.1f} writes.")


def draw(sparse: Sequence[Image], whole: Sequence[Image], path: Path) -> None:
    """Draw cost and memory against the size of the image."""
    figure = Figure(figsize=(8, 3.2), layout="constrained", dpi=100)
    cost, memory = figure.subplots(1, 2)
    for images, words, style in ((sparse, "a region", "o-"), (whole, "whole image", "s--")):
        sizes = [image.megapixels for image in images]
        if not sizes:
            continue
        cost.plot(sizes, [image.cpu / image.segmented for image in images], style, color="#0072b2", label=words)
        for part, color in (("parent", "#009e73"), ("worker", "#d55e00")):
            peaks = [image.median(f"{part}, MB") for image in images]
            memory.plot(sizes, peaks, style, color=color, label=f"{part}, {words}")
    begun = [image.median("begun, MB") for image in sparse]
    memory.plot([image.megapixels for image in sparse], begun, "^:", color="#009e73", label="parent, whole image begun")
    for axes, label in ((cost, "CPU seconds per megapixel"), (memory, "peak memory, MB")):
        axes.set(xscale="log", xlabel="image, megapixels", ylabel=label)
        axes.set_ylim(0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    save_figure(figure, path)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparse", type=float, nargs="*", default=[10, 100, 1000, 10000], help="MP")
    parser.add_argument("--area", type=float, default=8, help="about the region that is segmented in them, MP")
    parser.add_argument("--whole", type=float, nargs="*", default=[4, 16, 64], help="MP")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", default="earth")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="figure of the first two tables")
    inner = {"--one": command, "--begin": begin}.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if inner is not None:
        print(json.dumps(inner(sys.argv[2:])))
        return
    options = parser.parse_args()
    tile = read_card(resolve_checkpoint(options.checkpoint)).config.tile_size
    step = TileGrid((tile, tile), tile, default_overlap(tile)).step
    way = [getattr(options, name) for name in WAY]
    if options.sparse and side_of(min(options.sparse)) < side_of(options.area) + step:
        parser.error("--area: does not fit into the smallest of the --sparse images; give a smaller one.")
    print(f"{', '.join(way)}, CPU; medians of {options.rounds} rounds; ", end="")
    print(f"{usable_cores()} cores, load {os.getloadavg()[0]:.1f} at the beginning")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables: list[list[Image]] = []
        for kind, sizes in (("sparse", options.sparse), ("whole", options.whole)):
            tables.append([])
            for side in map(side_of, sizes):
                sparse = kind == "sparse"
                path = make_image(folder / f"{kind}-{side}", side, min(side, CONTENT) if sparse else side)
                cells = max(1, side_of(options.area) // step) if sparse else None
                tables[-1].append(Image(path, side, cells, step))
        for number in range(options.rounds + 1):  # the first warms caches, and converts the network
            for image in itertools.chain(*tables):
                if number or image is next(itertools.chain(*tables)):
                    image.run(way, bool(number))
        for images, whole in zip(tables, (False, True), strict=True):
            if images:
                print()
                print_images(images, whole)
        if options.plot is not None:
            draw(*tables, options.plot)
        if options.workers:
            shared = make_image(folder / "shared", CLUSTER_SIDE, CLUSTER_SIDE)
            outs = {number: folder / f"workers-{number}.ome.zarr" for number in options.workers}
            found: dict[int, list[dict[str, Any]]] = {number: [] for number in options.workers}

            def request(out: Path) -> SegmentationRequest:
                return SegmentationRequest(str(shared), str(out), **dict(zip(WAY, way, strict=True)), **AFRESH)

            for _ in range(options.rounds):
                for number in options.workers:
                    found[number].append(with_workers(request, outs[number], number))
            print()
            print_workers(found, outs)
    print(f"\nLoad at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
