"""Classification of the view by what was painted, learned anew after every stroke."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from fctl_napari.exceptions import Cancelled, FctlError
from fctl_napari.finetuning.light_head.request import head_request
from fctl_napari.finetuning.light_head.run import start_head
from fctl_napari.plugin.common.background import Job, Jobs
from fctl_napari.plugin.common.bridge import open_bridge, post
from fctl_napari.plugin.common.notify import report, reported, say
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct.class_choice import corrected_classes
from fctl_napari.plugin.correct.corrected_image import CorrectedImage
from fctl_napari.plugin.correct.form import CorrectForm
from fctl_napari.plugin.correct.live_files import SETTLE_SECONDS, LiveFiles, head_name
from fctl_napari.plugin.correct.session import Painting
from fctl_napari.plugin.correct.stroke_queue import State
from fctl_napari.plugin.layers.hidden_masks import HiddenMasks
from fctl_napari.plugin.layers.hidden_masks import masks as masks_of
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.live_run import LiveRun, layer_name
from fctl_napari.plugin.layers.mask_combo import MaskChoices
from fctl_napari.plugin.layers.on_disk import OnDisk
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
from fctl_napari.progress import Progress
from fctl_napari.segmentation.jobs.engine import RunProgress, SegmentationRequest
from fctl_napari.words import count_of

if TYPE_CHECKING:
    from fctl_napari.finetuning.light_head.head import HeadResult
    from fctl_napari.model.classes import ClassTable
    from fctl_napari.segmentation.jobs.stateful_job import StagedEvent, StagedRun

REST_MS = 100
"""Delay from the last stroke on disk until it is learned from, ms."""


class StrokesLive(QObject):
    """Network that is learned from the strokes on an image, and its map of the view.

    It is at work while the box *Classify from strokes* is checked.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    form : CorrectForm
        Form with the box, the line below it, and the button that keeps the network.
    corrected : CorrectedImage
        The image and its corrections.
    masks : MaskChoices
        Choice of the segmentation that is corrected. It does not change by itself to the map of the strokes.
    tab : QWidget
        The tab, which is Qt's parent.

    Attributes
    ----------
    classified : Signal()
        All of the view is classified by the network that was learned last.
    ended : Signal()
        There is no map any more.
    """

    classified = Signal()
    ended = Signal()

    def __init__(
        self,
        viewer: napari.Viewer,
        form: CorrectForm,
        corrected: CorrectedImage,
        masks: MaskChoices,
        tab: QWidget,
    ) -> None:
        super().__init__(tab)
        self._viewer, self._form, self._corrected, self._masks, self._tab = viewer, form, corrected, masks, tab
        self._state: State | None = None
        self._table: ClassTable | None = None  # classes that were learned last
        self._shown_table: ClassTable | None = None  # those whose colors the layer has
        self._source: ImageSource | None = None
        self._files: LiveFiles | None = None
        self._file: OnDisk | None = None
        self._claim: Job | None = None
        self._keeping = Jobs(self)
        self._number = 0  # of the work that counts
        self._fit: StagedRun | None = None
        self._again = False  # something was painted since the fit began
        self._result: HeadResult | None = None
        self._run: LiveRun | None = None
        self._removing: threading.Thread | None = None
        self._hidden = HiddenMasks(viewer, lambda viewer: [mask for mask in masks_of(viewer) if not self._shows(mask)])
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._look)
        open_bridge()
        form.live.toggled.connect(self._toggled)
        form.keep.clicked.connect(self._keep)
        form.checkpoint.currentIndexChanged.connect(self._restart)
        form.device.currentIndexChanged.connect(self._restart)

    # ---- what is painted

    @property
    def busy(self) -> bool:
        """True while something is learned, or about to be."""
        return self._rest.isActive() or self._opens or self._fit is not None or self._keeping.running

    @property
    def store(self) -> str | None:
        """The location of the map, if it is there."""
        return None if self.layer is None or self._files is None else str(self._files.map)

    @property
    def layer(self) -> Labels | None:
        """The layer of the map, if it is there."""
        return next((mask for mask in masks_of(self._viewer) if self._shows(mask)), None)

    def attach(self, painting: Painting) -> None:
        """Follow the strokes of a painting from now on.

        Parameters
        ----------
        painting : Painting
            The open corrections.
        """
        painting.state_changed.connect(self._take_state)
        painting.changed.connect(self._restart)
        self._restart()

    def detach(self) -> None:
        """Follow no strokes any more, and remove what was made of them."""
        self._state = None
        self.stop()

    def _take_state(self, state: State) -> None:
        """Learn anew where the classes differ from those that were learned."""
        first, self._state = self._state is None, state
        painting = self._corrected.painting
        if painting is not None and (first or painting.corrections.class_table != self._table):
            self._restart()

    def _restart(self, _change: object = None) -> None:
        """Learn once nothing has changed for a while."""
        if self._form.live.isChecked() and self._corrected.painting is not None:
            self._rest.start()

    def _toggled(self, on: bool) -> None:
        self._form.keep.setVisible(on)
        if not on:
            self.stop()
        elif self._corrected.painting is None:
            self._say("Press Edit here and paint two classes.")
        else:
            self._look()

    # ---- learning

    @property
    def _opens(self) -> bool:
        return self._file is not None or self._claim is not None

    def _look(self) -> None:
        """Learn from what is painted, or say what is missing."""
        painting, image, parent = self._corrected.painting, self._corrected.image, self._form.checkpoint.name
        if painting is None or image is None or self._state is None or not self._form.live.isChecked():
            return
        classes = [name for name in corrected_classes(self._state.areas) if name != "not sure"]
        if len(classes) < 2 or parent is None:
            self.stop()
            missing = "Paint a second class." if classes else "Paint two classes."
            self._say("Choose a checkpoint above." if parent is None else missing)
        elif self._fit is not None or self._opens:
            self._again = True
        elif self._files is None or self._files.name != head_name(parent):
            self.stop()
            self._say("Preparing to learn…")
            self._file = OnDisk(image, "learning", self, whole=True)
            self._file.waiting.connect(self._say)
            self._file.ready.connect(partial(self._open, parent))
            self._file.failed.connect(self._failed)
            self._file.start()
        else:
            self._learn(painting, parent)

    def _open(self, parent: str, source: ImageSource) -> None:
        """Take the files of the network, in a thread."""
        removing, number, self._file, self._source = self._removing, self._number, None, source

        def work(_progress: Progress) -> LiveFiles:
            if removing is not None:
                removing.join()  # it may be about to remove the same files
            source.open()  # raises if it holds another picture now
            return LiveFiles(source.original, parent)

        def claimed(files: LiveFiles) -> None:
            if number != self._number:
                self._remove(files, None)
                return
            self._claim, self._files = None, files
            self._masks.leave_unchosen(str(files.map))
            self._look()

        def failed(error: BaseException) -> None:
            if number == self._number:
                self._claim = None
                self._failed(error)

        self._claim = Job(work)
        self._claim.finished.connect(claimed)
        self._claim.failed.connect(failed)
        self._claim.start()

    def _learn(self, painting: Painting, parent: str) -> None:
        """Learn in the worker. The map of the network before stays in sight, and grows no more."""
        assert self._files is not None
        assert self._source is not None
        source, self._again, self._table = self._source, False, painting.corrections.class_table
        self._end_run()
        self._number += 1
        if self._result is None:
            self._say("Learning…")
        with reported(self._tab):
            request = head_request(
                image=source.path,
                checkpoint=parent,
                corrections=str(painting.corrections.path),
                out=str(self._files.head),
                replace=True,
                device=self._form.device.currentText(),
                value_range=source.value_range,
                bands=source.bands,
            )
            self._fit = start_head(session().engine(), request, partial(self._receive, self._number))

    def _receive(self, number: int, event: StagedEvent) -> None:
        """Receive an event of the worker, on the run's thread."""
        post(partial(self._take, number, event))

    def _take(self, number: int, event: StagedEvent) -> None:
        """Show an event of the fit that counts."""
        if number != self._number or self._fit is None:
            return
        if event.state == "running" and event.messages is not None and self._result is None:
            self._say(f"Learning: {event.messages.done} of {count_of(event.messages.total, 'tile')} read.")
        if event.state not in ("done", "failed", "cancelled"):
            return
        self._fit = None
        if event.error is not None:
            self._failed(event.error)
        if event.state == "done" and not self._again:
            self._classify(event.result)
        elif self._again:
            self._look()

    def _failed(self, error: BaseException | None) -> None:
        """Show an error. What was learned before stays."""
        self._file = None
        self._say("" if self._result is None else "The last strokes are not learned from.")
        if error is not None and not isinstance(error, Cancelled):
            report(error, self._tab)

    # ---- the map

    def _classify(self, result: HeadResult) -> None:
        """Classify the view with a new network."""
        image, files, source = self._corrected.image, self._files, self._source
        assert image is not None
        assert files is not None
        assert source is not None
        self._result = result
        self._form.keep.setEnabled(True)
        self._form.live_line.setToolTip("\n".join(result.notes))
        layer = self.layer
        if layer is not None and self._shown_table != self._table:
            remove_layers(self._viewer, [layer])  # its colors are those of other classes
            self.ended.emit()
        run = self._run = LiveRun(self._viewer, image, layer_name(image, str(files.head)), self, mask_only=True)
        run.progressed.connect(self._progressed)
        run.shown.connect(self._shown)
        run.finished.connect(self._finished)
        request = SegmentationRequest(
            image=source.path,
            out=str(files.map),
            checkpoint=str(files.head),
            device=self._form.device.currentText(),
            value_range=source.value_range,
            bands=source.bands,
            renew=True,
            live=True,
        )
        with reported(self._tab):
            run.start(session().engine(), request)

    def _shown(self, _layers: object) -> None:
        """Hide the other masks, which would shine through."""
        if self.layer is not None:
            self._shown_table = self._table
            self._hidden.set_hidden(True)

    def _progressed(self, progress: RunProgress) -> None:
        if self._result is None:
            return
        cells, figures = count_of(self._result.cells, "cell"), self._result.figures
        learned = f"{cells}, too few held out to be measured"
        if figures:
            regions = count_of(figures["held_out_regions"], "held-out region")
            learned = f"{cells}, accuracy {figures['accuracy']:.2f} on {regions}"
        view = progress.view
        if view is None or view.done == view.total:
            self._say(f"{learned}.")
            self.classified.emit()
        elif view.waiting == 0 and progress.state == "running":
            self._say(f"{learned}. Zoom in to classify: {count_of(view.total, 'tile')} are in view.")
        else:
            self._say(f"{learned}. Classifying: {view.done} of {count_of(view.total, 'tile')}…")

    def _finished(self, progress: RunProgress) -> None:
        """Show why the run ended: it failed, or its image was removed."""
        self._run = None
        if progress.error is not None:
            self._failed(progress.error)

    def _shows(self, mask: Labels) -> bool:
        """Return whether a mask is the map of the strokes."""
        return self._files is not None and mask.metadata.get(STORE_KEY) == str(self._files.map)

    # ---- keeping, and the end

    def _keep(self) -> None:
        """Give the network a name under which it stays, and choose it."""
        files = self._files
        if files is None:
            return

        def kept(path: Path) -> None:
            say(f"{path.name} is kept beside the image.")
            self._form.checkpoint.add(path)

        self._keeping.begin(lambda _progress: files.keep(), kept, lambda error: report(error, self._tab))

    def stop(self) -> None:
        """Learn and classify no more, and remove layer and files."""
        self._rest.stop()
        self._number += 1
        if self._file is not None:
            self._file.cancel()
            self._file = None
        self._claim = None
        self._end_run()
        self._hidden.set_hidden(False)
        if self.layer is not None:
            remove_layers(self._viewer, [self.layer])
        self._form.keep.setEnabled(False)
        self._say("")
        fit, files = self._fit, self._files
        self._fit = self._files = self._result = self._source = self._table = None
        self._again = False
        if fit is not None:
            fit.cancel()
        if files is not None:
            self._remove(files, fit)
            self.ended.emit()

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.abandon()
            run.deleteLater()

    def _remove(self, files: LiveFiles, fit: StagedRun | None) -> None:
        """Remove files in a thread that outlives the window, once nothing writes them."""
        before = self._removing

        def work() -> None:
            if before is not None:
                before.join()
            if fit is not None:
                fit.wait(SETTLE_SECONDS)
            try:
                files.release()
            except FctlError as error:
                post(partial(report, error))

        self._removing = threading.Thread(target=work, name="fctl live files")
        self._removing.start()

    def _say(self, words: str) -> None:
        self._form.live_line.setText(words)
        self._form.live_line.setVisible(bool(words))
