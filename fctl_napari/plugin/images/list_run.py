"""Segmentation of the images of a list as one job."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from fctl_napari.api.locations import pyramid_path, result_path
from fctl_napari.evaluation.class_areas import class_areas
from fctl_napari.evaluation.job_table import ImageRow, State, read_rows, readable, write_rows
from fctl_napari.exceptions import Cancelled, CheckpointError, ConfigError, FctlError
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.bridge import post
from fctl_napari.plugin.images.states import named_after
from fctl_napari.plugin.io.reader import open_shown
from fctl_napari.plugin.layers.pyramids import ready_pyramid
from fctl_napari.progress import Progress
from fctl_napari.segmentation.jobs.engine import SegmentationRequest
from fctl_napari.segmentation.store.result_paths import own_path
from fctl_napari.segmentation.store.store import Segmentation

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.engine import Engine, RunProgress

LOOK_S = 0.1
"""Interval of checks whether the job was cancelled, s."""

FINAL = ("done", "cancelled", "failed")


@dataclass(frozen=True)
class ListJob:
    """Images to segment, and with what.

    Attributes
    ----------
    images : tuple of str
        Paths of the images.
    folder : Path
        Folder of the list, in which the table of the job is kept.
    checkpoint : str
        Built-in name or checkpoint file.
    device : str
        Device, as for ``SegmentationRequest``.
    """

    images: tuple[str, ...]
    folder: Path
    checkpoint: str
    device: str

    @property
    def table(self) -> Path:
        """Path of the table, as ``fctl segment FOLDER --out FOLDER`` names it."""
        return self.folder / f"{Path(self.checkpoint).stem}.summary.csv"


class ListRun(QObject):
    """Run of a job over the images of a list, one after the other.

    Results lie where a run of a single image puts them, so that each resumes what the other has begun. An image that
    fails stops no other. All signals are emitted on the main thread.

    Parameters
    ----------
    parent : QObject or None, optional
        Qt's parent.

    Attributes
    ----------
    progressed : Signal(int, object)
        Progress of one image: its index, and the ``RunProgress`` of its run.
    image_ended : Signal(int, str)
        An image is over: its index, and why it failed (empty if it is done).
    ended : Signal(object)
        The job is over; carries what stopped it as a whole, or None.
    """

    progressed = Signal(int, object)
    image_ended = Signal(int, str)
    ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs = Jobs(self)

    @property
    def running(self) -> bool:
        """True while a job is under way."""
        return self._jobs.running

    def start(self, engine: Engine, job: ListJob) -> None:
        """Start a job and return at once.

        Parameters
        ----------
        engine : Engine
            Engine that computes the tiles.
        job : ListJob
            The job.
        """
        self._jobs.begin(partial(self._work, engine, job), lambda _none: self.ended.emit(None), self.ended.emit)

    def cancel(self) -> None:
        """Stop within a second. Finished tiles are kept."""
        self._jobs.cancel()

    def abandon(self) -> None:
        """Stop without a further signal, as the window or the dock is gone."""
        self._jobs.drop()

    def _work(self, engine: Engine, job: ListJob, progress: Progress) -> None:
        """Segment all images, in a thread, and keep the table up to date."""
        earlier = read_rows(job.table)
        known = {row["image"]: row["result"] for row in earlier if row["state"] in ("done", "resumed")}
        rows = [ImageRow(image) for image in job.images]
        try:
            for number in range(len(rows)):
                progress(0, 0)
                rows[number] = self._segment(engine, job, number, progress, known)
                self._post(partial(self.image_ended.emit, number, rows[number].sentence))
        finally:
            if any(row.state != "waiting" for row in rows):
                write_rows(job.table, rows, earlier)

    def _segment(
        self, engine: Engine, job: ListJob, number: int, progress: Progress, known: Mapping[str, str]
    ) -> ImageRow:
        """Segment one image, and return its row of the table: a waiting one if the row that is there stays."""
        location, path, begun = job.images[number], None, time.monotonic()
        first: list[RunProgress] = []

        def report(event: RunProgress) -> None:
            if event.total and not first:
                first.append(event)
            self._post(partial(self.progressed.emit, number, event))

        try:
            request = make_request(location, job.checkpoint, job.device)
            path = Path(request.out)
            run = engine.start(request, report)
            latest = run.wait(LOOK_S)
            while latest.state not in FINAL:
                try:
                    progress(0, 0)
                except Cancelled:
                    run.cancel()
                    run.wait()
                    raise
                latest = run.wait(LOOK_S)
            if latest.state == "cancelled":  # the engine was closed
                raise Cancelled("stopped.")
            if latest.error is not None:
                raise latest.error
            complete = bool(first) and first[0].done == first[0].total
            if complete and known.get(readable(location)) == readable(_name(path, job.folder)):
                return ImageRow(location)
            areas = class_areas(Segmentation.open(path), progress=progress)
        except (Cancelled, CheckpointError, ConfigError):
            raise  # of the whole job
        except FctlError as error:
            return ImageRow(location, "failed", _name(path, job.folder), sentence=str(error))
        state: State = "resumed" if first and 0 < first[0].done < first[0].total else "done"
        return ImageRow(location, state, _name(path, job.folder), areas, time.monotonic() - begun)

    def _post(self, call: Callable[[], object]) -> None:
        """Have a signal emitted on the main thread, unless the job was dropped."""
        post(lambda: call() if self._jobs.running else None)


def make_request(location: str, checkpoint: str, device: str) -> SegmentationRequest:
    """Make the request that the tab Segment makes for the whole of an image (in a thread: this reads files).

    Parameters
    ----------
    location : str
        Path of the image.
    checkpoint : str
        Built-in name or checkpoint file.
    device : str
        Device, as for ``SegmentationRequest``.

    Returns
    -------
    SegmentationRequest
        The request.

    Raises
    ------
    InputError
        The image is missing or damaged, or is not an image.
    """
    image, _ = open_shown(location)
    name = named_after(location, image)
    pyramid = pyramid_path(name)
    return SegmentationRequest(
        image=str(pyramid) if ready_pyramid(name, pyramid) else name,
        out=str(own_path(result_path(name, checkpoint), image)),
        checkpoint=checkpoint,
        device=device,
        value_range=image.value_range,
        bands=image.bands,
    )


def _name(path: Path | None, folder: Path) -> str:
    """Return the place of a result in the folder of the table, if it is there."""
    return "" if path is None or not path.exists() else Path(os.path.relpath(path, folder)).as_posix()
