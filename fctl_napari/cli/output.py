"""What the command line shows: progress bars on stderr, tables on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.engine import RunProgress, SegmentationRequest

out = Console()
"""Results."""

err = Console(stderr=True)
"""Progress and errors."""


class Report(Protocol):
    """Takes the state of some work."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that ``done`` of ``total`` pieces are finished, with a word on the side."""


@contextmanager
def _bar(description: str) -> Iterator[tuple[Progress, TaskID]]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=err,
    )
    with progress:
        try:
            yield progress, progress.add_task(description, total=None, note="")
        except BaseException:
            progress.live.transient = True  # what went wrong is said instead
            raise


@contextmanager
def counting(description: str) -> Iterator[Report]:
    """Show a progress bar for a function that reports (done, total) and perhaps a note."""
    with _bar(description) as (progress, task):

        def report(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield report


def run_watched(request: SegmentationRequest, description: str, scheduler: str | None) -> RunProgress:
    """Carry out a run of tiles with a progress bar; returns its final event, or raises what went wrong.

    Parameters
    ----------
    request
        What to do.
    description
        Of the bar.
    scheduler
        As for ``Engine``.
    """
    from fctl_napari.segmentation.jobs.engine import Engine

    with Engine(scheduler) as engine, _bar(description) as (progress, task):

        def show(event: RunProgress) -> None:
            note = "starting" if event.state == "starting" else ""
            if event.tiles_per_second:
                note = f"{event.tiles_per_second:.1f} tiles/s on {event.device or 'the worker'}"
            progress.update(task, completed=event.done, total=event.total or None, note=note)

        run = engine.start(request, show)
        try:
            final = run.wait()
        except KeyboardInterrupt:
            run.cancel()
            run.wait()
            raise
        if final.error is not None:
            raise final.error  # in here: the bar goes, and the sentence stands alone
        return final
