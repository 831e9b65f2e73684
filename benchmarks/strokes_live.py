"""Seconds from the end of a stroke to the last tile of the view, with *Classify from strokes* on, in a real window.

    xvfb-run -a python benchmarks/strokes_live.py [--strokes 12] [--screenshot FILE]

The strokes are dabs of the brush, with the classes of the ground truth, on the Earth scene with the checkpoint
``earth``. The first one that is classified computes the features of all tiles in view, which are kept. Processor
seconds, of window and worker together, are those of the same time: they tell how much a busy machine lengthens it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
import psutil
from on_demand import Draws, Ticks, look_at, spin

from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.plugin.dock.dock import open_tab

MIDDLE = (760, 3050)
"""Middle of the view, (y, x) px: the Mediterranean."""

ROWS = 700
PARTS = ("on disk", "rest", "learned", "classified and drawn", "together", "processors")


def processor_seconds() -> float:
    """Return what this process and its children have computed, s."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def dabs(count: int, seed: int) -> list[tuple[int, int, int]]:
    """Draw places, (y, x) px, in view with the class of the ground truth there, of two classes in turn at first."""
    ground_truth = np.asarray(open_image(sample_files().ground_truth).levels[0])[..., 0]
    random = np.random.default_rng(seed)
    found: list[tuple[int, int, int]] = []
    while len(found) < count:
        y, x = MIDDLE[0] + int(random.integers(-250, 250)), MIDDLE[1] + int(random.integers(-300, 300))
        label = int(ground_truth[y, x]) + 1
        if len(found) > 1 or label not in [one[2] for one in found]:
            found.append((y, x, label))
    return found


def measure(count: int, seed: int, screenshot: Path | None) -> tuple[list[list[float]], list[float]]:
    """Return the seconds of the parts of each stroke, and the gaps of the event loop, ms."""
    with tempfile.TemporaryDirectory() as name:
        image = Path(name) / Path(sample_files().image).name
        image.write_bytes(Path(sample_files().image).read_bytes())
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1500, 940)
        viewer.open(image, plugin="fctl-napari")
        widget = open_tab(viewer, "Correct")
        widget.form.checkpoint.setCurrentText("earth")
        look_at(viewer, *MIDDLE, ROWS)
        spin(lambda: not widget.busy, 60)
        widget.edit_here(MIDDLE)
        spin(lambda: not widget.busy and widget.edit_layer is not None, 60)
        layer, live, draws, ticks = widget.edit_layer, widget._live, Draws(viewer), Ticks()
        layer.brush_size = 25
        top, left = (int(v) for v in layer.translate[-2:])
        events: dict[str, float] = {}
        widget._painting.changed.connect(lambda _window: events.__setitem__("disk", time.perf_counter()))
        live.classified.connect(lambda: events.__setitem__("frames", draws.count))
        widget.form.live.click()
        found = []
        begun = time.perf_counter()
        for number, (y, x, label) in enumerate(dabs(count, seed)):
            events.clear()
            start, computed = time.perf_counter(), processor_seconds()
            layer.paint((y - top, x - left), label)
            if number == 0:
                spin(lambda: "second" in widget.form.live_line.text(), 60)
                continue
            spin(lambda: live._fit is not None, 60)
            learning = time.perf_counter()
            spin(lambda: live._fit is None, 300)
            learned = time.perf_counter()
            events.pop("frames", None)
            spin(lambda: "frames" in events and draws.count > events["frames"], 300)
            end = time.perf_counter()
            steps = np.diff([start, events["disk"], learning, learned, end])
            found.append([*steps.tolist(), end - start, processor_seconds() - computed])
            print(f"{number + 1:3} {' '.join(f'{part:6.2f}' for part in found[-1])}  {widget.form.live_line.text()}")
            spin(lambda: False, 0.5)
        gaps = ticks.gaps(begun, time.perf_counter()).tolist()
        if screenshot is not None:
            viewer.window._qt_window.grab().save(str(screenshot))
        viewer.close()
        return found, gaps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strokes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--screenshot", type=Path, metavar="FILE")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("stroke, s:", ", ".join(PARTS))
    found, gaps = measure(options.strokes, options.seed, options.screenshot)
    for number, part in enumerate(PARTS):
        later = [one[number] for one in found[1:]]
        print(f"{part:22} first {found[0][number]:6.2f} s, later {statistics.median(later):5.2f} s (median)")
    print(f"event loop: longest gap {max(gaps):.0f} ms, median {statistics.median(gaps):.0f} ms")


if __name__ == "__main__":
    main()
