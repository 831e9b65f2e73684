"""Refiners: they begin as they are given, learn to do better, and refine a part as they refine the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_commands import Fctl
from helpers_training import CLASSES, losses
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.exceptions import ConfigError, FctlError, InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.open import open_image
from fctl_napari.model.build import make_network
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.model_card import read_card
from fctl_napari.model.presets import preset
from fctl_napari.segmentation.inference.image_with_mask import MaskedImage
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import open_scenes
from fctl_napari.training.random_masks import RoughGroundTruth, roughen
from fctl_napari.training.train import train
from fctl_napari.training.trainer import Trainer

NAMES = ("dark", "bright")
BAND = 192
"""The scene is trained on to the left of it."""


def blobs(shape: tuple[int, int]) -> np.ndarray:
    """Two classes with smooth outlines."""
    y, x = np.indices(shape)
    return (np.sin(y / 9) + np.sin(x / 13) + np.sin((x + y) / 17) > 0.3).astype(np.uint8)


def iou(ground_truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(
        np.mean([(t & c).sum() / (t | c).sum() for t, c in ((ground_truth == k, predicted == k) for k in (0, 1))])
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of 192 x 384 px: bright where class 1 is, with noise."""
    path = tmp_path_factory.mktemp("scene")
    ground_truth = blobs((192, 384))
    image = (
        ground_truth[..., None] * 60 + np.random.default_rng(0).integers(60, 140, (*ground_truth.shape, 3))
    ).astype(np.uint8)
    Image.fromarray(image).save(path / "scene.png")
    Image.fromarray(ground_truth).save(path / "truth.png")
    return path


def config(**fields: object) -> TrainConfig:
    scene = {"image": "scene.png", "truth": "truth.png", "train": [(0, BAND)], "test": [(BAND, 384)]}
    usual = {
        "name": "refiner",
        "preset": "refiner",
        "network": {"tile_size": 64},
        "data": {"classes": CLASSES, "scenes": [scene], "masks": "roughened"},
        "steps": 4,
        "batch": 2,
        "learning_rate": 1e-2,
        "loss": "cross_entropy",
        "batch_norm": "trained",
        "precision": "fp32",
        "save_every": 2,
    }
    return TrainConfig.model_validate(usual | fields)


@pytest.fixture(scope="module")
def refiner(folder: Path) -> Path:
    return train(config(steps=40), folder / "run", data_folder=folder, device="cpu")


def store_of(labels: np.ndarray, folder: Path, make: Callable[..., Segmentation]) -> Segmentation:
    return make(labels, names=NAMES, image=open_image(folder / "scene.png"))


@pytest.fixture
def rough(folder: Path, make_segmentation: Callable[..., Segmentation]) -> Segmentation:
    """The scene's truth with a rough outline."""
    return store_of(roughen(blobs((192, 384)), np.random.default_rng(3)) + 1, folder, make_segmentation)


@pytest.fixture(scope="module")
def engine(command_engine: Engine) -> Engine:
    return command_engine


def refine(engine: Engine, masks: Segmentation, refiner: Path, out: Path, **more: object) -> Segmentation:
    request = SegmentationRequest(
        image=str(masks.image_path),
        out=str(out),
        checkpoint=str(refiner),
        merge="average",
        precision="fp32",
        refine=str(masks.path),
        **more,  # type: ignore[arg-type]
    )
    error = engine.start(request).wait(120).error
    if error is not None:
        raise error
    return Segmentation.open(out)


# -- what it is ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_before_training_it_gives_back_the_mask_it_is_given() -> None:
    model = make_network(preset("refiner", classes=3, tile_size=45)).eval()
    image = torch.randint(0, 256, (2, 4, 45, 45))
    image[:, 3] = torch.randint(1, 4, (2, 45, 45))
    assert torch.equal(model(image, {}, {}).argmax(1) + 1, image[:, 3])
    torch.nn.init.normal_(model.decoder.score.weight)
    logits = model(image, {}, {})
    for channel in range(4):  # image and mask are both looked at
        other = image.clone()
        other[:, channel] = other[:, channel] % 3 + 1
        assert not torch.allclose(model(other, {}, {}) - logits, torch.zeros(()), atol=1e-3)
    with pytest.raises(ConfigError, match="fctl refine"):
        model(image[:, :3], {}, {})


