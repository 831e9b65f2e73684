"""Time and memory of opening, panning and live mode on a huge image, under the current display.

A sparse OME-Zarr of 100,000 x 100,000 px is made, with the Earth scene at several positions and at all levels, and
opened in a real window. Prints a table.

    DISPLAY=:1 python benchmarks/on_demand.py [--side 100000] [--checkpoint earth] [--screenshots FOLDER]
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import psutil
import zarr
from qtpy.QtCore import QEventLoop, Qt, QTimer

from fctl_napari.imagery.formats import ngff_writing
from fctl_napari.imagery.halving import halve
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.segment.widget import SegmentWidget
from fctl_napari.segmentation.jobs.engine import RunProgress

SAMPLED_POSITIONS = ((0.1, 0.1), (0.45, 0.5), (0.75, 0.2), (0.3, 0.8))
"""Top left corners of the copies of the Earth scene, as parts of the image's side."""

CHUNK = 512
PANS = 30


def make_image(path: Path, side: int) -> None:
    """Write the sparse image, without chunks that hold nothing."""
    scene = open_image(sample_files().image)
    height, width = scene.shape
    step = 1 << 7  # positions are whole px on all levels that matter

    def fill(group: zarr.Group) -> None:
        levels = ngff_writing.create_levels(group, "cyx", ngff_writing.level_shapes((side, side)), CHUNK, np.uint8, 3)
        pixels = scene.read((0, 0, height, width))
        for index, array in enumerate(levels):
            for y, x in SAMPLED_POSITIONS:
                top, left = (int(part * side) // step * step >> index for part in (y, x))
                bottom = min(top + pixels.shape[0], array.shape[1])
                right = min(left + pixels.shape[1], array.shape[2])
                array[:, top:bottom, left:right] = pixels[: bottom - top, : right - left].transpose(2, 0, 1)
            pixels = halve(pixels)
        scales = ngff_writing.multiscale_metadata(
            "large", "cyx", ngff_writing.halved_factors(len(levels)), kind="mean", pixel_size=(1, 1), centred=True
        )
        group.update_attributes({"ome": {"version": ngff_writing.VERSION, "multiscales": [scales]}})

    ngff_writing.create_group(path, fill)


class Ticks:
    """Times of a 5 ms timer's calls, s."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(5)
        self._timer.timeout.connect(lambda: self.times.append(time.perf_counter()))
        self._timer.start()

    def gaps(self, start: float, end: float) -> np.ndarray:
        """Compute the gaps between ticks that lie in [start, end], ms."""
        return np.diff([t for t in self.times if start <= t <= end]) * 1000


def spin(condition: Callable[[], bool], seconds: float) -> float:
    """Run the event loop until the condition holds, at most for some time, and return the seconds that it took."""
    loop = QEventLoop()
    start = time.perf_counter()
    timer = QTimer()
    timer.timeout.connect(lambda: (condition() or time.perf_counter() - start > seconds) and loop.quit())
    timer.start(5)
    loop.exec()
    timer.stop()
    return time.perf_counter() - start


class Draws:
    """Counter of the frames of a viewer's canvas."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.count = 0
        viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._drawn)  # no public event

    def _drawn(self, _event: object) -> None:
        self.count += 1

    def wait(self, before: int) -> None:
        """Wait until there are more frames than ``before``."""
        spin(lambda: self.count > before, 30)


