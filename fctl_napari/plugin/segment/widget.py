"""The tab Segment: its runs, and what its parts do together."""

from __future__ import annotations

import napari
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtGui import QShowEvent

from fctl_napari.model.model_card import Card
from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.progress_text import describe, offer
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.layers.file_images import open_instead_of
from fctl_napari.plugin.layers.fitting import NONE_FITS
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.hidden_masks import show_alone
from fctl_napari.plugin.layers.image_identity import identities
from fctl_napari.plugin.layers.image_source import ImageSource, image_source
from fctl_napari.plugin.layers.layer_scales import LayerScales
from fctl_napari.plugin.layers.live_run import layer_name
from fctl_napari.plugin.layers.roi import DRAWN, VIEW, chosen_region, start_drawing
from fctl_napari.plugin.layers.segmentation_layers import SegmentationLayers
from fctl_napari.plugin.segment.domain_warning import DomainWarning
from fctl_napari.plugin.segment.form import SegmentForm
from fctl_napari.plugin.segment.reading_fields import ReadingFields
from fctl_napari.plugin.segment.result_field import ResultField
from fctl_napari.plugin.segment.runner import Runner
from fctl_napari.segmentation.jobs.engine import RunProgress, SegmentationRequest


class SegmentWidget(DockedWidget):
    """Widget that segments an image layer in another process and shows the result tile by tile.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Viewer that the widget is docked in.
    header : Header
        Fields for image, checkpoint and device, which the tabs share.

    Attributes
    ----------
    progressed : Signal(object)
        The latest ``RunProgress`` of a run, at most every 100 ms.
    finished : Signal(object)
        The last ``RunProgress`` of a run, also of one that could not start.
    """

    progressed = Signal(object)
    finished = Signal(object)

    def __init__(self, napari_viewer: napari.Viewer, header: Header) -> None:
        super().__init__(napari_viewer)
        self._runner = Runner(napari_viewer, self)
        self._header = header
        self._scales = LayerScales(napari_viewer, self)
        self._card: Card | None = None
        self._seen = False  # a result of the image and the checkpoint is shown
        self._alone: Labels | None = None  # mask of the last run, which others made way for
        self._followed: Image | None = None  # image whose data are followed
        self._source: ImageSource | None = None  # file that it shows
        self._run_of: tuple[Image | None, str | None] = None, None  # image and checkpoint of the last run
        form = self.form = SegmentForm(header)
        self._fill(form)
        self._reading = ReadingFields(form, lambda: self._card)
        self._domain = DomainWarning(form)
        self._result = ResultField(napari_viewer, form, self._runner, lambda: self._card, self._run_is_chosen)
        self._connect()
        form.image.currentIndexChanged.connect(self._image_changed)
        form.scales.show_scales(self._scales.scales())
        self._checkpoint_changed()
        self._image_changed()

    def _connect(self) -> None:
        form = self.form
        self._header.fitting.chosen.connect(self._fitting_chosen)
        self._reading.changed.connect(self._live_again)
        self._result.named.connect(self._result_named)
        self._result.shown.connect(self._result_shown)
        form.checkpoint.currentIndexChanged.connect(self._checkpoint_changed)
        form.in_file.wanted.connect(self._open_other)
        form.draw.clicked.connect(self._start_drawing)
        form.device.currentIndexChanged.connect(self._live_again)
        form.live.toggled.connect(self._live_toggled)
        form.offer.clicked.connect(self._run_view)
        form.run.clicked.connect(self.start)
        form.cancel.clicked.connect(self.cancel)
        runner = self._runner
        runner.begun.connect(self._begun)
        runner.waiting.connect(lambda text: form.show_progress(0, 0, text))
        runner.progressed.connect(self._show_progress)
        runner.shown.connect(self._show_shares)
        runner.ended.connect(self._ended)
        self._scales.changed.connect(form.scales.show_scales)

    # ---- fields

    @property
    def image(self) -> Image | None:
        """Chosen image layer."""
        return self.form.image.layer

    @property
    def card(self) -> Card | None:
        """Model card of the chosen checkpoint, or None if there is none or it cannot be read."""
        return self._card

    @property
    def running(self) -> bool:
        """True while a run, or what it waits for, is under way."""
        return self._runner.request is not None

    @property
    def live(self) -> bool:
        """True while a live run, which computes the tiles in view, is under way."""
        return self._runner.request is not None and self._runner.request.live

    def _run_is_chosen(self) -> bool:
        """Return whether the last run is of the image and the checkpoint that are chosen now."""
        return self._run_of == (self.image, self.form.checkpoint.name)

    def _open_other(self, location: str) -> None:
        """Open another image of the file, and choose it."""
        layer = open_instead_of(self._viewer, self.image, location)
        if layer is None:
            self.form.in_file.show_images(self.image)
        else:
            self.form.image.setCurrentIndex(self.form.image.findData(layer))

    def _image_changed(self) -> None:
        self._follow(self.image)
        self._show_image()

    def _follow(self, image: Image | None) -> None:
        """Follow the data of an image."""
        if self._followed is not None:
            self._followed.events.data.disconnect(self._data_changed)
        self._followed = image
        if image is not None:
            self._source = image_source(image)
            image.events.data.connect(self._data_changed)

    def _data_changed(self) -> None:
        """Take other px in a layer for another image, whose result is another one too, unless its file shows them."""
        if self.image is None:
            return
        before, self._source = self._source, image_source(self.image)
        if self._source is None or self._source is not before:
            self._run_of = None, None
            self._show_image()

    def _show_image(self) -> None:
        """Show what is known of the image, and propose its result."""
        self._seen = False
        self.form.in_file.show_images(self.image)
        if self.image is not None:
            identities().names(self.image)  # read again, since its file may have been written anew
        self._reading.show_image()
        self._result.propose()
        if not self.running:  # what is said of another image
            self.form.show_progress(0, 1, "")
            self.form.legend.show_classes(displayed(self._card.classes).scored if self._card else ())
        self._result.look()
        self._live_again()
        self._load_ahead()
        self._guide()
        self._domain.compare(self.image, self._card)

    def showEvent(self, event: QShowEvent) -> None:
        """Load the network ahead once the widget is seen."""
        super().showEvent(event)
        self._load_ahead()

    def _load_ahead(self) -> None:
        """Load the network while the user looks at the form."""
        if self.isVisible() and self.image is not None and self._card is not None and not self.running:
            with reported(self):
                name, device = self.form.checkpoint.require_name(), self.form.device.currentText()
                session().engine().warm(name, device)

    def _guide(self) -> None:
        """Show what is missing, or the next step."""
        guide, stored = self.form.guide, self._seen
        if self.image is None:
            guide.say("Open an image first: File > Open, or drop it here. File > Open Sample > FCtL has a scene.")
        elif stored and not self.running:
            guide.say("", "Next: where is it wrong? (Errors)", "Errors")
        elif self._card is None:
            guide.say(NONE_FITS if self._header.fitting.none_fits else "Choose a checkpoint above.")
        else:
            guide.say("")

    def _checkpoint_changed(self) -> None:
        self._seen = False
        self._card = self.form.checkpoint.card()
        self.form.card.show_card(self._card)
        self._reading.show_card()
        self.form.legend.show_classes(displayed(self._card.classes).scored if self._card else ())
        self._result.propose()
        self._result.look()
        self._live_again()
        self._load_ahead()
        self._guide()
        self._domain.compare(self.image, self._card)

    def _result_named(self) -> None:
        """Begin anew where another result was named for a live run."""
        if self._runner.request is not None and self.form.result.text() != self._runner.request.out:
            self._live_again()

    def _result_shown(self) -> None:
        """Show the next step, as a result is there already."""
        self._seen = True
        self._guide()

    def _start_drawing(self) -> None:
        start_drawing(self._viewer, self.image)
        self.form.where.setCurrentText(DRAWN)

    # ---- the result that is there

    def look(self) -> None:
        """Show the result that lies at the result's path by now."""
        self._result.look()

    def _fitting_chosen(self) -> None:
        """Show the newest result of an image for which there is no checkpoint."""
        self._result.look()
        self._guide()

    @property
    def segmenting(self) -> bool:
        """True while a run is under way."""
        return self.running

    def offer_checkpoint(self, checkpoint: str) -> None:
        """Add a checkpoint to the choices and choose it.

        Parameters
        ----------
        checkpoint : str
            Built-in name or checkpoint file.
        """
        self.form.add_checkpoint(checkpoint)

    # ---- running

    def start(self) -> None:
        """Run the request that the fields describe (the Run button).

        Live mode makes way and comes back afterwards.
        """
        self._give(live=False)

    def _run_view(self) -> None:
        """Run the tiles in view, however many these are (the offer of live mode)."""
        self.form.where.setCurrentText(VIEW)
        self.start()

    def cancel(self) -> None:
        """Stop the run and switch live mode off (the Cancel button)."""
        if self.live:
            self._show_live(False)
        self.form.cancel.setEnabled(False)
        self.form.status.setText("Stopping…")
        self._runner.cancel()

    def _live_toggled(self, on: bool) -> None:
        if on and not self.running:  # else it begins when the run ends
            self._give(live=True)
        elif not on and self.live:
            self.cancel()

    def _live_again(self) -> None:
        """Restart live mode after its settings changed."""
        if not self.live:
            return
        if self.image is None:
            self.form.live.setChecked(False)
            return
        for layer in self._runner.layers:  # of the result so far, which stays on disk
            layer.visible = False
        self._give(live=True)

    def _give(self, *, live: bool) -> None:
        self._follow_window()
        with reported(self):
            image, request = self._asked(live)
            self._run_of = image, request.checkpoint
            self._runner.submit(image, request)
        self._show_live(self.form.live.isChecked() and self.running)

    def _asked(self, live: bool) -> tuple[Image, SegmentationRequest]:
        """Return the image layer and the request that the fields describe.

        Raises
        ------
        InputError
            Something is missing, or cannot be segmented.
        """
        image, name = self.form.image.require_layer("segment"), self.form.checkpoint.require_name()
        return image, SegmentationRequest(
            image="",  # known when the layer has a file
            out=self.form.result.text(),
            checkpoint=name,
            region=None if live else chosen_region(self._viewer, image, self.form.where.currentText()),
            device=self.form.device.currentText(),
            fresh=self.form.fresh.isChecked(),
            live=live,
        )

    def _begun(self, request: SegmentationRequest) -> None:
        if self._run_is_chosen():
            self.form.result.setText(request.out)
        self.form.fresh.setChecked(False)  # the next run may concern another result
        self.form.set_busy(True, live=request.live)
        self._guide()

    def _show_progress(self, progress: RunProgress) -> None:
        if self.form.cancel.isEnabled():
            view = progress.view
            done, total = (progress.done, progress.total) if view is None else (view.done, max(view.total, 1))
            self.form.show_progress(done, total, self._words(progress))
            self.form.make_offer("" if self._card is None else offer(progress, self._card.config.tile_size))
        self.progressed.emit(progress)

    def _ended(self, progress: RunProgress) -> None:
        self.form.set_busy(False)
        self.form.make_offer("")
        self.form.show_progress(progress.done, max(progress.total, 1), self._words(progress))
        if not self._run_is_chosen():
            self._result.propose()
        elif progress.done:
            self._domain.compare(self.image, self._card, self.form.result.text())
        if progress.state == "failed":
            self._show_live(False)
        if progress.error is not None:
            report(progress.error, self)
        self._guide()
        self.finished.emit(progress)
        if self.form.live.isChecked() and not self._runner.followed:
            self._give(live=True)

    def _words(self, progress: RunProgress) -> str:
        """Describe the progress of the last run, and say of what it is if something else is chosen now."""
        image, name = self._run_of
        words = describe(progress)
        if self._run_is_chosen() or image is None or name is None:
            return words
        return f"{layer_name(image, name)}: {words}"

    def _show_shares(self, segmentation_layers: SegmentationLayers) -> None:
        """Show the shares of the classes in the legend, if that is of the same checkpoint."""
        mask = next((layer for layer in self._runner.layers if isinstance(layer, Labels)), None)
        if mask is not None and mask is not self._alone:
            self._alone = mask
            show_alone(self._viewer, mask)
        if self._run_is_chosen():
            self._seen = True
            self.form.legend.show_shares(segmentation_layers.shares(), segmentation_layers.hectares())

    def _show_live(self, on: bool) -> None:
        """Press or release the Live button without starting or stopping anything."""
        self.form.live.blockSignals(True)
        self.form.live.setChecked(on)
        self.form.live.blockSignals(False)

    # ---- the end

    def _leave(self, *, layers: bool) -> None:
        """Stop the run and disconnect everything, as the dock or the window is gone."""
        self._follow(None)
        self._show_live(False)
        self._runner.abandon()
        self._result.leave()
        self._domain.leave()
        self._scales.leave()
