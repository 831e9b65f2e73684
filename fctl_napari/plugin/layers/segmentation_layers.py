"""Layers of a segmentation on disk that grow while it is written elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from fctl_napari.class_colors import MASK_OPACITY
from fctl_napari.evaluation.ground_areas import level_hectares
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.layers.correction_marks import CORRECTIONS_KEY
from fctl_napari.plugin.layers.ground import ground_metadata, on_ground
from fctl_napari.plugin.layers.image_identity import IMAGE_KEY
from fctl_napari.plugin.layers.map_layers import MAP_KEY, color_limits, map_style
from fctl_napari.plugin.layers.own_writer import prefer_own_writer
from fctl_napari.plugin.layers.styles import class_style, confidence_colormap, only_show
from fctl_napari.plugin.layers.transforms import placed_like
from fctl_napari.segmentation.store.identity import take_georeference
from fctl_napari.segmentation.store.map_names import map_title
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow

STORE_KEY = "fctl_store"
"""Key of a layer's ``metadata`` that holds the segmentation's path."""

CONFIDENCE = "confidence"
"""Name of the label group of a segmentation's confidence."""


class StoredLevels:
    """Levels of one label pyramid, the coarsest held in memory.

    napari never reads the coarsest level again, so it is an array of ours that ``update`` synchronizes with the disk.
    The finer ones are read from disk whenever a layer is refreshed.

    Parameters
    ----------
    pyramid : LabelPyramid
        The label pyramid.

    Attributes
    ----------
    coarse : ndarray of uint8 [h, w]
        Coarsest level, in memory.
    levels : list
        All levels, the finest first; the last is ``coarse``.
    """

    def __init__(self, pyramid: LabelPyramid) -> None:
        self._stored = list(pyramid.levels)
        self.coarse: np.ndarray = np.asarray(self._stored[-1][:])
        self.levels: list[Any] = [*self._stored[:-1], self.coarse]

    @property
    def data(self) -> Any:
        """Data of a layer: the levels, or the array if there is only one."""
        return self.levels if len(self.levels) > 1 else self.coarse

    def update(self, windows: Iterable[IntWindow]) -> None:
        """Read the coarsest level again under some windows.

        May run on any thread.

        Parameters
        ----------
        windows : iterable of IntWindow
            Windows, px of level 0.
        """
        corners = np.array(list(windows))
        if not len(corners):
            return
        factor = 2 ** (len(self.levels) - 1)
        y0, x0 = corners[:, :2].min(axis=0) // factor
        y1, x1 = -(-corners[:, 2:].max(axis=0) // factor)
        self.coarse[y0:y1, x0:x1] = self._stored[-1][y0:y1, x0:x1]


class SegmentationLayers:
    """Classes, confidence and maps of a segmentation, ready to be shown.

    Opening reads metadata and the coarsest levels: do it off the main thread.

    Parameters
    ----------
    path : str or Path
        Path of the store.

    Attributes
    ----------
    path : str
        Path of the store.
    stored : Segmentation
        The opened store.
    classes : tuple of ClassInfo
        Classes that are scored, by index.
    mask, confidence : StoredLevels
        Levels of the labels and of the confidence.
    maps : dict of str to StoredLevels
        Levels of the maps, by name; empty if the run kept none.

    Raises
    ------
    InputError
        There is no segmentation there (yet).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.stored = Segmentation.open(path)
        take_georeference(self.stored.facts, self.stored.path)  # the image may have a new one since
        self.classes = displayed(self.stored.class_table).scored
        self.mask = StoredLevels(self.stored.labels)
        self.confidence = StoredLevels(self.stored.confidence)
        self.maps = {name: StoredLevels(pyramid) for name, pyramid in self.stored.maps.items()}
        factor = 2 ** (len(self.mask.levels) - 1)
        self._hectares = level_hectares(self.stored.georeference, self.shape, factor)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of level 0, px."""
        return self.stored.shape

    def update(self, windows: Iterable[IntWindow]) -> None:
        """Take up newly finished windows.

        The layers need a refresh after it.

        May run on any thread.

        Parameters
        ----------
        windows : iterable of IntWindow
            Windows, px of level 0.
        """
        windows = list(windows)
        for levels in (self.mask, self.confidence, *self.maps.values()):
            levels.update(windows)

    def shares(self) -> list[float]:
        """Return the share of each class in what is computed so far, 0..1 by index, counted on the coarsest level."""
        counts = np.bincount(self.mask.coarse.ravel(), minlength=len(self.classes) + 1)[1 : len(self.classes) + 1]
        total = counts.sum()
        return [float(count / total) if total else 0.0 for count in counts]

    def hectares(self) -> list[float] | None:
        """Return the area of each class in what is computed so far, by index, counted on the coarsest level.

        Returns
        -------
        list of float or None
            Hectares; each px counts with its own area. None where the image does not say how large its px are.
        """
        if self._hectares is None:
            return None
        end = len(self.classes) + 1
        found: list[float] = np.bincount(self.mask.coarse.ravel(), self._hectares.ravel(), end)[1:end].tolist()
        return found

    def makers(
        self, viewer: ViewerModel, image: Image, name: str, *, mask_only: bool = False
    ) -> list[Callable[[], Layer]]:
        """Return functions that make the layers over an image.

        Parameters
        ----------
        viewer : ViewerModel
            The viewer.
        image : Image
            Image layer that the segmentation is of.
        name : str
            Name of the mask's layer.
        mask_only : bool, optional
            If True, return only that of the mask.

        Returns
        -------
        list of callable
            Those of mask and confidence. None for a segmentation with maps, which are shown one at a time.
        """
        if mask_only:
            return [partial(self.show_mask, viewer, image, name)]
        if self.maps:
            return []
        return [partial(show, viewer, image, name) for show in (self.show_mask, self.show_confidence)]

    def show_mask(self, viewer: ViewerModel, image: Image, name: str) -> Labels:
        """Show the classes over an image, in the layer that already shows this store if there is one.

        Parameters
        ----------
        viewer : ViewerModel
            The viewer.
        image : Image
            Image layer that the segmentation is of.
        name : str
            Name of a new layer.

        Returns
        -------
        Labels
            The layer, in the viewer.
        """
        found = _find(viewer, self.path, Labels)
        if isinstance(found, Labels):
            found.data = self.mask.data
            return found
        style = class_style((info.name, info.color) for info in self.classes)
        layer = Labels(self.mask.data, name=name, opacity=MASK_OPACITY, **style, **self._common(image))
        only_show(layer)
        prefer_own_writer()
        viewer.layers.insert(above(viewer, image, corrections=False), layer)
        return layer

    def show_confidence(self, viewer: ViewerModel, image: Image, name: str) -> Image:
        """Show the confidence under the classes, hidden at first.

        Parameters
        ----------
        viewer : ViewerModel
            The viewer.
        image : Image
            Image layer that the segmentation is of.
        name : str
            Name of the mask's layer.

        Returns
        -------
        Image
            The layer, in the viewer.
        """
        found = _find(viewer, self.path, Image)
        if isinstance(found, Image):
            found.data = self.confidence.data
            return found
        layer = Image(
            self.confidence.data,
            name=f"{name} confidence",
            colormap=confidence_colormap(),
            contrast_limits=(0, 255),
            blending="translucent",
            visible=False,
            **self._common(image),
        )
        viewer.layers.insert(viewer.layers.index(image) + 1, layer)
        return layer

    def color_limits(self, name: str) -> tuple[float, float]:
        """Return the default limits of a map's colors, by what is computed so far.

        Parameters
        ----------
        name : str
            Name of the map.

        Returns
        -------
        tuple of 2 float
            Values between which the colors run, 0..1.
        """
        return color_limits(name, {key: levels.coarse for key, levels in self.maps.items()})

    def show_map(
        self, viewer: ViewerModel, image: Image, name: str, limits: tuple[float, float] | None = None
    ) -> Image:
        """Show one of the segmentation's maps on top of an image, in the layer that already shows it if there is one.

        Parameters
        ----------
        viewer : ViewerModel
            The viewer.
        image : Image
            Image layer that the segmentation is of.
        name : str
            Name of the map, a key of ``maps``.
        limits : tuple of 2 float or None, optional
            Values, 0..1, between which the colors run. None takes those of :meth:`color_limits`.

        Returns
        -------
        Image
            The layer, in the viewer.
        """
        style = map_style(name, limits or self.color_limits(name))
        found = _find(viewer, self.path, Image, name)
        if isinstance(found, Image):
            found.data = self.maps[name].data
            found.colormap = style["colormap"]
            return found
        arguments = self._common(image)
        arguments["metadata"][MAP_KEY] = name
        layer = Image(
            self.maps[name].data,
            name=f"{image.name} by {self.stored.facts['checkpoint']['name']} {map_title(name)}",
            blending="translucent",
            **style,
            **arguments,
        )
        viewer.layers.insert(above(viewer, image), layer)
        return layer

    def _common(self, image: Image) -> dict[str, Any]:
        """Return the arguments that all layers over an image share."""
        return {
            **placed_like(image),
            "metadata": {
                **ground_metadata(on_ground(image)),
                STORE_KEY: self.path,
                IMAGE_KEY: self.stored.facts["image"]["fingerprint"],
            },
            "multiscale": len(self.mask.levels) > 1,
        }


def refresh(layers: Iterable[Layer], viewer: ViewerModel) -> None:
    """Draw again what is in view of the layers that are still there (about 10 ms each).

    Parameters
    ----------
    layers : iterable of Layer
        The layers.
    viewer : ViewerModel
        The viewer.
    """
    for layer in layers:
        if layer in viewer.layers:
            layer.refresh(extent=False, thumbnail=False, highlight=False)


def _find(viewer: ViewerModel, path: str, kind: type[Layer], shown: str | None = None) -> Layer | None:
    """Find the layer that shows a store, or one of its maps."""
    for layer in viewer.layers:
        same = layer.metadata.get(STORE_KEY) == path and layer.metadata.get(MAP_KEY) == shown
        if isinstance(layer, kind) and same:
            return layer
    return None


def above(viewer: ViewerModel, layer: Layer, *, corrections: bool = True) -> int:
    """Return the index of a new layer over a layer and the pictures that lie on it, under shapes and points.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    layer : Layer
        A layer of the viewer.
    corrections : bool, optional
        If False, it lies under corrections, which would be covered otherwise.

    Returns
    -------
    int
        Index in ``viewer.layers``.
    """
    # Ground truth that came with the image stays under the mask; shapes and points stay over it.
    index = viewer.layers.index(layer) + 1
    while index < len(viewer.layers) and isinstance(viewer.layers[index], Labels | Image):
        if not corrections and CORRECTIONS_KEY in viewer.layers[index].metadata:
            break
        index += 1
    return index


def levels_of(mask: Labels) -> list[Any]:
    """Return the levels that a mask's layer shows.

    Parameters
    ----------
    mask : Labels
        The layer.

    Returns
    -------
    list of object
        Levels, the finest first.
    """
    return list(mask.data) if mask.multiscale else [mask.data]
