"""Files that hold several images, in the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
import tifffile
from helpers_slides import write_svs
from helpers_window import errors
from npe2 import PluginManifest
from PIL import Image

import fctl_napari
from fctl_napari.api.locations import pyramid_path, result_path
from fctl_napari.imagery.open import open_image
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.io.reader import get_reader, read
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = pytest.mark.gui

SLIDES = ("svs", "ndpi", "scn", "bif", "mrxs", "vms", "vmu", "qptiff")


def test_slides_are_claimed(tmp_path: Path) -> None:
    manifest = PluginManifest.from_file(Path(fctl_napari.__file__).parent / "napari.yaml")
    (ours,) = manifest.contributions.readers
    assert {f"*.{suffix}" for suffix in (*SLIDES, "dcm")} <= set(ours.filename_patterns)
    assert all(get_reader(str(tmp_path / f"a.{suffix}")) is read for suffix in SLIDES)
    (tmp_path / "ct.dcm").write_bytes(b"\0" * 128 + b"DICM of a heart")
    assert get_reader(str(tmp_path / "ct.dcm")) is None  # for other plugins


def test_a_slide_opens_by_its_scan_at_its_size(
    open_window: Callable[..., napari.Viewer], tmp_path: Path, notes: list[tuple[str, str]]
) -> None:
    pixels = write_svs(tmp_path / "a.svs")
    viewer = open_window(show=False)
    (layer,) = viewer.open(tmp_path / "a.svs", plugin="fctl-napari")
    assert np.array_equal(np.asarray(layer.data[0][:50, :50])[..., :3], pixels[:50, :50])
    assert (layer.name, tuple(layer.scale)) == ("a.svs", (0.25, 0.25))
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert errors(notes) == []
    assert any("4 images: 0 baseline 420 x 300" in text for _, text in notes)


def test_another_image_is_chosen_in_the_segment_widget(
    open_window: Callable[..., napari.Viewer], tmp_path: Path, notes: list[tuple[str, str]]
) -> None:
    path = tmp_path / "a.svs"
    write_svs(path)
    viewer = open_window(show=False)
    widget = open_tab(viewer, "Segment")
    widget.form.checkpoint.setCurrentText("earth")
    (scan,) = viewer.open(path, plugin="fctl-napari")
    box = widget.form.in_file
    assert box.isVisibleTo(widget)
    assert [box.itemText(index) for index in range(box.count())][::3] == ["0 baseline 420 x 300", "3 macro 96 x 64"]
    box.setCurrentIndex(3)
    box.activated.emit(3)
    macro = widget.image
    assert image_source(macro).original == f"{path}#image=3"
    assert (macro.visible, scan.visible, macro.name) == (True, False, "a.svs macro")
    assert box.currentIndex() == 3
    name = widget.form.checkpoint.name
    assert widget.form.result.text() == str(result_path(f"{path}#image=3", name))
    assert Path(widget.form.result.text()).name == f"a.svs.3.{name}.fctl.ome.zarr"
    box.setCurrentIndex(0)
    box.activated.emit(0)
    assert widget.image is scan  # which is not opened twice
    assert [layer.visible for layer in viewer.layers] == [True, False]
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(tmp_path / "plain.png")
    viewer.open(tmp_path / "plain.png", plugin="fctl-napari")
    widget.form.image.setCurrentIndex(2)
    assert not box.isVisibleTo(widget)
    assert errors(notes) == []


def test_a_large_image_without_levels_keeps_its_number(
    open_window: Callable[..., napari.Viewer], tmp_path: Path, until: Callable[..., None]
) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for size in ((50, 4200), (60, 4300)):
            file.write(np.full(size, size[0], np.uint8), metadata=None)
    viewer = open_window(show=False)
    for location, value, name in ((f"{path}#image=0", 50, "a.0"), (str(path), 60, "a.tif")):
        for _ in range(2):  # the second time its pyramid is there
            ((data, arguments, kind),) = read(location)
            layer = viewer.add_layer(napari.layers.Layer.create(data, arguments, kind))
            source = image_source(layer)
            until(lambda source=source: source.job is None)
            assert source.original == location
            assert len(source.images) == 2
            assert Path(source.path) == pyramid_path(location)
            assert Path(source.path).name == f"{name}.pyramid.ome.zarr"
            assert np.asarray(layer.data[0][:5, :5]).max() == value


def test_a_segmentation_by_an_earlier_version_lies_on_its_slide(
    tmp_path: Path, make_segmentation: Callable[..., Segmentation]
) -> None:
    write_svs(tmp_path / "a.svs")
    image = open_image(tmp_path / "a.svs")
    image.unit, image.pixel_size = None, (1.0, 1.0)  # sizes of slides were not read then
    store = make_segmentation(np.ones(image.shape, np.uint8), image=image)
    for _, arguments, _ in read(str(store.path)):
        assert tuple(arguments["scale"]) == (0.25, 0.25)
        assert arguments["units"] == read(str(tmp_path / "a.svs"))[0][1]["units"]
