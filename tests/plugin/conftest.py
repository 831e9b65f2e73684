"""A cache folder of its own for each test, a small real scene, a window, and one engine for all."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.engine import Engine


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what the plugin caches out of the user's cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def last_choices(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """File of the last choices, which is each test's own."""
    from napari import settings

    folder = tmp_path_factory.mktemp("napari")
    monkeypatch.setattr(settings, "_CFG_PATH", str(folder / "settings.yaml"))
    settings._clear_plugin_settings_cache()
    yield folder / "fctl-napari.yaml"
    settings._clear_plugin_settings_cache()


@pytest.fixture(scope="session")
def earth_crop() -> np.ndarray:
    """Part of the Earth scene: uint8 (300, 1100, 3), Europe and North Africa."""
    from fctl_napari.imagery.open import open_image
    from fctl_napari.imagery.sample import sample_files

    return open_image(sample_files().image).read((250, 2500, 550, 3600))


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory, earth_crop: np.ndarray) -> Path:
    """The crop as an OME-Zarr that no test changes."""
    from fctl_napari.imagery.array_pyramid import pyramid_from_array
    from fctl_napari.imagery.convert import convert

    folder = tmp_path_factory.mktemp("converted")
    return convert(pyramid_from_array(earth_crop, name="scene"), folder / "scene.ome.zarr", chunk=128)


@pytest.fixture
def scene(tmp_path: Path, converted: Path) -> Path:
    """The crop as an OME-Zarr in a folder of the test's own."""
    return Path(shutil.copytree(converted, tmp_path / "scene.ome.zarr"))


@pytest.fixture
def strip(tmp_path: Path, earth_crop: np.ndarray) -> Path:
    """The upper rows of the crop as an OME-Zarr of two levels, so that a run over all of it is short."""
    from fctl_napari.imagery.array_pyramid import pyramid_from_array
    from fctl_napari.imagery.convert import convert

    folder = tmp_path / "strip"
    folder.mkdir()
    return convert(pyramid_from_array(earth_crop[:112], name="scene"), folder / "scene.ome.zarr", chunk=256)


@pytest.fixture
def place_on_ground(tmp_path: Path, earth_crop: np.ndarray) -> Callable[..., Path]:
    """``place_on_ground(georeference, rows)``: the upper rows of the crop as an OME-Zarr that lies on the ground."""
    from fctl_napari.imagery.array_pyramid import pyramid_from_array
    from fctl_napari.imagery.convert import convert
    from fctl_napari.imagery.georeference import Georeference

    def place(georeference: Georeference, rows: int = 300) -> Path:
        pyramid = pyramid_from_array(earth_crop[:rows], name="scene", georeference=georeference)
        folder = tmp_path / "ground"
        folder.mkdir()
        return convert(pyramid, folder / "scene.ome.zarr", chunk=256)

    return place


@pytest.fixture(scope="session")
def load_ahead() -> Iterator[Callable[[Any], None]]:
    """Spare each window the network that its form shows at first; what is spared is at hand."""
    from fctl_napari.plugin.segment.widget import SegmentWidget

    spared = SegmentWidget._load_ahead
    with patch.object(SegmentWidget, "_load_ahead"):
        yield spared


@pytest.fixture(scope="session")
def quick_windows(load_ahead: Callable[[Any], None]) -> Iterator[dict[str, Any]]:
    """Spare each window what no test looks at; what is spared of the controls of layers is at hand."""
    from quick_windows import quick_windows

    with quick_windows() as controls:
        yield controls


@pytest.fixture
def layer_controls(quick_windows: dict[str, Any]) -> Iterator[None]:
    """Have napari make the controls of layers, as it does for a user."""
    from napari._qt.layer_controls import QtLayerControlsContainer

    with patch.multiple(QtLayerControlsContainer, **quick_windows):
        yield


@pytest.fixture
def lasting_objects(quick_windows: dict[str, Any]) -> None:
    """Spare the garbage collector, which runs when a window goes, all that was there before a test."""
    gc.freeze()


@pytest.fixture
def open_window(lasting_objects: None, make_napari_viewer: Callable[..., Any]) -> Callable[..., Any]:
    """``open_window()``: a window of napari, whose lists of layers and bars are not drawn: no test looks at them."""

    def open_it(*, show: bool = True) -> Any:
        viewer = make_napari_viewer(show=show)
        window, view = viewer.window._qt_window, viewer.window._qt_viewer
        for part in (view.dockLayerList, view.dockLayerControls, window.menuBar(), window.statusBar()):
            part.setUpdatesEnabled(False)
        return viewer

    return open_it


@pytest.fixture
def notes() -> Iterator[list[tuple[str, str]]]:
    """Collect napari's notifications, and the errors that tabs show, as (severity, message)."""
    from napari.utils.notifications import notification_manager

    from fctl_napari.plugin.common.base_widget import DockedWidget

    found: list[tuple[str, str]] = []
    shown = DockedWidget.show_problem

    def show_problem(self: DockedWidget, sentence: str) -> None:
        if sentence:
            found.append(("error", sentence))
        shown(self, sentence)

    def take(note: object) -> None:
        found.append((str(note.severity), note.message))  # type: ignore[attr-defined]

    notification_manager.notification_ready.connect(take)
    with patch.object(DockedWidget, "show_problem", show_problem):
        yield found
    notification_manager.notification_ready.disconnect(take)


@pytest.fixture(scope="session")
def warm_engine() -> Iterator[None]:
    """Keep the worker process between the tests, as another open window would."""
    from qtpy.QtWidgets import QApplication, QMainWindow

    from fctl_napari.plugin.common.session import session

    application = QApplication.instance() or QApplication([])
    assert application is not None
    window = QMainWindow()
    session().follow(window)
    yield
    session().close()


@pytest.fixture
def command_engine(warm_engine: None) -> Engine:
    """The worker process of the windows, for commands too."""
    from fctl_napari.plugin.common.session import session

    return session().engine()


@pytest.fixture
def until(qtbot: QtBot) -> Callable[..., None]:
    """Run the event loop until something is true, and spend most of the time on the loop, not on looking."""

    def wait(condition: Callable[[], bool], seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            if condition():
                return
            looked = time.monotonic()
            assert looked < end, f"not true after {seconds} s"
            qtbot.wait(max(10, min(60, round(3000 * (looked - began)))))

    return wait


@pytest.fixture
def open_scene(open_window: Callable[..., Any], scene: Path, tiny_checkpoint: Path) -> Callable[..., Any]:
    """Open the scene in a window, with the widget docked and the small network chosen."""

    from fctl_napari.plugin.dock.dock import open_tab

    def open_it(path: Path | None = scene) -> tuple[Any, Any]:
        viewer = open_window()
        if path is not None:
            viewer.open(path, plugin="fctl-napari")
        widget = open_tab(viewer, "Segment")
        widget.form.add_checkpoint(tiny_checkpoint)
        return viewer, widget

    return open_it
