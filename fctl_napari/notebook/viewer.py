"""Widget that shows an image and its maps in a notebook cell."""

from __future__ import annotations

import base64
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from fctl_napari.api.finetuning import Candidate
from fctl_napari.api.maps import Map
from fctl_napari.correcting.correction_store import corrections_state
from fctl_napari.exceptions import Cancelled, FctlError, InputError
from fctl_napari.notebook.explaining import PixelExplainer, to_page
from fctl_napari.notebook.layers import ViewerLayer
from fctl_napari.notebook.live import Live
from fctl_napari.notebook.map_layers import changed_layers, ground_truth_layers, legend_of, map_layers
from fctl_napari.notebook.map_tiles import MapTiles
from fctl_napari.notebook.messages import (
    AnyMessage,
    ClassPicked,
    PixelAsked,
    RegionAccepted,
    RegionMarked,
    RegionStepped,
    RegionsWanted,
    StrokeDrawn,
    StrokeTurned,
    TileWanted,
    TuningSteered,
    is_slow,
    read_message,
)
from fctl_napari.notebook.painting import CorrectionTiles, Painting
from fctl_napari.notebook.reviewing import Reviewing, view_around
from fctl_napari.notebook.still import still_picture
from fctl_napari.notebook.tiles import TileSource
from fctl_napari.notebook.tuning import Tuning
from fctl_napari.notebook.viewed_map import ViewedMap
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow, require_region

STATIC = Path(__file__).parent / "static"
CORRECTIONS = "corrections"
"""Id of the layer of what is painted."""
AFTER = "after"
"""End of the ids of the layers of a fine-tuned network."""
LEGEND_SECONDS = 2.0
"""Shortest time between two counts of the legend's shares, s."""


Answer = tuple[dict[str, Any], list[bytes]]


_viewers: weakref.WeakSet[Viewer] = weakref.WeakSet()
"""Viewers of this process that are not closed, which show what is painted and computed in one of them."""


