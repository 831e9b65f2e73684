"""Messages of the page: each one is answered, and what is odd does nothing but say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fctl_napari as fctl
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.notebook.messages import read_message
from fctl_napari.notebook.viewer import Viewer
from fctl_napari.segmentation.store.store import Segmentation

SHAPE = (300, 400)


class Page:
    """A page without a browser: it keeps what it is told."""

    def __init__(self, viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.viewer = viewer
        self.told: list[dict[str, Any]] = []
        monkeypatch.setattr(viewer, "send", lambda content, buffers=(): self.told.append(content))

    def say(self, content: Any) -> dict[str, Any]:
        """Send a message, and return its only answer."""
        self.told.clear()
        self.viewer._receive(None, content, [])
        self.viewer._thread.submit(lambda: None).result(60)
        answers = [each for each in self.told if "total" not in each]
        assert len(answers) == 1, (content, self.told)
        return answers[0]


@pytest.fixture
def page(tmp_path: Path, make_segmentation: Callable[..., Segmentation], monkeypatch: pytest.MonkeyPatch) -> Page:
    pixels = np.full((*SHAPE, 3), 120, np.uint8)
    scene = convert(pyramid_from_array(pixels, name="scene"), tmp_path / "scene.ome.zarr", chunk=256)
    store = make_segmentation(
        np.ones(SHAPE, np.uint8), image=open_image(scene), path=tmp_path / "scene.made.fctl.ome.zarr"
    )
    return Page(fctl.show(store.path), monkeypatch)


BRUSH = {"id": 1, "kind": "stroke", "tool": "brush", "points": [[10, 10]], "radius": 4, "value": 1}
TILE = {"id": 1, "kind": "tile", "layer": "image", "scale": 1, "x": 0, "y": 0}
ODD = [
    None,
    [],
    "tile",
    {},
    {"kind": "tile"},
    {"id": 1, "kind": "explode"},
    TILE | {"x": 99},
    TILE | {"x": -1},
    TILE | {"scale": 10**30},
    TILE | {"scale": None},
    TILE | {"scale": 0},
    TILE | {"scale": float("inf")},
    TILE | {"layer": []},
    TILE | {"layer": "nothing"},
    TILE | {"id": None},
    BRUSH | {"points": []},
    BRUSH | {"points": [[float("inf"), 0]]},
    BRUSH | {"points": [[1e300, 0]]},
    BRUSH | {"points": [1, 2, 3, 4]},
    BRUSH | {"radius": float("nan")},
    BRUSH | {"radius": -1},
    BRUSH | {"radius": 1e9},
    BRUSH | {"tool": "nonsense"},
    BRUSH | {"tool": None},
    BRUSH | {"value": 1.9},
    BRUSH | {"value": True},
    BRUSH | {"value": "2"},
    BRUSH | {"value": 77},
    {"id": 1, "kind": "ask", "y": 1e9, "x": 0},
    {"id": 1, "kind": "ask", "y": "a", "x": 0},
    {"id": 1, "kind": "find", "what": "errors"},  # there is no ground truth
    {"id": 1, "kind": "find", "what": "gold"},
    {"id": 1, "kind": "step", "by": 1},
    {"id": 1, "kind": "step", "by": 7},
    {"id": 1, "kind": "mark", "mark": "done"},
    {"id": 1, "kind": "accept"},
    {"id": 1, "kind": "tune", "do": "keep"},
    {"id": 1, "kind": "tune", "do": "roll back"},
    {"id": 1, "kind": "tune", "do": "start"},  # nothing is painted
    {"id": 1, "kind": "tune", "do": "start", "steps": 0},
]


@pytest.mark.parametrize("message", ODD, ids=[str(each)[:60] for each in ODD])
def test_what_is_odd_is_answered_and_does_nothing(page: Page, message: Any) -> None:
    answer = page.say(message)
    assert answer["error"].endswith(".")
    assert "Error" not in answer["error"]
    assert answer["id"] == (message.get("id") if isinstance(message, dict) else None)
    assert page.viewer.painting.there() is None
    assert page.viewer.strokes == 0


def test_a_fault_of_the_viewer_is_told_too(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(page.viewer._layers[0].source, "tile", broken)
    with pytest.raises(ZeroDivisionError):
        page.viewer._receive(None, TILE, [])
    assert page.told == [{"id": 1, "error": "the viewer failed (ZeroDivisionError: a bug)."}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
KINDS = ["tile", "stroke", "undo", "redo", "ask", "pick", "find", "step", "mark", "accept", "tune"]
FIELDS = ["id", "layer", "scale", "x", "y", "tool", "points", "radius", "value", "without", "what", "by", "mark", "do"]


@given(JSON | st.fixed_dictionaries({"kind": st.sampled_from(KINDS)}, optional=dict.fromkeys(FIELDS, JSON)))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_message_is_known_or_refused_in_a_sentence(content: Any) -> None:
    try:
        said = str(read_message(content).id)
    except InputError as error:
        said = str(error)
    assert said.endswith(".") or said == str(content["id"])


def test_strokes_are_counted_and_never_below_zero(page: Page) -> None:
    assert page.say(BRUSH)["changed"] == [6, 6, 14, 14]
    assert page.viewer.strokes == 1
    again = Page(fctl.show(page.viewer._viewed.map), pytest.MonkeyPatch())
    assert again.say({"id": 2, "kind": "undo"})["changed"] == [6, 6, 14, 14]  # of the other viewer, by the same person
    assert again.viewer.strokes == 0
    assert again.say({"id": 3, "kind": "undo"})["changed"] is None


def test_a_closed_viewer_does_nothing_any_more(page: Page) -> None:
    page.viewer.close()
    page.viewer.close()
    page.told.clear()
    page.viewer._receive(None, BRUSH, [])
    assert page.told == []
    assert page.viewer.painting.there() is None


@pytest.mark.parametrize("view", [(1, 2), (10, 10, 5, 20), (900, 900, 1000, 1000)])
def test_odd_views_and_heights_are_refused(page: Page, view: tuple[int, ...]) -> None:
    shown = page.viewer._viewed.map
    with pytest.raises(InputError):
        fctl.show(shown, view=view)  # type: ignore[arg-type]
    before = page.viewer.view
    with pytest.raises(Exception, match="view"):
        page.viewer.view = list(view)
    assert page.viewer.view == before
    for height in (-5, 0, 10**9):
        with pytest.raises(InputError, match="height"):
            fctl.show(shown, height=height)


def test_viewers_of_a_map_see_what_is_corrected_in_one_of_them_and_elsewhere(page: Page) -> None:
    other = fctl.show(page.viewer._viewed.map)
    before = dict(other.versions)
    page.say(BRUSH)
    assert other.versions["corrections"] > before.get("corrections", 0)
    assert other.versions["map-0"] > before.get("map-0", 0)
    with fctl.corrections(page.viewer._viewed.map) as corrected:
        corrected.write(50, 50, np.full((5, 5), 2, np.uint8), author="a cell")
    before = dict(other.versions)
    other.view = [0, 0, 100, 100]
    assert other.versions["corrections"] > before["corrections"]
    other.close()


def test_a_network_that_did_not_make_the_map_is_refused(page: Page, tiny_checkpoint: Path) -> None:
    shown = fctl.show(page.viewer._viewed.map, checkpoint=tiny_checkpoint)
    assert not shown.works
    assert "did not make" in shown.reason
