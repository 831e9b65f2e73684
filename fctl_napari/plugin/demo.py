"""Demonstration ``fctl demo``: sample scene, ground truth and a fresh segmentation in napari, or as pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fctl_napari.exceptions import InputError
from fctl_napari.files import atomic_write, output_error
from fctl_napari.model.classes import IGNORE
from fctl_napari.words import count_of

if TYPE_CHECKING:
    import napari

    from fctl_napari.plugin.segment.widget import SegmentWidget

CHECKPOINT = "earth"
RESULT = "earth.fctl.ome.zarr"
SCREEN = "1600x1000x24"
FIGURE_PX = 900
"""Height of the part of the scene that the figure shows, px."""


def run_demo(out_dir: str | Path = "demo", *, checkpoint: str = CHECKPOINT) -> None:
    """Show the main job: napari with the sample scene, segmented afresh while one looks.

    With a display the window stays open until it is closed. Without one (Linux) the same runs on a virtual display,
    leaves ``screenshot.png`` (the window) and ``figure.png`` (image | mask | ground truth | errors) in ``out_dir``, and
    prints the mIoU over the test bands and both paths.

    Parameters
    ----------
    out_dir : str or Path, optional
        Folder of the segmentation and the pictures, made if need be.
    checkpoint : str, optional
        Built-in name or file of the checkpoint.

    Raises
    ------
    FctlError
        The sample or the checkpoint is missing, ``out_dir`` is not writable, or the segmentation failed.
    """
    from fctl_napari.model.model_card import resolve_checkpoint

    resolve_checkpoint(checkpoint)  # raises before anything is opened
    folder = Path(out_dir).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    if _has_display():
        from qtpy.QtCore import QTimer

        viewer, widget = open_demo(folder, checkpoint)

        def begin() -> None:
            viewer.reset_view(margin=0.02)
            widget.start()

        QTimer.singleShot(300, begin)  # only then is the window laid out and has the canvas its size
        _event_loop(viewer)
        return
    with _virtual_display():
        _run_headless(folder, checkpoint)


def open_demo(folder: Path, checkpoint: str) -> tuple[napari.Viewer, SegmentWidget]:
    """Open the window with scene, ground truth and the tab Segment, everything chosen, ready to start.

    Parameters
    ----------
    folder : Path
        Folder of the segmentation.
    checkpoint : str
        Built-in name or file of the checkpoint.

    Returns
    -------
    tuple of (napari.Viewer, SegmentWidget)
        The viewer and the tab Segment.

    Raises
    ------
    FctlError
        The sample is not installed, or the cache cannot be written.
    """
    import napari

    from fctl_napari.plugin.dock.dock import open_tab
    from fctl_napari.plugin.io.sample import sample_folder
    from fctl_napari.plugin.segment.widget import SegmentWidget

    viewer = napari.Viewer(title="FCtL")
    viewer.window.resize(1560, 940)
    viewer.open(sample_folder(), plugin="fctl-napari")
    viewer.layers["truth"].visible = False
    widget = open_tab(viewer, "Segment")
    assert isinstance(widget, SegmentWidget)
    form = widget.form
    known = form.checkpoint.findData(checkpoint)
    if known >= 0:
        form.checkpoint.setCurrentIndex(known)
    else:
        form.add_checkpoint(checkpoint)
    form.where.setCurrentText("Whole image")
    form.result.setText(str(folder / RESULT))
    form.fresh.setChecked(True)
    viewer.reset_view(margin=0.02)
    return viewer, widget


def _run_headless(folder: Path, checkpoint: str) -> None:
    """Segment the scene on a virtual display and save the pictures."""
    from qtpy.QtCore import QEventLoop, QTimer

    from fctl_napari.segmentation.jobs.engine import RunProgress

    viewer, widget = open_demo(folder, checkpoint)
    loop = QEventLoop()
    last: list[RunProgress] = []

    def finished(progress: RunProgress) -> None:
        last.append(progress)
        viewer.reset_view(margin=0.02)
        QTimer.singleShot(
            1000, loop.quit
        )  # a changed view is drawn twice: with old tiles, then with those that it requested

    def report(progress: RunProgress) -> None:
        sys.stderr.write(f"\r{progress.done} of {count_of(progress.total, 'tile')}")
        sys.stderr.flush()

    def begin() -> None:
        widget.start()
        if not widget.running:
            loop.quit()

    widget.finished.connect(finished)
    widget.progressed.connect(report)
    QTimer.singleShot(300, begin)
    loop.exec()
    sys.stderr.write("\n")
    if not last:
        raise InputError("the demonstration could not start; see the messages above.")
    if last[0].error is not None:
        raise last[0].error
    screenshot, figure = folder / "screenshot.png", folder / "figure.png"
    _save_screenshot(viewer, screenshot)
    viewer.close()
    miou = _score(folder / RESULT)
    _save_figure(folder / RESULT, figure)
    print(f"mIoU on the test bands: {miou:.3f}")
    print(screenshot)
    print(figure)


def _save_screenshot(viewer: napari.Viewer, path: Path) -> None:
    """Save a picture of the window."""
    from PIL import Image

    picture = viewer.screenshot(canvas_only=False, flash=False)
    with atomic_write(path) as file:
        Image.fromarray(picture).save(file, format="PNG")


def _score(result: Path) -> float:
    """Compute the mean IoU over the test bands together."""
    from fctl_napari.evaluation.metrics import Scores, confusion_matrix
    from fctl_napari.imagery.labels.ground_truth import open_ground_truth
    from fctl_napari.imagery.sample import sample_files, sample_splits
    from fctl_napari.segmentation.store.store import Segmentation

    segmentation = Segmentation.open(result)
    ground_truth = open_ground_truth(sample_files().ground_truth)
    names = segmentation.class_table.names
    height, _ = segmentation.shape
    matrix = np.zeros((len(names), len(names)), np.int64)
    for x0, x1 in sample_splits()["test"]:
        band = (0, x0, height, x1)
        # 0 (not computed) wraps to 255 = ignored, k + 1 becomes k
        matrix += confusion_matrix(ground_truth.read(band), segmentation.labels.read(band) - np.uint8(1), len(names))
    return Scores.from_confusion(matrix, names).miou


def _save_figure(result: Path, path: Path) -> None:
    """Draw image, mask, ground truth and errors where the classes of the widest test band are most mixed."""
    from fctl_napari.figures.comparison import comparison_figure
    from fctl_napari.imagery.labels.ground_truth import open_ground_truth
    from fctl_napari.imagery.open import open_image
    from fctl_napari.imagery.sample import sample_files, sample_splits
    from fctl_napari.segmentation.store.store import Segmentation

    segmentation = Segmentation.open(result)
    files = sample_files()
    x0, x1 = max(sample_splits()["test"], key=lambda band: band[1] - band[0])
    ground_truth = open_ground_truth(files.ground_truth)
    height = segmentation.shape[0]
    starts = range(0, max(1, height - FIGURE_PX), 50)
    y0 = max(starts, key=lambda y: _mixture(ground_truth.read((y, x0, min(y + FIGURE_PX, height), x1))))
    window = (y0, x0, min(y0 + FIGURE_PX, height), x1)
    figure = comparison_figure(
        open_image(files.image).read(window),
        segmentation.labels.read(window) - np.uint8(1),
        ground_truth.read(window),
        segmentation.class_table,
    )
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _mixture(ground_truth: np.ndarray) -> float:
    """Return the entropy of the classes in a ground truth, nats."""
    shares = np.bincount(ground_truth[ground_truth != IGNORE], minlength=1) / max(1, (ground_truth != IGNORE).sum())
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _has_display() -> bool:
    """Return whether there is a display.

    Only Linux may have none.
    """
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def _virtual_display() -> Iterator[None]:
    """Run the block on an Xvfb of our own."""
    if shutil.which("Xvfb") is None:
        raise InputError("there is no display and no Xvfb; install the Debian package xvfb, or set DISPLAY.")
    read_end, write_end = os.pipe()
    with tempfile.TemporaryFile() as complaints:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write_end), "-screen", "0", SCREEN, "-nolisten", "tcp"],
            pass_fds=[write_end],
            stderr=complaints,
        )
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            number = pipe.readline().strip()  # written when the server is ready; empty when it died
        try:
            if not number:
                complaints.seek(0)
                reason = complaints.read().decode(errors="replace").strip().splitlines()
                raise InputError(f"Xvfb does not start; set DISPLAY instead ({reason[-1] if reason else 'no reason'}).")
            os.environ["DISPLAY"] = f":{number}"
            os.environ["QT_QPA_PLATFORM"] = "xcb"
            yield
        finally:
            os.environ.pop("DISPLAY", None)
            server.terminate()
            server.wait(10)


def _event_loop(viewer: napari.Viewer) -> None:
    """Show the window until it is closed."""
    import napari

    viewer.show()
    napari.run()