def megabytes(pid: int, field: str) -> float:
    """Read ``VmRSS`` or ``VmHWM`` (the peak) of a process, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def worker() -> psutil.Process:
    """Return the worker process, which is the largest child."""
    return max(psutil.Process().children(recursive=True), key=lambda child: child.memory_info().rss)


def look_at(viewer: napari.Viewer, y: float, x: float, rows: float) -> None:
    """Show a number of rows around a pixel."""
    viewer.scene.camera.zoom = viewer.canvas.size[0] / rows
    viewer.scene.camera.center = (0, y, x)


class Live:
    """Live mode of a widget, with the progress that it emits."""

    def __init__(self, widget: SegmentWidget) -> None:
        self.widget = widget
        self.state_changed: list[RunProgress] = []
        widget.progressed.connect(self.state_changed.append)

    def until(self, condition: Callable[[RunProgress], bool], seconds: float = 300) -> float:
        """Wait for progress of a kind and return the seconds."""
        seen = len(self.state_changed)
        return spin(lambda: any(condition(event) for event in self.state_changed[seen:]), seconds)

    def first_tile(self) -> float:
        """Switch live mode on, wait for the first tile on the layer, and return the seconds."""
        self.widget.form.live.setChecked(True)
        return self.until(lambda event: bool(event.windows))

    def fill(self) -> float:
        """Wait until all tiles in view are done and return the seconds."""
        return self.until(
            lambda event: event.view is not None and 0 < event.view.total == event.view.done and not event.view.waiting
        )

    def stop(self) -> float:
        """Switch live mode off, wait for its end, and return the seconds."""
        self.widget.form.live.setChecked(False)
        return spin(lambda: not self.widget.running, 60)


def row(what: str, measured: str, goal: str = "") -> None:
    """Print one row of the table."""
    print(f"| {what} | {measured} | {goal} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=100_000, help="px")
    parser.add_argument("--checkpoint", default="earth")
    parser.add_argument("--screenshots", type=Path, help="a folder for pictures of live mode")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.side} px a side\n")
    print("| | measured | goal |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "large.ome.zarr"
        make_image(image, options.side)
        measure(image, options)


def measure(image: Path, options: argparse.Namespace) -> None:
    """Open the image in a window and measure."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 940)
    draws, ticks = Draws(viewer), Ticks()
    spin(lambda: False, 2)
    pid = os.getpid()
    row("window without an image", f"{megabytes(pid, 'VmRSS'):.0f} MB")
    start, before = time.perf_counter(), draws.count
    viewer.open(image, plugin="fctl-napari")
    draws.wait(before)
    row("first picture", f"{time.perf_counter() - start:.2f} s", "< 1.5 s")

    side = options.side
    random = np.random.default_rng(0)
    pans: list[float] = []
    y, x = (int(part * side) + 900 for part in SAMPLED_POSITIONS[1])
    look_at(viewer, y, x, 800)
    spin(lambda: False, 1)
    for _ in range(PANS):
        y, x = y + int(random.integers(-150, 250)), x + int(random.integers(-150, 350))
        start, before = time.perf_counter(), draws.count
        viewer.scene.camera.center = (0, y, x)
        draws.wait(before)
        pans.append(time.perf_counter() - start)
    row("pan step", f"median {1000 * np.median(pans):.0f} ms, longest {1000 * max(pans):.0f} ms", "< 100 ms")

    widget = open_tab(viewer, "Segment")
    if Path(options.checkpoint).exists():
        widget.form.add_checkpoint(options.checkpoint)
    else:
        widget.form.checkpoint.setCurrentText(options.checkpoint)
    spin(lambda: False, 1)
    live = Live(widget)
    top, left = (int(part * side) + 1000 for part in SAMPLED_POSITIONS[1])
    look_at(viewer, top, left, 1500)
    row("Live to the first tile, cold worker", f"{live.first_tile():.2f} s")
    picture(viewer, options, "1_begun")
    chars, tiles = worker().io_counters().read_chars, done(live)
    start = time.perf_counter()
    filled = live.fill()
    end = time.perf_counter()
    tiles = done(live) - tiles
    picture(viewer, options, "2_filled")
    row("a view filled", f"{tiles} more tiles in {filled:.1f} s; {widget.form.status.text()}")
    gaps = ticks.gaps(start, end)
    longest = f"median {np.median(gaps):.0f} ms, p99 {np.percentile(gaps, 99):.0f} ms, longest {gaps.max():.0f} ms"
    row("event loop while the worker computes", longest, "< 250 ms")
    read = (worker().io_counters().read_chars - chars) / max(tiles, 1)
    config = read_card(resolve_checkpoint(options.checkpoint)).config
    needed = 3 * config.tile_size**2 * (1 + sum(context.scale != "global" for context in config.outer_contexts))
    row("read per tile (compressed), of pixels that the network needs", f"{read / 1e3:.0f} kB, {needed / 1e3:.0f} kB")

    look_at(viewer, top + 700, left + 1500, 1500)
    row("a pan in live mode to its first tile", f"{live.until(lambda event: bool(event.windows)):.2f} s")
    picture(viewer, options, "3_after_a_pan")
    row("Live switched off while it computes", f"{live.stop():.2f} s", "< 1 s")
    look_at(viewer, top + 2000, left + 300, 1500)
    row("Live to the first tile, warm worker", f"{live.first_tile():.2f} s")
    live.fill()
    picture(viewer, options, "4_elsewhere")
    viewer.reset_view()
    spin(widget.form.offer.isVisible, 30)
    picture(viewer, options, "5_too_many")
    row("the whole image in view", widget.form.offer.text().replace("\n", ": "))
    live.stop()
    row("peak memory of the window", f"{megabytes(pid, 'VmHWM'):.0f} MB", "< 1000 MB")
    process = worker()
    row("peak memory of the worker", f"{megabytes(process.pid, 'VmHWM'):.0f} MB")
    row("memory of the worker, network loaded, at rest", f"{megabytes(process.pid, 'VmRSS'):.0f} MB")
    window = megabytes(pid, "VmRSS")
    session().close()
    spin(lambda: not process.is_running(), 20)
    gone = "nothing, the process is gone" if not process.is_running() else f"{megabytes(process.pid, 'VmRSS'):.0f} MB"
    row("memory of the worker after the engine's end", gone)
    row("memory of the window before and after that", f"{window:.0f} MB, {megabytes(pid, 'VmRSS'):.0f} MB")
    viewer.close()


def done(live: Live) -> int:
    """Count the cells that are done in the whole store."""
    return live.state_changed[-1].done


def picture(viewer: napari.Viewer, options: argparse.Namespace, name: str) -> None:
    """Save a screenshot of the window."""
    if options.screenshots is not None:
        options.screenshots.mkdir(parents=True, exist_ok=True)
        viewer.screenshot(str(options.screenshots / f"{name}.png"), canvas_only=False, flash=False)


if __name__ == "__main__":
    main()
