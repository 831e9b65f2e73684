"""Points on a map, as command line and window draw, open and estimate them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.final_map import FinalMap, find_final_map
from fctl_napari.correcting.map_points import MapPoints, draw_on_map
from fctl_napari.evaluation.points.checked_points import points_path, set_classes
from fctl_napari.exceptions import Cancelled, PointsError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.segmentation.store.store import Segmentation

KELP = ClassTable(classes=(ClassInfo(name="kelp", color=(0, 80, 80)),))
LABELS = np.ones((90, 120), np.uint8)
LABELS[:, 70:] = 2
UTM = Georeference("EPSG:32633", (10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0))


@pytest.fixture
def store(tmp_path: Path, make_rgb: Callable[..., np.ndarray], make_segmentation: Callable[..., Segmentation]) -> Path:
    """A segmentation of a georeferenced image, with kelp painted."""
    path = convert(
        pyramid_from_array(make_rgb(90, 120), georeference=UTM, name="scene"), tmp_path / "scene.ome.zarr", chunk=64
    )
    image = open_image(path)
    with Corrections.open_or_create(tmp_path / "scene.corrections.ome.zarr", image, KELP) as corrections:
        corrections.write(20, 30, np.full((20, 40), 1, np.uint8), author="ann")
    return make_segmentation(LABELS, path=tmp_path / "land.ome.zarr", image=image).path


def draw(path: Path, **options: int) -> MapPoints:
    segmentation = Segmentation.open(path)
    return draw_on_map(find_final_map(segmentation) or segmentation, **options)  # type: ignore[arg-type]


def test_the_map_is_the_one_on_which_they_were_drawn(store: Path) -> None:
    draw(store, total=90)
    opened = MapPoints.open(store)
    assert isinstance(opened.source, FinalMap)
    opened.require_map()
    assert opened.points.mapped == {"red": 6300 - 800, "green": 4500, "blue": 0, "kelp": 800}
    draw_on_map(Segmentation.open(store), final=False, total=90)
    opened = MapPoints.open(store)
    assert isinstance(opened.source, Segmentation)
    opened.require_map()


def test_hectares_are_a_column_where_they_are_known(store: Path) -> None:
    pytest.importorskip("rasterio")
    drawn = draw(store, total=90)
    set_classes(drawn.path, drawn.points, {point.id: point.mapped for point in drawn.points.points}, "ann")
    found, hectares = MapPoints.open(store).estimate()
    assert hectares == pytest.approx(90 * 120 * 0.01)
    header, *rows = found.table(hectares)
    column = header.index("hectares")
    assert [row[column] for row in rows] == ["55.00 ± 0.00", "45.00 ± 0.00", "0.00 ± 0.00", "8.00 ± 0.00"]
    assert "hectares" not in found.table()[0]


def test_a_changed_map_and_missing_points_say_what_is_wrong_without_a_command(store: Path) -> None:
    with pytest.raises(PointsError, match="draw some with fctl points draw") as caught:
        MapPoints.open(store)
    assert caught.value.what == f"{points_path(store)}: there are no points yet"
    opened = draw(store, total=90)
    with Corrections.open(store.with_name("scene.corrections.ome.zarr"), "r+") as corrections:
        corrections.write(0, 0, np.full((2, 5), 1, np.uint8), author="ann")
    opened = MapPoints.open(store)
    for refused in (opened.require_map, opened.estimate):
        with pytest.raises(PointsError) as caught:
            refused()
        assert caught.value.what.endswith(
            "red had 5,500 px and has 5,490; kelp had 800 px and has 810), and say nothing sure of it now"
        )


def test_a_stopped_draw_keeps_the_former_points(store: Path) -> None:
    path = draw(store, total=90).path
    before = path.read_bytes()

    def stop(_done: int, _total: int) -> None:
        raise Cancelled("stopped.")

    segmentation = Segmentation.open(store)
    with pytest.raises(Cancelled):
        draw_on_map(segmentation, total=50, progress=stop)
    assert path.read_bytes() == before
