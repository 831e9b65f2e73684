"""Fine-tuning in the worker process: start, follow, pause, cancel, go on (no torch at import)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fctl_napari.finetuning.progress import FinetuneProgress, FinetuneResult, Phase
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.imagery.remote import is_url
from fctl_napari.model.model_card import builtin_checkpoints
from fctl_napari.segmentation.jobs.engine import Engine
from fctl_napari.segmentation.jobs.stateful_job import StagedEvent

State = Literal["starting", "paused", "done", "cancelled", "failed"] | Phase


@dataclass(frozen=True)
class FinetuneEvent:
    """An event of a run.

    Attributes
    ----------
    state
        The last three are final. ``"starting"``: the process, the checkpoint and the corrections are opened.
    progress
        The latest news; None before the first.
    result
        With ``"done"``; its candidate waits for ``keep`` or ``roll_back``.
    error
        Why it failed: an ``FctlError`` is for the user, anything else is a bug.
    """

    state: State
    progress: FinetuneProgress | None = None
    result: FinetuneResult | None = None
    error: BaseException | None = None


class FinetuneRun:
    """Fine-tuning under way; made by ``start_finetune``.

    It never keeps the new checkpoint by itself: the candidate waits beside ``request.out`` for ``keep`` or
    ``roll_back``, see ``candidates``. A run that was cancelled, or whose process died, goes on where its state was
    saved last when the same request is started again.

    Attributes
    ----------
    request
        What is done.
    """

    def __init__(
        self, engine: Engine, request: FinetuneRequest, on_event: Callable[[FinetuneEvent], None] | None
    ) -> None:
        self.request = request
        self._on_event = on_event
        self._latest = FinetuneEvent("starting")
        self._run = engine.start_staged(stages, travelling(request), self._hear)

    def pause(self) -> None:
        """Stand still, tile or step ended, with everything in memory; returns at once."""
        self._run.pause()

    def go_on(self) -> None:
        """Go on after a pause; returns at once."""
        self._run.go_on()

    def cancel(self) -> None:
        """Save the state and stop (within a second, or one step if that takes longer); returns at once."""
        self._run.cancel()

    def wait(self, timeout: float | None = None) -> FinetuneEvent:
        """Wait for the end.

        Parameters
        ----------
        timeout
            s; None: as long as it takes.

        Returns
        -------
        The final event, or the latest one if the time is over. It carries the error of a failed run.
        """
        self._run.wait(timeout)
        return self._latest

    def _hear(self, event: StagedEvent) -> None:
        """Put an event of the job into one of fine-tuning; on the run's thread."""
        progress = event.news or self._latest.progress
        if event.state != "running":
            state: State = event.state
        elif progress is None:
            state = "starting"
        else:
            state = progress.phase
        self._latest = FinetuneEvent(state, progress, event.result, event.error)
        if self._on_event is not None:
            self._on_event(self._latest)


def start_finetune(
    engine: Engine, request: FinetuneRequest, on_event: Callable[[FinetuneEvent], None] | None = None
) -> FinetuneRun:
    """Fine-tune in a worker process; returns at once.

    Tiles that somebody looks at and explanations get in between, and tiles of whole images take their turns.

    Parameters
    ----------
    engine
        Whose worker trains.
    request
        Everything that decides the run.
    on_event
        Called with each event, on a thread of the run; each tile and step is one.
    """
    return FinetuneRun(engine, request, on_event)


def stages(request: FinetuneRequest) -> Generator[list[FinetuneProgress], None, FinetuneResult]:
    """Fine-tune as a job of stages, see ``segmentation.staged``: what runs in the worker."""
    from fctl_napari.finetuning.finetune import Finetuner

    heard: list[FinetuneProgress] = []
    with closing(Finetuner(request, watch=heard.append).stages()) as tuning:
        while True:
            try:
                next(tuning)
            except StopIteration as end:
                yield heard
                return end.value
            yield heard
            heard.clear()


def travelling(request: FinetuneRequest) -> FinetuneRequest:
    """Name a request's files by their whole paths, for a process that works in another folder."""

    def whole(place: str | None) -> str | None:
        return place if place is None or is_url(place) else str(Path(place).absolute())

    places = {name: whole(getattr(request, name)) for name in ("image", "corrections", "out", "truth", "data_folder")}
    if request.checkpoint not in builtin_checkpoints():
        places["checkpoint"] = whole(request.checkpoint)
    return request.model_copy(update=places)
