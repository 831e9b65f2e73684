"""Fine-tuning in the worker process: start, follow, pause, cancel and resume (no torch at import)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fctl_napari.finetuning.progress import FinetuneProgress, FinetuneResult, Phase
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.model.model_card import builtin_checkpoints
from fctl_napari.segmentation.jobs.engine import Engine
from fctl_napari.segmentation.jobs.stateful_job import StagedEvent

State = Literal["starting", "paused", "done", "cancelled", "failed"] | Phase


@dataclass(frozen=True)
class FinetuneEvent:
    """Event of a run.

    Attributes
    ----------
    state : State
        State of the run, of which ``"done"``, ``"cancelled"`` and ``"failed"`` are final. With ``"starting"``, the
        process, the checkpoint and the corrections are being opened.
    progress : FinetuneProgress or None
        Latest progress, or None before the first.
    result : FinetuneResult or None
        Result, if the state is ``"done"``. Its candidate waits for ``keep`` or ``roll_back``.
    error : BaseException or None
        Reason of a failure. An ``FctlError`` is for the user, anything else is a bug.
    """

    state: State
    progress: FinetuneProgress | None = None
    result: FinetuneResult | None = None
    error: BaseException | None = None


class FinetuneRun:
    """Running fine-tuning, made by ``start_finetune``.

    It never keeps the new checkpoint by itself: the candidate waits beside ``request.out`` for ``keep`` or
    ``roll_back``, see ``candidates``. A run that was cancelled, or whose process died, resumes from its last saved
    state when the same request is started again.

    Parameters
    ----------
    engine : Engine
        Engine whose worker trains.
    request : FinetuneRequest
        All settings of the run.
    on_event : callable or None
        Called with each event, on a thread of the run.

    Attributes
    ----------
    request : FinetuneRequest
        All settings of the run.
    """

    def __init__(
        self, engine: Engine, request: FinetuneRequest, on_event: Callable[[FinetuneEvent], None] | None
    ) -> None:
        self.request = request
        self._on_event = on_event
        self._latest = FinetuneEvent("starting")
        self._run = engine.start_staged(stages, travelling(request), self._receive)

    def pause(self) -> None:
        """Pause after the current tile or step, keeping everything in memory, without waiting for it."""
        self._run.pause()

    def resume(self) -> None:
        """Resume after a pause, without waiting."""
        self._run.resume()

    def cancel(self) -> None:
        """Cancel the run without waiting.

        It saves its state and stops within a second, or after one step if that takes longer.
        """
        self._run.cancel()

    def wait(self, timeout: float | None = None) -> FinetuneEvent:
        """Wait for the end of the run.

        Parameters
        ----------
        timeout : float or None, optional
            Longest time to wait, s. None waits as long as it takes.

        Returns
        -------
        FinetuneEvent
            The final event, or the latest one if the time is over. It carries the error of a failed run.
        """
        self._run.wait(timeout)
        return self._latest

    def _receive(self, event: StagedEvent) -> None:
        """Convert an event of the job to one of fine-tuning, on the run's thread."""
        progress = event.messages or self._latest.progress
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
    """Start fine-tuning in a worker process without waiting for it.

    Tiles of the current view and explanations are computed in between, and tiles of whole images take their turns.

    Parameters
    ----------
    engine : Engine
        Engine whose worker trains.
    request : FinetuneRequest
        All settings of the run.
    on_event : callable or None, optional
        Called with each event, on a thread of the run. Each tile and step is one.

    Returns
    -------
    FinetuneRun
        The run.
    """
    return FinetuneRun(engine, request, on_event)


def stages(request: FinetuneRequest) -> Generator[list[FinetuneProgress], None, FinetuneResult]:
    """Fine-tune in stages in the worker process, as a job of ``segmentation.jobs.stateful_job``.

    Parameters
    ----------
    request : FinetuneRequest
        All settings of the run.

    Returns
    -------
    FinetuneResult
        The candidate with its figures and the gate result.

    Yields
    ------
    list of FinetuneProgress
        Progress since the last stage.

    Raises
    ------
    FctlError
        The run fails, see ``Finetuner``.
    """
    from fctl_napari.finetuning.finetune import Finetuner

    received: list[FinetuneProgress] = []
    with closing(Finetuner(request, watch=received.append).stages()) as tuning:
        while True:
            try:
                next(tuning)
            except StopIteration as end:
                yield received
                return end.value
            yield received
            received.clear()


def travelling(request: FinetuneRequest) -> FinetuneRequest:
    """Convert a request's paths to absolute ones, for a process with another working folder.

    Parameters
    ----------
    request : FinetuneRequest
        The request.

    Returns
    -------
    FinetuneRequest
        The request with absolute paths. URLs and names of built-in checkpoints stay as they are.
    """
    names = ("image", "corrections", "out", "truth", "data_folder")
    locations = {name: None if (value := getattr(request, name)) is None else absolute(value) for name in names}
    if request.checkpoint not in builtin_checkpoints():
        locations["checkpoint"] = absolute(request.checkpoint)
    further = tuple((absolute(image), absolute(corrections)) for image, corrections in request.further)
    return request.model_copy(update={**locations, "further": further})


def absolute(location: str) -> str:
    """Convert a path to an absolute one.

    Parameters
    ----------
    location : str
        Path or address.

    Returns
    -------
    str
        The absolute path. An address stays as it is.
    """
    return location if is_url(location) else str(Path(location).absolute())
