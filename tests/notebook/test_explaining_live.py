"""What the page is told of a pixel, and the map that grows while one looks, with the real worker."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fctl_napari as fctl
from fctl_napari.api import running
from fctl_napari.exceptions import FctlError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.notebook.explaining import PixelExplainer, to_page
from fctl_napari.notebook.live import Live
from fctl_napari.notebook.viewed_map import ViewedMap


@pytest.fixture(scope="module", autouse=True)
def _one_worker() -> Iterator[None]:
    yield
    for engine in running._engines.values():
        engine.close()
    running._engines.clear()


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, awake_checkpoint: Path) -> fctl.Map:
    """A map of which one tile is computed, with its image and network beside it."""
    folder = tmp_path_factory.mktemp("live")
    network = Path(shutil.copy(awake_checkpoint, folder / "awake.safetensors"))
    pixels = np.random.default_rng(0).integers(0, 256, (192, 320, 3)).astype(np.uint8)
    scene = convert(pyramid_from_array(pixels, name="scene"), folder / "scene.ome.zarr", chunk=128)
    return fctl.segment(scene, network, region=(0, 0, 8, 8), device="cpu", progress=False)


def test_the_page_is_told_what_explain_says(begun: fctl.Map) -> None:
    explained = PixelExplainer(ViewedMap.of(begun, None)).explain(60.0, 200.0)
    told, pictures = to_page(explained)
    plain = fctl.explain(begun, (60.0, 200.0), device="cpu")
    for each in told["classes"]:
        assert each["probability"] == pytest.approx(plain.probabilities[each["name"]], abs=2e-3)
    assert [each["name"] for each in told["contexts"]] == ["local", "medium", "large"]
    assert sum(each["weight"] for each in told["contexts"]) == pytest.approx(1, abs=1e-3)
    assert told["changed"] is None
    for data, context in zip(pictures, explained.contexts, strict=True):
        seen = np.asarray(Image.open(io.BytesIO(data)))
        assert seen.shape == (*context.combined.shape, 4)
        assert np.unravel_index(seen[..., 3].argmax(), seen.shape[:2]) == np.unravel_index(
            context.combined.argmax(), context.combined.shape
        )
    with pytest.raises(FctlError, match="outside"):
        PixelExplainer(ViewedMap.of(begun, None)).explain(1e6, 0)
    with pytest.raises(FctlError):
        PixelExplainer(ViewedMap.of(begun, None)).explain(60, 200, "nothing")


def test_what_changes_without_a_part_is_drawn(begun: fctl.Map) -> None:
    explainer = PixelExplainer(ViewedMap.of(begun, None))
    assert explainer.parts() == ["local", "medium", "large", "gpe", "ale"]
    explained = explainer.explain(60.0, 200.0, "large")
    told, pictures = to_page(explained)
    assert explained.without is not None
    differs = explained.labels != explained.without.labels
    assert told["changed"] == pytest.approx(differs.mean())
    seen = np.asarray(Image.open(io.BytesIO(pictures[-1])))
    assert np.array_equal(seen[..., 3] > 0, differs)
    for each, probability in zip(told["classes"], explained.without.probabilities, strict=True):
        assert each["without"] == pytest.approx(probability)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_map_grows_where_one_looks(begun: fctl.Map) -> None:
    grown: list[float] = []
    failed: list[BaseException] = []
    live = Live(ViewedMap.of(begun, None), lambda: grown.append(begun.done), failed.append)
    before = fctl.Map(begun.path).done
    live.start((0, 0, 64, 64))
    until(lambda: bool(grown) and fctl.Map(begun.path).done > before)
    live.look((0, 0, 192, 320))
    until(lambda: fctl.Map(begun.path).done == 1)
    live.stop()
    assert not live.running
    assert failed == []
    whole = fctl.segment(begun.image, begun.network(), begun.path.with_name("w.ome.zarr"), device="cpu", progress=False)
    assert np.array_equal(fctl.Map(begun.path).read(), whole.read())


def test_why_nothing_is_computed_stays_to_be_read(begun: fctl.Map, tmp_path: Path) -> None:
    folder = shutil.copytree(begun.path.parent, tmp_path / "moved")
    (folder / "awake.safetensors").unlink()
    begun.path.parent.joinpath("awake.safetensors").rename(tmp_path / "awake.safetensors")
    try:
        viewer = fctl.show(fctl.Map(folder / begun.path.name))
        viewer.live = True
        assert not viewer.live
        assert "awake" in viewer.problem
        viewer.close()
    finally:
        (tmp_path / "awake.safetensors").rename(begun.path.parent / "awake.safetensors")


def test_one_viewer_of_a_map_is_live_at_a_time(begun: fctl.Map) -> None:
    first, second = fctl.show(begun), fctl.show(begun)
    first.live = True
    second.live = True
    assert (first.live, second.live) == (False, True)
    assert "another run" in first.problem
    second.close()
    assert not second.live
    second.live = True  # it is closed, and stays so
    assert not second.live
    first.close()


def test_a_map_whose_image_was_moved_is_worked_on_with_the_image_that_is_given(begun: fctl.Map, tmp_path: Path) -> None:
    folder = shutil.copytree(begun.path.parent, tmp_path / "moved")
    away = (folder / "scene.ome.zarr").rename(tmp_path / "elsewhere.ome.zarr")
    moved = fctl.Map(folder / begun.path.name)
    assert begun.image is not None
    original = Path(begun.image.path).rename(tmp_path / "original.ome.zarr")
    try:
        alone = fctl.show(moved)
        assert not alone.works
        alone.live = True
        assert not alone.live
        assert "its image is not where it was" in alone.problem
        together = fctl.show(away, moved)
        assert together.works
        explained = together._explainer.explain(60.0, 100.0)
        assert explained.request.image == str(away)
        together.close()
        alone.close()
    finally:
        original.rename(begun.image.path)


def test_a_cell_that_computes_a_map_does_not_wait_for_its_live_viewer(begun: fctl.Map) -> None:
    viewer = fctl.show(begun)
    viewer.live = True
    assert viewer.live
    fctl.segment(begun.image, begun.network(), begun.path, region=(0, 0, 192, 320), device="cpu", progress=False)
    assert not viewer.live
    assert "another run" in viewer.problem
    viewer.close()
