"""What the dock chooses and warns of by itself: the checkpoint that fits, images unlike its data, colors of classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_window import mask_of

from fctl_napari.class_colors import MASK_OPACITY
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.plugin.common.class_display import class_colors
from fctl_napari.plugin.dock.dock import open_dock, open_tab
from fctl_napari.remembered_colors import load_colors

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Until = Callable[..., None]


@pytest.fixture(autouse=True)
def own_colors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No colors of the user or of other tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(class_colors(), "_chosen", {})


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """An image that is like nothing."""
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    return convert(pyramid_from_array(pixels, name="noise"), tmp_path / "noise.ome.zarr", chunk=128)


def test_the_checkpoint_fits_the_image(open_window: Callable[..., Any], scene: Path, noise: Path, until: Until) -> None:
    viewer = open_window()
    dock = open_dock(viewer)
    page: Any = dock.page("Segment")
    viewer.open(scene, plugin="fctl-napari")
    until(lambda: not dock.header.fitting.running)
    assert page.form.checkpoint.name == "earth"
    viewer.open(noise, plugin="fctl-napari")
    until(lambda: dock.header.fitting.none_fits)
    assert page.card is None
    assert "choose one yourself" in page.form.guide.text()
    page.form.checkpoint.setCurrentText("aerial")
    until(lambda: page.form.warning.isVisible())
    assert "is unlike the data that aerial was trained on" in page.form.warning.text()
    viewer.layers.selection.active = viewer.layers["scene"]
    until(lambda: page.image is viewer.layers["scene"])
    assert page.form.checkpoint.name == "aerial"  # chosen by the user
    page.form.checkpoint.setCurrentText("earth")
    until(lambda: not page._domain.running)
    assert not page.form.warning.isVisible()


def test_a_color_is_chosen_and_remembered(open_scene: Callable[..., Any], until: Until) -> None:
    viewer, page = open_scene()
    page.start()
    until(lambda: not page.running)
    mask = mask_of(viewer)
    assert mask.opacity == MASK_OPACITY
    assert list(mask.features["class"]) == ["", "red", "green", "blue"]
    class_colors().choose("green", (10, 20, 30))
    assert load_colors() == {"green": (10, 20, 30)}
    assert np.allclose(mask.colormap.color_dict[2][:3], np.array([10, 20, 30]) / 255)
    buttons = open_tab(viewer, "Correct").form.classes
    page.form.legend.show_classes(page.card.classes.displayed(class_colors().chosen).scored)
    image = page.form.legend._swatches["green"].icon().pixmap(14, 14).toImage()
    assert image.pixelColor(7, 7).getRgb()[:3] == (10, 20, 30)
    assert buttons is not None
