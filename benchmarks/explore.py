"""Milliseconds from a click to the maps on the screen, with the real tab Explore and worker on the sample scene.

``python benchmarks/explore.py [CHECKPOINT]`` (needs a display; ``xvfb-run -a`` will do). Prints milliseconds:

* a new tile: every click lies in another tile, which is read and run with its contexts;
* the same tile: another pixel of a tile that the worker still knows;
* a what-if: the same tile, with the large context left out;
* drawing: what of it the window's thread spends on layers and panel.

Each runs from the click to the end of the first redraw of the canvas with the maps in it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from fctl_napari.plugin.explore.widget import ExploreWidget

TILES = [(y, x) for y in (420, 620, 820) for x in (2300, 2600, 2900, 3200)]
"""Pixels in as many tiles of 256 px."""


def wait(condition: Callable[[], Any], seconds: float = 120) -> None:
    """Run the event loop until a condition holds."""
    end = time.perf_counter() + seconds
    while not condition():
        QApplication.processEvents()
        if time.perf_counter() > end:
            raise TimeoutError
        time.sleep(0.001)


class Window:
    """napari with the scene and the docked widget, Pick on."""

    def __init__(self, checkpoint: str) -> None:
        from fctl_napari.plugin.dock.dock import open_tab
        from fctl_napari.plugin.io.sample import sample_folder

        self.viewer = napari.Viewer()
        self.viewer.window.resize(1560, 1000)
        self.image, *_ = self.viewer.open(sample_folder(), plugin="fctl-napari")
        widget = open_tab(self.viewer, "Explore")
        self.widget: ExploreWidget = widget
        if widget.form.checkpoint.findText(checkpoint) >= 0:
            widget.form.checkpoint.setCurrentText(checkpoint)
        else:
            widget.form.checkpoint.add(checkpoint)
        self.viewer.scene.camera.center, self.viewer.scene.camera.zoom = (0, 620, 2750), 0.7
        QTest.qWait(1000)
        widget.form.pick.click()
        self.state_changed: list[Any] = []
        widget.explained.connect(self.state_changed.append)
        self.draws: list[float] = []
        draw = widget._draw

        def timed(*event: Any) -> None:
            begin = time.perf_counter()
            draw(*event)
            self.draws.append(time.perf_counter() - begin)

        widget._draw = timed

    def shown(self, ask: Callable[[], None]) -> float:
        """Measure the seconds from ``ask`` to maps on the screen."""
        count, begin = len(self.state_changed), time.perf_counter()
        ask()
        wait(lambda: len(self.state_changed) > count and not self.widget.busy)
        self.viewer.window._qt_viewer.canvas.native.repaint()  # napari would wait for the next tick
        return time.perf_counter() - begin

    def click(self, y: float, x: float) -> float:
        """Measure the seconds from a click on a pixel to its maps on the screen."""
        camera, (height, width) = self.viewer.scene.camera, self.viewer.canvas.size
        location = QPoint(
            round((x - camera.center[-1]) * camera.zoom + width / 2),
            round((y - camera.center[-2]) * camera.zoom + height / 2),
        )
        native = self.viewer.window._qt_viewer.canvas.native
        return self.shown(lambda: QTest.mouseClick(native, Qt.MouseButton.LeftButton, pos=location))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default="earth", help="a built-in name or a file")
    window = Window(parser.parse_args().checkpoint)
    first = window.click(500, 2500)
    new = [window.click(*pixel) for pixel in TILES]
    same = [window.click(TILES[-1][0] + 6 * i, TILES[-1][1] + 6 * i) for i in range(10)]
    box = window.widget.form.without["large"]
    what_if = [window.shown(box.click) for _ in range(6)][::2] if box.isEnabled() else []
    print(f"on {window.state_changed[-1].where}")
    print(f"the first click, worker starting: {first * 1000:.0f} ms")
    for name, times in (
        ("a new tile", new),
        ("the same tile", same),
        ("a what-if", what_if),
        ("drawing", window.draws),
    ):
        if times:
            print(f"{name}: median {statistics.median(times) * 1000:.0f} ms, most {max(times) * 1000:.0f} ms")
    window.viewer.close()


if __name__ == "__main__":
    main()
