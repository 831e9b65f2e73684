"""Files written by version 0.1.0 open as before, and get today's fingerprint the first time they are written to.

``data/files_0_1_0.zip`` holds a GeoTIFF with a segmentation of five tiles and corrections (a stroke of green by ann,
"not sure" by bob, a stroke that was undone), and the GeoTIFF converted, with corrections of its own.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.final_map import find_final_map
from fctl_napari.correcting.relink import relink
from fctl_napari.exceptions import OtherImageError, OutputError
from fctl_napari.imagery.fingerprint import SAMPLED
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.store_lock import open_or_create

FILES = Path(__file__).parent / "data" / "files_0_1_0.zip"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files; they name their image by a path from here."""
    with zipfile.ZipFile(FILES) as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def resume(path: Path, image: Pyramid) -> Segmentation:
    """Open a segmentation as a run does."""
    store = Segmentation.open(path)
    config = FCtLConfig(encoder="efficientnet_lite0", tile_size=64, classes=3, contexts=(), ale="none")
    return open_or_create(
        path,
        image=image,
        grid=store.grid,
        card=Card(name="tiny", config=config, classes=store.class_table),
        checkpoint_hash=store.checkpoint_hash,
        settings=store.settings,
        fresh=False,
    ).store


def add_overviews(path: Path) -> None:
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2], Resampling.average)


def test_a_segmentation_resumes(folder: Path) -> None:
    path = folder / "scene.tiny.fctl.ome.zarr"
    labels = Segmentation.open(path).labels.levels[0][:]
    store = resume(path, open_image("scene.tif"))
    assert store.done().sum() == 5
    assert np.array_equal(store.labels.levels[0][:], labels)
    assert Segmentation.open(path).facts["image"]["fingerprint"].startswith(SAMPLED)
    add_overviews(folder / "scene.tif")
    assert resume(path, open_image("scene.tif")).done().sum() == 5  # its bytes count no more


def test_corrections_go_on(folder: Path) -> None:
    path = folder / "scene.corrections.ome.zarr"
    with Corrections.open(path, "r+", image=open_image("scene.tif")) as there:
        assert there.area_by_class() == {"red": 0, "green": 1155, "blue": 0, "not sure": 45}
        assert there.authors == ("ann", "bob")
        assert there.redo("ann") is not None
        assert there.area_by_class()["red"] == 81
        assert there.undo("bob") is not None
    assert Corrections.open(path).facts["image"]["fingerprint"].startswith(SAMPLED)
    add_overviews(folder / "scene.tif")
    with Corrections.open(path, "r+", image=open_image("scene.tif")) as there:
        assert there.area_by_class() == {"red": 81, "green": 1200, "blue": 0, "not sure": 0}


def test_they_are_part_of_the_final_map(folder: Path) -> None:
    store = Segmentation.open(folder / "scene.tiny.fctl.ome.zarr")
    final = find_final_map(store)
    assert final is not None
    assert final.counts() == {"corrected": 1155, "not sure": 45}
    drawn = final.corrections.read((0, 0, *store.shape))
    labels = np.where((drawn > 0) & (drawn < 255), drawn, store.labels.levels[0][:])
    assert np.array_equal(final.labels.read((0, 0, *store.shape)), labels)


def test_those_of_a_conversion_are_those_of_its_image(folder: Path) -> None:
    path = folder / "converted.corrections.ome.zarr"
    for name in ("converted.ome.zarr", "scene.tif"):
        with Corrections.open(path, "r+", image=open_image(name)) as there:
            assert there.area_by_class()["blue"] == 12


def test_a_file_that_changed_before_is_asked_about(folder: Path) -> None:
    """Nothing tells any more whether its pixels are what they were."""
    add_overviews(folder / "scene.tif")
    image = open_image("scene.tif")
    with pytest.raises(OutputError, match=r"another image \(scene\.tif, by an earlier version"):
        resume(folder / "scene.tiny.fctl.ome.zarr", image)
    path = folder / "scene.corrections.ome.zarr"
    with pytest.raises(OtherImageError, match="by an earlier version, and its file has changed since"):
        Corrections.open(path, "r+", image=image)
    relink(path, image)
    assert Corrections.open(path, image=image).area_by_class()["green"] == 1155


def test_they_may_move_and_be_renamed(folder: Path) -> None:
    (folder / "moved").mkdir()
    for name in ("scene.tif", "scene.corrections.ome.zarr"):
        shutil.move(folder / name, folder / "moved" / name.replace("scene", "renamed"))
    image = open_image(folder / "moved" / "renamed.tif")
    with Corrections.open(folder / "moved" / "renamed.corrections.ome.zarr", "r+", image=image) as there:
        assert there.area_by_class()["green"] == 1155
        assert there.image_path == str(folder / "moved" / "renamed.tif")
