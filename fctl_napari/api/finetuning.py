"""Fine-tuning on corrections, with a gate that says whether the new network is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fctl_napari.api import html
from fctl_napari.api.checked import checked
from fctl_napari.api.checkpoints import Checkpoint, CheckpointLike
from fctl_napari.api.learning import finish_copy, learning_inputs
from fctl_napari.api.locations import new_checkpoint
from fctl_napari.api.maps import Map
from fctl_napari.api.opening import ImageLike
from fctl_napari.api.progress import Shown, progress_bar
from fctl_napari.api.running import LOOK_SECONDS, shared_engine
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import Cancelled, CheckpointError
from fctl_napari.finetuning.candidates import keep, roll_back
from fctl_napari.finetuning.judging.gate import WORDS, GateResult
from fctl_napari.finetuning.request import FinetuneRequest, finetune_request
from fctl_napari.finetuning.run import start_finetune, travelling
from fctl_napari.finetuning.unfinished import find_cut, forget, open_waiting, remember
from fctl_napari.model.free_path import check_free


class Candidate:
    """A fine-tuned network that waits to be kept or rolled back.

    ``fctl.finetune`` makes it.

    Parameters
    ----------
    out : Path
        Path of the checkpoint that it becomes if it is kept.

    Attributes
    ----------
    out : Path
        Path of the checkpoint that it becomes if it is kept.
    gate : GateResult
        Whether the gate advises to keep it, and why.
    figures : dict of str to object
        Figures before and after.
    notes : list of str
        What is to be known of the corrections and of the training.

    Raises
    ------
    CheckpointError
        There is none.
    """

    def __init__(self, out: Path) -> None:
        waiting = open_waiting(out)
        self.out = out
        self.gate: GateResult = waiting.gate_result
        self.figures: dict[str, Any] = waiting.figures
        self.notes: list[str] = list(waiting.card.provenance["finetuning"].get("notes", ()))
        self._name = waiting.card.name

    @property
    def better(self) -> bool:
        """True if the gate advises to keep it."""
        return self.gate.keep

    @property
    def checkpoint(self) -> Checkpoint:
        """The network itself, kept or not."""
        waiting = open_waiting(self.out) if not self.out.exists() else None
        return Checkpoint(self.out if waiting is None else waiting.path)

    def keep(self, *, anyway: bool = False) -> Checkpoint:
        """Make it a checkpoint.

        Parameters
        ----------
        anyway : bool, optional
            If True, also against the gate. It stays marked so in the lineage.

        Returns
        -------
        Checkpoint
            The checkpoint.

        Raises
        ------
        CheckpointError
            The gate advises against it, or it is not there any more.
        OutputError
            The name has been taken meanwhile, or the folder is not writable.
        """
        if not (self.better or anyway):
            raise CheckpointError(
                f"{self._name}: the gate found it no better ({' '.join(self.gate.reasons)}); roll it back, or keep it "
                "with keep(anyway=True)."
            )
        return Checkpoint(keep(self.out))

    def roll_back(self) -> None:
        """Delete it, and leave its parent as it was."""
        roll_back(self.out)

    def rows(self) -> list[tuple[str, float | None, float | None, float | None]]:
        """Return the figures by the sets of tiles that are measured on.

        Returns
        -------
        list of (str, float, float, float)
            Name of the set, mIoU before and after, and the share of px that are predicted as before. What was not
            measured is None.
        """
        sides = self.figures["before"], self.figures["after"]
        return [
            (words, before.get("miou"), after.get("miou"), after.get("agreement"))
            for part, words in WORDS.items()
            for before, after in [[side.get(part, {}) for side in sides]]
            if before or after
        ]

    def __repr__(self) -> str:
        """Return name and advice in a line."""
        return f"<Candidate {self._name}: {'better' if self.better else 'not better'}. {' '.join(self.gate.reasons)}>"

    def _repr_html_(self) -> str:
        """Return the figures for a notebook."""
        advice = "The gate advises to keep it." if self.better else "The gate advises to roll it back."
        return html.block(
            self._name,
            html.sentence(advice),
            html.table(
                ("measured on", "mIoU before", "mIoU after", "as before"),
                [(words, *map(_number, figures)) for words, *figures in self.rows()],
            ),
            *(html.sentence(text) for text in (*self.gate.reasons, *self.notes)),
        )


@checked
def finetune(
    image: ImageLike | Map,
    checkpoint: CheckpointLike | None = None,
    out: Path | str | None = None,
    *,
    corrections: Corrections | Path | str | None = None,
    ground_truth: Path | str | None = None,
    progress: Shown = True,
    **settings: Any,
) -> Candidate:
    """Let a network learn from corrections in a worker process.

    Its parent stays as it is.

    An interrupt stops it, and the same call resumes.

    Parameters
    ----------
    image : Image, Map, str or Path
        The image that was corrected; or a map, whose image and network are taken.
    checkpoint : Checkpoint, str, Path or None, optional
        The parent. None takes that of the map, or ``"earth"`` for an image.
    out : Path, str or None, optional
        The new checkpoint. None is a free name beside the image, or that of the same call if it was stopped.
    corrections : Corrections, Path, str or None, optional
        What was painted. None takes the corrections that lie beside the image.
    ground_truth : Path, str or None, optional
        Ground truth of the image, to measure on. Nothing is learned from it.
    progress : bool or callable, optional
        Whether a bar is shown, or what takes the counts.
    **settings : object
        Settings of ``FinetuneRequest``: ``steps``, ``seconds``, ``parts``, ``held_out``, ``bound``, ``seed``,
        ``device``, ``further`` (more images, each with its corrections, as pairs of paths) and others.

    Returns
    -------
    Candidate
        The new network with its figures and the gate's advice, to be kept or rolled back.

    Raises
    ------
    FctlError
        The image, the corrections, the network or a setting does not do; the sentence says what to do.
    """
    inputs = learning_inputs(image, checkpoint, corrections)
    found, network = inputs.image, inputs.network
    free = new_checkpoint(inputs.path, network.path) if out is None else Path(out).absolute()
    request = travelling(
        finetune_request(
            image=inputs.path,
            checkpoint=str(network.path),
            corrections=inputs.corrections,
            out=str(check_free(free)),
            truth=None if ground_truth is None else str(ground_truth),
            value_range=found.value_range,
            bands=found.bands,
            **settings,
        )
    )
    if out is None:
        request = _stopped(request) or request
    finish_copy(request.image, found.name, progress)
    remember(request)
    run = start_finetune(shared_engine(), request)
    try:
        with progress_bar(f"Fine-tuning {network.name}", progress) as report:
            while True:
                event = run.wait(LOOK_SECONDS)
                if event.progress is not None:
                    report(event.progress.done, event.progress.total, event.progress.note)
                if event.state in ("done", "failed", "cancelled"):
                    break
    except BaseException:
        run.cancel()
        run.wait()
        raise
    if event.error is not None:
        forget(request.out)
        raise event.error
    if event.state == "cancelled":
        raise Cancelled(f"{request.out}: was stopped; the same call resumes.")
    return Candidate(Path(request.out))


def _stopped(request: FinetuneRequest) -> FinetuneRequest | None:
    """Return the request of a run that was stopped and differs in nothing but its new checkpoint's name."""
    for cut in find_cut([Path(request.out).parent], request.image):
        if cut.request.model_copy(update={"out": request.out}) == request:
            return cut.request
    return None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
