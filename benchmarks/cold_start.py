"""Seconds from the start of a script to its first tile, now and at an earlier commit.

``python benchmarks/cold_start.py [--against c35ff34^] [--rounds 5]``. Each round starts a script in a process of its
own with each version in turn: it makes an engine, whose worker process is started, loads ``earth``, and computes nine
tiles of the sample scene with one thread. The default commit is the last one whose workers were children of Python's
``multiprocessing``. The earlier version is taken from git into a temporary folder and runs in the same environment.
Processor time is that of all its processes; it depends less on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SCRIPT = """
import sys, time

def main():
    import json, threading
    begun = float(sys.argv[4])
    try:
        from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
    except ImportError:  # of earlier versions
        from fctl_napari.segmentation.jobs import Engine, SegmentationRequest
    times, first = {"imported": time.time() - begun}, threading.Event()

    def report(event):
        if event.done and not first.is_set():
            times["first tile"] = time.time() - begun
            first.set()

    engine = Engine(threads=1)
    request = SegmentationRequest(sys.argv[1], sys.argv[2], "earth", region=json.loads(sys.argv[3]), device="cpu")
    end = engine.start(request, report).wait(120)
    times["nine tiles"] = time.time() - begun
    engine.close()
    assert end.error is None and first.is_set(), end
    print(json.dumps(times))

if __name__ == "__main__":
    main()
"""
REGION = [900, 2000, 1300, 2400]


def run(version: Path, script: Path, image: Path, out: Path) -> dict[str, float]:
    """Run the script with a version of the package, and return its times, s."""
    shutil.rmtree(out, ignore_errors=True)
    environment = {**os.environ, "PYTHONPATH": str(version)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, str(script), str(image), str(out), json.dumps(REGION), repr(time.time())]
    done = subprocess.run(command, env=environment, cwd=script.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    times["all, processor time"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", default="c35ff34^", help="an earlier commit")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        earlier = folder / "earlier"
        earlier.mkdir()
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", options.against, "fctl_napari", "sample_data"],
            capture_output=True,
            check=True,
        )
        subprocess.run(["tar", "-x", "-C", str(earlier)], input=archive.stdout, check=True)
        from fctl_napari.imagery.sample import write_sample

        image = write_sample(folder / "earth.ome.zarr")
        script = folder / "script.py"
        script.write_text(SCRIPT)
        versions = {f"at {options.against}": earlier, "now": ROOT}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in versions}
        for number in range(options.rounds + 1):  # the first one fills the caches of files and bytecode
            for name, version in versions.items():
                times = run(version, script, image, folder / "out.ome.zarr")
                print(name, times, file=sys.stderr)
                if number:
                    found[name].append(times)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}; the shortest of {options.rounds} rounds, and the median\n")
    print(f"| s, until | {' | '.join(versions)} | share |\n|---|---|---|---|")
    for step in ("imported", "first tile", "nine tiles", "all, processor time"):
        values = {name: [times[step] for times in rounds] for name, rounds in found.items()}
        cells = [f"{min(each):.2f}, {statistics.median(each):.2f}" for each in values.values()]
        before, now = values.values()
        shares = [of(now) / of(before) for of in (min, statistics.median)]
        print(f"| {step} | {' | '.join(cells)} | {', '.join(f'{share:.2f}' for share in shares)} |")


if __name__ == "__main__":
    main()
