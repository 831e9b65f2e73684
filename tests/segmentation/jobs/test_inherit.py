"""A child's segmentation that takes its parent's calls over where it computes nothing, in a real worker process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_segmentation import CELLS, SCENE, Local, chunk_times, pixels, save_lively_network
from PIL import Image

from fctl_napari.exceptions import ConfigError, FctlError, InputError
from fctl_napari.model.config import FCtLConfig
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = pytest.mark.slow

ENOUGH = 250
"""How long a run may take at most, s."""

CHOSEN = ((0, 0), (0, 1), (4, 7), (9, 10))


@pytest.fixture(scope="module")
def parent(local: Local, scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Segmentation:
    """All but the cells of the last row."""
    out = tmp_path_factory.mktemp("parent") / "parent.ome.zarr"
    return local.segment(out, scene, region=(0, 0, 430, 500))


@pytest.fixture(scope="module")
def child(lively_config: FCtLConfig, tmp_path_factory: pytest.TempPathFactory) -> Local:
    """Another network of the same classes."""
    return Local(save_lively_network(tmp_path_factory.mktemp("child") / "child.safetensors", lively_config, seed=1))


@pytest.fixture(scope="module")
def childs(child: Local, scene: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """What the child says of the scene, [2, y, x]."""
    return pixels(child.segment(tmp_path_factory.mktemp("whole") / "whole.ome.zarr", scene))


@pytest.fixture
def request_(scene: Path, child: Local, parent: Segmentation, tmp_path: Path) -> SegmentationRequest:
    return SegmentationRequest(
        str(scene),
        str(tmp_path / "out.ome.zarr"),
        str(child.checkpoint),
        device="cpu",
        precision="fp32",
        cells=CHOSEN,
        inherit=str(parent.path),
    )


def by(store: Segmentation, cells: object) -> np.ndarray:
    """Mask of the cores of cells."""
    mask = np.zeros(store.shape, bool)
    for cell in cells:
        y0, x0, y1, x1 = store.grid.core(tuple(cell))
        mask[y0:y1, x0:x1] = True
    return mask


def in_step(store: Segmentation) -> bool:
    """Whether the coarser levels are."""
    return all(
        np.array_equal(finer[::2, ::2], coarser[:])
        for pyramid in (store.labels, store.confidence)
        for finer, coarser in zip(pyramid.levels, pyramid.levels[1:], strict=False)
    )


def test_chosen_cells_are_the_childs_the_others_the_parents_and_later_runs_compute_them(
    engine: Engine, request_: SegmentationRequest, parent: Segmentation, childs: np.ndarray, tmp_path: Path
) -> None:
    final = engine.start(request_).wait(ENOUGH)
    assert (final.state, final.error, final.done, final.total) == ("done", None, 4, 4)
    store = Segmentation.open(request_.out)
    assert sorted(map(tuple, np.argwhere(store.done()))) == sorted(CHOSEN)
    np.testing.assert_array_equal(store.inherited(), parent.done() & ~store.done())
    assert store.parent_name == "lively"
    computed, found = by(store, CHOSEN), pixels(store)
    assert (childs[0] != pixels(parent)[0])[:432].any(), "they agree, which proves nothing"
    np.testing.assert_array_equal(found, np.where(computed, childs, pixels(parent)))
    assert in_step(store)
    assert len(store.missing()) == CELLS - 4, "for other runs they are not there"

    before = chunk_times(store)
    assert engine.start(request_).wait(ENOUGH).done == 4
    assert chunk_times(store) == before, "nothing is taken over or computed twice"
    region = (0, 0, 100, 150)
    plain = replace(request_, cells=None, inherit=None)
    assert engine.start(replace(plain, region=region)).wait(ENOUGH).state == "done"
    np.testing.assert_array_equal(pixels(store, region), childs[:, :100, :150])
    assert not store.inherited()[:3, :4].any()
    assert store.inherited().any()
    assert store.inherited_in(region) == 0
    assert store.inherited_in((0, 0, *SCENE)) == store.inherited().sum()

    grandchild = replace(request_, out=str(tmp_path / "grandchild.ome.zarr"), cells=(), inherit=request_.out)
    assert engine.start(grandchild).wait(ENOUGH).total == 0
    taken = Segmentation.open(grandchild.out)
    np.testing.assert_array_equal(pixels(taken), pixels(store))
    assert taken.inherited().sum() == (store.done() | store.inherited()).sum()

    assert engine.start(plain).wait(ENOUGH).state == "done"
    np.testing.assert_array_equal(pixels(store), childs)
    assert not store.inherited().any()
    assert in_step(store)


def test_what_was_computed_before_is_not_taken_over(
    engine: Engine, request_: SegmentationRequest, parent: Segmentation, childs: np.ndarray
) -> None:
    region = (100, 100, 200, 200)
    assert engine.start(replace(request_, cells=None, inherit=None, region=region)).wait(ENOUGH).state == "done"
    assert engine.start(replace(request_, cells=())).wait(ENOUGH).state == "done"
    store = Segmentation.open(request_.out)
    mine = by(store, np.argwhere(store.done()))
    assert mine[100:200, 100:200].all()
    np.testing.assert_array_equal(pixels(store), np.where(mine, childs, pixels(parent)))
    assert in_step(store)


@pytest.mark.parametrize(
    ("wrong", "kind", "words"),
    [
        ({"overlap": 32}, InputError, "has another grid of tiles, so that none"),
        ({"image": "other.png"}, InputError, "is of another image"),
        ({"inherit": "other.ome.zarr"}, InputError, "other.ome.zarr"),
        ({"inherit": "out.ome.zarr"}, InputError, "cannot take over its own tiles"),
        ({"checkpoint": "other.safetensors"}, InputError, "has other classes"),
        ({"merge": "average"}, ConfigError, "with the merge 'crop'"),
        ({"live": True}, ConfigError, "and not live"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_does_not_go_together_is_refused_in_a_sentence(
    engine: Engine,
    request_: SegmentationRequest,
    make_checkpoint: Callable[..., Path],
    tiny_config: FCtLConfig,
    tmp_path: Path,
    wrong: dict[str, object],
    kind: type[FctlError],
    words: str,
) -> None:
    if "image" in wrong:
        Image.fromarray(np.zeros((*SCENE, 3), np.uint8)).save(tmp_path / "other.png")
        wrong = {"image": str(tmp_path / "other.png")}
    elif "checkpoint" in wrong:
        wrong = {"checkpoint": str(make_checkpoint(tiny_config, "colours"))}
    elif "inherit" in wrong:
        assert engine.start(replace(request_, cells=())).wait(ENOUGH).state == "done"
        wrong = {"inherit": str(tmp_path / str(wrong["inherit"]))}
    final = engine.start(replace(request_, **wrong)).wait(ENOUGH)
    assert final.state == "failed"
    with pytest.raises(kind, match=words):
        raise final.error


def test_tiles_of_another_range_of_values_are_not_taken_over(engine: Engine, request_: SegmentationRequest) -> None:
    final = engine.start(replace(request_, value_range=(0.0, 200.0))).wait(ENOUGH)
    with pytest.raises(InputError, match="was made with another range of values, so that none of its tiles can be"):
        raise final.error
