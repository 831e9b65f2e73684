"""Light heads: networks with classes of one's own, learned from strokes within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fctl_napari.api.checked import checked
from fctl_napari.api.checkpoints import Checkpoint, CheckpointLike
from fctl_napari.api.learning import finish_copy, learning_inputs
from fctl_napari.api.locations import new_checkpoint
from fctl_napari.api.maps import Map
from fctl_napari.api.opening import ImageLike
from fctl_napari.api.progress import Shown, progress_bar
from fctl_napari.api.running import LOOK_SECONDS, shared_engine
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import Cancelled
from fctl_napari.finetuning.light_head.request import head_request
from fctl_napari.finetuning.light_head.run import start_head


@checked
def fit_head(
    image: ImageLike | Map,
    checkpoint: CheckpointLike | None = None,
    out: Path | str | None = None,
    *,
    corrections: Corrections | Path | str | None = None,
    progress: Shown = True,
    **settings: Any,
) -> Checkpoint:
    """Learn the classes of corrections on the features of a network, in a worker process.

    The encoders stay as they are. What is learned is a light head in the place of the decoder: a checkpoint like any
    other, with the classes of the corrections.

    Parameters
    ----------
    image : Image, Map, str or Path
        The image that was painted on; or a map, whose image and network are taken.
    checkpoint : Checkpoint, str, Path or None, optional
        The network that gives the features. None takes that of the map, or ``"earth"`` for an image.
    out : Path, str or None, optional
        The new checkpoint. None is a free name beside the image.
    corrections : Corrections, Path, str or None, optional
        What was painted. None takes the corrections that lie beside the image.
    progress : bool or callable, optional
        Whether a bar is shown, or what takes the counts.
    **settings : object
        Settings of ``HeadRequest``: ``decoder``, ``contexts``, ``held_out``, ``seed``, ``device`` and others.

    Returns
    -------
    Checkpoint
        The head.

    Raises
    ------
    FctlError
        The image, the corrections, the network or a setting does not do. The sentence says what to do.
    """
    inputs = learning_inputs(image, checkpoint, corrections)
    found, network = inputs.image, inputs.network
    request = head_request(
        image=inputs.path,
        checkpoint=str(network.path),
        corrections=inputs.corrections,
        out=str(new_checkpoint(inputs.path, network.path) if out is None else out),
        value_range=found.value_range,
        bands=found.bands,
        **settings,
    )
    finish_copy(request.image, found.name, progress)
    run = start_head(shared_engine(), request)
    try:
        with progress_bar(f"Learning on {network.name}", progress) as report:
            while True:
                event = run.wait(LOOK_SECONDS)
                if event.messages is not None:
                    report(event.messages.done, event.messages.total, "")
                if event.state in ("done", "failed", "cancelled"):
                    break
    except BaseException:
        run.cancel()
        run.wait()
        raise
    if event.error is not None:
        raise event.error
    if event.state == "cancelled":
        raise Cancelled(f"{request.out}: was stopped before anything was written.")
    return Checkpoint(event.result.path)
