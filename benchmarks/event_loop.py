"""How the window lives while the worker computes: the Segment widget on the sample scene, under the current display.

Prints the longest gap and the median between ticks of the event loop (a 5 ms timer), before and during the run; the
time from Run to the first tile on the layer, with a cold and with a warm worker; and how long a cancel takes.

    DISPLAY=:1 python benchmarks/event_loop.py [--checkpoint earth|FILE] [--seconds 30]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer

from fctl_napari.plugin.demo import open_demo
from fctl_napari.plugin.segment import SegmentWidget
from fctl_napari.segmentation.jobs import Progress


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
        """Gaps between ticks that lie in [start, end], ms."""
        times = np.array([t for t in self.times if start <= t <= end])
        return np.diff(times) * 1000


def spin(condition: Callable[[], bool], seconds: float) -> float:
    """Run the event loop until the condition holds, at most so long; returns how long it took, s."""
    loop = QEventLoop()
    start = time.perf_counter()
    timer = QTimer()
    timer.timeout.connect(lambda: (condition() or time.perf_counter() - start > seconds) and loop.quit())
    timer.start(5)
    loop.exec()
    timer.stop()
    return time.perf_counter() - start


def describe(name: str, gaps: np.ndarray) -> str:
    """One line of the table."""
    longest = ", ".join(f"{gap:.0f}" for gap in np.sort(gaps)[-5:][::-1])
    return f"{name:34} median {np.median(gaps):6.1f} ms   p99 {np.percentile(gaps, 99):6.1f} ms   longest {longest} ms"


def run_to_first_tile(widget: SegmentWidget) -> float:
    """Press Run and wait until the first tile is on the layer; s."""
    shown: list[Progress] = []
    widget.progressed.connect(lambda progress: progress.windows and shown.append(progress))
    start = time.perf_counter()
    widget.start()
    spin(lambda: bool(shown) or not widget.running, 120)
    return time.perf_counter() - start


def cancel(widget: SegmentWidget) -> float:
    """Cancel and wait; s."""
    widget.cancel()
    return spin(lambda: not widget.running, 30)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="earth")
    parser.add_argument("--seconds", type=float, default=30, help="how long the run is watched")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        viewer, widget = open_demo(Path(folder), options.checkpoint)
        ticks = Ticks()
        spin(lambda: False, 3)
        start = time.perf_counter()
        spin(lambda: False, 4)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print(describe("idle", ticks.gaps(start, time.perf_counter())))

        start = time.perf_counter()
        cold = run_to_first_tile(widget)
        print(f"Run to the first tile, cold worker {cold:6.2f} s")
        print(describe("starting (process, layers)", ticks.gaps(start, start + cold)))
        spin(lambda: False, 1)
        start = time.perf_counter()
        spin(lambda: not widget.running, options.seconds)
        print(describe("worker computes", ticks.gaps(start, time.perf_counter())))
        print(f"at the end of that: {widget.form.status.text()}")
        if widget.running:
            print(f"cancel takes {cancel(widget):.2f} s")

        widget.form.fresh.setChecked(True)
        print(f"Run to the first tile, warm worker {run_to_first_tile(widget):6.2f} s")
        print(f"cancel takes {cancel(widget):.2f} s")
        viewer.close()


if __name__ == "__main__":
    main()
