"""napari saves segmentations and maps by our writer, and other labels as without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers_window import errors
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.imagery.open import open_image
from fctl_napari.plugin.dock.dock import open_tab

pytest.importorskip("pyogrio")
pytestmark = [pytest.mark.gui]

SHAPE = 1500, 1300
"""Large enough for several levels."""


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.ones(SHAPE, np.uint8)
    labels[100:200, 50:350] = 2
    labels[10, 10] = 3
    return labels


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return convert(pyramid_from_array(np.zeros((*SHAPE, 3), np.uint8), name="a"), tmp_path / "a.ome.zarr", chunk=512)


@pytest.fixture
def store(make_segmentation: Callable[..., Any], labels: np.ndarray, image: Path) -> Path:
    return make_segmentation(labels, image=open_image(image)).path


@pytest.fixture
def viewer(open_window: Callable[..., Any], image: Path, store: Path) -> Any:
    viewer = open_window()
    viewer.open(image, plugin="fctl-napari")
    viewer.open(store, plugin="fctl-napari")
    return viewer


def mask_of(viewer: Any) -> Any:
    return next(layer for layer in viewer.layers if layer.metadata.get("fctl_store") and layer._type_string == "labels")


def paint(image: Path, store: Path) -> None:
    """Say that the corner is blue."""
    from fctl_napari.segmentation.store.store import Segmentation

    path = corrections_path(image)
    table = Segmentation.open(store).class_table
    with Corrections.create(path, open_image(image), table) as corrections:
        corrections.write(0, 0, np.full((8, 8), 3, np.uint8), author="ann")


def test_the_file_is_there_on_return(viewer: Any, tmp_path: Path, labels: np.ndarray) -> None:
    mask = mask_of(viewer)
    assert mask.multiscale
    for name in ("a.tif", "b.tiff", "c.png", "d.ome.zarr"):
        assert mask.save(str(tmp_path / name)) == [str(tmp_path / name)]
        assert np.array_equal(open_ground_truth(tmp_path / name).read((0, 0, *SHAPE)), labels - 1), name


def test_selected_layers_are_saved_without_naming_a_plugin(viewer: Any, tmp_path: Path, labels: np.ndarray) -> None:
    viewer.layers.selection = {mask_of(viewer)}
    assert viewer.layers.save(str(tmp_path / "a.tif"), selected=True) == [str(tmp_path / "a.tif")]
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), labels - 1)
    assert viewer.layers.save(str(tmp_path / "b"), selected=True) == [str(tmp_path / "b.tif")]
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), labels - 1)


def test_the_menu_saves_by_its_first_entry(
    viewer: Any, tmp_path: Path, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch, notes: list[tuple[str, str]]
) -> None:
    def choose(_self: Any, *_arguments: Any, filter: str, **_options: Any) -> tuple[str, str]:
        return str(tmp_path / "a.tif"), filter.split(";;")[0]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    viewer.layers.selection = {mask_of(viewer)}
    viewer.window._qt_viewer._save_layers_dialog(selected=True)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), labels - 1)
    assert errors(notes) == []


def test_the_window_goes_on_while_a_layer_is_saved(viewer: Any, tmp_path: Path) -> None:
    ticks: list[bool] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append((tmp_path / "a.gpkg").exists()))
    timer.start(1)
    mask_of(viewer).save(str(tmp_path / "a.gpkg"))
    timer.stop()
    assert ticks
    assert not ticks[0]
    assert (tmp_path / "a.gpkg").exists()


def test_a_mask_is_saved_with_its_corrections_and_a_map_as_it_is_shown(
    viewer: Any, image: Path, store: Path, tmp_path: Path, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    paint(image, store)
    mask = mask_of(viewer)
    mask.save(str(tmp_path / "mask.tif"))
    assert (tifffile.imread(tmp_path / "mask.tif")[:8, :8] == 2).all()
    assert any("with 64 corrected px" in message for _, message in notes)
    form = open_tab(viewer, "Export").form
    for words, name, corner in (("Final map", "final map", 2), ("Provenance", "provenance", 2)):
        form.what.setCurrentIndex(next(i for i in range(form.what.count()) if form.what.itemText(i).startswith(words)))
        until(lambda name=name: any(layer.name.startswith(f"{name} of ") for layer in viewer.layers))
        shown = next(layer for layer in viewer.layers if layer.name.startswith(f"{name} of "))
        (path,) = shown.save(str(tmp_path / f"{name}.tif"))
        saved = tifffile.imread(path)
        assert np.array_equal(saved.astype(int) + 1, np.asarray(shown.data[0][:, :])), name
        assert (saved[:8, :8] == corner).all()


def test_what_cannot_be_saved_is_one_sentence(viewer: Any, tmp_path: Path) -> None:
    mask = mask_of(viewer)
    mine = tmp_path / "mine.tif"
    mine.write_bytes(b"mine")
    with pytest.raises(OutputError, match="not an earlier export"):
        mask.save(str(mine))
    assert mine.read_bytes() == b"mine"


def test_what_was_painted_by_napari_s_brush_is_not_taken_for_the_segmentation(
    open_window: Callable[..., Any], make_segmentation: Callable[..., Any], tmp_path: Path
) -> None:
    viewer = open_window()
    viewer.open(make_segmentation(np.ones((300, 400), np.uint8)).path, plugin="fctl-napari")
    mask = mask_of(viewer)
    mask.save(str(tmp_path / "a.tif"))
    mask.paint((20, 20), 3)
    with pytest.raises(InputError, match="shows other classes"):
        mask.save(str(tmp_path / "b.tif"))
    assert not (tmp_path / "b.tif").exists()


def test_other_labels_are_saved_as_napari_saves_them(viewer: Any, tmp_path: Path) -> None:
    from napari_builtins.io import napari_write_labels

    layer = viewer.add_labels(np.arange(400, dtype=np.uint8).reshape(20, 20) % 7, name="mine")
    viewer.layers.selection = {layer}
    for name in ("a.tif", "b.npz", "c"):
        (path,) = viewer.layers.save(str(tmp_path / name), selected=True)
        reference = napari_write_labels(str(tmp_path / f"napari {name}"), layer.data, {})
        assert Path(path).suffix == Path(reference).suffix
        if path.endswith(".tif"):
            saved, theirs = tifffile.imread(path), tifffile.imread(reference)
            assert saved.dtype == theirs.dtype
            assert np.array_equal(saved, theirs)
        else:
            assert np.array_equal(np.load(path)["arr_0"], layer.data)
    with pytest.raises(InputError, match="is no segmentation by FCtL"):
        layer.save(str(tmp_path / "out.gpkg"))
    levels = viewer.add_labels([layer.data, layer.data[::2, ::2]], multiscale=True)
    with pytest.raises(InputError, match="save a layer with one level"):
        levels.save(str(tmp_path / "levels.tif"))
    assert not (tmp_path / "levels.tif").exists()


def test_a_script_without_a_window_saves_too(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.tif"
    script = (
        "from napari.layers import Layer\n"
        "from fctl_napari.plugin.io.reader import read\n"
        "from napari.plugins import _initialize_plugins\n"
        "_initialize_plugins()\n"
        f"labels = [Layer.create(*data) for data in read({str(store)!r})][-1]\n"
        f"print(labels.save({str(out)!r}), {str(out)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert tifffile.imread(out)[150, 100] == 1
