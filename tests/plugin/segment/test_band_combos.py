"""The bands of an image, chosen beside it in the tab Segment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_window import Open

from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.segmentation.store.store import Segmentation

rasterio = pytest.importorskip("rasterio")
pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

HEIGHT, WIDTH = 70, 90


@pytest.fixture
def planet(tmp_path: Path) -> Path:
    """A GeoTIFF of blue, green, red and near infrared, with a collar."""
    bands = np.random.default_rng(0).integers(1, 255, (4, HEIGHT, WIDTH)).astype(np.uint8)
    bands[:, :, 60:] = 0
    path = tmp_path / "planet.tif"
    profile = {"driver": "GTiff", "count": 4, "height": HEIGHT, "width": WIDTH, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", photometric="minisblack", alpha="no", **profile) as file:
        file.write(bands)
        file.descriptions = ("blue", "green", "red", "nir")
    return path


@pytest.mark.filterwarnings("ignore")
def test_other_bands_are_shown_and_segmented(open_scene: Open, planet: Path, until: Callable[..., None]) -> None:
    viewer, widget = open_scene(planet)
    form, layer = widget.form, viewer.layers[0]
    with rasterio.open(planet) as file:
        stored = file.read().transpose(1, 2, 0)
    assert form.bands.isVisibleTo(widget)
    assert [box.currentText() for box in form.bands.boxes] == ["red", "green", "blue"]
    shown = np.asarray(layer.data[0])
    assert np.array_equal(shown[:, :60, :3], stored[:, :60, [2, 1, 0]])
    assert (shown[:, 60:, 3] == 0).all()  # the collar is transparent

    form.bands.boxes[0].setCurrentIndex(3)
    form.bands.boxes[0].activated.emit(3)
    assert np.array_equal(np.asarray(layer.data[0])[:, :60, :3], stored[:, :60, [3, 1, 0]])
    assert image_source(layer).bands == (3, 1, 0)

    form.where.setCurrentText(WHOLE)
    form.run.click()
    until(lambda: not widget.running)
    result = Segmentation.open(form.result.text())
    assert result.settings["bands"] == [3, 1, 0]
    labels = result.labels.read((0, 0, HEIGHT, WIDTH))
    assert (labels[:, :60] > 0).all()
    assert (labels[:, 60:] == 0).all()


def test_a_plain_image_has_no_choice(open_scene: Open) -> None:
    _, widget = open_scene()
    assert not widget.form.bands.isVisibleTo(widget)
