"""Fine-tuning from the viewer with the real worker: the run, what it changes, and the decision."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fctl_napari as fctl
from fctl_napari.api import running
from fctl_napari.exceptions import FctlError
from fctl_napari.finetuning.candidates import traces
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.notebook.messages import TuningSteered
from fctl_napari.notebook.tuning import Tuning
from fctl_napari.notebook.viewed_map import ViewedMap
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_stages")]


@pytest.fixture(scope="module", autouse=True)
def _one_worker() -> Iterator[None]:
    yield
    for engine in running._engines.values():
        engine.close()
    running._engines.clear()


@pytest.fixture(scope="module")
def _corrected(tmp_path_factory: pytest.TempPathFactory, awake_checkpoint: Path) -> Path:
    """A folder with a scene, its map, and corrections of it in six places."""
    folder = tmp_path_factory.mktemp("tuned")
    network = Path(shutil.copy(awake_checkpoint, folder / "awake.safetensors"))
    pixels = np.random.default_rng(0).integers(0, 256, (192, 320, 3)).astype(np.uint8)
    scene = convert(pyramid_from_array(pixels, name="scene"), folder / "scene.ome.zarr", chunk=128)
    land = fctl.segment(scene, network, device="cpu", progress=False)
    with fctl.corrections(land) as painted:
        for y, x, value in ((10, 10, 2), (140, 250, 1), (10, 250, 2), (140, 10, 1), (10, 130, 1), (140, 130, 2)):
            painted.write(y, x, np.full((40, 50), value, np.uint8), author="ann")
    return folder


@pytest.fixture
def viewed(_corrected: Path, tmp_path: Path) -> ViewedMap:
    folder = shutil.copytree(_corrected, tmp_path / "tuned")
    land = fctl.Map(folder / "scene.awake.fctl.ome.zarr")
    return ViewedMap.of(land, fctl.open(folder / "scene.ome.zarr"))


class Page:
    """A page without a browser: it keeps what it is told."""

    def __init__(self, viewed: ViewedMap) -> None:
        self.facts: list[dict[str, Any]] = []
        self.results: list[Segmentation] = []
        self.tuning = Tuning(viewed, None, self.facts.append, self.results.append)

    @property
    def state(self) -> str:
        return str(self.facts[-1]["state"]) if self.facts else "none"

    def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.facts[-1:]
            assert self.state != "failed", self.facts[-1]
            time.sleep(0.05)


def test_a_network_learns_is_compared_and_kept(viewed: ViewedMap) -> None:
    page = Page(viewed)
    page.tuning.look()
    assert page.state == "none"
    page.tuning.start(4)
    with pytest.raises(FctlError, match="under way"):
        page.tuning.start(4)
    page.until(lambda: page.state == "waiting")
    facts = page.facts[-1]
    assert [step for step, _ in facts["loss"]] == [1, 2, 3, 4]
    assert facts["held_out"]
    assert {"starting", "training"} <= {each["state"] for each in page.facts}
    assert facts["reasons"]
    candidate = page.tuning.candidate
    assert candidate is not None
    assert candidate.better == facts["better"]
    assert candidate.notes
    assert facts["reasons"] == [*candidate.gate.reasons, *candidate.notes]

    page.tuning.compare(None)
    page.until(lambda: "changed" in page.facts[-1] and bool(page.results[-1].done().any()))
    page.until(lambda: page.tuning._comparing.wait(0).state == "done")
    after = page.results[-1]
    before = viewed.store.labels.read((0, 0, 192, 320))
    assert page.facts[-1]["changed"] == pytest.approx((after.labels.read((0, 0, 192, 320)) != before).mean(), abs=0.1)

    again = Page(viewed)  # another kernel, or another viewer
    again.tuning.look()
    assert again.state == "waiting"
    assert again.facts[-1]["reasons"] == facts["reasons"]
    if not facts["better"]:
        with pytest.raises(FctlError, match="no better"):
            again.tuning.keep()
    again.tuning.keep(anyway=True)
    assert again.state == "kept"
    kept = viewed.map.path.with_name(again.facts[-1]["name"])
    assert fctl.load_checkpoint(kept).name == kept.stem
    assert not any(path.exists() for path in traces(kept))


def test_what_is_cut_off_is_resumed_and_rolled_back_without_a_trace(viewed: ViewedMap) -> None:
    files = {path.name for path in viewed.map.path.parent.iterdir()}
    page = Page(viewed)
    page.tuning.start(60)
    page.until(lambda: page.state == "training")
    page.tuning.pause()
    page.until(lambda: page.state == "paused")
    page.tuning.resume()
    page.tuning.close()
    assert page.state == "cancelled"

    again = Page(viewed)
    again.tuning.look()
    assert again.state == "cut"
    again.tuning.start(4)  # the number of steps of the run that is resumed stays
    again.until(lambda: again.state == "waiting", 200)
    assert again.facts[-1]["loss"][-1][0] == 60 or again.facts[-1]["total"] == 60
    again.tuning.compare(None)
    again.until(lambda: bool(again.results))
    again.tuning.roll_back()
    assert again.state == "rolled back"
    left = {path.name for path in viewed.map.path.parent.iterdir() if not path.name.endswith(".lock")}
    assert left <= files
    with pytest.raises(FctlError, match="no new network"):
        again.tuning.roll_back()


def test_a_network_that_is_decided_elsewhere_is_not_waited_for(viewed: ViewedMap) -> None:
    page = Page(viewed)
    page.tuning.start(2)
    page.until(lambda: page.state == "waiting")
    candidate = page.tuning.candidate
    assert candidate is not None
    candidate.roll_back()  # by a cell, or another program
    assert page.tuning.candidate is None
    assert page.state == "decided elsewhere"
    page.tuning.start(2)
    page.until(lambda: page.state == "waiting")


def test_a_viewer_goes_on_with_the_network_that_is_kept(viewed: ViewedMap) -> None:
    viewer = fctl.show(viewed.image, viewed.map)

    def learn(number: int) -> None:
        viewer._steer(TuningSteered(id=0, kind="tune", do="start", steps=2))
        wait(lambda: viewer.tuning["state"] == "waiting")
        assert viewer.tuning["name"] == f"awake-{number}"
        viewer._steer(TuningSteered(id=0, kind="tune", do="compare"))
        wait(lambda: viewer.tuning.get("changed") is not None)

    learn(1)
    assert [layer["id"] for layer in viewer.layers][-3:] == ["map-after", "changed-after", "corrections"]
    viewer._steer(TuningSteered(id=0, kind="tune", do="keep anyway"))
    assert viewer.tuning["state"] == "kept"
    kept = viewed.map.path.with_name("awake-1.safetensors")
    assert viewer._explainer.explain(10, 10).request.checkpoint == str(kept)
    assert viewer._map_layer == "map-scene.awake-1.fctl.ome.zarr"

    learn(2)  # from the one that was kept, and seen beside its map
    assert viewer.candidate is not None
    assert viewer.candidate.checkpoint.card.provenance["parent"]["name"] == "awake-1"
    shown = next(layer for layer in viewer._layers if layer.id == "map-after")
    assert shown.source._map.path.name == "scene.awake-2.fctl.ome.zarr"
    viewer._steer(TuningSteered(id=0, kind="tune", do="roll back"))
    assert [layer["id"] for layer in viewer.layers][-2:] == ["map-scene.awake-1.fctl.ome.zarr", "corrections"]
    viewer.close()


def wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_nothing_is_learned_from_nothing(viewed: ViewedMap) -> None:
    shutil.rmtree(viewed.corrections_path)
    page = Page(viewed)
    with pytest.raises(FctlError, match="paint some"):
        page.tuning.start(4)
    assert page.state == "none"
