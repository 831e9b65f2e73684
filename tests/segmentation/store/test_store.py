from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.pyramid import Georeference
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.store_lock import lock_store, open_or_create
from fctl_napari.segmentation.tiling.grid import TileGrid

PLACE = Georeference("EPSG:4326", (0.1, 0.0, -180.0, 0.0, -0.1, 90.0))


@pytest.fixture
def card(tiny_config: FCtLConfig) -> Card:
    scored = [ClassInfo(name=name, color=(10, 20, k)) for k, name in enumerate(("sea", "wood", "town"))]
    return Card(
        name="planet",
        config=tiny_config,
        classes=ClassTable(classes=(*scored, ClassInfo(name="cloud", color=(9, 9, 9), ignored=True))),
    )


@pytest.fixture
def create(tmp_path: Path, card: Card) -> Callable[..., Segmentation]:
    def make(height: int = 1300, width: int = 2300, path: Path = tmp_path / "s.ome.zarr") -> Segmentation:
        blank = pyramid_from_array(np.zeros((height, width, 3), np.uint8), name="blank", georeference=PLACE)
        return Segmentation.create(
            path,
            image=blank,
            grid=TileGrid((height, width), 256, 64),
            card=card,
            checkpoint_hash="ab" * 32,
            settings={"merge": "crop", "bands": [2, 1, 0]},
        )

    return make


def test_what_is_written_is_read_back(create: Callable[..., Segmentation], card: Card) -> None:
    made = create()
    found = Segmentation.open(made.path)
    assert found.shape == (1300, 2300)
    assert found.class_table == card.classes
    assert found.labels.classes == [{"name": c.name, "color": list(c.color)} for c in card.classes.scored]
    assert found.checkpoint_hash == "ab" * 32
    assert found.settings == {"merge": "crop", "bands": [2, 1, 0]}
    assert found.georeference == PLACE
    assert (found.grid.tile_size, found.grid.step) == (256, 192)
    assert found.labels.levels[0].chunks == found.confidence.levels[0].chunks == (192, 192)
    assert not found.done().any()
    assert len(found.missing()) == found.grid.rows * found.grid.cols


def test_finished_cells_are_done_at_every_level(create: Callable[..., Segmentation]) -> None:
    store = create()
    random = np.random.default_rng(0)
    ground_truth = np.zeros(store.shape, np.uint8)
    chosen = [(0, 0), (0, 1), (3, 5), (6, 11)]
    for cell in chosen:
        y0, x0, y1, x1 = store.grid.core(cell)
        ground_truth[y0:y1, x0:x1] = random.integers(1, 4, (y1 - y0, x1 - x0))
        store.write_cell(cell, ground_truth[y0:y1, x0:x1], ground_truth[y0:y1, x0:x1] * 80)
    assert not store.done().any(), "a cell is done when finish() says so"
    windows = store.finish(chosen)
    assert windows == ((0, 0, 192, 384), (576, 960, 768, 1152), (1152, 2112, 1300, 2300))
    again = Segmentation.open(store.path)
    np.testing.assert_array_equal(np.argwhere(again.done()), chosen)
    assert set(again.missing()).isdisjoint(chosen)
    assert again.missing((0, 0, 192, 400)) == [(0, 2)]
    for level, (labels, confidence) in enumerate(zip(again.labels.levels, again.confidence.levels, strict=True)):
        expected = ground_truth[:: 2**level, :: 2**level]
        np.testing.assert_array_equal(labels[:], expected)
        np.testing.assert_array_equal(confidence[:], expected * 80)
    assert len(again.labels.levels) > 1


def test_cells_are_chunks_of_their_own(create: Callable[..., Segmentation]) -> None:
    store = create(500, 500)
    store.write_cell((1, 2), np.ones((192, 116), np.uint8), np.ones((192, 116), np.uint8))
    files = [str(file.relative_to(store.path)) for file in store.path.rglob("c/*/*")]
    assert sorted(files) == ["0/c/1/2", "confidence/0/c/1/2"]


def test_other_things_are_not_segmentations(tmp_path: Path, create: Callable[..., Segmentation]) -> None:
    LabelPyramid.create(tmp_path / "labels.ome.zarr", (50, 50))
    with pytest.raises(InputError, match=r"labels\.ome\.zarr: is not a segmentation"):
        Segmentation.open(tmp_path / "labels.ome.zarr")
    with pytest.raises(InputError, match="no such file"):
        Segmentation.open(tmp_path / "nothing.ome.zarr")
    store = create()
    shutil.rmtree(store.path / "confidence")
    with pytest.raises(InputError, match="parts of this segmentation are missing"):
        Segmentation.open(store.path)


