"""Areas on the ground in the legend of the tab Segment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_window import Open, errors

from fctl_napari.evaluation.class_areas import class_areas
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.plugin.common.card_view import Legend
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


@pytest.mark.parametrize(
    ("georeference", "unit", "factor"),
    [
        (Georeference("EPSG:32632", (10, 0, 5e5, 0, -10, 5e6)), "hectares", 1),
        (Georeference("EPSG:32632", (100, 0, 2e5, 0, -100, 5e6)), "km²", 0.01),
        (Georeference("EPSG:4326", (0.1, 0, 5.0, 0, -0.1, 60.0)), "km²", 0.01),  # px differ by a tenth and more
    ],
)
def test_areas_are_those_of_the_result(
    open_scene: Open,
    place_on_ground: Callable[..., Path],
    until: Callable[..., None],
    notes: list[tuple[str, str]],
    georeference: Georeference,
    unit: str,
    factor: float,
) -> None:
    pytest.importorskip("rasterio")
    _, widget = open_scene(place_on_ground(georeference, rows=112))
    form = widget.form
    assert form.legend.areas == []
    form.where.setCurrentText(WHOLE)
    form.run.click()
    until(lambda: not widget.running)
    store = Segmentation.open(form.result.text())
    found = class_areas(store).hectares
    assert found is not None
    assert [text.split()[1] for text in form.legend.areas] == [unit] * 3
    shown = np.array([float(text.split()[0].replace(",", "").strip("<")) for text in form.legend.areas])
    expected = np.array(list(found.values())) * factor
    assert shown.sum() == pytest.approx(expected.sum(), rel=1e-3)  # all is segmented, and every px counts
    assert np.abs(shown - expected).max() < 0.02 * expected.sum()  # as the coarsest level counts
    assert errors(notes) == []


def test_without_a_size_no_area_is_said(qtbot: object) -> None:
    from fctl_napari.model.classes import numbered_classes

    legend = Legend()
    legend.show_classes(numbered_classes(2).scored)
    assert legend._head.isHidden()
    legend.show_shares([0.25, 0.75])
    assert (legend.shares, legend.areas) == (["25.0%", "75.0%"], [])
    assert not legend._head.isHidden()
    legend.show_shares([0.25, 0.75], [1.0, 3.0])
    assert legend.areas == ["1.00 hectares", "3.00 hectares"]
    legend.show_shares([0.25, 0.75])
    assert legend.areas == []
    legend.show_shares([0.0, 0.0], [0.0, 0.0])
    assert (legend.shares, legend.areas) == (["-", "-"], [])
