"""What napari does for a window that no test looks at, and that takes most of a window's time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, wraps
from types import CodeType, FunctionType
from typing import Any
from unittest.mock import patch

from napari._qt.layer_controls import QtLayerControlsContainer
from napari._qt.widgets.qt_welcome import QtWelcomeWidget
from napari.components.overlays import LabelsBrushStrokeOverlay, LabelsPolygonOverlay
from napari.components.overlays.base import Overlay
from napari.settings import NapariSettings, get_settings
from napari.utils.events import EventEmitter
from npe2 import PluginManager
from vispy.visuals.shaders import parsing

OVERLAYS = "napari.components.overlays"


@contextmanager
def quick_windows() -> Iterator[dict[str, Any]]:
    """Spare each window what no test looks at.

    napari looks for plugins once; its settings, which no test changes, are neither reset nor written; the welcome
    screen, which no test shows, is not written anew for each shortcut that a window binds; garbage is collected once
    per test, not for each layer that goes (which is for the sake of a driver on Windows); of the thousands of
    callbacks that each layer connects and disconnects, napari looks at each signature once, and vispy at each shader;
    what shows a brush or a polygon over labels is made when the mode is chosen; no bar shows that files are opened;
    and layers have no controls, but for tests that use the fixture ``layer_controls``.

    Yields
    ------
    dict
        The functions of napari that make the controls of layers, by their names.
    """
    check_once = staticmethod(remember_signatures(EventEmitter._check_signature))
    controls = {name: getattr(QtLayerControlsContainer, name) for name in ("_add", "_remove", "_populate")}
    get_settings().reset()
    PluginManager.instance().discover(include_npe1=True)
    with (
        patch.object(PluginManager, "discover", return_value=0),
        patch.object(NapariSettings, "reset"),
        patch.object(NapariSettings, "save"),
        patch.object(QtWelcomeWidget, "refresh"),
        patch("napari._vispy.canvas.gc"),
        patch.object(EventEmitter, "_check_signature", check_once),
        patch.object(parsing, "parse_function_signature", cache(parsing.parse_function_signature)),
        patch(f"{OVERLAYS}.labels_polygon.LabelsPolygonOverlay", when_enabled(LabelsPolygonOverlay)),
        patch(f"{OVERLAYS}.labels_brush_stroke.LabelsBrushStrokeOverlay", when_enabled(LabelsBrushStrokeOverlay)),
        patch("napari.components.viewer_model.progress", without_bar),
        patch.multiple(QtLayerControlsContainer, **{name: nothing(method) for name, method in controls.items()}),
    ):
        yield controls


def remember_signatures(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Look at the signature of a function once, however many objects it is a callback of."""
    known: dict[tuple[CodeType, bool], bool] = {}

    def check_once(callback: Any) -> bool:
        function = getattr(callback, "__func__", callback)
        if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
            return check(callback)
        key = function.__code__, function is callback
        if key not in known:
            known[key] = check(callback)
        return known[key]

    return check_once


def when_enabled(kind: type[Overlay]) -> Callable[..., Overlay]:
    """Make an overlay that is not seen, and costs nothing, until the mode that it is for is chosen."""

    def make(*, visible: bool) -> Overlay:
        overlay = kind(visible=False)
        overlay.events.enabled.connect(lambda: setattr(overlay, "visible", visible))
        return overlay

    return make


def without_bar(paths: Iterable[Any], **_: object) -> nullcontext[Iterable[Any]]:
    """Stand in for ``napari.utils.progress``."""
    return nullcontext(paths)


def nothing(method: Callable[..., None]) -> Callable[..., None]:
    """Stand in for a method, with its name and signature, by which napari finds and calls it."""

    @wraps(method)
    def do_nothing(*_: object) -> None:
        pass

    return do_nothing
