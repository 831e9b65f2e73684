"""Make a screenshot of each tab of the dock, and of the page of points, in a real window on the sample scene.

    python scripts/make_screenshots.py docs [--theme light] [--scale 1.5] [--empty]

Needs a display; ``xvfb-run -a -s "-screen 0 1920x1200x24"`` will do. With ``--empty`` nothing is opened, so that each
tab says what it needs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

    from fctl_napari.plugin.dock.dock import FctlDock

SIZE = (1280, 720)
VIEW = (560, 980, 2050, 2750)
"""What is in view, (y0, y1, x0, x1) px: Europe and North Africa."""

PIXEL = (760.0, 2400.0)
"""The pixel that is explained, (y, x) px."""


def wait(condition: Callable[[], Any], seconds: float = 240) -> None:
    """Run the event loop until a condition holds, and a moment longer, so that all is drawn."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        QApplication.processEvents()
        time.sleep(0.01)
        if time.monotonic() > end:
            raise TimeoutError
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


@contextmanager
def window(theme: str) -> Iterator[tuple[napari.Viewer, FctlDock]]:
    """Open napari with the dock."""
    import napari

    from fctl_napari.plugin.dock.dock import open_dock

    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window._qt_window.resize(*SIZE)
    dock = open_dock(viewer)
    yield viewer, dock
    viewer.close()


def look(viewer: napari.Viewer) -> None:
    """Look at the part of the scene that all pictures show."""
    y0, y1, x0, x1 = VIEW
    camera = viewer.scene.camera
    camera.center = (0, (y0 + y1) / 2, (x0 + x1) / 2)
    camera.zoom = viewer.canvas.size[1] / (x1 - x0)


def segment(viewer: napari.Viewer, dock: FctlDock) -> None:
    """Segment what is in view."""
    page: Any = dock.show_tab("Segment")
    page.form.where.setCurrentText("View")
    page.form.run.click()
    wait(lambda: page._seen and not page.running)


def explore(viewer: napari.Viewer, dock: FctlDock) -> None:
    """Explain a pixel."""
    page: Any = dock.show_tab("Explore")
    page.explain(PIXEL)
    wait(lambda: page.explanation is not None and not page.busy)


def errors(viewer: napari.Viewer, dock: FctlDock) -> None:
    """Show and list errors."""
    page: Any = dock.show_tab("Errors")
    wait(lambda: page.comparison is not None and not page.running)
    page.form.regions.find.click()
    wait(lambda: not page.running)


def points(viewer: napari.Viewer, dock: FctlDock) -> None:
    """Draw points, and look at the first."""
    page: Any = dock.show_tab("Errors")
    page.form.tabs.setCurrentWidget(page.form.points)
    wait(lambda: page.form.points.draw.isEnabled())
    page.form.points.draw.click()
    wait(lambda: not page.running)
    page.form.points.check.click()
    wait(lambda: not page.running and page.checks.checking)


def export(viewer: napari.Viewer, dock: FctlDock) -> None:
    """Show the final map that is exported."""
    page: Any = dock.show_tab("Export")
    wait(lambda: not page.running)


def correct(viewer: napari.Viewer, dock: FctlDock) -> None:
    """Paint over some errors."""
    page: Any = dock.show_tab("Correct")
    wait(lambda: not page.busy)
    page.edit_here(PIXEL)
    wait(lambda: page.edit_layer is not None and not page.busy)
    look(viewer)
    layer = page.edit_layer
    for index in range(12):
        layer.brush_size = 30
        layer.paint((900 + 40 * (index % 4), 700 + 90 * index), 1 + index % 3)
    wait(lambda: not page.busy)


def finetune(viewer: napari.Viewer, dock: FctlDock) -> None:
    """Learn from the strokes, and stop at the gate's result."""
    page: Any = dock.show_tab("Fine-tune")
    wait(lambda: not page.busy)
    page.form.steps.setValue(60)
    page.start()
    wait(lambda: page.candidate_review is not None and not page.busy, 400)


STEPS: dict[str, Callable[[napari.Viewer, FctlDock], None]] = {
    "Segment": segment,
    "Explore": explore,
    "Errors": errors,
    "Points": points,
    "Export": export,
    "Correct": correct,
    "Fine-tune": finetune,
}


def save(viewer: napari.Viewer, path: Path) -> None:
    """Save a picture of the window."""
    from PIL import Image

    picture = viewer.screenshot(canvas_only=False, flash=False)
    Image.fromarray(picture[..., :3]).save(path, quality=90)
    print(f"{path}: {picture.shape[1]} x {picture.shape[0]} px, canvas {viewer.canvas.size[1]} px wide")


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--theme", default="dark", choices=["dark", "light"])
    parser.add_argument("--scale", default=1.0, type=float, help="scale of the screen")
    parser.add_argument("--empty", action="store_true", help="open nothing")
    parser.add_argument("--format", default="jpg", choices=["jpg", "png"])
    parser.add_argument("--tabs", nargs="+", default=list(STEPS), choices=list(STEPS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ["QT_SCALE_FACTOR"] = str(arguments.scale)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("CACHE", "DATA", "CONFIG"):
            os.environ[f"XDG_{kind}_HOME"] = f"{folder}/{kind}"
        os.environ["NAPARI_CONFIG"] = f"{folder}/napari.yaml"
        scene = Path(folder) / "earth.ome.zarr"
        if not arguments.empty:
            from fctl_napari.imagery.sample import write_sample

            write_sample(scene)
        with window(arguments.theme) as (viewer, dock):
            if not arguments.empty:
                viewer.open(scene, plugin="fctl-napari")
                viewer.layers["truth"].visible = False
                dock.header.checkpoint.setCurrentText("earth")
            for name, step in STEPS.items():
                if not arguments.empty:
                    look(viewer)
                    step(viewer, dock)
                else:
                    dock.show_tab("Errors" if name == "Points" else name)
                    wait(lambda: True)
                if name in arguments.tabs:
                    save(viewer, arguments.out / f"{name.lower().replace('-', '')}.{arguments.format}")


if __name__ == "__main__":
    main()
