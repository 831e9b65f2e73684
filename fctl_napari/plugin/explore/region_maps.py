"""Maps of a region, for the Explore widget: computed through the worker, shown one at a time with its colour scale."""

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
from fctl_napari.plugin.segment.runner import Runner, SegmentInputs
from fctl_napari.segmentation.store.map_names import WEIGHT, map_title

if TYPE_CHECKING:
    from fctl_napari.plugin.explore.form import ExploreForm
    from fctl_napari.segmentation.jobs.engine import RunProgress


class RegionMaps(QObject):
    """Computes the maps of a region, and chooses which of those in a viewer is seen.

    Parameters
    ----------
    viewer
        Where the layers go.
    form
        Says what to compute, and shows how far it is.

    Signals
    -------
    changed
        There is something new to see.
    ended : object
        The last ``RunProgress`` of a run; also of one that could not start.
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
        """Whether a run, or what it waits for, is under way."""
        return self._runner.inputs is not None

    # ---- computing

    def start_drawing(self) -> None:
        """Let the user draw the region."""
        start_drawing(self._viewer, self._form.image.layer)
        self._form.where.setCurrentText(DRAWN)

    def compute(self) -> None:
        """Compute what the form says; ``ended`` follows.

        Raises
        ------
        InputError
            Something is missing, or the region is empty.
        """
        form = self._form
        image, name = form.image.require_layer("explore"), form.checkpoint.require_name()
        inputs = SegmentInputs(
            layer=image,
            checkpoint=name,
            region=chosen_region(self._viewer, image, form.where.currentText()),
            device=form.device.currentText(),
            out="",
            fresh=False,
            live=False,
            maps=True,
        )
        form.view.setCurrentText(REGION)
        self._runner.submit(inputs)

    def cancel(self) -> None:
        """Stop the run; ``ended`` follows."""
        self._form.cancel.setEnabled(False)
        self._form.region_status.setText("Stopping…")
        self._runner.cancel()

    def forget(self) -> None:
        """Stop, and go on with nothing of this image or checkpoint; what is computed stays on disk."""
        self._runner.cancel()
        self._segmentation_layers = None

    def abandon(self) -> None:
        """Stop, and say nothing any more: the window or the dock is gone."""
        self._runner.abandon()

    def _show_progress(self, progress: RunProgress) -> None:
        if self._form.cancel.isEnabled():
            self._form.show_progress(progress.done, progress.total, describe(progress))

    def _take(self, segmentation_layers: SegmentationLayers) -> None:
        self._segmentation_layers = segmentation_layers
        self.changed.emit()

    def _end(self, progress: RunProgress) -> None:
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
        title
            Of the map, ``map_title``.
        whole_range
            The colours run from 0 to 1; else where nearly all values lie, the same for all weights.

        Returns
        -------
        tuple of Map
            What is seen, for the legend; empty if it was not computed yet.
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
        """Hide all of them."""
        for layer, _ in self._layers():
            if layer.visible:
                layer.visible = False

    def _layers(self) -> Iterator[tuple[Layer, str]]:
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and MAP_KEY in layer.metadata:
                yield layer, str(layer.metadata[MAP_KEY])


def _legend(segmentation_layers: SegmentationLayers, name: str, limits: tuple[float, float]) -> Map:
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