def no_room(*_: object, **__: object) -> None:
    raise OutputError("the disk is full")


def test_what_is_there_is_resumed_or_refused(tmp_path: Path, card: Card) -> None:
    def resume(pixel: int = 0, fresh: bool = False, path: str = "s.ome.zarr", **settings: object) -> Segmentation:
        opened = open_or_create(
            tmp_path / path,
            image=pyramid_from_array(np.full((100, 100, 3), pixel, np.uint8)),
            grid=TileGrid((100, 100), 64, 16),
            card=card,
            checkpoint_hash="ab" * 32,
            settings={"merge": "crop", **settings},
            fresh=fresh,
        )
        opened.keep()
        return opened.store

    assert resume(merge="average").settings["merge"] == "average"
    store = resume()  # nothing was computed yet: what was refused does not stand in the way
    assert store.settings["merge"] == "crop"
    store.write_cell((0, 0), np.ones((48, 48), np.uint8), np.ones((48, 48), np.uint8))
    store.finish([(0, 0)])
    assert resume().done().sum() == 1
    with pytest.raises(OutputError, match="another image"):
        resume(pixel=1)
    with pytest.raises(OutputError, match="another merge"):
        resume(merge="average")
    assert resume(merge="average", fresh=True).done().sum() == 0
    assert [file.name for file in tmp_path.iterdir()] == ["s.ome.zarr"]
    store = resume(merge="average")
    store.write_cell((0, 0), np.ones((48, 48), np.uint8), np.ones((48, 48), np.uint8))
    store.finish([(0, 0)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Segmentation, "create", no_room)
        with pytest.raises(OutputError, match="disk is full"):
            resume(fresh=True)
    assert [file.name for file in tmp_path.iterdir()] == ["s.ome.zarr"]
    assert resume(merge="average").done().sum() == 1  # it is there still
    (tmp_path / "mine").write_text("text")
    with pytest.raises(OutputError, match="mine: exists and is not a segmentation"):
        resume(path="mine", fresh=True)


def test_a_lock_holds_within_and_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fctl_napari.segmentation.store.store_lock.LOCK_TIMEOUT", 0.05)
    lock = lock_store(tmp_path / "deep" / "s.ome.zarr")
    with pytest.raises(OutputError, match=r"s\.ome\.zarr: is in use by another run"):
        lock_store(tmp_path / "deep" / "s.ome.zarr")
    lock.release()
    lock_store(tmp_path / "deep" / "s.ome.zarr").release()


def test_fingerprints_follow_the_content_not_the_name(tmp_path: Path) -> None:
    from fctl_napari.imagery.open import open_image

    pixels = np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)
    for name in ("a", "b"):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    pixels[40, 40] ^= 1
    Image.fromarray(pixels).save(tmp_path / "c.png")
    prints = {name: fingerprint(open_image(tmp_path / f"{name}.png")) for name in "abc"}
    assert prints["a"] == prints["b"] != prints["c"]
    assert fingerprint(pyramid_from_array(pixels)) != fingerprint(pyramid_from_array(pixels[::-1].copy()))


def test_renewed_store_keeps_what_was_predicted_until_it_is_computed(tmp_path: Path, card: Card) -> None:
    image = pyramid_from_array(np.zeros((300, 500, 3), np.uint8), name="blank")
    grid = TileGrid(image.shape, 128, 32)
    facts = {"image": image, "grid": grid, "settings": {"merge": "crop"}, "fresh": False}
    path = tmp_path / "s.ome.zarr"
    store = open_or_create(path, card=card, checkpoint_hash="a", **facts).store
    core = grid.core((0, 0))
    block = np.ones((core[2] - core[0], core[3] - core[1]), np.uint8)
    store.write_cell((0, 0), block, block)
    store.finish([(0, 0)])

    other = card.model_copy(update={"name": "other"})
    opened = open_or_create(path, card=other, checkpoint_hash="b", renew=True, **facts)
    assert not opened.made
    assert not opened.store.done().any()
    assert opened.store.inherited()[0, 0]
    assert opened.store.inherited().sum() == 1
    assert (opened.store.labels.read(core) == 1).all()
    assert (opened.store.checkpoint_hash, opened.store.parent_name) == ("b", "planet")
    opened.store.finish([(0, 0)])
    again = open_or_create(path, card=other, checkpoint_hash="b", renew=True, **facts).store
    assert again.done()[0, 0]
    assert not again.inherited().any()

    fewer = other.model_copy(update={"classes": ClassTable(classes=other.classes.classes[:2])})
    opened = open_or_create(path, card=fewer, checkpoint_hash="c", renew=True, **facts)
    assert opened.made
    assert not opened.store.labels.read(core).any(), "other classes begin with an empty store"
