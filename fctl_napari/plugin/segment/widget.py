"""The tab Segment: the actions of its fields."""

from __future__ import annotations

import os

import napari
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog

from fctl_napari.api.locations import result_path
from fctl_napari.evaluation.domain import out_of_domain
from fctl_napari.model.model_card import Card
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.progress_text import describe, offer
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.layers.band_combos import show_bands
from fctl_napari.plugin.layers.file_images import open_instead_of
from fctl_napari.plugin.layers.fitting import NONE_FITS
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.hidden_masks import show_alone
from fctl_napari.plugin.layers.image_identity import identities
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.layer_scales import LayerScales
from fctl_napari.plugin.layers.network_band_combos import name_bands
from fctl_napari.plugin.layers.range_fields import show_range
from fctl_napari.plugin.layers.roi import DRAWN, VIEW, chosen_region, start_drawing
from fctl_napari.plugin.layers.segmentation_layers import SegmentationLayers
from fctl_napari.plugin.layers.viewport import image_shape
from fctl_napari.plugin.segment.existing_result import ExistingResult, find_existing_result, find_newest_result
from fctl_napari.plugin.segment.form import SegmentForm
from fctl_napari.plugin.segment.runner import Runner, layer_name
from fctl_napari.progress import Progress
from fctl_napari.segmentation.jobs.engine import RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.words import count_of


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
        self._finding = Jobs(self)  # the result that is there already
        self._scales = LayerScales(napari_viewer, self)
        self._comparing = Jobs(self)  # the image with what the network knows
        self._card: Card | None = None
        self._proposed = ""  # path of the result while the user has not named one
        self._seen = False  # a result of the image and the checkpoint is shown
        self._alone: Labels | None = None  # mask of the last run, which others made way for
        self._followed: Image | None = None  # image whose data are followed
        self._run_of: tuple[Image | None, str | None] = None, None  # image and checkpoint of the last run
        self.form = SegmentForm(header)
        self._fill(self.form)
        self._connect()
        self.form.image.currentIndexChanged.connect(self._image_changed)
        self.form.scales.show_scales(self._scales.scales())
        self._checkpoint_changed()
        self._image_changed()

    def _connect(self) -> None:
        form = self.form
        self._header.fitting.chosen.connect(self._fitting_chosen)
        form.bands.chosen.connect(self._bands_chosen)
        form.values.chosen.connect(self._range_chosen)
        form.network_bands.chosen.connect(self._bands_named)
        form.checkpoint.currentIndexChanged.connect(self._checkpoint_changed)
        form.in_file.wanted.connect(self._open_other)
        form.draw.clicked.connect(self._start_drawing)
        form.result.editingFinished.connect(self._result_changed)
        form.choose_result.clicked.connect(self._ask_result)
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

    @property
    def _run_is_chosen(self) -> bool:
        """True if the last run is of the image and the checkpoint that are chosen now."""
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
            image.events.data.connect(self._data_changed)

    def _data_changed(self) -> None:
        """Take other px in a layer that is no file for another image, whose result is another one too."""
        if self.image is not None and image_source(self.image) is None:
            self._run_of = None, None
            self._show_image()

    def _show_image(self) -> None:
        """Show what is known of the image, and propose its result."""
        self._seen = False
        self.form.in_file.show_images(self.image)
        if self.image is not None:
            identities().names(self.image)  # read again, since its file may have been written anew
        self._show_bands()
        self._propose_result()
        if not self.running:  # what is said of another image
            self.form.show_progress(0, 1, "")
            self.form.legend.show_classes(displayed(self._card.classes).scored if self._card else ())
        self._look_for_result()
        self._live_again()
        self._load_ahead()
        self._guide()
        self._compare_domain()

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

    def _compare_domain(self, result: str | None = None) -> None:
        """Warn if the image, or a result, is unlike the data that the network was trained on."""
        image, card = self.image, self._card
        source = None if image is None else image_source(image)
        self._comparing.drop()
        if result is None:
            self.form.warn(None)
        if source is None or card is None or source.job is not None:
            return

        def work(_progress: Progress) -> str | None:
            return out_of_domain(source.open(), card, None if result is None else Segmentation.open(result))

        # Errors of the image are reported where it is segmented.
        self._comparing.begin(work, self.form.warn, lambda _error: None)

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

    def _bands_chosen(self, bands: tuple[int, int, int]) -> None:
        if self.image is not None:
            with reported(self):
                show_bands(self.image, bands)
            self._live_again()

    def _bands_named(self, names: tuple[str, ...]) -> None:
        if self.image is not None:
            with reported(self):
                name_bands(self.image, names)
            self._show_bands()
            self._live_again()

    def _range_chosen(self, value_range: tuple[float, float]) -> None:
        if self.image is not None:
            with reported(self):
                show_range(self.image, value_range)
            self._live_again()

    def _show_bands(self, _path: str = "") -> None:
        """Show bands and range of the image, now and when its pyramid is made."""
        self.form.bands.show_image(self.image)
        self.form.values.show_image(self.image)
        self.form.network_bands.show_bands(self.image, self._card)
        source = None if self.image is None else image_source(self.image)
        if source is not None and source.job is not None:
            source.job.finished.connect(self._show_bands)

    def _checkpoint_changed(self) -> None:
        self._seen = False
        self._card = self.form.checkpoint.card()
        self.form.card.show_card(self._card)
        self.form.network_bands.show_bands(self.image, self._card)
        self.form.legend.show_classes(displayed(self._card.classes).scored if self._card else ())
        self._propose_result()
        self._look_for_result()
        self._live_again()
        self._load_ahead()
        self._guide()
        self._compare_domain()

    def _ask_result(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Choose the path of the result",
            self.form.result.text(),
            "OME-Zarr (*.ome.zarr)",
            options=QFileDialog.Option.DontConfirmOverwrite,  # a result that exists is resumed
        )
        if path:
            self.form.result.setText(path if path.endswith(".zarr") else f"{path}.ome.zarr")
            self._result_changed()

    def _result_changed(self) -> None:
        self._look_for_result()
        if self._runner.request is not None and self.form.result.text() != self._runner.request.out:
            self._live_again()

    def _start_drawing(self) -> None:
        start_drawing(self._viewer, self.image)
        self.form.where.setCurrentText(DRAWN)

    # ---- the result that is there

    def _propose_result(self) -> None:
        image, name, request = self.image, self.form.checkpoint.name, self._runner.request
        if request is not None and self._run_is_chosen:
            self.form.result.setText(request.out)
            return
        source = image_source(image) if image is not None else None
        text = ""
        if source is not None and name is not None:
            with reported(self):
                text = str(result_path(source.original, name))
        self.form.result.setText(text)
        self._proposed = text
        self.form.result.setPlaceholderText("in the cache folder" if image is not None and source is None else "")

    def look(self) -> None:
        """Show the result that lies at the result's path by now."""
        self._look_for_result()

    def _fitting_chosen(self) -> None:
        """Show the newest result of an image for which there is no checkpoint."""
        self._look_for_result()
        self._guide()

    def _look_for_result(self, _path: str = "") -> None:
        """Show the result that an earlier run left: at the result's path, or of any checkpoint while none is chosen."""
        path, image, name = self.form.result.text(), self.image, self.form.checkpoint.name
        if self.running or image is None or (name is not None and (self._card is None or not path)):
            return
        source = image_source(image)
        if source is not None and source.job is not None:
            source.job.finished.connect(self._look_for_result)  # its pyramid identifies the image
            return
        proposed = path == self._proposed

        def work(_progress: Progress) -> ExistingResult | None:
            if name is not None:
                return find_existing_result(path, name, source, proposed=proposed)
            return None if source is None else find_newest_result(source)

        def found(result: ExistingResult | None) -> None:
            chosen = self.form.result.text(), self.image, self.form.checkpoint.name
            there = result is not None and (result.layers is not None or os.path.isdir(path))
            if result is not None and there and chosen == (path, image, name) and not self.running:
                self._show_existing(image, result)

        self._finding.begin(work, found, self._report)

    def _show_existing(self, image: Image, result: ExistingResult) -> None:
        """Show a result that is there already."""
        name = self.form.checkpoint.name
        if name is not None and result.path != self.form.result.text():
            self.form.result.setText(result.path)
            self._proposed = result.path
        layers = result.layers
        if layers is None or layers.shape != image_shape(image):
            self.form.show_progress(0, 1, result.words)
            return
        stored = layers.stored
        title = layer_name(image, stored.facts["checkpoint"]["name"] if name is None else name)
        mask = layers.show_mask(self._viewer, image, title)
        show_alone(self._viewer, mask)

        def show_confidence() -> None:
            if not self._left and mask in self._viewer.layers and image in self._viewer.layers:
                layers.show_confidence(self._viewer, image, title)

        QTimer.singleShot(0, self, show_confidence)  # one layer a tick: each takes about 100 ms under software OpenGL
        if name is None:
            self.form.legend.show_classes(layers.classes)
        self.form.legend.show_shares(layers.shares(), layers.hectares())
        self._seen = True
        self._guide()
        done = stored.done()
        inherited = int(stored.inherited().sum())
        words = f" {inherited} more are those of {stored.parent_name}." if inherited else ""
        there = f"{done.sum():,} of {count_of(done.size, 'tile')} are there already.{words} {result.words}".strip()
        self.form.show_progress(int(done.sum()), done.size, there)

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
        if self._run_is_chosen:
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
        if not self._run_is_chosen:
            self._propose_result()
        elif progress.done:
            self._compare_domain(self.form.result.text())
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
        return words if self._run_is_chosen or image is None or name is None else f"{layer_name(image, name)}: {words}"

    def _show_shares(self, segmentation_layers: SegmentationLayers) -> None:
        """Show the shares of the classes in the legend, if that is of the same checkpoint."""
        mask = next((layer for layer in self._runner.layers if isinstance(layer, Labels)), None)
        if mask is not None and mask is not self._alone:
            self._alone = mask
            show_alone(self._viewer, mask)
        if self._run_is_chosen:
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
        self._finding.drop()
        self._comparing.drop()
        self._scales.leave()
