"""Consoles of the command line: progress bars on stderr, tables on stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fctl_napari.progress import NotedProgress

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.engine import Engine, RunProgress, SegmentationRequest

out = Console()
"""Console for results, on stdout."""

err = Console(stderr=True)
"""Console for progress and errors, on stderr."""


def say(sentences: Iterable[str]) -> None:
    """Print sentences on stderr, one a line."""
    for sentence in sentences:
        err.print(sentence, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _bar(description: str, vanishing: bool = False) -> Iterator[tuple[Progress, TaskID]]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=err,
        transient=vanishing,
        # FORCE_COLOR makes rich take anything for a terminal, and elsewhere the bar leaves empty lines
        disable=not (err.is_interactive and err.file.isatty()),
    )
    with progress:
        try:
            yield progress, progress.add_task(description, total=None, note="")
        except BaseException:
            progress.live.transient = True  # the error message takes its place
            raise


@contextmanager
def counting(description: str, *, vanishing: bool = False) -> Iterator[NotedProgress]:
    """Show a progress bar in a terminal while the block runs, and at its end too unless it is vanishing.

    The block gets a function that takes (done, total) and perhaps a note.
    """
    with _bar(description, vanishing) as (progress, task):

        def report(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total or None, note=note)

        yield report


def watch_run(
    engine: Engine,
    request: SegmentationRequest,
    description: str,
    on_progress: Callable[[RunProgress], None] = lambda event: None,
    *,
    vanishing: bool = False,
) -> RunProgress:
    """Run a request on an engine with a progress bar.

    Parameters
    ----------
    engine : Engine
        Engine that runs it.
    request : SegmentationRequest
        Request to run.
    description : str
        Description of the bar.
    on_progress : callable, optional
        Called with each event too, on a thread of the run.
    vanishing : bool, optional
        If True, the bar vanishes when the run ends.

    Returns
    -------
    RunProgress
        Last progress of the run.

    Raises
    ------
    FctlError
        The run failed.
    """
    with _bar(description, vanishing) as (progress, task):

        def show(event: RunProgress) -> None:
            on_progress(event)
            progress.update(task, completed=event.done, total=event.total or None, note=event.note)

        run = engine.start(request, show)
        try:
            final = run.wait()
        except KeyboardInterrupt:
            run.cancel()
            run.wait()
            raise
        if final.error is not None:
            raise final.error  # raised in the block, so that the bar vanishes and the message stands alone
        return final
