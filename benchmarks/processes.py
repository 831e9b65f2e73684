"""CPU seconds of ``fctl segment`` by process and part, and of what is written of a cell (Linux).

    python benchmarks/processes.py --side 4000

The image is that of ``laptop.py``. The command runs in a process of its own, whose threads are counted by their names.
Printed are medians over the rounds. The last two lines are measured on the finished segmentation, without its chunks:
level 0 of all cells written anew, one by one, and their coarser levels, ``--flush`` cells at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from laptop import make_image

from fctl_napari.segmentation.store.store import Segmentation

PARTS = {
    "MainThread": "parent: command, imports, progress bar",
    "fctl-connect": "parent: start of dask",
    "fctl-run": "parent: image and store opened, tasks, coarser levels",
    "zarr_io": "parent: zarr",
    "asyncio": "parent: zarr",
    "IO loop": "parent: messages",
}
SAMPLED = "sampled"
INTERVAL = 0.1


def sample(seconds: dict[int, tuple[str, float]]) -> None:
    """Note the CPU time of each thread, from time to time, as long as the process lives."""
    while True:
        for thread in threading.enumerate():
            try:
                used = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()[0]
            except OSError:
                continue
            seconds[thread.native_id or 0] = thread.name, int(used) / 1e9
        time.sleep(INTERVAL)


def one(arguments: list[str]) -> dict[str, float]:
    """Run the command in this process, and return the CPU seconds of its parts."""
    seconds: dict[int, tuple[str, float]] = {}
    threading.Thread(target=sample, args=(seconds,), name=SAMPLED, daemon=True).start()
    begun = time.perf_counter()
    sys.argv = ["fctl", "segment", *arguments]
    from fctl_napari.cli.app import main as fctl

    with contextlib.suppress(SystemExit):
        fctl()
    wall = time.perf_counter() - begun
    parent, worker = (
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    found = {"wall": wall, "worker": worker, "parent": parent, **dict.fromkeys(PARTS.values(), 0.0)}
    for name, used in seconds.values():
        part = next((words for start, words in PARTS.items() if name.startswith(start)), None)
        if part is not None:
            found[part] += used
        elif name == SAMPLED:
            found["parent"] -= used
    return found


def writing(path: Path, flush: int) -> dict[str, float]:
    """Write the pixels of a segmentation anew, and return CPU ms a cell."""
    store = Segmentation.open(path, "r+")
    whole = (0, 0, *store.shape)
    values = store.labels.read(whole), store.confidence.read(whole)
    for pyramid in (store.labels, store.confidence):
        for level in range(len(pyramid.levels)):
            shutil.rmtree(pyramid.path / str(level) / "c")
    cells = [(row, column) for row in range(store.grid.rows) for column in range(store.grid.cols)]
    begun = time.process_time()
    for cell in cells:
        y0, x0, y1, x1 = store.grid.core(cell)
        store.write_cell(cell, *(array[y0:y1, x0:x1] for array in values))
    written = time.process_time()
    for start in range(0, len(cells), flush):
        store.finish(cells[start : start + flush])
    finished = time.process_time()
    return {
        "ms a cell: level 0": 1e3 * (written - begun) / len(cells),
        "ms a cell: coarser levels": 1e3 * (finished - written) / len(cells),
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=0, help="side of the image, px; 0: the sample scene")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flush", type=int, default=16)
    parser.add_argument("--options", nargs="*", default=["--engine=openvino", "--precision=bf16", "--device=cpu"])
    parser.add_argument("--one", nargs="*", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.one is not None:
        print(json.dumps(one(options.one + rest)))
        return
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        image, out = make_image(Path(folder), options.side), Path(folder) / "out.ome.zarr"
        for _ in range(options.rounds):
            command = [sys.executable, __file__, "--one", str(image), "--out", str(out), "--fresh", *options.options]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            rounds.append(json.loads(done.stdout.splitlines()[-1]) | writing(out, options.flush))
        print(f"{image.name}, {Segmentation.open(out).grid.rows * Segmentation.open(out).grid.cols} cells")
    print("| part | CPU, s |\n|---|---|")
    for part in rounds[0]:
        print(f"| {part} | {statistics.median(found[part] for found in rounds):.2f} |")


if __name__ == "__main__":
    main()
