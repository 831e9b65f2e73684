"""Review of a candidate: its result over its parent's, and what changed, until it is kept or rolled back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from fctl_napari.api.locations import cache_folder, result_path
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.error_types import PAPER
from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.finetuning.affected_tiles import cells_to_compute
from fctl_napari.finetuning.candidates import keep, remove_result, roll_back
from fctl_napari.finetuning.unfinished import Waiting
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.model.model_card import checkpoint_hash
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.progress_text import describe
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.errors.comparison import Comparison, Wanted, open_comparison
from fctl_napari.plugin.errors.layer import ErrorLayer
from fctl_napari.plugin.errors.showing import DIFFER, Showing
from fctl_napari.plugin.finetune.choices import image_path, result_of
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.live_run import LiveRun, layer_name
from fctl_napari.plugin.layers.mask_combo import is_mask
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY, SegmentationLayers, levels_of
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.progress import Progress
from fctl_napari.segmentation.jobs.engine import RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.result_paths import own_corrections
from fctl_napari.segmentation.tiling.grid import Cell
from fctl_napari.windows import IntWindow

SHOWING = Showing(DIFFER, None, None, PAPER)


@dataclass(frozen=True, eq=False)
class Parent:
    """The parent's result.

    Attributes
    ----------
    path : Path
        Location of its store.
    levels : list of object
        Levels of its mask, to compare with.
    cells : tuple of Cell
        Cells that the candidate computes.
    others : int
        Number of cells that stay as the parent classified them.
    """

    path: Path
    levels: list[Any]
    cells: tuple[Cell, ...]
    others: int


class CandidateReview(QObject):
    """Review of a candidate, which segments with it, shows what changed, and carries the decision out.

    The cells in view are segmented first.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows the layers.
    image : Image
        Image layer that they lie on.
    source : ImageSource
        File of the image.
    waiting : Waiting
        The candidate.
    checkpoint : str or None
        Its parent's name or file. None if it is not known.
    device : str
        Device as for ``SegmentationRequest``.
    parent : QObject or None, optional
        Qt's parent.

    Attributes
    ----------
    image : Image
        Image layer that the layers lie on.
    waiting : Waiting
        The candidate.
    progressed : Signal(str)
        Progress of the segmentation, in words.
    changed : Signal(object)
        The share of changed px is known; carries a list of the shares, 0..1, that changed to each class, by its index,
        or None if there is nothing to compare with.
    failed : Signal(object)
        A segmentation has failed, or a decision that can be tried again; carries the exception.
    decided : Signal(object)
        The decision is carried out; carries the ``Path`` of the checkpoint that is kept, or None after rolling back.
    """

    progressed = Signal(str)
    changed = Signal(object)
    failed = Signal(object)
    decided = Signal(object)

    def __init__(
        self,
        viewer: napari.Viewer,
        image: Image,
        source: ImageSource,
        waiting: Waiting,
        checkpoint: str | None,
        device: str,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.image = image
        self.waiting = waiting
        self._source = source
        self._checkpoint = checkpoint
        self._device = device
        self._result = result_path(source.original, waiting.out)
        self._looking, self._comparing, self._deciding = Jobs(self), Jobs(self), Jobs(self)
        self._changes = ErrorLayer(viewer, self, what="changes of")
        self._changes.replaced.connect(self._compare)
        self._comparison: Comparison | None = None
        self._parent: Parent | None = None
        self._hidden: list[Labels] = []
        self._run: LiveRun | None = None
        self._then: Callable[[], None] | None = None  # called once the run has ended
        self._cut = False  # True if a decision stopped the run

    @property
    def mask(self) -> Labels | None:
        """The layer of the candidate's result, if it is there."""
        return self._layer_of(self._result)

    @property
    def overlay(self) -> Labels | None:
        """The layer of what changed, if it is there."""
        return self._changes.layer

    @property
    def busy(self) -> bool:
        """True while something is being computed, opened or carried out."""
        jobs = (self._looking, self._comparing, self._deciding)
        return self._run is not None or any(each.running for each in jobs)

    def start(self) -> None:
        """Begin the review and return at once."""
        masks = [layer for layer in self._viewer.layers if is_mask(self._viewer, layer, self.image)]
        shown = {str(layer.metadata[STORE_KEY]): levels_of(layer) for layer in masks}

        tile_size = self.waiting.card.config.tile_size

        def work(progress: Progress) -> Parent | None:
            store = result_of(list(shown), self._source, self._checkpoint, self.waiting.parent, tile_size)
            if store is None:
                return None
            levels = shown.get(str(store.path)) or SegmentationLayers(store.path).mask.levels
            path = own_corrections(corrections_path(self._source.original, cache_folder), self._source.open())
            corrections = Corrections.open(path) if path.exists() else None
            return Parent(store.path, levels, *cells_to_compute(store, corrections, progress))

        self._looking.begin(work, self._found, self.failed.emit)

    def _found(self, parent: Parent | None) -> None:
        """Segment once the parent's result is known."""
        self._parent = parent
        self._segment(self.waiting.path)

    # ---- the result

    def _segment(self, checkpoint: Path) -> None:
        """Begin the segmentation with a checkpoint."""
        name = layer_name(self.image, str(self.waiting.out))
        run = self._run = LiveRun(self._viewer, self.image, name, self, mask_only=True)
        run.progressed.connect(self._report)
        run.shown.connect(self._shown)
        run.finished.connect(self._finished)
        request = SegmentationRequest(
            image=image_path(self._source),
            out=str(self._result),
            checkpoint=str(checkpoint),
            region=self._view() if self._parent is None else None,
            cells=None if self._parent is None else self._parent.cells,
            inherit=None if self._parent is None else str(self._parent.path),
            device=self._device,
            value_range=self._source.value_range,
            bands=self._source.bands,
        )
        try:
            run.start(session().engine(), request)
        except FctlError as error:
            self._run = None
            self.failed.emit(error)

    def _view(self) -> IntWindow | None:
        """Return the window in view, which is all that is computed where the parent has computed nothing."""
        try:
            return view_region(self._viewer, self.image)
        except InputError:
            return None

    def _report(self, progress: RunProgress) -> None:
        """Emit the progress of the segmentation in words."""
        others = 0 if self._parent is None else self._parent.others
        words = f" The other {others} stay as the parent predicted them." if others and progress.state == "done" else ""
        self.progressed.emit(describe(progress) + words)

    def _shown(self, _segmentation_layers: SegmentationLayers) -> None:
        """Count again what changed, or begin to compare when the first tiles are shown."""
        if self._comparison is not None:
            self._count()
        elif not self._comparing.running and self.waiting.path.exists():
            self._hide_parent()
            self._compare()

    def _finished(self, progress: RunProgress) -> None:
        """Report the end of the segmentation, and carry out the decision that waited for it."""
        run, self._run = self._run, None
        if run is not None:
            run.deleteLater()
        self._count()
        self._report(progress)
        if progress.error is not None:
            self.failed.emit(progress.error)
        then, self._then = self._then, None
        if then is not None:
            then()

    # ---- what changed

    def _compare(self) -> None:
        """Open the comparison with the parent's result and show it as a layer."""
        mask, parent = self.mask, self._parent
        if mask is None:
            return
        if parent is None:
            self.changed.emit(None)
            return
        wanted = Wanted(
            path=str(self._result),
            levels=levels_of(mask),
            ground_truth=None,
            second_path=str(parent.path),
            second_levels=parent.levels,
        )

        def work(progress: Progress) -> Comparison:
            return open_comparison(wanted, SHOWING, None, progress)

        def opened(comparison: Comparison) -> None:
            mask = self.mask
            if mask is not None and self._then is None:
                self._comparison = comparison
                self._changes.watch(mask)
                self._changes.show(comparison, SHOWING, SHOWING.legend(comparison.classes))
                self._count()

        self._comparing.begin(work, opened, self.failed.emit)

    def _count(self) -> None:
        """Emit the shares of changed px, counted on the coarsest level, among px that both have computed."""
        comparison = self._comparison
        if comparison is None or comparison.overlay is None or self._parent is None:
            return
        comparison.overlay.follow()
        classes = len(comparison.classes)
        mask = self.mask
        if mask is None:
            return
        both = (np.asarray(levels_of(mask)[-1]) > 0) & (np.asarray(self._parent.levels[-1]) > 0)
        counts = np.bincount(comparison.overlay.coarse[both], minlength=classes + 1)[1 : classes + 1]
        self.changed.emit([float(count) / max(int(both.sum()), 1) for count in counts])

    # ---- the decision

    def keep(self) -> None:
        """Make the candidate a checkpoint.

        Its result stays; see :meth:`finish`. ``decided`` follows.
        """
        self._stop_then(self._keep)

    def roll_back(self) -> None:
        """Delete the candidate and its result, and show the parent's again.

        ``decided`` follows.
        """
        self._stop_then(self._roll_back)

    def _stop_then(self, then: Callable[[], None]) -> None:
        """Stop what runs, and then call a function."""
        self._looking.drop()
        self._comparing.drop()
        self._then = then
        if self._run is not None:
            self._cut = True
            self._run.cancel()  # its end is reported to _finished
        else:
            self._then = None
            then()

    def _keep(self) -> None:
        """Begin to make the candidate a checkpoint."""

        def work(_progress: Progress) -> Path:
            return keep(self.waiting.out)

        self._deciding.begin(work, self._kept, self.failed.emit)

    def _kept(self, out: Path) -> None:
        """Remove the layer of changes and report that the candidate is kept."""
        self._changes.hide()
        self._changes.leave()
        self._comparison = None
        self.decided.emit(out)

    def finish(self) -> None:
        """Compute the rest of the result of a kept candidate, if the decision interrupted its segmentation."""
        if self._cut and self.image in self._viewer.layers:
            self._cut = False
            self._segment(self.waiting.out)

    def _roll_back(self) -> None:
        """Begin to delete the candidate and its result."""
        self._take_layers_away()
        waiting, result = self.waiting, self._result

        def work(_progress: Progress) -> None:
            if result.exists():
                remove_result(result, checkpoint_hash(waiting.path))
            roll_back(waiting.out)

        self._deciding.begin(work, lambda _none: self.decided.emit(None), self.failed.emit)

    # ---- layers

    def _layer_of(self, path: Path) -> Labels | None:
        """Return the layer of a store, if it is there."""
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and layer.metadata.get(STORE_KEY) == str(path):
                return layer
        return None

    def _hide_parent(self) -> None:
        """Hide the layer of the parent's result."""
        mask = None if self._parent is None else self._layer_of(self._parent.path)
        if mask is not None and mask.visible:
            mask.visible = False
            self._hidden.append(mask)

    def _take_layers_away(self) -> None:
        """Remove the candidate's layers, and show again those that were hidden."""
        self._changes.hide()
        self._changes.leave()
        self._comparison = None
        remove_layers(self._viewer, [] if self.mask is None else [self.mask])
        for layer in self._hidden:
            if layer in self._viewer.layers:
                layer.visible = True
        self._hidden.clear()

    def leave(self, *, layers: bool) -> None:
        """Leave the candidate undecided.

        It waits on disk.

        Parameters
        ----------
        layers : bool
            If True, remove its layers.
        """
        for jobs in (self._looking, self._comparing):
            jobs.drop()
        if self._run is not None:
            self._run.abandon()
            self._run = None
        if layers:
            self._take_layers_away()
        else:
            self._changes.leave()
