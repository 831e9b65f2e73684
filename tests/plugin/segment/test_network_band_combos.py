"""The bands of a network, found in the image and chosen in the tab Segment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_bands import four_band_scene, write_bands, write_four_band_network
from helpers_window import Open

from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.segmentation.store.store import Segmentation

pytest.importorskip("rasterio")
pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of four bands."""
    return write_four_band_network(tmp_path_factory.mktemp("four") / "four.safetensors")


def test_bands_are_found_by_their_names(open_scene: Open, checkpoint: Path, tmp_path: Path) -> None:
    _, widget = open_scene(write_bands(tmp_path / "scene.tif", four_band_scene(0, (70, 90))[0]))
    form = widget.form
    assert not form.network_bands.isVisibleTo(widget)  # a network of red, green and blue is chosen
    form.add_checkpoint(checkpoint)
    assert form.network_bands.isVisibleTo(widget)
    assert {name: box.currentText() for name, box in form.network_bands.boxes.items()} == {
        name: name for name in ("red", "green", "blue", "nir")
    }
    assert "red, green, blue, nir" in form.card.text


def test_an_image_without_names_is_refused_until_they_are_chosen(
    open_scene: Open, checkpoint: Path, tmp_path: Path, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    image = write_bands(tmp_path / "scene.tif", four_band_scene(0, (70, 90))[0], named=False)
    viewer, widget = open_scene(image)
    form, layer = widget.form, viewer.layers[0]
    form.add_checkpoint(checkpoint)
    assert [box.currentIndex() for box in form.network_bands.boxes.values()] == [-1] * 4

    form.where.setCurrentText(WHOLE)
    form.run.click()
    until(lambda: not widget.running)
    assert any("has no band red" in text for _, text in notes)

    for name, band in (("red", 2), ("green", 1), ("blue", 0), ("nir", 3)):
        box = form.network_bands.boxes[name]
        box.setCurrentIndex(band)
        box.activated.emit(band)
    assert image_source(layer).bands == ("blue", "green", "red", "nir")
    assert [box.currentIndex() for box in form.bands.boxes] == [2, 1, 0]  # and they are shown so
    form.run.click()
    until(lambda: not widget.running)
    assert Segmentation.open(form.result.text()).settings["network_bands"] == [2, 1, 0, 3]
