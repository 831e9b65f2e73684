"""Results of public functions, shown where magicgui's forms of them are docked."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import napari
from napari.layers import Image, Layer
from napari.utils._magicgui import find_viewer_ancestor
from qtpy.QtWidgets import QTextEdit

from fctl_napari.api.explaining import Explanation
from fctl_napari.api.maps import Map
from fctl_napari.api.measuring import Errors, Figures
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.plugin.layers.explanation_layers import ExplanationLayers
from fctl_napari.plugin.layers.explanation_maps import CHANGES, WHAT_IF, Look
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY, image_source
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY

FOUND = "found"
"""Name of the text in which a form shows what was measured."""

_made: WeakKeyDictionary[Any, WeakKeyDictionary[Layer, str]] = WeakKeyDictionary()
"""Layers that each form made, with the names that they had."""


def show_map(form: Any, found: Map, kind: type) -> None:
    """Open a map that a function returned in the viewer in which its form is docked.

    Layers of the same map that the form made before are replaced, unless they were renamed.

    Parameters
    ----------
    form : FunctionGui
        The form.
    found : Map
        The map.
    kind : type
        What the function says that it returns.
    """
    viewer = find_viewer_ancestor(form.native)
    if viewer is None:
        return
    made = _made.setdefault(form, WeakKeyDictionary())
    path = str(found.path)
    earlier = [
        layer for layer in viewer.layers if layer.metadata.get(STORE_KEY) == path and made.get(layer) == layer.name
    ]
    looks = {layer.name: (viewer.layers.index(layer), layer.visible, layer.opacity) for layer in earlier}
    remove_layers(viewer, earlier)
    opened = {layer.name: layer for layer in viewer.open(path, plugin="fctl-napari")}
    for name, (index, visible, opacity) in looks.items():  # from the lowest to the highest
        if name in opened:
            viewer.layers.move(viewer.layers.index(opened[name]), index)
            opened[name].visible, opened[name].opacity = visible, opacity
    made.update({layer: name for name, layer in opened.items()})


def show_explanation(form: Any, found: Explanation, kind: type) -> None:
    """Show the maps of an explanation over its image, in the viewer in which the form is docked.

    The next one takes their place.

    Parameters
    ----------
    form : FunctionGui
        The form.
    found : Explanation
        What the function returned.
    kind : type
        What the function says that it returns.
    """
    viewer = find_viewer_ancestor(form.native)
    if viewer is None:
        return
    explained = found.explained
    image = _layer_of(form, viewer, explained.request.image)
    if image is None:
        return
    layers = form.native.findChild(ExplanationLayers)
    if layers is None:
        layers = ExplanationLayers(viewer, form.native)
        form.native.destroyed.connect(lambda: layers.leave(layers=False))
    layers.show(image, explained, Look() if explained.without is None else Look(WHAT_IF, CHANGES))
    layers.mark(image, explained.request.pixel)


def _layer_of(form: Any, viewer: napari.Viewer, location: str) -> Image | None:
    """Return the layer of an image: the one chosen in the form, else one of its file, which is opened if need be."""
    chosen = [layer for field in form if isinstance(layer := getattr(field, "layer", None), Image)]
    where = location if is_url(location) else str(Path(location).absolute())
    for layer in (*chosen, *viewer.layers):
        source = image_source(layer) if OVERLAY_KEY not in layer.metadata else None
        if source is not None and where in (source.path, source.original):
            return layer
    arrays = [layer for layer in chosen if image_source(layer) is None and layer in viewer.layers]
    if arrays:
        return arrays[0]
    opened = viewer.open(where, plugin="fctl-napari") if is_url(where) or Path(where).exists() else []
    return next((layer for layer in opened if isinstance(layer, Image)), None)


def show_figures(form: Any, found: Figures | Errors, kind: type) -> None:
    """Show what a function measured below the fields of its form.

    Parameters
    ----------
    form : FunctionGui
        The form.
    found : Figures or Errors
        What the function returned.
    kind : type
        What the function says that it returns.
    """
    page = form.native.findChild(QTextEdit, FOUND)
    if page is None:
        page = QTextEdit(objectName=FOUND, readOnly=True)
        form.native.layout().addWidget(page)
    page.setHtml(found._repr_html_())
