"""Areas on the ground beside the numbers of px in the tab Errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_errors import Judged, OpenErrors, find
from qtpy.QtCore import Qt

from fctl_napari.imagery.georeference import Georeference

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

METRES = Georeference("EPSG:32632", (10, 0, 5e5, 0, -10, 5e6))
DEGREES = Georeference("EPSG:4326", (0.1, 0, 5.0, 0, -0.1, 60.0))


@pytest.fixture(params=[METRES, DEGREES], ids=["metres", "degrees"])
def scene(request: pytest.FixtureRequest, place_on_ground: Callable[..., Path]) -> Path:
    pytest.importorskip("rasterio")
    return place_on_ground(request.param)


def test_areas_stand_beside_px_where_px_are_alike(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None]
) -> None:
    scene, store, *_ = judged
    alike = store.georeference == METRES
    _, widget = open_errors(scene, store.path)
    form = widget.form
    form.figures.compute.click()
    until(lambda: not widget.running)
    evaluation = form.figures.evaluation
    assert evaluation is not None
    pixels = evaluation.scores.pixels
    said = f"{pixels:,} px, {pixels / 100:,.2f} hectares of "  # 10 m x 10 m are a hundredth of a hectare
    assert (said in form.figures.headline.text()) == alike
    form.figures.pair_chosen.emit(1, 3)
    count = int(evaluation.confusion[1, 3])
    assert (f"{count:,} px, {count / 100:,.2f} hectares of " in form.status.text()) == alike
    form.only.click()
    find(widget, until)
    table = form.regions.table
    total = sum(region.pixels for region in table.rows)
    assert ("hectares" in form.regions.summary.text()) == alike
    assert total <= evaluation.scores.pixels
    tip = table.data(table.index(0, 2), Qt.ItemDataRole.ToolTipRole)
    largest = table.rows[0].pixels
    assert (f"{largest:,} px, {largest / 100:,.2f} hectares; at row" in tip) == alike
    for text in (form.figures.headline.text(), form.status.text(), form.regions.summary.text()):
        assert alike or "km²" not in text
