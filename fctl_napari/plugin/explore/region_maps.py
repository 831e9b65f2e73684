"""Maps of a region for the Explore widget: computed through the worker, shown one at a time with its color scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import napari
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from fctl_napari.plugin.common.notify import report
from fctl_napari.plugin.common.progress_text import describe
from fctl_napari.plugin.explore.maps import CONTEXT_COLORS, REGION, Map
from fctl_napari.plugin.layers.map_layers import COLORS, MAP_KEY, WEIGHT_COLORS, map_style
from fctl_napari.plugin.layers.roi import DRAWN, chosen_region, start_drawing
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY, SegmentationLayers
from fctl_napari.plugin.segment.runner import Runner
from fctl_napari.segmentation.jobs.request import SegmentationRequest
from fctl_napari.segmentation.store.map_names import WEIGHT, map_title

if TYPE_CHECKING:
    from fctl_napari.plugin.explore.form import ExploreForm
    from fctl_napari.segmentation.jobs.engine import RunProgress


class RegionMaps(QObject):
    """Runner that computes the maps of a region, and chooser of the one in a viewer that is seen.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer of the layers.
    form : ExploreForm
        Form that gives what to compute, and shows the progress.
    parent : QObject or None, optional
        Qt parent.

    Attributes
    ----------
    changed : Signal()
        There is something new to see.
    ended : Signal(object)
        A run ended, or could not start: its last ``RunProgress``.
    """

    changed = Signal()
    ended = Signal(object)

    def __init__(self, viewer: napari.Viewer, form: ExploreForm, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._form = form
        self._segmentation_layers: SegmentationLayers | None = None
        self._runner = runner = Runner(viewer, self)
        runner.begun.connect(lambda _order: form.set_busy(True))
        runner.waiting.connect(lambda text: form.show_progress(0, 0, text))
        runner.progressed.connect(self._show_progress)
        runner.shown.connect(self._take)
        runner.ended.connect(self._end)

    @property
    def computing(self) -> bool:
        """True if a run, or what it waits for, is under way."""
        return self._runner.request is not None

    # ---- computing

    def start_drawing(self) -> None:
        """Let the user draw the region."""
        start_drawing(self._viewer, self._form.image.layer)
        self._form.where.setCurrentText(DRAWN)

    def compute(self) -> None:
        """Compute the maps that the form asks for.

        ``ended`` follows.

        Raises
        ------
        InputError
            Something is missing, or the region is empty.
        """
        form = self._form
        image, name = form.image.require_layer("explore"), form.checkpoint.require_name()
        request = SegmentationRequest(
            image="",  # known when the layer has a file
            out="",
            checkpoint=name,
            region=chosen_region(self._viewer, image, form.where.currentText()),
            device=form.device.currentText(),
            maps=True,
        )
        form.view.setCurrentText(REGION)
        self._runner.submit(image, request)

    def cancel(self) -> None:
        """Stop the run.

        ``ended`` follows.
        """
        self._form.cancel.setEnabled(False)
        self._form.region_status.setText("Stopping…")
        self._runner.cancel()

    def forget(self) -> None:
        """Stop the run, and drop the maps of this image or checkpoint.

        What is computed stays on disk.
        """
        self._runner.cancel()
        self._segmentation_layers = None

    def abandon(self) -> None:
        """Stop the run when the window or the dock is gone.

        No signal is emitted after it.
        """
        self._runner.abandon()

    def _show_progress(self, progress: RunProgress) -> None:
        """Show the progress of a run that is not being stopped."""
        if self._form.cancel.isEnabled():
            self._form.show_progress(progress.done, progress.total, describe(progress))

    def _take(self, segmentation_layers: SegmentationLayers) -> None:
        """Take the layers of a run."""
        self._segmentation_layers = segmentation_layers
        self.changed.emit()

    def _end(self, progress: RunProgress) -> None:
        """Show the end of a run and report its error."""
        self._form.set_busy(False)
        self._form.show_progress(progress.done, max(progress.total, 1), describe(progress))
        self.changed.emit()
        if progress.error is not None:
            report(progress.error)
        self.ended.emit(progress)

    # ---- showing

    def show(self, title: str, *, whole_range: bool) -> tuple[Map, ...]:
        """Show one map, and hide the others.

        Parameters
        ----------
        title : str
            Title of the map, from ``map_title``.
        whole_range : bool
            If True, the colors run from 0 to 1; else where nearly all values lie, the same for all weights.

        Returns
        -------
        tuple of Map
            Map that is seen, for the legend; empty if it was not computed yet.
        """
        shown: tuple[Map, ...] = ()
        for layer, name in self._layers():
            segmentation_layers = self._segmentation_layers
            ours = (
                segmentation_layers is not None
                and layer.metadata[STORE_KEY] == segmentation_layers.path
                and map_title(name) == title
            )
            if ours and segmentation_layers is not None:
                limits = (0.0, 1.0) if whole_range else segmentation_layers.color_limits(name)
                colormap = map_style(name, limits)["colormap"]
                if layer.colormap.name != colormap.name:
                    layer.colormap = colormap
                shown = (_legend(segmentation_layers, name, limits),)
            if layer.visible != ours:
                layer.visible = ours
        return shown

    def hide(self) -> None:
        """Hide all maps of regions."""
        for layer, _ in self._layers():
            if layer.visible:
                layer.visible = False

    def _layers(self) -> Iterator[tuple[Layer, str]]:
        """Yield the layers of maps in the viewer, with the maps' names."""
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and MAP_KEY in layer.metadata:
                yield layer, str(layer.metadata[MAP_KEY])


def _legend(segmentation_layers: SegmentationLayers, name: str, limits: tuple[float, float]) -> Map:
    """Return a map of a region for the legend."""
    return Map(
        name=name,
        title=map_title(name),
        values=segmentation_layers.maps[name].coarse,
        footprint=(0.0, 0.0, float(segmentation_layers.shape[0]), float(segmentation_layers.shape[1])),
        limits=limits,
        visible=True,
        color=CONTEXT_COLORS.get(name.removeprefix(WEIGHT)),
        colors=COLORS.get(name, WEIGHT_COLORS),
    )
