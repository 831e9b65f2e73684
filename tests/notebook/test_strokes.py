"""Strokes of a page: the px that they paint, and what is on disk when they are told to be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fctl_napari as fctl
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.notebook.messages import StrokeDrawn
from fctl_napari.notebook.painting import Painting
from fctl_napari.notebook.strokes import MOST_PX, draw_stroke
from fctl_napari.notebook.viewed_map import ViewedMap
from fctl_napari.segmentation.store.store import Segmentation

SHAPE = (60, 80)
POINTS = st.lists(st.tuples(st.floats(-30, 90), st.floats(-30, 110)), min_size=1, max_size=5)


def whole(drawn: object) -> np.ndarray:
    """The px of a stroke in the whole image."""
    found = np.zeros(SHAPE, bool)
    if drawn is not None:
        height, width = drawn.mask.shape  # type: ignore[attr-defined]
        found[drawn.y0 : drawn.y0 + height, drawn.x0 : drawn.x0 + width] = drawn.mask  # type: ignore[attr-defined]
    return found


def distance(path: np.ndarray, y: float, x: float) -> float:
    """Distance of a point from a path."""
    best = np.inf
    for start, end in zip(path, path[1:] if len(path) > 1 else path, strict=False):
        along, to = end - start, np.array([y, x]) - start
        length = along @ along
        at = np.clip(to @ along / length, 0, 1) if length else 0.0
        best = min(best, float(np.hypot(*(to - at * along))))
    return best


@given(POINTS, st.floats(0, 20))
@settings(max_examples=60, deadline=None)
def test_a_brush_paints_what_is_near_its_path(points: list[tuple[float, float]], radius: float) -> None:
    found = whole(draw_stroke("brush", points, radius, SHAPE))
    path = np.array(points)
    for y, x in np.random.default_rng(0).integers(0, SHAPE, (150, 2)):
        off = distance(path, y + 0.5, x + 0.5)
        if abs(off - radius) > 1e-6 and off > 0.75:  # nearer ones may lie under the path
            assert found[y, x] == (off < radius)


@given(POINTS, st.floats(0, 2))
@settings(max_examples=60, deadline=None)
def test_a_thin_brush_paints_every_px_that_it_runs_through(points: list[tuple[float, float]], radius: float) -> None:
    found = whole(draw_stroke("brush", points, radius, SHAPE))
    path = np.array(points)
    for start, end in zip(path, path[1:] if len(path) > 1 else path, strict=False):
        for share in np.linspace(0, 1, 60):
            y, x = np.floor(start + share * (end - start)).astype(int)
            crossed = np.abs((start + share * (end - start)) % 1 - 0.5).max() < 0.4  # well inside of the px
            if crossed and 0 <= y < SHAPE[0] and 0 <= x < SHAPE[1]:
                assert found[y, x]


@given(POINTS)
@settings(max_examples=40, deadline=None)
def test_a_polygon_lies_within_its_points(points: list[tuple[float, float]]) -> None:
    found = whole(draw_stroke("polygon", points, 0, SHAPE))
    path = np.array(points)
    rows, columns = np.nonzero(found)
    if len(rows):
        assert (rows + 1 >= path[:, 0].min() - 1).all()
        assert (rows <= path[:, 0].max() + 1).all()
        assert (columns + 1 >= path[:, 1].min() - 1).all()
        assert (columns <= path[:, 1].max() + 1).all()


def test_a_rectangle_is_filled() -> None:
    found = whole(draw_stroke("polygon", [(10, 20), (10, 50), (40, 50), (40, 20)], 0, SHAPE))
    assert found[10:40, 20:50].all()
    assert found.sum() == 30 * 30
    assert draw_stroke("polygon", [(10.1, 10.1), (10.1, 10.2), (10.2, 10.2)], 0, SHAPE) is None


@pytest.mark.parametrize("points", [[], [(float("nan"), 1.0)]])
def test_odd_strokes_are_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(InputError, match="the stroke"):
        draw_stroke("brush", points, 3, SHAPE)
    with pytest.raises(InputError, match="too many"):
        draw_stroke("polygon", [(0, 0), (0, 1e5), (1e5, 1e5)], 0, (MOST_PX, MOST_PX))


@pytest.fixture
def shown(tmp_path: Path, make_segmentation: Callable[..., Segmentation]) -> fctl.Map:
    """A map of red, and its scene beside it."""
    scene = convert(
        pyramid_from_array(np.full((*SHAPE, 3), 90, np.uint8), name="scene"), tmp_path / "scene.ome.zarr", chunk=64
    )
    path = tmp_path / "scene.made.fctl.ome.zarr"
    return fctl.Map(make_segmentation(np.ones(SHAPE, np.uint8), image=open_image(scene), path=path).path)


def viewed(shown: fctl.Map) -> ViewedMap:
    return ViewedMap.of(shown, None)


def stroke(value: int, y: float = 20, x: float = 30) -> StrokeDrawn:
    return StrokeDrawn(id=0, kind="stroke", tool="brush", points=[(y, x)], radius=5, value=value)


def painted_px(corrections: Corrections) -> dict[str, int]:
    return {name: area for name, area in corrections.area_by_class().items() if area}


def test_strokes_are_corrections_and_are_undone(shown: fctl.Map) -> None:
    painting = Painting(viewed(shown), "ann")
    assert painting.there() is None
    assert painting.stroke(stroke(2)) == (15, 25, 25, 35)
    assert painting.stroke(stroke(255, 40, 60)) == (35, 55, 45, 65)
    assert painting.stroke(stroke(2, 500, 500)) is None  # outside
    assert painting.turn(back=True) == (35, 55, 45, 65)
    there = painting.there()
    assert there is not None
    assert painted_px(there).keys() == {"green"}
    assert painting.turn(back=False)
    assert painting.stroke(stroke(0))  # erased
    read = Corrections.open(there.path)
    assert painted_px(read).keys() == {"not sure"}
    assert read.authors == ("ann",)
    with pytest.raises(InputError, match="no class"):
        painting.stroke(stroke(9))


def test_several_viewers_and_cells_paint_in_turn(shown: fctl.Map) -> None:
    one, other = Painting(viewed(shown), "ann"), Painting(viewed(shown), "ben")
    one.stroke(stroke(2))
    other.stroke(stroke(3, 40, 60))
    with fctl.corrections(shown) as painted:
        painted.write(0, 0, np.full((2, 2), 1, np.uint8), author="a cell")
    assert one.turn(back=True) == (15, 25, 25, 35)  # its own, not the latest
    assert painted_px(Corrections.open(painted.path)) == {"blue": 80, "red": 4}


def test_classes_go_by_their_names(shown: fctl.Map) -> None:
    """Corrections may have been begun with another table: no class becomes another one."""
    green, red = (ClassInfo(name=name, color=(0, 0, k)) for k, name in enumerate(("green", "red")))
    with fctl.corrections(shown.image, classes=ClassTable(classes=(green, red))) as painted:
        painted.write(50, 0, np.full((2, 2), 1, np.uint8), author="ann")
    painting = Painting(viewed(shown), "ann")
    assert painting.value_at(50.5, 0.5) == 2  # green is the map's second class
    painting.stroke(stroke(1))
    painting.stroke(stroke(3, 40, 60))
    assert painted_px(Corrections.open(painted.path)) == {"green": 4, "red": 80, "blue": 80}
    assert painting.value_at(20, 30) == 1
    assert painting.value_at(40, 60) == 3
    assert painting.value_at(0, 0) == 1  # as it is predicted


def test_the_prediction_is_accepted_within_an_outline(shown: fctl.Map) -> None:
    painting = Painting(viewed(shown), "ann")
    corners = [(10.0, 10.0), (10.0, 30.0), (20.0, 30.0), (20.0, 10.0)]
    assert painting.stroke(StrokeDrawn(id=0, kind="stroke", tool="accept", points=corners)) == (10, 10, 20, 30)
    there = painting.there()
    assert there is not None
    assert painted_px(there) == {"red": 200}
    assert painting.turn(back=True) == (10, 10, 20, 30)


KILLED = """
import os, signal
import fctl_napari as fctl
from fctl_napari.notebook.messages import StrokeDrawn
from fctl_napari.notebook.painting import Painting
from fctl_napari.notebook.viewed_map import ViewedMap
painting = Painting(ViewedMap.of(fctl.Map({path!r}), None), "ann")
for k in range(3):
    points = [(10 + 15 * k, 30)]
    painting.stroke(StrokeDrawn(id=0, kind="stroke", tool="brush", points=points, radius=4, value=3))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_every_finished_stroke_survives_a_killed_kernel(shown: fctl.Map) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED.format(path=str(shown.path))], timeout=120, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    after = fctl.open(shown.path)
    assert isinstance(after, fctl.Map)
    assert [int(after.read((y, 30, y + 1, 31))[0, 0]) for y in (10, 25, 40, 55)] == [2, 2, 2, 0]
