"""What a run makes of px that hold no data: nothing, and no tile is run for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import ATTRIBUTE, Segmentation
from fctl_napari.segmentation.tiling.empty_cells import cells_without_data

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 150, 400


@pytest.fixture(scope="module")
def valid() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(x + y // 2 < 170)


@pytest.fixture(scope="module")
def collared(tmp_path_factory: pytest.TempPathFactory, make_rgb: Callable[..., np.ndarray], valid: np.ndarray) -> Path:
    """A scene whose right half is transparent, and holds noise there."""
    path = tmp_path_factory.mktemp("collared") / "scene.png"
    Image.fromarray(np.dstack([make_rgb(HEIGHT, WIDTH, seed=7), valid.astype(np.uint8) * 255])).save(path)
    return path


@pytest.fixture
def request_(collared: Path, lively: Path, tmp_path: Path) -> SegmentationRequest:
    return SegmentationRequest(
        str(collared), str(tmp_path / "out.ome.zarr"), str(lively), device="cpu", precision="fp32"
    )


def stored(engine: Engine, request: SegmentationRequest) -> np.ndarray:
    """Return labels, confidence and maps of a run, [n, y, x]."""
    final = engine.start(request).wait(250)
    assert final.state == "done", final.error
    store = Segmentation.open(request.out)
    window = (0, 0, *store.shape)
    return np.stack([part.read(window) for part in (store.labels, store.confidence, *store.maps.values())])


@pytest.mark.parametrize("options", [{}, {"maps": True}, {"merge": "average"}], ids=str)
def test_no_class_where_nothing_is(
    engine: Engine, request_: SegmentationRequest, valid: np.ndarray, options: dict[str, object]
) -> None:
    found = stored(engine, replace(request_, **options))
    assert (found[:, ~valid] == 0).all()
    assert (found[:2, valid] > 0).all()


def test_a_region_is_the_whole_there(engine: Engine, request_: SegmentationRequest, tmp_path: Path) -> None:
    whole = stored(engine, request_)
    part = stored(engine, replace(request_, out=str(tmp_path / "part.ome.zarr"), region=(10, 60, 140, 330)))
    there = part[0] > 0
    assert there.any()
    assert np.array_equal(part[:, there], whole[:, there])


def test_what_lies_under_transparency_does_not_matter(
    engine: Engine, request_: SegmentationRequest, tmp_path: Path, valid: np.ndarray
) -> None:
    pixels = np.array(Image.open(request_.image))
    pixels[~valid, :3] = 255 - pixels[~valid, :3]
    Image.fromarray(pixels).save(tmp_path / "other.png")
    other = replace(request_, image=str(tmp_path / "other.png"), out=str(tmp_path / "other.ome.zarr"))
    assert np.array_equal(stored(engine, request_), stored(engine, other))


def test_tiles_without_data_are_reported_and_not_run(engine: Engine, request_: SegmentationRequest) -> None:
    events = []
    final = engine.start(request_, events.append).wait(250)
    store = Segmentation.open(request_.out)
    image = open_image(request_.image)
    empty = cells_without_data(image, store.grid, store.grid.cells_in((0, 0, *store.shape)))
    assert 0 < final.empty == len(empty) < final.total == final.done
    assert all(not store.labels.read(store.grid.core(cell)).any() for cell in empty)


def test_an_image_without_any_data_is_done_at_once(
    engine: Engine, request_: SegmentationRequest, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((90, 130, 4), np.uint8)).save(tmp_path / "nothing.png")
    assert not stored(engine, replace(request_, image=str(tmp_path / "nothing.png"))).any()


def test_what_was_segmented_without_knowing_it_is_not_resumed(
    engine: Engine, request_: SegmentationRequest, tmp_path: Path
) -> None:
    stored(engine, request_)
    store = Segmentation.open(request_.out, mode="r+")
    del store.facts["settings"]["validity"]  # as earlier versions wrote it
    store.labels.set_attributes({ATTRIBUTE: store.facts})
    with pytest.raises(OutputError, match="holds a segmentation that knew other px without data; start it afresh"):
        raise engine.start(request_).wait(250).error or AssertionError
    child = replace(request_, out=str(tmp_path / "child.ome.zarr"), inherit=request_.out)
    with pytest.raises(InputError, match="was made with another knowledge of px without data"):
        raise engine.start(child).wait(250).error or AssertionError
