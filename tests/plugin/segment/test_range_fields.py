"""Bands and values of images of more than 8 bits: what is shown at first, what is chosen later, what networks read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_window import Open, errors
from pytestqt.qtbot import QtBot

from fctl_napari.plugin.common.form_layout import WIDTH
from fctl_napari.plugin.layers.band_combos import BandCombos
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.range_fields import RangeFields
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.segmentation.store.store import Segmentation

rasterio = pytest.importorskip("rasterio")
pytestmark = [
    pytest.mark.gui,
    pytest.mark.usefixtures("warm_engine"),
    pytest.mark.filterwarnings("ignore"),  # of files without georeference
]

NAMES = ("B02", "B03", "B04", "B08", "B11", "B12")


def geotiff(path: Path, values: np.ndarray, names: tuple[str, ...] = (), **options: Any) -> Path:
    bands, height, width = values.shape
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": values.dtype.name}
    with rasterio.open(path, "w", photometric="minisblack", alpha="no", **profile, **options) as file:
        file.write(values)
        if names:
            file.descriptions = names
    return path


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((values - low) * 255 / (high - low), 0, 255))


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    """A GeoTIFF of six bands of 16 bits, each brighter than the one before, with some glints."""
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(1000 * (k + 1), 200, (70, 90)) for k in range(6)]).clip(0)
    values[:, 5, 5] = 65000
    return geotiff(tmp_path / "sentinel.tif", values.astype(np.uint16), NAMES)


def stored_in(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read().transpose(1, 2, 0).astype(float))


def type_in(field: Any, text: str) -> None:
    field.setText(text)
    field.editingFinished.emit()


def test_bands_and_values_are_sensible_at_first_and_chosen_later(
    open_scene: Open, sentinel: Path, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_scene(sentinel)
    form, layer, stored = widget.form, viewer.layers[0], stored_in(sentinel)
    fields = form.values
    assert fields.isVisibleTo(widget)
    assert [box.currentText() for box in form.bands.boxes] == ["B04", "B03", "B02"]
    low, high = np.percentile(stored[..., [2, 1, 0]], (0.1, 99.9))
    assert abs(float(fields.low.text()) - low) <= 1
    assert abs(float(fields.high.text()) - high) <= 1
    assert any("percentiles 0.1 and 99.9 of a sample" in message for _, message in notes)

    fields.stretch.click()
    until(lambda: not fields.measuring)
    low, high = float(fields.low.text()), float(fields.high.text())
    assert [low, high] == pytest.approx(np.percentile(stored[..., [2, 1, 0]], (2, 98)).tolist(), abs=1)
    assert np.array_equal(np.asarray(layer.data[0]), scaled(stored[..., [2, 1, 0]], low, high))

    form.bands.boxes[0].setCurrentIndex(3)
    form.bands.boxes[0].activated.emit(3)
    assert np.array_equal(np.asarray(layer.data[0]), scaled(stored[..., [3, 1, 0]], low, high))
    type_in(fields.low, "500")
    type_in(fields.high, "4000.5")
    assert np.array_equal(np.asarray(layer.data[0]), scaled(stored[..., [3, 1, 0]], 500, 4000.5))

    form.where.setCurrentText(WHOLE)
    form.run.click()
    until(lambda: not widget.running)
    settings = Segmentation.open(form.result.text()).settings
    assert settings["value_range"] == [500, 4000.5]  # what is shown is what was read
    assert settings["bands"] == [3, 1, 0]
    assert errors(notes) == []


def test_what_leaves_no_values_is_refused_and_changes_nothing(
    open_scene: Open, sentinel: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_scene(sentinel)
    fields, source = widget.form.values, image_source(viewer.layers[0])
    before = fields.low.text(), fields.high.text(), source.value_range
    type_in(fields.low, "70000")
    assert "make white larger" in errors(notes)[-1]
    assert (fields.low.text(), fields.high.text(), source.value_range) == before


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_one_band_is_gray(open_scene: Open, tmp_path: Path, dtype: str, until: Callable[..., None]) -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, (1, 70, 90)) * (1 if dtype == "float32" else 10000)
    viewer, widget = open_scene(geotiff(tmp_path / "gray.tif", values.clip(0).astype(dtype)))
    fields, layer = widget.form.values, viewer.layers[0]
    fields.stretch.click()
    until(lambda: not fields.measuring)
    low, high = float(fields.low.text()), float(fields.high.text())
    assert [low, high] == pytest.approx(np.percentile(values.clip(0), (2, 98)).tolist(), rel=0.01)
    assert image_source(layer).value_range == (pytest.approx(low), pytest.approx(high))
    if layer.rgb:  # NaN would be transparent
        shown = np.asarray(layer.data[0])
        assert np.abs(shown[..., 0] - scaled(stored_in(tmp_path / "gray.tif")[..., 0], low, high)).max() <= 1
    else:
        assert list(layer.contrast_limits) == pytest.approx([low, high])


def test_fields_come_when_the_pyramid_is_made(
    open_scene: Open, tmp_path: Path, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    values = np.random.default_rng(0).integers(100, 900, (5, 60, 4300), np.uint16)
    viewer, widget = open_scene(geotiff(tmp_path / "wide.tif", values))
    form, layer = widget.form, viewer.layers[0]
    until(lambda: image_source(layer).job is None and form.values.isVisibleTo(widget))
    assert form.bands.isVisibleTo(widget)
    assert form.bands.bands == (0, 1, 2)
    type_in(form.values.high, "500")
    low = float(form.values.low.text())
    shown = np.asarray(layer.data[0][:, 4000:4300])
    assert np.array_equal(shown, scaled(values.transpose(1, 2, 0)[:, 4000:, :3].astype(float), low, 500))
    assert errors(notes) == []


def test_an_image_of_8_bits_has_no_choice(open_scene: Open) -> None:
    _, widget = open_scene()
    assert not widget.form.values.isVisibleTo(widget)


def test_the_fields_fit_into_the_dock(qtbot: QtBot) -> None:
    """With all fields of an image of many bands and 16 bits, too."""
    bands, values = BandCombos(), RangeFields()
    for field in (bands, values):
        qtbot.addWidget(field)
        field.setVisible(True)
    for box in bands.boxes:
        box.addItems(["band 0", "near infrared", "red edge 740 nm"])
    values.low.setText("12345.678")
    assert (
        max(field.minimumSizeHint().width() for field in (bands, values)) <= WIDTH - 2 * 9 - 16
    )  # margins, scroll bar
