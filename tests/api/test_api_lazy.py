"""Lazy arrays are segmented and explained without reading more of them than is covered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_lazy import BLOCK, Counted

import fctl_napari as fctl
from fctl_napari.api.running import shared_engine
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_copy import array_token, copy_at, copy_of_array
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.open import open_image
from fctl_napari.model.config import Context, FCtLConfig
from fctl_napari.segmentation.jobs.engine import SegmentationRequest
from fctl_napari.segmentation.jobs.explain import explain as explain_pixel

CONTEXTS = {(y, x) for y in (2, 3) for x in (2, 3)}
"""Blocks of a tile in block (3, 3) and its contexts: those of the chunk of level 1 in which they lie."""


@pytest.fixture(scope="module")
def medium(make_checkpoint: Callable[..., Path], tiny_config: FCtLConfig) -> Path:
    """A network whose largest context is three times a tile."""
    contexts = (*tiny_config.contexts[:2], Context(name="large", scale=3.0))
    return make_checkpoint(tiny_config.model_copy(update={"contexts": contexts}), "medium", awake=True)


def test_the_first_tile_computes_what_it_covers(medium: Path, tmp_path: Path) -> None:
    scene, sampled = Counted(8192), Counted(8192)
    fingerprint(with_chunk_cache(pyramid_from_array(sampled.lazy())))
    region = (1750, 1750, 1770, 1770)
    found = fctl.segment(scene.lazy(), medium, tmp_path / "a.ome.zarr", region=region, device="cpu", progress=False)
    assert len(scene.blocks) < 32
    assert scene.blocks - sampled.blocks <= CONTEXTS
    copied = copy_at(tmp_path / "a.image.ome.zarr")
    assert copied is not None
    assert not copied.read
    assert found.image is not None
    assert np.array_equal(found.image.read(region), scene[1750:1770, 1750:1770, :])
    copied.finish()
    again = fctl.segment(copied.path, medium, tmp_path / "b.ome.zarr", region=region, device="cpu", progress=False)
    assert len(np.unique(found.read(region))) > 1
    assert np.array_equal(found.read(region), again.read(region))  # no px was missing when it was read


def test_a_whole_run_leaves_a_whole_copy(medium: Path, tmp_path: Path) -> None:
    scene = Counted(300)
    out = tmp_path / "a.ome.zarr"
    lazily = fctl.segment(scene.lazy(), medium, out, device="cpu", progress=False)
    at_once = fctl.segment(scene[:, :, :], medium, tmp_path / "b.ome.zarr", device="cpu", progress=False)
    assert np.array_equal(lazily.read(), at_once.read())
    moved = (tmp_path / "a.image.ome.zarr").rename(tmp_path / "moved.ome.zarr")
    assert np.array_equal(open_image(moved).read_native((0, 0, 300, 300)), scene[:, :, :])


def test_a_part_is_continued_by_the_same_call(medium: Path, tmp_path: Path) -> None:
    scene, out, corner = Counted(1500), tmp_path / "a.ome.zarr", (1460, 1460, 1500, 1500)
    fctl.segment(scene.lazy(), medium, out, region=(0, 0, 40, 40), device="cpu", progress=False)
    copied = tmp_path / "a.image.ome.zarr"
    elsewhere = copied.rename(tmp_path / "elsewhere.ome.zarr")
    with pytest.raises(InputError, match="holds only parts of an array"):
        open_image(elsewhere)
    elsewhere.rename(copied)
    both = fctl.segment(scene.lazy(), medium, out, region=corner, device="cpu", progress=False)
    other = fctl.segment(scene[:, :, :], medium, tmp_path / "b.ome.zarr", region=corner, device="cpu", progress=False)
    assert np.array_equal(both.read(corner), other.read(corner))
    assert (both.read((0, 0, 40, 40)) != 255).all()


class Troubled(Counted):
    """A scene one block of which takes something else than computing; its fingerprint needs another."""

    def __init__(self, trouble: Callable[[], object]) -> None:
        super().__init__(4096)
        sampled = Counted(4096)
        fingerprint(with_chunk_cache(pyramid_from_array(sampled.lazy())))
        self.place = next(y * BLOCK for y in range(8) if (y, y) not in sampled.blocks)
        self.region = (self.place + 200, self.place + 200, self.place + 220, self.place + 220)
        self._trouble = trouble

    def __getitem__(self, key: Any) -> np.ndarray:
        if key[0].start == key[1].start == self.place:
            self._trouble()
        return super().__getitem__(key)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("the server is gone\ntoday"), r"\(OSError: the server is gone\)"),
        (MemoryError(), r"\(MemoryError\)"),
        (KeyError("red"), r"\(KeyError: 'red'\)"),
        (RecursionError("too deep"), r"\(RecursionError: too deep\)"),
    ],
)
def test_a_block_that_cannot_be_computed_is_said(medium: Path, tmp_path: Path, error: Exception, said: str) -> None:
    def fail() -> None:
        raise error

    scene = Troubled(fail)
    with pytest.raises(InputError, match=rf"cannot be computed or read at rows {scene.place} to \d+ {said}"):
        fctl.segment(scene.lazy(), medium, tmp_path / "a.ome.zarr", region=scene.region, progress=False)


def test_a_run_that_waits_for_blocks_is_cancelled(medium: Path, tmp_path: Path) -> None:
    came, goes_on = threading.Event(), threading.Event()

    def wait() -> None:
        came.set()
        goes_on.wait(60)

    scene = Troubled(wait)
    array, out = scene.lazy(), str(tmp_path / "a.ome.zarr")
    source = with_chunk_cache(pyramid_from_array(array))
    copied = copy_of_array(source, tmp_path / "c.ome.zarr", array_token(array))
    run = shared_engine().start(SegmentationRequest(str(copied.path), out, str(medium), region=scene.region))
    assert came.wait(60)
    run.cancel()
    event = run.wait(60)
    goes_on.set()
    assert event.state == "cancelled"
    assert event.done == 0


def test_a_pixel_is_explained_by_what_its_tile_covers(medium: Path) -> None:
    scene = Counted(8192)
    image = fctl.open(scene.lazy())
    assert isinstance(image, fctl.Image)
    explained = explain_pixel(image.pyramid, medium, (1760, 1760), device="cpu")
    assert scene.blocks <= CONTEXTS
    assert explained.probabilities.sum() == pytest.approx(1, abs=1e-4)


def test_a_network_learns_from_a_map_of_a_part(medium: Path, tmp_path: Path) -> None:
    """Fine-tuning reads the image elsewhere, so that all of it is copied first."""
    scene = Counted(1500)
    found = fctl.segment(scene.lazy(), medium, tmp_path / "a.ome.zarr", region=(0, 0, 60, 60), progress=False)
    copied = copy_at(tmp_path / "a.image.ome.zarr")
    assert copied is not None
    assert not copied.read
    with fctl.corrections(found, tmp_path / "c.ome.zarr", classes=found) as painted:
        for k in range(8):
            painted.write(8 + k // 4 * 56, 20 + k % 4 * 70, np.full((24, 24), k % 3 + 1, np.uint8), author="ann")
    learnt = {"corrections": tmp_path / "c.ome.zarr", "steps": 2, "device": "cpu", "progress": False}
    assert fctl.finetune(found, medium, tmp_path / "new.safetensors", **learnt).figures
    assert copied.read
    assert scene.blocks == {(y, x) for y in range(3) for x in range(3)}


def test_a_list_of_levels_is_refused_without_reading_them(medium: Path, tmp_path: Path) -> None:
    scene = Counted(2048)
    levels = [scene.lazy(), scene.lazy()[::2, ::2]]
    scene.blocks.clear()
    with pytest.raises(InputError, match="is a list of 2 arrays; give the finest one"):
        fctl.segment(levels, medium, tmp_path / "map.ome.zarr", progress=False)
    assert not scene.blocks
