"""Layer that shows what is exported: the final map, composed where one looks, or its provenance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject

from fctl_napari.correcting.final_map import ComposedLabels, find_final_map
from fctl_napari.correcting.provenance import Provenance
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.io.export import What
from fctl_napari.plugin.layers.computed_level import ComputedLevel
from fctl_napari.plugin.layers.hidden_masks import HiddenMasks
from fctl_napari.plugin.layers.image_source import FINAL_KEY, OVERLAY_KEY
from fctl_napari.plugin.layers.own_writer import SAVED_KEY, prefer_own_writer
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY, above
from fctl_napari.plugin.layers.styles import class_style, only_show
from fctl_napari.plugin.layers.transforms import placed_like
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation


class MapLayer(QObject):
    """Layer of the map that is exported, which is there as long as the tab is shown.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer of the layer.
    parent : QObject or None, optional
        Qt's parent.
    """

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._opening = Jobs(self)
        self._masks = HiddenMasks(viewer)
        self._layer: Labels | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, or None if it is not there."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    @property
    def running(self) -> bool:
        """True while the map is opened."""
        return self._opening.running

    def show(self, mask: Labels, what: What, failed: Callable[[BaseException], None]) -> None:
        """Show a map in place of a mask.

        Where nobody painted, the final map is what the mask shows, and no layer is made.

        Parameters
        ----------
        mask : Labels
            Layer of the segmentation.
        what : What
            What is shown. For the prediction the mask is enough.
        failed : callable
            Called with the error of a map that cannot be opened.
        """
        self.hide()
        store = str(mask.metadata[STORE_KEY])

        def work(_progress: Progress) -> tuple[list[Any], ClassTable] | None:
            segmentation = Segmentation.open(store)
            final = find_final_map(segmentation)
            if what == "provenance":
                shown = Provenance(final or segmentation)
                return _levels(shown.labels), shown.class_table
            return None if final is None else (_levels(final.labels), displayed(final.class_table))

        def opened(found: tuple[list[Any], ClassTable] | None) -> None:
            if found is not None and mask in self._viewer.layers:
                self._add(mask, what, *found)

        if what != "prediction":
            self._opening.begin(work, opened, failed)

    def hide(self) -> None:
        """Remove the layer, and show the mask again."""
        self._opening.drop()
        layer = self.layer
        if layer is not None:
            chosen = set(self._viewer.layers.selection) - {layer}
            remove_layers(self._viewer, [layer])
            self._viewer.layers.selection = chosen
        self._layer = None
        self._masks.set_hidden(False)

    def _add(self, mask: Labels, what: What, levels: list[Any], table: ClassTable) -> None:
        """Add the layer over the mask, which is hidden."""
        layer = self._layer = Labels(
            levels if len(levels) > 1 else levels[0],
            name=f"{what} of {mask.name}",
            opacity=mask.opacity,
            multiscale=len(levels) > 1,
            metadata={
                OVERLAY_KEY: True,
                SAVED_KEY: (mask.metadata[STORE_KEY], what),
                **({FINAL_KEY: True} if what == "final map" else {}),
            },
            **class_style((info.name, info.color) for info in table.scored),
            **placed_like(mask),
        )
        only_show(layer)
        prefer_own_writer()
        chosen = set(self._viewer.layers.selection)
        self._viewer.layers.insert(above(self._viewer, mask), layer)
        self._viewer.layers.selection = chosen
        self._masks.set_hidden(True)


def _levels(labels: ComposedLabels) -> list[Any]:
    """Return levels that are composed when they are read, the coarsest in memory, as napari reads it only once."""

    def reader(level: int) -> Callable[[slice, slice], np.ndarray]:
        def read(rows: slice, columns: slice) -> np.ndarray:
            return labels.read((rows.start, columns.start, rows.stop, columns.stop), level)

        return read

    shapes = labels.level_shapes
    chunks = labels.chunk, labels.chunk
    finer = [ComputedLevel(reader(level), shape, chunks) for level, shape in enumerate(shapes[:-1])]
    return [*finer, labels.read((0, 0, *shapes[-1]), len(shapes) - 1)]
