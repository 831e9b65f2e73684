"""Maps of a region for the tab Explore: computed through the worker, shown one at a time with its color scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from fctl_napari.plugin.common.notify import report
from fctl_napari.plugin.common.progress_text import describe
from fctl_napari.plugin.layers.explanation_maps import CONTEXT_COLORS, REGION, Map
from fctl_napari.plugin.layers.map_layers import COLORS, MAP_KEY, WEIGHT_COLORS
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.roi import DRAWN, chosen_region, start_drawing
from fctl_napari.plugin.layers.segmentation_layers import SegmentationLayers, refresh
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

    @property
    def shows_maps(self) -> bool:
        """True if a map is shown."""
        return any(MAP_KEY in layer.metadata for layer in self._viewer.layers)

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
            report(progress.error, self)
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
        found, image = self._segmentation_layers, self._form.image.layer
        name = None if found is None else next((name for name in found.maps if map_title(name) == title), None)
        if found is None or name is None or image is None:
            self.clear()
            return ()
        limits = (0.0, 1.0) if whole_range else found.color_limits(name)
        chosen = set(self._viewer.layers.selection)
        layer = found.show_map(self._viewer, image, name, limits)
        self._viewer.layers.selection = chosen  # napari selects what is added
        self.clear(but=layer)
        refresh([layer], self._viewer)
        return (_legend(found, name, limits),)

    def clear(self, *, but: Layer | None = None) -> None:
        """Remove the maps of regions from the viewer.

        Parameters
        ----------
        but : Layer or None, optional
            One that stays.
        """
        maps = [layer for layer in self._viewer.layers if MAP_KEY in layer.metadata and layer is not but]
        remove_layers(self._viewer, maps)


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
