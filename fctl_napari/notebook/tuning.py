"""Fine-tuning from a notebook's viewer: the run, its figures, what the new network changes, and the decision."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fctl_napari.api.finetuning import Candidate
from fctl_napari.api.locations import checkpoint_folder, checkpoint_path, new_checkpoint, result_path
from fctl_napari.api.running import shared_engine
from fctl_napari.exceptions import CheckpointError, FctlError, InputError
from fctl_napari.finetuning.affected_tiles import cells_to_compute
from fctl_napari.finetuning.candidates import remove_result, roll_back
from fctl_napari.finetuning.judging.gate import Figures
from fctl_napari.finetuning.request import FinetuneRequest, finetune_request
from fctl_napari.finetuning.run import FinetuneEvent, FinetuneRun, start_finetune
from fctl_napari.finetuning.unfinished import find_cut, find_waiting, forget, remember
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.notebook.viewed_map import ViewedMap
from fctl_napari.segmentation.jobs.engine import Run, RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow

REPORT_SECONDS = 0.2
"""Shortest time between two reports of progress, s."""

STOP_SECONDS = 10.0
"""Longest time to wait for the end of a run that is stopped, s."""

Facts = dict[str, Any]


class Tuning:
    """Fine-tuning of a map's network on the corrections of its image.

    Parameters
    ----------
    viewed : ViewedMap
        The map.
    ground_truth : Path or None
        Ground truth of the image, to measure on.
    changed : callable
        Called with what the page shows, on any thread, whenever it changes: ``state`` (``"none"``, ``"cut"``,
        ``"starting"``, ``"preparing"``, ``"training"``, ``"measuring"``, ``"paused"``, ``"cancelled"``, ``"failed"``,
        ``"waiting"`` to be decided, ``"kept"``, ``"rolled back"``, ``"decided elsewhere"``), ``done``, ``total``,
        ``steps``, ``loss`` [(step, loss), ...], ``held_out`` [(step, mIoU), ...], ``scene`` [(step, agreement), ...],
        ``before`` (the parent's mIoU), ``better`` and ``reasons`` of the gate, ``changed`` (share of px), ``name`` of
        the checkpoint, ``problem``.
    grown : callable
        Called with the result of the new network, on any thread, when tiles have been added to it.
    """

    def __init__(
        self,
        viewed: ViewedMap,
        ground_truth: Path | None,
        changed: Callable[[Facts], None],
        grown: Callable[[Segmentation], None],
    ) -> None:
        self._viewed, self._ground_truth = viewed, ground_truth
        self._emit, self._grown = changed, grown
        self._facts: Facts = {"state": "none"}
        self._out: Path | None = None
        self._run: FinetuneRun | None = None
        self._comparing: Run | None = None
        self._cut: FinetuneRequest | None = None
        self._reported_at = 0.0

    @property
    def candidate(self) -> Candidate | None:
        """The new network that waits to be decided on, if there is one."""
        if self._out is None or self._facts["state"] != "waiting":
            return None
        try:
            return Candidate(self._out)
        except CheckpointError:
            self._report(state="decided elsewhere")
            return None

    def look(self) -> None:
        """Find what earlier runs left: a network that waits to be decided on, or a run that was cut off.

        Raises
        ------
        FctlError
            The network of the map is not at hand.
        """
        if self._run is not None or self._facts["state"] != "none":
            return
        parent, image = self._viewed.network(), self._viewed.image
        folders = [checkpoint_path(self._viewed.path), checkpoint_folder()]
        for waiting in find_waiting(folders, fingerprint(image.pyramid), [Path(self._viewed.path).name]):
            if waiting.parent == parent.hash:
                self._wait(waiting.out)
                return
        cut = [each for each in find_cut(folders, self._viewed.path) if each.request.checkpoint == str(parent.path)]
        if cut:
            self._cut = cut[0].request
            self._report(state="cut", name=self._cut.name)

    def start(self, steps: int) -> None:
        """Begin to fine-tune, or go on with a run that was cut off.

        Parameters
        ----------
        steps : int
            Largest number of steps of a new run.

        Raises
        ------
        FctlError
            There are no corrections, the network is not at hand, or a network waits to be decided on.
        """
        if self._run is not None:
            raise InputError("a run is under way; cancel it first, or wait for its end.")
        if self.candidate is not None:
            raise InputError("a new network waits; keep it, or roll it back, before you learn again.")
        request, self._cut = self._cut or self._request(steps), None
        remember(request)
        self._out = Path(request.out)
        self._facts = {"loss": [], "held_out": [], "scene": []}
        self._report(state="starting", done=0, total=0, name=request.name, problem="")
        self._run = start_finetune(shared_engine(), request, self._receive)

    def pause(self) -> None:
        """Pause the run."""
        if self._run is not None:
            self._run.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        if self._run is not None:
            self._run.resume()

    def cancel(self) -> None:
        """Stop the run. Its state is kept, and ``start`` goes on from there."""
        if self._run is not None:
            self._run.cancel()

    def compare(self, view: IntWindow | None) -> None:
        """Begin to segment with the new network what it is likely to change of the map.

        Parameters
        ----------
        view : tuple of 4 int or None
            (y0, x0, y1, x1) px in view, which is computed where the map is not of a kind that can be taken over.

        Raises
        ------
        FctlError
            No network waits, or the worker cannot start.
        """
        candidate = self._require()
        if self._comparing is not None:
            return
        store = self._viewed.store
        whole = store.settings.get("merge") == "crop" and not store.maps
        path = self._viewed.corrections_path
        there = self._viewed.open_corrections(write=False) if path.exists() else None
        request = SegmentationRequest(
            out=str(result_path(self._viewed.path, candidate.out)),
            cells=cells_to_compute(store, there)[0] if whole else None,
            inherit=str(store.path.absolute()) if whole else None,
            region=None if whole else view,
            **self._viewed.settings() | {"checkpoint": str(candidate.checkpoint.path)},
        )
        self._comparing = shared_engine().start(request, self._compared)

    def keep(self, *, anyway: bool = False) -> None:
        """Make the new network a checkpoint beside the image.

        Parameters
        ----------
        anyway : bool, optional
            If True, also against the gate.

        Raises
        ------
        FctlError
            No network waits, the gate advises against it, or the name is taken.
        """
        candidate = self._require()
        self._stop_comparing()
        kept = candidate.keep(anyway=anyway)
        self._report(state="kept", name=kept.path.name)

    def roll_back(self) -> None:
        """Delete the new network and its result.

        Raises
        ------
        FctlError
            No network waits, or its result is in use.
        """
        candidate = self._require()
        self._stop_comparing()
        result = result_path(self._viewed.path, candidate.out)
        if result.exists():
            remove_result(result, candidate.checkpoint.hash)
        roll_back(candidate.out)
        self._report(state="rolled back")

    def close(self) -> None:
        """Stop what runs. A run can be resumed, and a network waits on disk."""
        if self._run is not None:
            self._run.cancel()
            self._run.wait(STOP_SECONDS)
        self._stop_comparing()

    # ----

    def _request(self, steps: int) -> FinetuneRequest:
        """Make the request of a new run."""
        settings, corrections = self._viewed.settings(), self._viewed.corrections_path
        if not corrections.exists():
            raise InputError(f"{corrections}: there are no corrections yet; paint some first.")
        return finetune_request(
            corrections=str(corrections),
            out=str(new_checkpoint(self._viewed.path, settings["checkpoint"])),
            truth=None if self._ground_truth is None else str(self._ground_truth),
            steps=steps,
            **{key: value for key, value in settings.items() if key != "overlap"},
        )

    def _receive(self, event: FinetuneEvent) -> None:
        """Take an event of the run, on its thread."""
        progress = event.progress
        if progress is not None:
            if math.isfinite(progress.loss):
                _add(self._facts["loss"], progress.done, progress.loss)
            for part, figure in (("held_out", _miou), ("scene", _agreement)):
                value = figure(progress.now.get(part))
                if value is not None:
                    _add(self._facts[part], progress.measured_at, value)
            self._facts["before"] = _miou(progress.before.get("held_out"))
        if event.state == "training" and progress is not None:
            self._facts["steps"] = progress.total
        done: Facts = {} if progress is None else {"done": progress.done, "total": progress.total}
        if event.state not in ("done", "failed", "cancelled"):
            self._report(state=event.state, soon=event.state == self._facts["state"], **done)
            return
        self._run = None
        if event.state == "done":
            assert self._out is not None
            self._wait(self._out)
        else:
            if event.state == "failed" and self._out is not None:
                forget(self._out)  # it would fail again
            problem = "" if event.error is None else str(event.error)
            self._report(state=event.state, problem=problem, **done)

    def _wait(self, out: Path) -> None:
        """Show a network that waits to be decided on."""
        self._out = out
        candidate = Candidate(out)
        reasons = [*candidate.gate.reasons, *candidate.notes]
        self._report(state="waiting", better=candidate.better, reasons=reasons, name=out.stem, problem="")

    def _compared(self, event: RunProgress) -> None:
        """Show the tiles that the new network has computed, on a thread of the run."""
        if event.state == "failed":
            self._comparing = None
            self._report(problem=str(event.error))
            return
        if self._out is None or not event.done:
            return
        try:
            after = Segmentation.open(result_path(self._viewed.path, self._out))
        except FctlError:
            return  # nothing of it is there yet
        self._grown(after)
        self._report(changed=_changed(self._viewed.store, after), soon=event.state != "done")

    def _stop_comparing(self) -> None:
        run, self._comparing = self._comparing, None
        if run is not None:
            run.cancel()
            run.wait(STOP_SECONDS)

    def _require(self) -> Candidate:
        candidate = self.candidate
        if candidate is None:
            raise InputError("no new network waits to be decided on; fine-tune first.")
        return candidate

    def _report(self, *, soon: bool = False, **facts: Any) -> None:
        """Tell the page, at once or, with ``soon``, not more often than needed."""
        self._facts |= facts
        now = time.monotonic()
        if soon and now < self._reported_at + REPORT_SECONDS:
            return
        self._reported_at = now
        self._emit({key: list(value) if isinstance(value, list) else value for key, value in self._facts.items()})


def _add(series: list[tuple[int, float]], step: int, value: float) -> None:
    """Add a point to a series, if it is a new one."""
    if not series or series[-1][0] < step:
        series.append((step, float(value)))


def _miou(figures: Figures | None) -> float | None:
    return None if figures is None or figures.scores is None else figures.scores.miou


def _agreement(figures: Figures | None) -> float | None:
    return None if figures is None else figures.agreement


def _changed(before: Segmentation, after: Segmentation) -> float:
    """Return the share of px that two maps call otherwise, of those that both have, on the coarsest level."""
    level = len(before.labels.levels) - 1
    height, width = (int(side) for side in before.labels.levels[level].shape[:2])
    one, other = (each.labels.read((0, 0, height, width), level) for each in (before, after))
    both = (one > 0) & (other > 0)
    return float(((one != other) & both).sum() / max(1, both.sum()))