@settings(max_examples=30, deadline=None)
@given(y=st.integers(-20, 60), x=st.integers(-20, 60), size=st.sampled_from([1, 16, 33]))
def test_masks_are_read_where_the_image_is(y: int, x: int, size: int) -> None:
    labels = np.random.default_rng(0).integers(1, 5, (50, 60), np.uint8)

    class Whole:
        def read(self, window: tuple[int, int, int, int]) -> np.ndarray:
            y0, x0, y1, x1 = window
            return np.pad(labels, 100)[y0 + 100 : y1 + 100, x0 + 100 : x1 + 100]

    image = pyramid_from_array(np.repeat(labels[..., None] * np.uint8(50), 3, 2))
    found = MaskedImage(image, Whole()).read_resized((y, x, y + size, x + size), size)
    assert found.shape == (size, size, 4)
    np.testing.assert_array_equal(found[..., 0], found[..., 3] * 50)


# -- what it learns from ----------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_only_outlines_are_roughened(seed: int) -> None:
    ground_truth = blobs((96, 128))
    rough = roughen(ground_truth, np.random.default_rng(seed))
    np.testing.assert_array_equal(rough, roughen(ground_truth, np.random.default_rng(seed)))
    assert 0.3 < iou(ground_truth, rough) <= 1
    assert (roughen(np.full_like(ground_truth, 3), np.random.default_rng(seed)) == 3).all()


def test_roughened_ground_truths_differ_from_read_to_read_and_have_no_holes() -> None:
    ground_truth = blobs((96, 128))
    ground_truth[:, 60:70] = IGNORE
    source = RoughGroundTruth(ground_truth)
    one, other = source.read((0, 0, 64, 64)), source.read((0, 1, 64, 65))
    np.testing.assert_array_equal(one, source.read((0, 0, 64, 64)))
    assert (one[:, 1:] != other[:, :-1]).any()
    assert set(np.unique(one)) == {1, 2}
    assert not RoughGroundTruth(np.full((8, 8), IGNORE, np.uint8)).read((-4, 0, 8, 8)).any()


def test_it_makes_masks_better_that_it_has_not_seen(
    refiner: Path, rough: Segmentation, engine: Engine, tmp_path: Path
) -> None:
    ground_truth = blobs((192, 384))[:, BAND:]
    window = (0, BAND, 192, 384)
    before = iou(ground_truth, rough.labels.read(window) - 1)
    refined = refine(engine, rough, refiner, tmp_path / "r.ome.zarr")
    after = iou(ground_truth, refined.labels.read(window) - 1)
    assert before < 0.85
    assert 1 - after < 0.8 * (1 - before)
    assert refined.facts["checkpoint"]["name"] == "refiner"
    made_by = rough.facts["checkpoint"]
    assert refined.settings["refined"]["checkpoint"] == {key: made_by[key] for key in ("name", "hash")}
    assert read_card(refiner).provenance["training"]["data"]["masks"] == "roughened"


def test_a_run_that_was_stopped_resumes_to_the_same_refiner(folder: Path, tmp_path: Path) -> None:
    train(config(), tmp_path / "whole", data_folder=folder, device="cpu")

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(config(), tmp_path / "part", data_folder=folder, device="cpu").run(stop)
    train(config(), tmp_path / "part", data_folder=folder, device="cpu")
    assert losses(tmp_path / "whole") == losses(tmp_path / "part")
    whole, part = ((tmp_path / name / "refiner.safetensors").read_bytes()[-10_000:] for name in ("whole", "part"))
    assert whole == part


def test_it_learns_from_a_folder_of_segmentations(
    folder: Path, make_segmentation: Callable[..., Segmentation], tmp_path: Path
) -> None:
    labels = roughen(blobs((192, 384)), np.random.default_rng(2)) + np.uint8(1)
    made = make_segmentation(
        labels, names=NAMES, image=open_image(folder / "scene.png"), path=tmp_path / "scene.ome.zarr"
    )
    data = config().data.model_copy(update={"masks": str(tmp_path)})
    (scene,), _ = open_scenes(data, folder)
    np.testing.assert_array_equal(scene.pyramid.read_resized((0, 0, 64, 64), 64)[..., 3], labels[:64, :64])
    made._done_array[0, 0] = 0
    with pytest.raises(InputError, match="is not complete"):
        open_scenes(data, folder)
    make_segmentation(labels, names=("a", "b"), path=tmp_path / "others" / "scene.ome.zarr")
    with pytest.raises(InputError, match="not of this image and its classes"):
        open_scenes(data.model_copy(update={"masks": str(tmp_path / "others")}), folder)


