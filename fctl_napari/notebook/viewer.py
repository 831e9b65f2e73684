"""Widget that shows an image and its maps in a notebook cell."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from fctl_napari.api.maps import Map
from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.notebook.explaining import PixelExplainer, to_page
from fctl_napari.notebook.layers import ViewerLayer
from fctl_napari.notebook.live import Live
from fctl_napari.notebook.painting import CorrectionTiles, Painting
from fctl_napari.notebook.still import still_picture
from fctl_napari.windows import IntWindow

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
    source : Map or None, optional
        The uppermost map: it is corrected, asked about, and grows while the viewer is live.
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
    live : bool
        If True, the tiles in view are computed, and appear as they come.
    problem : str
        The last error, or an empty text.
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
    location = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    paints = traitlets.Bool(False).tag(sync=True)
    strokes = traitlets.Int(0).tag(sync=True)

    live = traitlets.Bool(False).tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)

    def __init__(self, layers: Sequence[ViewerLayer], source: Map | None = None, **traits: Any) -> None:
        self._sources = {layer.id: layer.source for layer in layers}
        self.painting = None if source is None else Painting(source)
        self._explainer = None if source is None else PixelExplainer(source)
        self._live = None if source is None else Live(source, self._grown, self._live_failed)
        self._map_layer = next((layer.id for layer in reversed(layers) if layer.id.startswith("map-")), "")
        if source is not None and self.painting is not None:
            colors = [info.color for info in source.classes.scored]
            tiles = CorrectionTiles(self.painting, colors, source.shape)
            self._sources[CORRECTIONS] = tiles
            layers = [*layers, ViewerLayer(CORRECTIONS, "corrections", "classes", tiles, source.shape)]
        self._layers = layers
        super().__init__(layers=[layer.to_json() for layer in layers], paints=source is not None, **traits)
        self.on_msg(self._answer)
        self.observe(self._live_changed, "live")
        self.observe(self._view_changed, "view")

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the widget, and a picture in its place for pages on which widgets cannot run."""
        bundle: tuple[dict[str, Any], dict[str, Any]] | None = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        with suppress(FctlError, OSError):
            bundle[0]["image/png"] = base64.b64encode(still_picture(self._layers)).decode("ascii")
        return bundle

    def _answer(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Do what the page asks for."""
        kind = content.get("kind")
        if kind == "tile":
            self._send_tile(content)
        elif kind in ("stroke", "undo", "redo"):
            self._paint(kind, content)
        elif kind == "ask":
            self._ask(content)

    def _paint(self, kind: str, content: dict[str, Any]) -> None:
        """Save a stroke, or take one back, and tell the page once it is on disk."""
        answer = {"kind": "painted", "id": content.get("id")}
        try:
            if self.painting is None:
                raise InputError("there is no map to correct; show one.")
            if kind == "stroke":
                self.strokes += int(self.painting.stroke(content) > 0)
            elif self.painting.turn(kind == "undo"):
                self.strokes += -1 if kind == "undo" else 1
        except (FctlError, KeyError, TypeError, ValueError) as error:
            self.send({**answer, "error": str(error)})
            return
        self.refresh(CORRECTIONS)
        self.refresh(self._map_layer)  # a corrected map has the corrections in it
        self.send(answer)

    def _ask(self, content: dict[str, Any]) -> None:
        """Explain the pixel that was clicked."""
        answer: dict[str, Any] = {"kind": "asked"}
        try:
            if self._explainer is None:
                raise InputError("there is no map to ask about; show one.")
            y, x = (float(content[name]) for name in ("y", "x"))
            found, pictures = to_page(self._explainer.explain(y, x, str(content.get("without", ""))))
        except (FctlError, KeyError, TypeError, ValueError) as error:
            self.send({**answer, "error": str(error)})
            return
        self.send({**answer, **found}, pictures)

    # ---- live

    def _live_changed(self, change: dict[str, Any]) -> None:
        """Begin or end the live run."""
        if self._live is None:
            return
        try:
            if change["new"]:
                self.problem = ""
                self._live.start(self._window)
            else:
                self._live.stop()
        except FctlError as error:
            self._live_failed(error)

    def _view_changed(self, _change: dict[str, Any]) -> None:
        """Compute what is in view now."""
        if self._live is not None and self._live.running:
            self._live.look(self._window)

    @property
    def _window(self) -> IntWindow | None:
        """Window in view."""
        if len(self.view) != 4:
            return None
        y0, x0, y1, x1 = self.view
        return y0, x0, y1, x1

    def _grown(self) -> None:
        """Show the tiles that were added."""
        self.refresh(self._map_layer)

    def _live_failed(self, error: BaseException) -> None:
        """Show why nothing is computed."""
        self.problem = str(error)
        self.live = False

    def refresh(self, layer: str) -> None:
        """Have the page read a layer's tiles again, as its px have changed.

        Parameters
        ----------
        layer : str
            Its id.
        """
        self.versions = {**self.versions, layer: self.versions.get(layer, 0) + 1}

    def close(self) -> None:
        """Close the viewer, the corrections that it has open, and its live run."""
        if self._live is not None:
            self._live.stop()
        if self.painting is not None:
            self.painting.close()
        super().close()

    def _send_tile(self, content: dict[str, Any]) -> None:
        """Send the tile that the page asks for."""
        answer = {"kind": "tile", "id": content["id"]}
        try:
            scale, x, y = (int(content[name]) for name in ("scale", "x", "y"))
            tile = self._sources[content["layer"]].tile(scale, x, y)
        except (FctlError, OSError, KeyError, ValueError) as error:
            self.send({**answer, "error": str(error)})
            return
        self.send({**answer, "type": tile.type}, [tile.data])
