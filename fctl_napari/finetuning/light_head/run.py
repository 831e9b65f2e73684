"""Fit of a light head in the worker process (no torch at import)."""

from __future__ import annotations

from collections.abc import Callable

from fctl_napari.finetuning.light_head.request import HeadRequest
from fctl_napari.finetuning.run import absolute
from fctl_napari.model.model_card import builtin_checkpoints
from fctl_napari.segmentation.jobs.engine import Engine
from fctl_napari.segmentation.jobs.stateful_job import StagedEvent, StagedRun, Stages


def start_head(
    engine: Engine, request: HeadRequest, on_event: Callable[[StagedEvent], None] | None = None
) -> StagedRun:
    """Start to fit a light head in a worker process without waiting for it.

    Its messages are ``HeadProgress``, its result is a ``HeadResult``.

    Parameters
    ----------
    engine : Engine
        Engine whose worker computes.
    request : HeadRequest
        All settings.
    on_event : callable or None, optional
        Called with each event, on a thread of the run.

    Returns
    -------
    StagedRun
        The run.
    """
    paths = {name: absolute(getattr(request, name)) for name in ("image", "corrections", "out")}
    if request.checkpoint not in builtin_checkpoints():
        paths["checkpoint"] = absolute(request.checkpoint)
    return engine.start_staged(stages, request.model_copy(update=paths), on_event)


def stages(request: HeadRequest) -> Stages:
    """Fit a light head in stages in the worker process, as a job of ``segmentation.jobs.stateful_job``.

    Parameters
    ----------
    request : HeadRequest
        All settings.

    Returns
    -------
    HeadResult
        The head.

    Yields
    ------
    list of HeadProgress
        Progress since the last stage.

    Raises
    ------
    FctlError
        The run fails, see ``HeadFitter``.
    """
    from fctl_napari.finetuning.light_head.head import HeadFitter

    return (yield from HeadFitter(request).stages())