def test_masks_are_taken_by_the_names_of_their_classes(
    folder: Path,
    refiner: Path,
    rough: Segmentation,
    engine: Engine,
    make_segmentation: Callable[..., Segmentation],
    tmp_path: Path,
) -> None:
    everywhere = (0, 0, 192, 384)
    labels = rough.labels.read(everywhere)
    turned = make_segmentation(
        3 - labels, names=NAMES[::-1], image=open_image(folder / "scene.png"), path=tmp_path / "scene.ome.zarr"
    )
    data = config().data.model_copy(update={"masks": str(tmp_path)})
    (scene,), _ = open_scenes(data, folder)
    np.testing.assert_array_equal(scene.pyramid.read_resized((0, 0, 64, 64), 64)[..., 3], labels[:64, :64])
    expected = refine(engine, rough, refiner, tmp_path / "r.ome.zarr").labels.read(everywhere)
    found = refine(engine, turned, refiner, tmp_path / "turned_r.ome.zarr")
    assert found.class_table.names == NAMES
    np.testing.assert_array_equal(found.labels.read(everywhere), expected)


# -- how it is used -------------------------------------------------------------------------------------------------


def test_a_part_is_what_the_whole_has_there_and_a_second_run_resumes(
    refiner: Path, rough: Segmentation, engine: Engine, tmp_path: Path
) -> None:
    everywhere = (0, 0, 192, 384)
    given = rough.labels.read(everywhere).copy()
    region = (70, 100, 90, 220)
    part = refine(engine, rough, refiner, tmp_path / "part.ome.zarr", region=region)
    assert not part.done().all()
    whole = refine(engine, rough, refiner, tmp_path / "whole.ome.zarr")
    np.testing.assert_array_equal(part.labels.read(region), whole.labels.read(region))
    np.testing.assert_array_equal(part.confidence.read(region), whole.confidence.read(region))
    gone_on = refine(engine, rough, refiner, tmp_path / "part.ome.zarr")
    np.testing.assert_array_equal(gone_on.labels.read(everywhere), whole.labels.read(everywhere))
    np.testing.assert_array_equal(rough.labels.read(everywhere), given)


def test_the_command_refines_and_says_in_a_sentence_what_it_cannot(
    refiner: Path,
    rough: Segmentation,
    folder: Path,
    make_segmentation: Callable[..., Segmentation],
    fctl: Fctl,
    tmp_path: Path,
) -> None:
    out = tmp_path / "r.ome.zarr"
    done = fctl("refine", rough.path, "--refiner", refiner, "--out", out)
    assert (done.code, "cells by refiner" in done.out) == (0, True)
    done = fctl("evaluate", out, folder / "truth.png", "--region", 0, BAND, 192, 384)
    assert (done.code, "mIoU" in done.out) == (0, True)
    labels = rough.labels.read((0, 0, 192, 384)).copy()
    lost = make_segmentation(labels, names=NAMES, path=tmp_path / "lost.ome.zarr")
    other = tmp_path / "other.ome.zarr"
    others = make_segmentation(labels, names=("a", "b"), image=open_image(folder / "scene.png"), path=other)
    labels[100, 100] = 0
    undone = tmp_path / "undone.ome.zarr"
    partial = make_segmentation(labels, names=NAMES, image=open_image(folder / "scene.png"), path=undone)
    partial._done_array[0, 0] = 0
    for arguments, reason in (
        (("refine", lost.path, "--refiner", refiner), "was not made from a file"),
        (("refine", others.path, "--refiner", refiner), "are not the refiner's"),
        (("refine", partial.path, "--refiner", refiner), "is not segmented everywhere"),
        (("refine", rough.path, "--refiner", "earth"), "earth: is not a refiner"),
        (("refine", rough.path, "--refiner", "nowhere"), "there is no such checkpoint"),
        (("segment", folder / "scene.png", "--checkpoint", refiner), "use it with `fctl refine`"),
    ):
        assert reason in fctl(*arguments, "--out", tmp_path / "x.ome.zarr").sentence()
    assert not (tmp_path / "x.ome.zarr").exists()


def test_a_refiner_needs_masks_and_nothing_else_takes_them() -> None:
    with pytest.raises(ConfigError, match="a refiner needs masks"):
        config(data=config().data.model_copy(update={"masks": ""})).network_config(2)
    with pytest.raises(FctlError, match="only a refiner"):
        config(preset="unet").network_config(2)
