"""The color scales of visible layers of confidence and of maps, in the real layers' colors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtGui import QImage

from fctl_napari.plugin.common.scale_bars import Scale, ScaleBars
from fctl_napari.plugin.layers.layer_scales import LayerScales, layer_scale
from fctl_napari.plugin.layers.map_layers import MAP_KEY, map_style
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY, SegmentationLayers
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("qtbot")]


def colors_at(picture: QImage, *positions: int) -> list[tuple[int, ...]]:
    return [picture.pixelColor(position, 0).getRgb()[:3] for position in positions]


def test_the_bar_of_the_confidence_follows_its_layer(make_segmentation: Callable[..., Segmentation]) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((64, 64), np.uint8), name="scene")
    scales = LayerScales(viewer)
    told: list[list[Scale]] = []
    scales.changed.connect(told.append)
    bars = ScaleBars("Colors.")
    scales.changed.connect(bars.show_scales)
    stored = SegmentationLayers(make_segmentation(np.ones((64, 64), np.uint8)).path)
    stored.show_mask(viewer, image, "scene by made")
    layer = stored.show_confidence(viewer, image, "scene by made")
    assert told[-1] == []  # the confidence is hidden at first, and image and mask have no scale
    layer.visible = True
    assert bars.texts == ["confidence 0 1 1 is sure"]
    (scale,) = told[-1]
    expected = np.rint(layer.colormap.map(np.array([1, 128, 255]) / 255)[:, :3] * 255).astype(int)
    assert np.abs(np.array(colors_at(scale.gradient, 0, 127, 254)) - expected).max() <= 1

    layer.colormap = "gray"
    layer.contrast_limits = (0, 127.5)  # the upper half is white now
    assert colors_at(told[-1][0].gradient, 127, 254) == [(255, 255, 255)] * 2
    layer.visible = False
    assert bars.texts == []
    layer.visible = True
    viewer.layers.remove(layer)
    assert bars.texts == []
    count = len(told)
    layer.visible = False
    assert len(told) == count  # what is gone is not watched
    scales.leave()
    viewer.layers.insert(0, layer)
    assert len(told) == count


def test_maps_have_bars_of_their_whole_range() -> None:
    viewer = ViewerModel()
    data = np.full((8, 8), 99, np.uint8)
    for name in ("entropy", "margin", "weight_large"):
        metadata = {STORE_KEY: "x", MAP_KEY: name}
        viewer.add_image(data, metadata=metadata, **map_style(name, (0.25, 0.5)))
    found = LayerScales(viewer).scales()
    assert [(scale.title, scale.limits, scale.note) for scale in found] == [
        ("weight of large", (0.0, 1.0), ""),
        ("margin", (0.0, 1.0), "1 is sure"),
        ("entropy", (0.0, 1.0), "0 is sure"),
    ]
    low, middle, high = colors_at(found[0].gradient, 50, 95, 150)
    assert colors_at(found[0].gradient, 0, 254) == [low, high]  # the colors run from 0.25 to 0.5
    assert low != middle != high
    assert layer_scale(viewer.add_labels(data, metadata={STORE_KEY: "x"})) is None
    assert layer_scale(viewer.add_image(data)) is None
