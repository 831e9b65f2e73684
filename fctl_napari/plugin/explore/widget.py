"""Tab Explore: a click explains a pixel, with layers for what the network drew from where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import napari
import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog

from fctl_napari.exceptions import InputError
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.explore.feed import ExplainFeed
from fctl_napari.plugin.explore.form import ExploreForm
from fctl_napari.plugin.explore.legend import map_scales
from fctl_napari.plugin.explore.region_maps import RegionMaps
from fctl_napari.plugin.layers.explanation_layers import ExplanationLayers
from fctl_napari.plugin.layers.explanation_maps import (
    ATTENTION,
    KINDS,
    RECEIVED,
    REGION,
    WHAT_IF,
    Look,
    Map,
    changes,
    items,
    summary,
)
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.hidden_masks import HiddenMasks
from fctl_napari.plugin.layers.image_source import ImageSource, image_source
from fctl_napari.plugin.layers.on_disk import OnDisk
from fctl_napari.plugin.layers.pixel_picker import Picker
from fctl_napari.plugin.layers.transforms import moves, seen_pixels
from fctl_napari.plugin.layers.viewport import image_shape
from fctl_napari.progress import Progress
from fctl_napari.segmentation.jobs.explanation import ExplainRequest
from fctl_napari.segmentation.store.map_names import map_names, map_title

if TYPE_CHECKING:
    from fctl_napari.model.model_card import Card
    from fctl_napari.segmentation.jobs.explanation import TileExplanation

Pixel = tuple[float, float]


class ExploreWidget(DockedWidget):
    """Widget that explains pixels of an image layer: attention, fusion weights, enhancements, probabilities, what-ifs.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Viewer that it is docked in.
    header : Header
        Fields for image, checkpoint and device, which the tabs share.

    Attributes
    ----------
    form : ExploreForm
        The fields.
    explained : Signal(object)
        An explanation is shown: its ``TileExplanation``.
    computed : Signal(object)
        A run over a region ended, or could not start: its last ``RunProgress``.
    saved : Signal(str)
        A figure was saved: its path.
    """

    explained = Signal(object)
    computed = Signal(object)
    saved = Signal(str)

    def __init__(self, napari_viewer: napari.Viewer, header: Header) -> None:
        super().__init__(napari_viewer)
        self._card: Card | None = None
        self._entered = False  # the tab is shown
        self._pixel: Pixel | None = None
        self._explanation: TileExplanation | None = None
        self._image: Image | None = None
        self._saved: ImageSource | None = None
        self._asked = ""  # path of the image of the last request
        self._file: OnDisk | None = None
        self._feed = ExplainFeed(self)
        self._saving = Jobs(self)
        self._picker = Picker(napari_viewer, self)
        self._layers = ExplanationLayers(napari_viewer, self)
        self._masks = HiddenMasks(napari_viewer)
        self.form = ExploreForm(header)
        self._regions = RegionMaps(napari_viewer, self.form, self)
        self._fill(self.form)
        self._connect()
        self.form.image.currentIndexChanged.connect(self._image_changed)
        self._image_changed()
        self._checkpoint_changed()

    def _connect(self) -> None:
        """Connect the fields and helpers."""
        form = self.form
        form.checkpoint.currentIndexChanged.connect(self._checkpoint_changed)
        form.device.currentIndexChanged.connect(self._ask_again)
        form.pick.toggled.connect(self._pick_toggled)
        form.save.clicked.connect(self._ask_where_to_save)
        form.view.currentTextChanged.connect(self._draw)
        form.item.textActivated.connect(self._draw)
        form.part.textActivated.connect(self._draw)
        form.shared.clicked.connect(self._draw)
        form.channel.valueChanged.connect(self._ask_again)
        for box in form.without.values():
            box.clicked.connect(self._what_if_changed)
        form.draw.clicked.connect(self._start_drawing)
        form.compute.clicked.connect(self.compute)
        form.cancel.clicked.connect(self._regions.cancel)
        self._regions.changed.connect(self._draw)
        self._regions.ended.connect(self.computed)
        self._picker.picked.connect(self._clicked)
        self._picker.switched.connect(form.pick.setChecked)
        self._layers.dragged.connect(self.explain)
        self._feed.explained.connect(self._take)
        self._feed.failed.connect(self._failed)

    # ---- the tab

    def tab_shown(self, name: str) -> None:
        """Show the explanation again, or remove the layers and show the mask again.

        Parameters
        ----------
        name : str
            Name of the tab that is shown.
        """
        entered, self._entered = self._entered, name == "Explore"
        if self._entered:
            self._draw()
            if self._pixel is not None and self.image is not None:
                self._layers.mark(self.image, self._pixel)
        elif entered:
            self._remove_layers()

    def _remove_layers(self) -> None:
        """Remove the layers, and show the mask again."""
        self._picker.switch(False)
        self._layers.clear()
        self._regions.clear()
        self._masks.set_hidden(False)

    # ---- fields

    @property
    def image(self) -> Image | None:
        """Chosen image layer, or None."""
        return self.form.image.layer

    @property
    def explanation(self) -> TileExplanation | None:
        """Explanation that is shown, or None."""
        return self._explanation

    @property
    def busy(self) -> bool:
        """True if an explanation, or what it waits for, is under way."""
        return self._feed.busy or self._file is not None

    @property
    def computing(self) -> bool:
        """True if maps of a region are computed."""
        return self._regions.computing

    def _image_changed(self) -> None:
        """Take another image, and forget the one before."""
        self._follow_image(self.image)
        self._forget()

    def _follow_image(self, image: Image | None) -> None:
        """Follow the placement and the data of an image."""
        for emitter in moves(self._image):
            emitter.disconnect(self._draw)
        if self._image is not None:
            self._image.events.data.disconnect(self._data_changed)
        self._image = image
        self._saved = None
        for emitter in moves(image):
            emitter.connect(self._draw)
        if image is not None:
            image.events.data.connect(self._data_changed)

    def _data_changed(self, _event: Any = None) -> None:
        """Drop the file behind an array that has changed."""
        self._saved = None

    def _forget(self) -> None:
        """Drop the requests and the maps of the image before."""
        self._feed.forget()
        self._saving.drop()
        if self._file is not None:
            self._file.cancel()
            self._file = None
        self._asked, self._pixel, self._explanation = "", None, None
        self._layers.clear()
        self._forget_region()
        self.form.status.setText("Press Pick, then click on the image." if self.image is not None else "")
        self.form.guide.say("" if self.image is not None else "Open an image first.")

    def _checkpoint_changed(self) -> None:
        """Take another checkpoint, and explain the pixel with it."""
        self._card = self.form.checkpoint.card()
        self.form.show_card(self._card)
        self._forget_region()
        self._ask_again()

    def _pick_toggled(self, on: bool) -> None:
        """Switch the pick mode, and load the network ahead."""
        if on:
            self._follow_window()
            self._saved = None  # an array may have been written to since
            with reported(self):
                name, device = self.form.checkpoint.require_name(), self.form.device.currentText()
                session().engine().warm(name, device, engine="torch")
        self._picker.switch(on)

    # ---- asking

    def _clicked(self, world: np.ndarray) -> None:
        """Explain the pixel at a location of the world."""
        with reported(self):
            if self._viewer.dims.ndisplay != 2:
                raise InputError("the viewer shows three dimensions; switch it to two to pick a pixel.")
            pixel = seen_pixels(self._viewer, self.form.image.require_layer("explore"), world)
            self.explain((float(pixel[0]), float(pixel[1])))

    def explain(self, pixel: Pixel) -> None:
        """Explain a pixel of the chosen image.

        The layers follow.

        Parameters
        ----------
        pixel : Pixel
            (y, x), px of level 0; pixel i covers [i, i + 1).
        """
        with reported(self):
            image = self.form.image.require_layer("explore")
            self.form.checkpoint.require_name()
            height, width = image_shape(image)
            if not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
                self.form.status.setText(f"The pixel is outside {image.name}; click on the image.")
                return
            self._pixel = pixel
            self._layers.mark(image, pixel)
            self._ask_again()

    def _ask_again(self) -> None:
        """Explain the pixel with what the fields now hold."""
        image = self.image
        if self._pixel is None or image is None or self._card is None:
            return
        self._follow_window()
        source = image_source(image)
        if source is not None and source.job is None:
            self._saved = source
        if self._saved is not None:
            self._ask(self._saved)
        elif self._file is None:
            self._file = OnDisk(image, "the explanation", self)
            self._file.waiting.connect(self.form.status.setText)
            self._file.ready.connect(self._file_ready)
            self._file.failed.connect(self._file_failed)
            self._file.start()

    def _file_ready(self, source: ImageSource) -> None:
        """Explain the pixel now that the image is on disk."""
        self._file, self._saved = None, source
        self._ask_again()

    def _file_failed(self, error: BaseException | None) -> None:
        """Report that the image could not be brought to disk."""
        self._file = None
        self.form.status.setText("")
        if error is not None:
            report(error, self)

    def _ask(self, source: ImageSource) -> None:
        """Request the explanation of the pixel."""
        assert self._pixel is not None
        self._asked = source.path
        channel = self.form.channel.value()
        request = ExplainRequest(
            image=source.path,
            checkpoint=self.form.checkpoint.require_name(),
            pixel=self._pixel,
            device=self.form.device.currentText(),
            value_range=source.value_range,
            bands=source.bands,
            channel=None if channel < 0 else channel,
            without=self.form.what_if(),
        )
        if not self._feed.busy:
            self.form.status.setText("Explaining…")
        with reported(self):
            self._feed.ask(request)

    def _take(self, explanation: TileExplanation) -> None:
        """Show an explanation, unless another image or checkpoint was chosen since."""
        request, image = explanation.request, self.image
        if image is None or request.image != self._asked or request.checkpoint != self.form.checkpoint.name:
            return  # another image or checkpoint was chosen since
        self._explanation = explanation
        self._draw()
        self.form.status.setText(summary(explanation))
        self.form.guide.say("", "Next: correct what is wrong (Correct)", "Correct")
        self.explained.emit(explanation)

    def _failed(self, error: BaseException) -> None:
        """Report that an explanation failed."""
        self.form.status.setText("")
        report(error, self)

    # ---- showing

    def _what_if_changed(self) -> None:
        """Show the what-if and request it."""
        if self.form.what_if():
            self.form.view.setCurrentText(WHAT_IF)
        self._ask_again()

    def _draw(self, _event: Any = None) -> None:
        """Show the maps that the fields ask for, as far as they are there."""
        self.form.save.setEnabled(self._explanation is not None)
        if self._entered:
            self._draw_maps()
        self._draw_figures(self._explanation)

    def _draw_maps(self) -> None:
        """Show the maps in the viewer, and hide the mask below them."""
        form, explanation, image = self.form, self._explanation, self.image
        if form.view.currentText() == REGION:
            form.scales.show_scales(map_scales(self._draw_region()))
        else:
            self._regions.clear()
            form.offer_items(items(form.view.currentText(), explanation))
            shown: tuple[Map, ...] = ()
            if explanation is not None and image is not None:
                shown = self._layers.show(image, explanation, form.look())
            form.scales.show_scales(map_scales(shown))
        self._masks.set_hidden(self._layers.shows_maps or self._regions.shows_maps)

    def _draw_figures(self, explanation: TileExplanation | None) -> None:
        """Show probabilities, changes and the scale bar."""
        form = self.form
        if explanation is None:
            form.probabilities.show_probabilities((), np.zeros(0))
            form.changed.setText("")
            return
        self._viewer.canvas.overlays.scale_bar.visible = True
        without = explanation.without
        second = None if without is None else without.probabilities
        form.probabilities.show_probabilities(
            displayed(explanation.class_table).scored, explanation.probabilities, second
        )
        form.changed.setText("" if without is None else changes(explanation))

    # ---- maps of a region

    def _draw_region(self) -> tuple[Map, ...]:
        """Show the chosen map of a region."""
        self._layers.clear_maps()
        config = None if self._card is None else self._card.config
        self.form.offer_items(() if config is None else tuple(map_title(name) for name in map_names(config)))
        look = self.form.look()
        return self._regions.show(look.item, whole_range=look.shared)

    def _start_drawing(self) -> None:
        """Let the user draw the region."""
        self._picker.switch(False)
        self._regions.start_drawing()

    def compute(self) -> None:
        """Compute the maps of the region that the fields give.

        ``computed`` follows.
        """
        self._follow_window()
        with reported(self):
            self._regions.compute()

    def _forget_region(self) -> None:
        """Drop the maps of a region."""
        self._regions.forget()
        self._draw()

    # ---- the figure

    def _ask_where_to_save(self) -> None:
        """Ask for a path and save the figure there."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the figure", "explanation.png", "Figures (*.png *.svg *.pdf)")
        if path:
            self.save_figure(path)

    def save_figure(self, path: str) -> None:
        """Save the shown explanation as a figure like the paper's Figs 10 and 11, in a thread.

        ``saved`` follows.

        Parameters
        ----------
        path : str
            Path of the file; it ends in ``.png``, ``.svg`` or ``.pdf``.
        """
        if self._explanation is None:
            return
        look = self.form.look()
        explanation = self._explanation
        self.form.status.setText("Drawing the figure…")

        def work(_progress: Progress) -> str:
            _save(explanation, path, look)
            return path

        self._saving.begin(work, self._figure_saved, self._figure_failed)

    def _figure_saved(self, path: str) -> None:
        self.form.status.setText(f"Saved as {path}.")
        self.saved.emit(path)

    def _figure_failed(self, error: BaseException) -> None:
        self.form.status.setText("")
        report(error, self)

    # ---- the end

    def _leave(self, *, layers: bool) -> None:
        """Cancel all requests and stop following the viewer when the dock or the window is gone."""
        self._feed.forget()
        self._saving.drop()
        if self._file is not None:
            self._file.cancel()
            self._file = None
        self._picker.switch(False)
        self._regions.abandon()
        self._layers.leave(layers=layers)
        if layers:
            self._regions.clear()
            self._masks.set_hidden(False)
        self._follow_image(None)


def _save(explanation: TileExplanation, path: str, look: Look) -> None:
    """Draw and write the figure.

    It runs on a thread, because it loads matplotlib and reads the image.
    """
    from fctl_napari.figures.explanation import explanation_figure
    from fctl_napari.figures.files import check_figure_path, save_figure

    kind = KINDS[look.part] if look.view in (ATTENTION, RECEIVED) else "combined"
    limits: Literal["shared", "each"] = "shared" if look.shared else "each"
    check_figure_path(path)
    save_figure(explanation_figure(explanation, limits=limits, part=kind), path)