class Viewer(anywidget.AnyWidget):
    """Viewer of layers that lie over each other. ``fctl.show`` makes it.

    Tiles of what is in view go through the kernel's own channel; nothing is fetched from a network.

    Parameters
    ----------
    layers : sequence of ViewerLayer
        Layers, the lowest first, all of the same size.
    viewed : ViewedMap or None, optional
        The uppermost map: it is corrected, asked about, reviewed, learned from, and grows while the viewer is live.
    ground_truth : Path or None, optional
        Its ground truth.
    **traits : object
        First values of the traits.

    Attributes
    ----------
    clicked : list of int
        (y, x) px that was clicked last, or empty.
    view : list of int
        (y0, x0, y1, x1) px in view. Setting it moves the view.
    region : list of int
        (y0, x0, y1, x1) px of the error or doubt that is looked at, or empty.
    swipe : bool
        If True, the uppermost visible map is shown on the right of a line, those below it on the left.
    side_by_side : bool
        If True, the uppermost visible map is shown on the right, and those below it in a second view on the left.
    layers : list of dict
        What is shown of each layer: ``visible``, ``opacity``.
    strokes : int
        Number of strokes that were saved in this viewer, less those that were undone.
    live : bool
        If True, the tiles in view are computed, and appear as they come.
    tuning : dict
        State and figures of fine-tuning; see ``Tuning``.
    reason : str
        Reason why nothing can be painted or asked, or an empty text.
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
    region = traitlets.List(traitlets.Int()).tag(sync=True)
    swipe = traitlets.Bool(False).tag(sync=True)
    side_by_side = traitlets.Bool(False).tag(sync=True)
    height = traitlets.Int(520).tag(sync=True)
    pixel = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    location = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    works = traitlets.Bool(False).tag(sync=True)
    reason = traitlets.Unicode("").tag(sync=True)
    parts = traitlets.List(traitlets.Unicode()).tag(sync=True)
    reviews = traitlets.List(traitlets.Unicode()).tag(sync=True)
    strokes = traitlets.Int(0).tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    tuning = traitlets.Dict({"state": "none"}).tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        layers: Sequence[ViewerLayer],
        viewed: ViewedMap | None = None,
        *,
        ground_truth: Path | None = None,
        **traits: Any,
    ) -> None:
        self._viewed, self._ground_truth = viewed, ground_truth
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._thread = ThreadPoolExecutor(1, "fctl-viewer")  # for what takes longer than a tile or a stroke
        self._layers = list(layers)
        self._map_layer = next((layer.id for layer in reversed(layers) if layer.id.startswith("map-")), "")
        self._after: Path | None = None  # result of a fine-tuned network that is shown
        self._legend_at = 0.0
        if viewed is not None:
            self._work_on(viewed)
            tiles = CorrectionTiles(self.painting, viewed.map.shape)
            self._layers.append(ViewerLayer(CORRECTIONS, "corrections", "classes", tiles, viewed.map.shape))
            traits |= {"works": True, "reviews": list(self._reviewing.kinds)}
            with suppress(FctlError):  # asking says why the network is not at hand
                traits["parts"] = self._explainer.parts()
        super().__init__(layers=[layer.to_json() for layer in self._layers], **traits)
        if hasattr(self.comm, "_reply_subshell_for"):
            # ipykernel 7.4 hands the page's messages to the thread that sent last on the comm: once a cell has set a
            # trait that is the main one, and tiles would wait for the cells that compute
            self.comm._reply_subshell_for = lambda _data, named: named
        self.on_msg(self._receive)
        self.observe(self._switch_live, "live")
        self.observe(self._look_there, "view")
        _viewers.add(self)

    def _work_on(self, viewed: ViewedMap) -> None:
        """Take a map to be corrected, asked about, reviewed, learned from, and computed."""
        self._viewed = viewed
        self.painting = Painting(viewed)
        self._corrected = corrections_state(viewed.corrections_path)
        self._explainer = PixelExplainer(viewed)
        self._live = Live(viewed, self._grown, self._live_failed)
        self._reviewing = Reviewing(viewed, self._ground_truth, self.painting.there)
        self._tuning = Tuning(viewed, self._ground_truth, self._tuned, self._show_after)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the widget, and a picture in its place for pages on which widgets cannot run."""
        if self._closed.is_set():
            return {"text/plain": "This viewer is closed; show the map again."}, {}
        bundle: tuple[dict[str, Any], dict[str, Any]] | None = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        with suppress(FctlError, OSError):
            bundle[0]["image/png"] = base64.b64encode(still_picture(self._layers)).decode("ascii")
        return bundle

    @property
    def candidate(self) -> Candidate | None:
        """The fine-tuned network that waits to be kept or rolled back, if there is one."""
        return None if self._viewed is None else self._tuning.candidate

    # ---- messages

    def _receive(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Take a message of the page. What takes longer than a tile or a stroke is done in a thread."""
        if self._closed.is_set():
            return
        number = content.get("id") if isinstance(content, dict) else None
        try:
            message = read_message(content)
        except InputError as error:
            self._reply({"id": number, "error": str(error)})
            return
        if is_slow(message):
            with suppress(RuntimeError):  # it was closed meanwhile
                self._thread.submit(self._answer, message)
        else:
            self._answer(message)

    def _answer(self, message: AnyMessage) -> None:
        """Do what the page wants, and answer in any case."""
        try:
            found, buffers = self._do(message)
        except Cancelled:
            return
        except (FctlError, OSError) as error:
            self._reply({"id": message.id, "error": str(error)})
        except Exception as error:  # the page must not wait for an answer that never comes
            self._reply({"id": message.id, "error": f"the viewer failed ({type(error).__name__}: {error})."})
            raise
        else:
            self._reply({"id": message.id, **found}, buffers)

    def _do(self, message: AnyMessage) -> Answer:
        """Do what the page wants, and return the answer."""
        if isinstance(message, TileWanted):
            return self._tile(message)
        if self._viewed is None:
            raise InputError(self.reason or "there is no map; show one.")
        if isinstance(message, PixelAsked):
            return to_page(self._explainer.explain(message.y, message.x, message.without))
        if isinstance(message, StrokeDrawn | StrokeTurned | RegionAccepted):
            return self._paint(message), []
        if isinstance(message, ClassPicked):
            return {"value": self.painting.value_at(message.y, message.x)}, []
        if isinstance(message, TuningSteered):
            return self._steer(message), []
        return self._review(message), []

    def _reply(self, content: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send a message to the page, unless the viewer is closed."""
        if not self._closed.is_set():
            self.send(content, list(buffers))

    def _tile(self, wanted: TileWanted) -> Answer:
        """Draw a tile."""
        layer = next((layer for layer in self._layers if layer.id == wanted.layer), None)
        if layer is None:
            raise InputError(f"{wanted.layer}: is no layer of this viewer.")
        tile = layer.source.tile(wanted.scale, wanted.x, wanted.y)
        return {"type": tile.type}, [tile.data]

    # ---- painting

    def _paint(self, message: StrokeDrawn | StrokeTurned | RegionAccepted) -> dict[str, Any]:
        """Save a stroke, or take one back. Once the page is told, it is on disk."""
        if isinstance(message, StrokeDrawn):
            changed, by = self.painting.stroke(message), 1
        elif isinstance(message, RegionAccepted):
            changed, by = self.painting.accept(self._reviewing.area()), 1
        else:
            changed, by = self.painting.turn(message.kind == "undo"), -1 if message.kind == "undo" else 1
        if changed is None:
            return {"changed": None}
        self.strokes = max(0, self.strokes + by)
        self._reviewing.edited(changed)
        where = self._viewed.corrections_path if self._viewed is not None else None
        for viewer in list(_viewers):
            if viewer._viewed is not None and viewer._viewed.corrections_path == where:
                viewer._show_corrections()
        return {"changed": list(changed)}

    def _show_corrections(self) -> None:
        """Show the corrections as they are now."""
        if self._viewed is not None:
            self._corrected = corrections_state(self._viewed.corrections_path)
            self.painting.renew()
            self.refresh(CORRECTIONS)
            self.refresh(self._map_layer)  # a corrected map has the corrections in it
            self._count()

    # ---- review

    def _review(self, message: RegionsWanted | RegionStepped | RegionMarked) -> dict[str, Any]:
        """Look for regions, go from one to the next, or mark one."""
        if isinstance(message, RegionsWanted):
            self.region = []

            def progress(done: int, total: int) -> None:
                if self._closed.is_set() or not threading.main_thread().is_alive():
                    raise Cancelled  # the process, which waits for its threads, ends
                self._reply({"id": message.id, "done": done, "total": total})

            return self._reviewing.find(message.what, progress)
        if isinstance(message, RegionMarked):
            return self._reviewing.mark(message.mark)
        found = self._reviewing.step(message.by)
        region = self._reviewing.current
        if region is not None and not found["note"]:
            self.region = list(region.window)
            self.view = view_around(region.window)
        return found

    # ---- fine-tuning

    def _steer(self, message: TuningSteered) -> dict[str, Any]:
        """Begin, steer or decide fine-tuning."""
        tuning = self._tuning
        if message.do == "start":
            tuning.start(message.steps)
        elif message.do == "compare":
            tuning.compare(self._window)
        elif message.do in ("keep", "keep anyway"):
            tuning.keep(anyway=message.do == "keep anyway")
        elif message.do == "roll back":
            tuning.roll_back()
        elif message.do == "look":
            tuning.look()
        elif message.do == "pause":
            tuning.pause()
        elif message.do == "resume":
            tuning.resume()
        else:
            tuning.cancel()
        return {}

    def _tuned(self, facts: dict[str, Any]) -> None:
        """Show how far fine-tuning is."""
        if facts["state"] == "kept":
            self._take_over()
        self.tuning = facts
        if facts["state"] in ("rolled back", "decided elsewhere"):
            self._replace_after([])
            self.swipe = False

    def _show_after(self, result: Segmentation) -> None:
        """Show the map of a fine-tuned network over the one before, and what it changes."""
        if self._viewed is None or self._closed.is_set():
            return
        if result.path != self._after:
            after = Map(result.path, raw=True)
            new = map_layers(after, AFTER, visible=True)[-1:]
            self._replace_after([*new, *changed_layers(self._viewed.map.prediction, after, f"-{AFTER}")])
            self._after, self.swipe = result.path, True
        for layer in self._layers:
            if layer.id.endswith(AFTER):
                self.refresh(layer.id)

    def _replace_after(self, new: Sequence[ViewerLayer]) -> None:
        """Put the layers of a fine-tuned network in place of those that are there."""
        with self._lock:
            self._after = None
            kept = [layer for layer in self._layers if not layer.id.endswith(AFTER)]
            at = next(k for k, layer in enumerate(kept) if layer.id == CORRECTIONS)
            self._show([*kept[:at], *new, *kept[at:]])

    def _take_over(self) -> None:
        """Go on with the network that was kept, and with its map."""
        if self._viewed is None or self._after is None:
            return
        with self._lock:
            kept = ViewedMap.of(Map(self._after), self._viewed.image)
            self._live.stop()
            self._work_on(kept)
            self._map_layer, self._after = f"map-{kept.map.path.name}", None
            sources: dict[str, TileSource] = {f"map-{AFTER}": MapTiles(kept.map)}
            sources[CORRECTIONS] = CorrectionTiles(self.painting, kept.map.shape)
            if self._ground_truth is not None:
                sources |= {layer.id: layer.source for layer in ground_truth_layers(kept.map, self._ground_truth)}
            ids = {f"map-{AFTER}": self._map_layer}
            self._show(
                [
                    replace(layer, id=ids.get(layer.id, layer.id), source=sources.get(layer.id, layer.source))
                    for layer in self._layers
                    if layer.id != f"changed-{AFTER}"
                ]
            )
        for name in ("truth", "errors", CORRECTIONS):
            self.refresh(name)
        if self.live:
            self._live.start(self._window)

    def _show(self, layers: Sequence[ViewerLayer]) -> None:
        """Show these layers. Those that were there stay as visible as they are."""
        shown = {layer["id"]: layer for layer in self.layers}
        self._layers = list(layers)
        self.layers = [shown.get(layer.id, layer.to_json()) for layer in layers]

    # ---- live

    def _switch_live(self, change: dict[str, Any]) -> None:
        """Begin or end the live run."""
        try:
            if not change["new"]:
                if self._viewed is not None:
                    self._live.stop()
                return
            if self._closed.is_set():
                raise InputError("the viewer is closed; show the map again.")
            if self._viewed is None:
                raise InputError(self.reason or "there is no map to compute; show one.")
            self.problem = ""
            self._live.start(self._window)
        except FctlError as error:
            self._live_failed(error)

    def _look_there(self, _change: dict[str, Any]) -> None:
        """Compute what is in view now, and show what others have painted."""
        if self._viewed is None:
            return
        if self._live.running:
            self._live.look(self._window)
        if corrections_state(self._viewed.corrections_path) != self._corrected:
            self._show_corrections()

    @property
    def _window(self) -> IntWindow | None:
        """Window in view."""
        if len(self.view) != 4:
            return None
        y0, x0, y1, x1 = self.view
        return y0, x0, y1, x1

    def _grown(self) -> None:
        """Show the tiles that were added, in each viewer of the map."""
        path = None if self._viewed is None else self._viewed.map.path
        for viewer in list(_viewers):
            if viewer._viewed is not None and viewer._viewed.map.path == path:
                viewer.refresh(viewer._map_layer)
                viewer._count()

    def _count(self) -> None:
        """Renew the shares of the legend, now and then."""
        now = time.monotonic()
        if self._viewed is not None and now > self._legend_at + LEGEND_SECONDS:
            self._legend_at = now
            self.legend = legend_of(self._viewed.map)

    def _live_failed(self, error: BaseException) -> None:
        """Show why nothing is computed."""
        self.problem = str(error)
        self.live = False

    @traitlets.validate("view")
    def _check_view(self, proposal: dict[str, Any]) -> list[int]:
        """Refuse a view that holds no px of the image."""
        view: list[int] = proposal["value"]
        if view and self._layers:
            if len(view) != 4:
                raise traitlets.TraitError(f"{view}: a view is (y0, x0, y1, x1) px.")
            try:
                require_region((view[0], view[1], view[2], view[3]), self._layers[0].shape, "the view")
            except InputError as error:
                raise traitlets.TraitError(str(error)) from None
        return view

    def refresh(self, layer: str) -> None:
        """Have the page read a layer's tiles again, as its px have changed.

        Parameters
        ----------
        layer : str
            Its id.
        """
        if self._closed.is_set():
            return
        with self._lock:
            self.versions = {**self.versions, layer: self.versions.get(layer, 0) + 1}

    def close(self) -> None:
        """Close the viewer and stop what runs in it.

        What is painted and computed is kept. A new network waits to be decided on.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        _viewers.discard(self)
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._viewed is not None:
            self._live.stop()
            self._tuning.close()
        self.live = False
        super().close()
