from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from fctl_napari.exceptions import OutputError
from fctl_napari.imagery import sample
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import SamplePaths, sample_files, sample_splits, write_sample


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample") / "earth.ome.zarr")


def truth_indices() -> np.ndarray:
    return np.asarray(Image.open(sample_files().ground_truth))


def test_the_splits_partition_the_width() -> None:
    bands = sorted(band for bands in sample_splits().values() for band in bands)
    assert bands[0][0] == 0
    assert bands[-1][1] == Image.open(sample_files().image).width
    assert all(left[1] == right[0] for left, right in itertools.pairwise(bands))


@pytest.mark.parametrize(("split", "share"), [("train", 0.6), ("val", 0.15), ("test", 0.25)])
def test_each_split_has_its_share_and_every_class(split: str, share: float) -> None:
    ground_truth = truth_indices()
    bands = sample_splits()[split]
    assert sum(x1 - x0 for x0, x1 in bands) == pytest.approx(share * ground_truth.shape[1], rel=0.02)
    found = np.unique(np.concatenate([ground_truth[:, x0:x1].ravel() for x0, x1 in bands]))
    classes = json.loads(sample_files().classes.read_text())["classes"]
    assert set(range(len(classes))) <= set(found.tolist()) <= {*range(len(classes)), 255}


def test_image_and_ground_truth_are_one_scene() -> None:
    """Registration: water is dark blue, so blue against red tells it from land where the truth says so."""
    image = np.asarray(Image.open(sample_files().image)).astype(np.int16)
    ground_truth = truth_indices()
    assert image.shape[:2] == ground_truth.shape
    looks_wet = image[..., 2] > image[..., 0]
    wet = ground_truth == 0
    overlap = [
        (looks_wet & np.roll(wet, shift, axis=1)).sum() / (looks_wet | np.roll(wet, shift, axis=1)).sum()
        for shift in (-12, 0, 12)
    ]
    assert overlap[1] == max(overlap)
    assert overlap[1] > 0.9


def test_the_pyramid_holds_the_same_pixels(written: Path) -> None:
    pyramid = open_image(written)
    original = np.asarray(Image.open(sample_files().image))
    assert pyramid.shape == original.shape[:2]
    np.testing.assert_array_equal(pyramid.read((600, 2500, 900, 3100)), original[600:900, 2500:3100])
    assert pyramid.native_levels > 1
    assert max(pyramid.levels[-1].shape) <= 1000


def test_the_ground_truth_lies_beside_it_with_names_and_colors(written: Path) -> None:
    labels = LabelPyramid.open(written / "labels" / "truth")
    ground_truth = truth_indices()
    np.testing.assert_array_equal(labels.read((0, 0, *ground_truth.shape)), ground_truth + np.uint8(1))
    coarse = labels.levels[-1]
    step = 2 ** (len(labels.levels) - 1)
    np.testing.assert_array_equal(coarse[:], (ground_truth + np.uint8(1))[::step, ::step])
    assert labels.classes == json.loads(sample_files().classes.read_text())["classes"]
    assert zarr.open_group(written / "labels", mode="r").attrs["ome"]["labels"] == ["truth"]


def test_the_scene_serves_as_ground_truth(written: Path) -> None:
    source = open_ground_truth(written)
    np.testing.assert_array_equal(source.read((700, 2700, 800, 2900)), truth_indices()[700:800, 2700:2900])
    assert source.class_names == ("water", "forest", "rangeland", "agriculture", "barren")


def test_an_unfinished_ground_truth_is_finished(written: Path) -> None:
    labels = LabelPyramid.open(written / "labels" / "truth", mode="r+")
    state = labels.attributes["fctl"]
    labels.set_attributes({"fctl": {**state, "complete": False}})
    labels.write(0, 0, np.full((50, 50), 9, np.uint8))
    assert write_sample(written) == written
    np.testing.assert_array_equal(labels.read((0, 0, 50, 50)), truth_indices()[:50, :50] + np.uint8(1))
    assert LabelPyramid.open(written / "labels" / "truth").attributes["fctl"] == state


def test_a_finished_scene_is_taken_as_it_is(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed again, the files have other places and times; the scene in somebody's cache still serves."""
    files = sample_files()
    copies = [
        Path(shutil.copyfile(path, tmp_path / path.name)) for path in (files.image, files.ground_truth, files.classes)
    ]
    monkeypatch.setattr(sample, "sample_files", lambda: SamplePaths(*copies))
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    assert write_sample(written) == written
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*")} == before


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError):
        write_sample(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
