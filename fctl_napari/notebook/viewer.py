"""Widget that shows an image and its maps in a notebook cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from fctl_napari.exceptions import FctlError
from fctl_napari.notebook.layers import ViewerLayer

STATIC = Path(__file__).parent / "static"


class Viewer(anywidget.AnyWidget):
    """Viewer of layers that lie over each other. ``fctl.show`` makes it.

    Tiles of what is in view go through the kernel's own channel; nothing is fetched from a network.

    Parameters
    ----------
    layers : sequence of ViewerLayer
        Layers, the lowest first, all of the same size.
    **traits : object
        First values of the traits.

    Attributes
    ----------
    clicked : list of int
        (y, x) px that was clicked last, or empty.
    view : list of int
        (y0, x0, y1, x1) px in view. Setting it moves the view.
    swipe : bool
        If True, the uppermost visible layer is shown on the right of a line only.
    layers : list of dict
        What is shown of each layer: ``visible``, ``opacity``.
    """

    _esm = STATIC / "viewer.js"
    _css = STATIC / "viewer.css"
    layers = traitlets.List(traitlets.Dict()).tag(sync=True)
    legend = traitlets.List(traitlets.Dict()).tag(sync=True)
    clicked = traitlets.List(traitlets.Int()).tag(sync=True)
    view = traitlets.List(traitlets.Int()).tag(sync=True)
    swipe = traitlets.Bool(False).tag(sync=True)
    height = traitlets.Int(520).tag(sync=True)
    pixel = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    place = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)

    def __init__(self, layers: Sequence[ViewerLayer], **traits: Any) -> None:
        self._sources = {layer.id: layer.source for layer in layers}
        super().__init__(layers=[layer.to_json() for layer in layers], **traits)
        self.on_msg(self._answer)

    def _answer(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Send the tile that the page asks for."""
        if content.get("kind") != "tile":
            return
        told = {"kind": "tile", "id": content["id"]}
        try:
            scale, x, y = (int(content[name]) for name in ("scale", "x", "y"))
            tile = self._sources[content["layer"]].tile(scale, x, y)
        except (FctlError, OSError, KeyError, ValueError) as error:
            self.send({**told, "error": str(error)})
            return
        self.send({**told, "type": tile.type}, [tile.data])
