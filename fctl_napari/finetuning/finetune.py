"""Fine-tuning: focal loss on corrected pixels, distillation from the parent elsewhere, and a gate at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import Cancelled, ConfigError
from fctl_napari.finetuning.candidates import candidate_path, features_path, keep
from fctl_napari.finetuning.correction_sources import CorrectionSource
from fctl_napari.finetuning.inputs import open_inputs
from fctl_napari.finetuning.judging.evaluation import Measure
from fctl_napari.finetuning.judging.gate import BeforeAfter, Figures, judge
from fctl_napari.finetuning.judging.selection import Selection
from fctl_napari.finetuning.parent import load_parent
from fctl_napari.finetuning.progress import FinetuneProgress, FinetuneResult, Phase
from fctl_napari.finetuning.report import card_of_child
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.state import load_state, run_key, save_state
from fctl_napari.finetuning.steps.feature_cache import FeatureCache
from fctl_napari.finetuning.steps.learner import Learner
from fctl_napari.finetuning.steps.side_by_side import SideBySide
from fctl_napari.finetuning.tile_sampling import Tile
from fctl_napari.model.checkpoint import round_as_stored, save_checkpoint
from fctl_napari.model.free_path import check_free
from fctl_napari.segmentation.inference.hardware import resolve_device
from fctl_napari.segmentation.inference.predictor import out_of_memory
from fctl_napari.words import count_of

Watch = Callable[[FinetuneProgress], None]


class Finetuner:
    """One fine-tuning run.

    The candidate waits for ``keep`` or ``roll_back``, whatever the gate result is. A light head becomes a full network,
    which is held to the head's predictions.

    Parameters
    ----------
    request : FinetuneRequest
        All settings of the run.
    corrections : CorrectionSource or None, optional
        Corrections of the first image in place of those at ``request.corrections``.
    watch : Watch or None, optional
        Called with the progress.
    cancelled : callable or None, optional
        Polled between tiles and steps. If it returns True, the run saves its state and stops.
    paused : callable or None, optional
        Polled between tiles and steps. The run waits while it returns True.

    Attributes
    ----------
    out : Path
        Path of the new checkpoint.
    device : torch.device
        Device of the network.
    model : Network
        The network, trained in place.
    card : Card
        Model card of the parent.
    parent_hash : str
        SHA-256 of the parent's checkpoint.
    sets : TileSets
        Tiles of the run.
    data_hash : str
        Hash of the images and of what is learned, see ``data_hash``.
    measure : Measure
        Evaluation on tiles that are not trained on.
    cache : FeatureCache
        Cache of the features of frozen encoders.
    learner : Learner
        Network, loss and optimizer.
    network : TileNetwork
        The network over tiles.
    side_by_side : SideBySide
        Threads that compute.
    before : dict of str to Figures
        Figures of the parent.
    now : dict of str to Figures
        Figures of the network when it was measured last.
    measured_at : int
        Step of ``now``.
    checked : int
        Step of the last check, over all sessions of the run.
    selection : Selection
        The best network so far.

    Raises
    ------
    CheckpointError
        The parent cannot be used.
    InputError
        An image, corrections or the ground truth cannot be used, or an image is named twice.
    ConfigError
        The settings do not fit, or there is no such device.
    OutputError
        ``request.out`` is taken, or a candidate that was trained on another image waits beside it.
    """

    def __init__(
        self,
        request: FinetuneRequest,
        corrections: CorrectionSource | None = None,
        *,
        watch: Watch | None = None,
        cancelled: Callable[[], bool] | None = None,
        paused: Callable[[], bool] | None = None,
    ) -> None:
        self.request = request
        self.out = check_free(request.out)
        self._watch = watch or (lambda progress: None)
        self._cancelled = cancelled or (lambda: False)
        self._paused = paused or (lambda: False)
        parent = load_parent(request.checkpoint)
        self.device = resolve_device(request.device)
        self.model, self.card, self.parent_hash = parent.model, parent.card, parent.hash
        self._inputs = open_inputs(request, self.card, corrections, self.out)
        self.sets, self.data_hash = self._inputs.sets, self._inputs.data_hash
        self.side_by_side = SideBySide(self.device)
        self.measure = Measure(
            self.sets,
            self.card.classes,
            self._inputs.ground_truth,
            request.truth_tiles,
            self.card.config.tile_size,
            self.side_by_side,
        )
        self.cache = FeatureCache(request.cache_megabytes * 2**20, features_path(self.out))
        self.learner = Learner(request, parent, self.sets, self.cache, self.side_by_side, self.device)
        self.network = self.learner.network
        self.before: dict[str, Figures] = {}
        self.now: dict[str, Figures] = {}
        self.measured_at = 0
        self.checked = 0
        self.selection = Selection(request.bound)
        self._key = self._key_of(self.data_hash)
        self._resume()

    def _key_of(self, data: str) -> str:
        """Compute the key of the run's saved state."""
        return run_key(self.request, self.parent_hash, data, len(self.sets.scenes))

    # -- saved states ----------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        keys = (self._key, *map(self._key_of, self._inputs.old_hashes))
        state = next((found for key in keys if (found := load_state(self.out, key, self.device)) is not None), None)
        if state is None:
            return
        self.learner.load_state_dict(state)
        self.selection.load_state_dict(state)
        self.checked = state["checked"]

    def _save_state(self) -> None:
        state = {**self.learner.state_dict(), "checked": self.checked, **self.selection.state_dict()}
        save_state(self.out, self._key, state)

    # -- run -------------------------------------------------------------------------------------------------------

    def run(self) -> FinetuneResult:
        """Train, measure, and write the candidate.

        A run that was stopped resumes from its last saved state.

        Returns
        -------
        FinetuneResult
            The candidate with its figures and the gate result.

        Raises
        ------
        Cancelled
            ``cancelled`` returned True. The state is saved.
        InputError
            An image, the corrections or the ground truth is damaged.
        OutputError
            The disk is full or the folder is not writable.
        ConfigError
            Memory does not suffice.
        """
        with contextlib.closing(self.stages()) as stages:
            while True:
                try:
                    next(stages)
                except StopIteration as end:
                    return end.value
                while self._paused() and not self._cancelled():
                    time.sleep(0.05)
                if self._cancelled():
                    done = count_of(self.learner.step, "step")
                    raise Cancelled(f"{self.out}: stopped after {done}; the same call resumes from there.")

    def stages(self) -> Generator[None, None, FinetuneResult]:
        """Do what ``run`` does, yielding between tiles and steps.

        If the generator is closed there, it saves its state. No setting of the device is changed for others while it
        waits.

        Returns
        -------
        FinetuneResult
            The candidate with its figures and the gate result.

        Yields
        ------
        None
            Once before each tile and step.

        Raises
        ------
        InputError
            An image, the corrections or the ground truth is damaged.
        OutputError
            The disk is full or the folder is not writable.
        ConfigError
            Memory does not suffice.
        """
        try:
            yield from self._prepare()
            self.before = yield from self.measure.measure(self.network, parent=True)
            self.sets.notes += self.measure.hints
            yield from self._train()
            return (yield from self._finish())
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise ConfigError(
                f"the memory of {self.device} does not suffice to train on {count_of(self.request.batch, 'tile')} of "
                f"{self.card.config.tile_size} px at once; close other programs, train fewer parts or use another "
                "device."
            ) from error
        finally:
            self.side_by_side.close()
            self.cache.close()

    def _train(self) -> Iterator[None]:
        """Train until the steps, the time or the patience are used up."""
        request = self.request
        try:
            if self._to_check():  # the run was stopped during a check
                yield from self._check()
            while self.learner.step < request.steps and not self._enough():
                yield
                terms = self.learner.take_step()
                if self._to_check():
                    yield from self._check()
                if self.learner.step % request.save_every == 0:
                    self._save_state()
                self._report("training", self.learner.step, request.steps, sum(terms.values()), terms)
        except GeneratorExit:
            self._save_state()
            raise

    def _to_check(self) -> bool:
        """Return whether the network is due to be checked and has not been."""
        due = self.learner.step % self.request.check_every == 0 or self.learner.step == self.request.steps
        return due and self.checked < self.learner.step

    def _enough(self) -> bool:
        """Return whether time or patience is used up."""
        out_of_time = self.request.seconds is not None and self.learner.seconds >= self.request.seconds
        return out_of_time or (bool(self.sets.held_out) and self.selection.worse >= self.request.patience)

    def _prepare(self) -> Iterator[None]:
        """Compute the features of every tile, and what distillation needs to know of classes."""
        learned = dict.fromkeys([*self.sets.corrected, *self.sets.replay])
        tiles = dict.fromkeys([*learned, *self.measure.tiles])

        def prepare(tile: Tile) -> NDArray[np.int64]:
            self.network.prepare(tile)
            return self.learner.loss.count_classes(tile) if tile in learned else self.learner.loss.no_classes

        counts, done = self.learner.loss.no_classes, 0
        for group in self.side_by_side.groups(tiles):
            yield
            counts = counts + sum(self.side_by_side.map(prepare, group))
            done += len(group)
            self._report("preparing", done, len(tiles))
        self.learner.loss.weigh_classes(counts)

    # -- measure ---------------------------------------------------------------------------------------------------

    def _check(self) -> Iterator[None]:
        """Measure the network, weigh the trust in the parent, and keep the weights if they are the best so far."""
        self.now = yield from self.measure.measure(self.network, whole=False)
        self.measured_at = self.checked = self.learner.step
        figures = BeforeAfter(self.before, self.now)
        self.learner.loss.trust = [figures.trust.get(i, figures.mean_trust) for i in range(len(self.sets.splits))]
        self.selection.consider(figures, self.learner.step, self.network.learning)

    def _report(
        self,
        phase: Phase,
        done: int,
        total: int,
        loss: float = float("nan"),
        terms: dict[str, float] | None = None,
    ) -> None:
        progress = FinetuneProgress(
            phase,
            done,
            total,
            loss,
            terms or {},
            self.before,
            self.now,
            self.measured_at,
            self.learner.seconds,
            tuple(self.sets.notes),
        )
        self._watch(progress)

    # -- end -------------------------------------------------------------------------------------------------------

    def _finish(self) -> Generator[None, None, FinetuneResult]:
        if self.learner.step % self.request.save_every:
            self._save_state()
        if self.checked < self.learner.step:
            yield from self._check()
        self.learner.set_weights(self.selection.weights)
        self.side_by_side.alone(lambda: round_as_stored(self.model))
        self._report("measuring", 0, 1)
        said = self.measure.hints
        after = yield from self.measure.measure(self.network)
        if not said:  # the parent may have been too wrong to tell
            self.sets.notes += self.measure.hints
        self._report("measuring", 1, 1)
        figures = BeforeAfter(self.before, after)
        gate_result = judge(figures, self.request.bound)
        card = card_of_child(
            self.card,
            self.request,
            figures,
            gate_result,
            parent_hash=self.parent_hash,
            images=self._inputs.images,
            corrections=self.data_hash,
            steps=self.selection.step,
            seconds=self.learner.seconds,
            where=(self.device, self.network.precision),
            domain=self._inputs.domain,
            notes=self.sets.notes,
        )
        path = save_checkpoint(candidate_path(self.out), self.model, card)
        return FinetuneResult(path, figures, gate_result, False, self.selection.step, tuple(self.sets.notes))


