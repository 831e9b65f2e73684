"""Widget that shows an image and its maps in a notebook cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.notebook.layers import ViewerLayer
from fctl_napari.notebook.painting import Painting

STATIC = Path(__file__).parent / "static"
CORRECTIONS = "corrections"
"""Id of the layer of what is painted."""


class Viewer(anywidget.AnyWidget):
    """Viewer of layers that lie over each other. ``fctl.show`` makes it.

    Tiles of what is in view go through the kernel's own channel; nothing is fetched from a network.

    Parameters
    ----------
    layers : sequence of ViewerLayer
        Layers, the lowest first, all of the same size.
    painting : Painting or None, optional
        Corrections that can be painted.
    **traits : object
        First values of the traits.

    Attributes
    ----------
    clicked : list of int
        (y, x) px that was clicked last, or empty.
    view : list of int
        (y0, x0, y1, x1) px in view. Setting it moves the view.
    swipe : bool
        If True, the uppermost visible map is shown on the right of a line only.
    layers : list of dict
        What is shown of each layer: ``visible``, ``opacity``.
    strokes : int
        Number of strokes that were saved, less those that were undone.
    """

    _esm = STATIC / "viewer.js"
    _css = STATIC / "viewer.css"
    layers = traitlets.List(traitlets.Dict()).tag(sync=True)
    versions = traitlets.Dict().tag(sync=True)
    legend = traitlets.List(traitlets.Dict()).tag(sync=True)
    clicked = traitlets.List(traitlets.Int()).tag(sync=True)
    view = traitlets.List(traitlets.Int()).tag(sync=True)
    swipe = traitlets.Bool(False).tag(sync=True)
    height = traitlets.Int(520).tag(sync=True)
    pixel = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    place = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    paints = traitlets.Bool(False).tag(sync=True)
    strokes = traitlets.Int(0).tag(sync=True)

    def __init__(self, layers: Sequence[ViewerLayer], painting: Painting | None = None, **traits: Any) -> None:
        self._sources = {layer.id: layer.source for layer in layers}
        self._painting = painting
        super().__init__(layers=[layer.to_json() for layer in layers], paints=painting is not None, **traits)
        self.on_msg(self._answer)

    def _answer(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Do what the page asks for."""
        kind = content.get("kind")
        if kind == "tile":
            self._send_tile(content)
        elif kind in ("stroke", "undo", "redo"):
            self._paint(kind, content)

    def _paint(self, kind: str, content: dict[str, Any]) -> None:
        """Save a stroke, or take one back, and tell the page once it is on disk."""
        told = {"kind": "painted", "id": content.get("id")}
        try:
            if self._painting is None:
                raise InputError("there is no map to correct; show one.")
            if kind == "stroke":
                self.strokes += int(self._painting.stroke(content) > 0)
            elif self._painting.turn(kind == "undo"):
                self.strokes += -1 if kind == "undo" else 1
        except (FctlError, KeyError, TypeError, ValueError) as error:
            self.send({**told, "error": str(error)})
            return
        self.refresh(CORRECTIONS)
        self.send(told)

    def refresh(self, layer: str) -> None:
        """Have the page read a layer's tiles again, as its px have changed.

        Parameters
        ----------
        layer : str
            Its id.
        """
        self.versions = {**self.versions, layer: self.versions.get(layer, 0) + 1}

    def close(self) -> None:
        """Close the viewer, and the corrections that it has open."""
        if self._painting is not None:
            self._painting.close()
        super().close()

    def _send_tile(self, content: dict[str, Any]) -> None:
        """Send the tile that the page asks for."""
        told = {"kind": "tile", "id": content["id"]}
        try:
            scale, x, y = (int(content[name]) for name in ("scale", "x", "y"))
            tile = self._sources[content["layer"]].tile(scale, x, y)
        except (FctlError, OSError, KeyError, ValueError) as error:
            self.send({**told, "error": str(error)})
            return
        self.send({**told, "type": tile.type}, [tile.data])
