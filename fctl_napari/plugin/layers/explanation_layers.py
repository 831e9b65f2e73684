"""Explanations as layers over their image, updated in place, one view at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.layers.base import ActionType
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.layers.explanation_colors import colormap
from fctl_napari.plugin.layers.explanation_maps import (
    CHANGES,
    CONTEXT_COLORS,
    MASK,
    MASK_WITHOUT,
    WHAT_IF,
    Look,
    Map,
    difference,
    maps,
)
from fctl_napari.plugin.layers.image_source import EXPLORE, OVERLAY_KEY
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.styles import class_style
from fctl_napari.plugin.layers.transforms import move, outline, placed_like, placed_over, to_pixels

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.explanation import TileExplanation
    from fctl_napari.windows import FloatWindow

OUTLINES, MARKER = "outlines", "query"

OPACITY = 0.75
LINE_PX = 2.0
MARKER_PX = 22
TILE_COLOR = (255, 255, 255)
CELL_COLOR = (255, 220, 0)
DIMMED = np.array([0, 0, 0, 0.6], np.float32)
REST_MS = 150


class ExplanationLayers(QObject):
    """Layers of one viewer that show explanations.

    There are only layers of what is seen now, and these are used again for what is seen next.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer of the layers.
    parent : QObject or None, optional
        Qt parent.

    Attributes
    ----------
    dragged : Signal(object)
        The user moved the query marker: the pixel (y, x), px of level 0.
    """

    dragged = Signal(object)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: dict[str, Layer] = {}
        self._image: Image | None = None
        self._windows: list[tuple[FloatWindow, tuple[int, int, int], float]] = []
        self._moving = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.timeout.connect(self._draw_widths)
        viewer.scene.camera.events.zoom.connect(self._zoomed)

    def layer(self, name: str) -> Layer | None:
        """Return the layer of a map.

        Parameters
        ----------
        name : str
            Name of the map.

        Returns
        -------
        Layer or None
            The layer, or None if it was not made or is gone.
        """
        layer = self._layers.get(name)
        return layer if layer is not None and layer in self._viewer.layers else None

    @property
    def shows_maps(self) -> bool:
        """True if a map or a mask is shown."""
        return any(name not in (OUTLINES, MARKER) for name in self._layers)

    def mark(self, image: Image, pixel: tuple[float, float]) -> None:
        """Put the query marker on a pixel of an image.

        Parameters
        ----------
        image : Image
            The image layer.
        pixel : tuple of 2 float
            (y, x), px of level 0.
        """
        placement = placed_like(image)
        point = np.asarray([pixel]) - 0.5
        self._image = image
        marker = self.layer(MARKER)
        self._moving = True  # the change that follows is not the user's
        if isinstance(marker, Points):
            move(marker, placement)
            marker.data = point
            _see(marker, True)
        else:
            marker = Points(
                point,
                symbol="cross",
                size=self._on_screen(image, MARKER_PX),
                canvas_size_limits=(MARKER_PX, MARKER_PX),
                face_color="yellow",
                border_width=0,
                **self._named(MARKER),
                **placement,
            )
            self._add(MARKER, marker)
            marker.events.data.connect(self._marker_changed)
        self._moving = False

    def show(self, image: Image, explanation: TileExplanation, look: Look) -> tuple[Map, ...]:
        """Show one view of an explanation over an image.

        Parameters
        ----------
        image : Image
            The image layer.
        explanation : TileExplanation
            The explanation.
        look : Look
            View and map to show.

        Returns
        -------
        tuple of Map
            Maps that are seen now, for the legend; empty for masks, which have the classes' own colors.
        """
        self._image = image
        shown = tuple(entry for entry in maps(explanation, look) if entry.visible)
        wanted = {look.item} if look.view == WHAT_IF else {entry.name for entry in shown}
        spare = [name for name in self._layers if name not in (*wanted, OUTLINES, MARKER)]
        self._outline(image, explanation)
        for entry in shown:
            self._show_map(image, entry, spare)
        if look.view == WHAT_IF:
            self._show_mask(image, explanation, look.item, spare)
        self._remove(spare)
        return shown

    def clear(self) -> None:
        """Remove all layers, when what they show is no longer wanted."""
        self._remove(list(self._layers))
        self._windows = []

    def clear_maps(self) -> None:
        """Remove the maps and masks.

        Outlines and marker stay.
        """
        self._remove([name for name in self._layers if name not in (OUTLINES, MARKER)])

    def leave(self, *, layers: bool) -> None:
        """Stop following the viewer.

        Parameters
        ----------
        layers : bool
            If True, remove the layers from the viewer, which stays open.
        """
        self._timer.stop()
        self._viewer.scene.camera.events.zoom.disconnect(self._zoomed)
        marker = self._layers.get(MARKER)
        if marker is not None:
            marker.events.data.disconnect(self._marker_changed)
        if layers:
            self.clear()
        self._layers.clear()
        self._image = None

    # ---- maps and masks

    def _show_map(self, image: Image, entry: Map, spare: list[str]) -> None:
        """Show a map in its layer, in one that is spare, or in a new one."""
        rgb = entry.values.ndim == 3
        placement = placed_over(image, entry.footprint, entry.values.shape[:2])
        layer = self._reuse(entry.name, spare, lambda other: isinstance(other, Image) and other.rgb == rgb)
        if layer is None:
            style = {} if rgb else {"colormap": colormap(entry.scale_color), "contrast_limits": entry.limits}
            layer = Image(
                entry.values,
                rgb=rgb,
                opacity=OPACITY,
                blending="translucent_no_depth",
                interpolation2d="nearest",
                **style,
                **self._named(entry.name),
                **placement,
            )
            self._add(entry.name, layer)
            return
        layer.data = entry.values
        if not rgb:
            layer.contrast_limits_range = (min(0.0, entry.limits[0]), entry.limits[1])
            layer.contrast_limits = entry.limits
            if layer.colormap.name != colormap(entry.scale_color).name:
                layer.colormap = colormap(entry.scale_color)
        move(layer, placement)
        _see(layer, True)

    def _show_mask(self, image: Image, explanation: TileExplanation, item: str, spare: list[str]) -> None:
        """Show the chosen mask of an explanation, if it has that."""
        without = explanation.without
        if item == MASK:
            labels = explanation.labels
        elif without is None:
            return
        else:
            labels = without.labels if item == MASK_WITHOUT else difference(explanation)
        style = class_style((info.name, info.color) for info in displayed(explanation.class_table).scored)
        opacity = OPACITY
        if item == CHANGES:  # few, small, and perhaps of the color of the ground, so what does not change is dimmed
            style["colormap"] = DirectLabelColormap(color_dict={**style["colormap"].color_dict, 0: DIMMED})
            opacity = 1.0
        placement = placed_over(image, explanation.tile, labels.shape)
        layer = self._reuse(item, spare, lambda other: isinstance(other, Labels))
        if layer is None:
            layer = Labels(labels, opacity=opacity, **style, **self._named(item), **placement)
            layer.editable = False
            self._add(item, layer)
            return
        layer.data = labels
        layer.colormap, layer.features, layer.opacity = style["colormap"], style["features"], opacity
        move(layer, placement)
        _see(layer, True)

    # ---- outlines and marker

    def _outline(self, image: Image, explanation: TileExplanation) -> None:
        """Outline the tile, the contexts and the cell of the pixel."""
        windows: list[tuple[FloatWindow, tuple[int, int, int], float]] = []
        for context in sorted(explanation.contexts, key=lambda context: -(context.window[2] - context.window[0])):
            color = CONTEXT_COLORS[context.name]
            windows.append((context.window, color, LINE_PX))
            if not np.allclose(context.footprint, context.window, atol=0.5):
                windows.append((context.footprint, color, LINE_PX / 2))
        if not any(np.allclose(window, explanation.tile, atol=0.5) for window, _, _ in windows):
            windows.append((explanation.tile, TILE_COLOR, LINE_PX))
        windows.append((explanation.cell_window, CELL_COLOR, LINE_PX))
        shapes = self.layer(OUTLINES)
        placement = placed_like(image)
        corners = [outline(window) for window, _, _ in windows]
        if not isinstance(shapes, Shapes):
            shapes = Shapes(
                corners,
                shape_type="polygon",
                face_color="transparent",
                edge_color=[_rgba(color) for _, color, _ in windows],
                edge_width=self._widths(image, windows),
                opacity=1.0,
                **self._named(OUTLINES),
                **placement,
            )
            shapes.editable = False
            self._windows = windows
            self._add(OUTLINES, shapes)
            return
        move(shapes, placement)
        if windows != self._windows:
            if [entry[1:] for entry in windows] == [entry[1:] for entry in self._windows]:
                shapes.data = corners
            else:
                shapes.data = []
                shapes.add(
                    corners,
                    shape_type="polygon",
                    face_color="transparent",
                    edge_color=[_rgba(color) for _, color, _ in windows],
                    edge_width=self._widths(image, windows),
                )
            self._windows = windows
        _see(shapes, True)

    def _widths(self, image: Image, windows: list[tuple[FloatWindow, tuple[int, int, int], float]]) -> list[float]:
        """Return line widths in px of the image that give the wanted widths on the screen."""
        return [self._on_screen(image, width) for _, _, width in windows]

    def _on_screen(self, image: Image, width: float) -> float:
        """Return a width of the screen, px, in px of the image."""
        return width / (float(np.max(np.abs(image.scale[-2:]))) * self._viewer.scene.camera.zoom)

    def _zoomed(self, _event: Any = None) -> None:
        """Adapt the widths when the zoom rests."""
        self._timer.start()

    def _draw_widths(self) -> None:
        """Adapt line widths and the marker's size to the zoom."""
        shapes, marker = self.layer(OUTLINES), self.layer(MARKER)
        if isinstance(marker, Points) and self._image is not None:
            marker.size = self._on_screen(self._image, MARKER_PX)
        if isinstance(shapes, Shapes) and self._image is not None and len(shapes.data) == len(self._windows):
            shapes.edge_width = self._widths(self._image, self._windows)
            shapes.refresh(extent=False, thumbnail=False, highlight=False)

    def _marker_changed(self, event: Any) -> None:
        """Emit the pixel to which the user moved the marker."""
        marker = self.layer(MARKER)
        if (
            event.action != ActionType.CHANGED
            or self._moving
            or self._image is None
            or not isinstance(marker, Points)
            or not len(marker.data)
        ):
            return
        pixel = to_pixels(self._image, marker.data_to_world(marker.data[-1]))
        self.dragged.emit((float(pixel[0]), float(pixel[1])))

    # ---- the layer list

    def _reuse(self, name: str, spare: list[str], fits: Callable[[Layer], bool]) -> Layer | None:
        """Return the layer of a map, or one that is spare and fits, which is the map's from now on."""
        if (layer := self.layer(name)) is not None:
            return layer
        for other in spare:
            layer = self.layer(other)
            if layer is not None and fits(layer):
                spare.remove(other)
                del self._layers[other]
                self._layers[name] = layer
                layer.name, layer.metadata[OVERLAY_KEY] = EXPLORE + name, name
                return layer
        return None

    def _remove(self, names: Iterable[str]) -> None:
        """Remove layers from the viewer, and keep the image active rather than what napari chooses."""
        layers, removed = self._viewer.layers, []
        for name in names:
            layer = self._layers.pop(name)
            if name == MARKER:
                layer.events.data.disconnect(self._marker_changed)
            if layer is layers.selection.active and self._image is not None and self._image in layers:
                layers.selection.active = self._image
            removed.append(layer)
        remove_layers(self._viewer, removed)

    def _named(self, name: str) -> dict[str, Any]:
        """Return the arguments of a layer with our name and mark."""
        return {"name": EXPLORE + name, "metadata": {OVERLAY_KEY: name}}

    def _add(self, name: str, layer: Layer) -> None:
        """Add a layer under outlines and marker, and keep the selection."""
        layers = self._viewer.layers
        chosen = set(layers.selection)
        over = [other for key in (OUTLINES, MARKER) if key != name and (other := self.layer(key)) is not None]
        first = min((layers.index(other) for other in over), default=len(layers)) if name != MARKER else len(layers)
        layers.insert(first, layer)
        layers.selection = chosen  # because napari selects what is added
        self._layers[name] = layer


def _see(layer: Layer, visible: bool) -> None:
    """Set a layer's visibility if it differs."""
    if layer.visible != visible:  # napari builds its scene anew even if nothing changed
        layer.visible = visible


def _rgba(color: Iterable[int]) -> list[float]:
    """Convert a color of 0..255 to RGBA 0..1."""
    return [*(channel / 255 for channel in color), 1.0]