def finetune(
    request: FinetuneRequest,
    corrections: CorrectionSource | None = None,
    *,
    keep_anyway: bool = False,
    watch: Watch | None = None,
    cancelled: Callable[[], bool] | None = None,
    paused: Callable[[], bool] | None = None,
) -> FinetuneResult:
    """Fine-tune a checkpoint on corrections.

    The new one is written to ``request.out`` if it passes the gate. A candidate that does not pass waits beside
    ``request.out``, see ``candidate_path``, for ``keep`` or ``roll_back``.

    Parameters
    ----------
    request : FinetuneRequest
        All settings of the run.
    corrections : CorrectionSource or None, optional
        Corrections of the first image in place of those at ``request.corrections``.
    keep_anyway : bool, optional
        If True, keep the network whatever the gate result is.
    watch : Watch or None, optional
        Called with the progress.
    cancelled : callable or None, optional
        Polled between tiles and steps. If it returns True, the run saves its state and stops.
    paused : callable or None, optional
        Polled between tiles and steps. The run waits while it returns True.

    Returns
    -------
    FinetuneResult
        The new checkpoint or candidate with its figures and the gate result.

    Raises
    ------
    CheckpointError
        The parent cannot be used.
    InputError
        The image, the corrections or the ground truth cannot be used.
    ConfigError
        The settings do not fit, there is no such device, or memory does not suffice.
    OutputError
        ``request.out`` is taken or cannot be written, or a candidate that was trained on another image waits beside it.
    Cancelled
        ``cancelled`` returned True. The state is saved.
    """
    result = Finetuner(request, corrections, watch=watch, cancelled=cancelled, paused=paused).run()
    if not (result.gate_result.keep or keep_anyway):
        return result
    path = keep(request.out)
    return FinetuneResult(path, result.card, result.gate_result, True, result.steps, result.notes)
