"""Baselines in the same harness: trained, stored, segmented tile by tile and by whole images, told from FCtL."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from fctl_napari.exceptions import ConfigError
from fctl_napari.finetuning.steps.tile_network import TileNetwork
from fctl_napari.finetuning.tile_sampling import Tile
from fctl_napari.imagery.open import open_image
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.feature_ablation import Without
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.inference.tile_cutting import read_stream
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import TileSampler, open_scenes
from fctl_napari.training.trainer import Trainer

CLASSES = {"classes": [{"name": "dark", "color": (0, 0, 0)}, {"name": "bright", "color": (255, 255, 255)}]}
LARGE = (
    *("icnet", "segnet", "unet", "unet_resnet", "fpn", "pspnet", "deeplabv3plus", "deeplabv3plus_separable"),
    *("glnet", "glnet_both"),
)
"""Each saves 250 to 750 MB of weights and optimizer state; by day segformer_b0 stands in, and ``segmented``'s icnet."""
PRESETS = ("segformer_b0", *(pytest.param(name, marks=pytest.mark.nightly) for name in LARGE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of 160 x 256 px whose bright blocks are class 1."""
    path = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(0)
    ground_truth = np.kron(rng.integers(0, 2, (5, 8)), np.ones((32, 32))).astype(np.uint8)
    image = (ground_truth[..., None] * 150 + rng.integers(0, 60, (*ground_truth.shape, 3))).astype(np.uint8)
    Image.fromarray(image).save(path / "scene.png")
    Image.fromarray(ground_truth).save(path / "truth.png")
    return path


def config(name: str, **fields: Any) -> TrainConfig:
    scene = {"image": "scene.png", "truth": "truth.png", "train": [(0, 192)], "val": [(192, 256)]}
    network = {"tile_size": 64} | fields.pop("network", {})
    usual = {
        "name": name,
        "preset": name,
        "network": network,
        "data": {"classes": CLASSES, "scenes": [scene]},
        "steps": 2,
        "batch": 2,
        "learning_rate": 1e-3,
        "loss": "cross_entropy",
        "precision": "fp32",
    }
    return TrainConfig(**(usual | fields))


@pytest.mark.parametrize("name", PRESETS)
def test_every_baseline_trains_two_steps_and_becomes_a_checkpoint(name: str, folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(config(name), tmp_path, data_folder=folder, device="cpu")
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    path = trainer.run()
    model, card = load_checkpoint(path)
    assert card.config == trainer.model.config
    after = model.state_dict()
    torch.testing.assert_close(after, trainer.model.state_dict(), rtol=0, atol=0)
    assert all(value.isfinite().all() for value in after.values() if value.is_floating_point())
    statistics = [key for key in before if key.endswith("running_mean")]
    assert statistics
    assert all(not torch.equal(before[key], after[key]) for key in statistics)
    assert 0 <= card.figures["val"]["miou"] <= 1


def test_the_whole_image_is_trained_on_within_its_training_regions(folder: Path) -> None:
    settings = config("unet", network={"inference": "global"})
    scenes, table = open_scenes(settings.data, folder)
    sampler = TileSampler(scenes, settings.network_config(len(table)), settings.augment, 0.5, seed=0)
    (sample,) = sampler.batch(0, 1)
    assert sample.inputs.windows["tile"].tolist() == sample.inputs.windows["large"].tolist() == [0, 0, 160, 256]
    rows, columns = ((np.arange(64) + 0.5) / 64 * 160).astype(int), ((np.arange(64) + 0.5) / 64 * 256).astype(int)
    expected = scenes[0].ground_truth[0:160, 0:256][rows[:, None], columns]
    inside = columns < 192
    np.testing.assert_array_equal(sample.ground_truth[:, inside], expected[:, inside])
    assert (sample.ground_truth[:, ~inside] == 255).all()


def test_an_epoch_of_whole_images_sees_each_once(folder: Path, tmp_path: Path) -> None:
    fields = {"network": {"inference": "global"}, "epochs": 6.0}
    assert Trainer(config("segformer_b0", **fields), tmp_path, data_folder=folder, device="cpu").config.steps == 3


def test_batch_norms_of_frozen_parts_keep_their_statistics(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(config("icnet", frozen=("encoders.tile",)), tmp_path, data_folder=folder, device="cpu")
    norms = {key: m for key, m in trainer.model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert norms
    assert all(norm.training == key.startswith("decoder.") for key, norm in norms.items())


def test_batch_norms_would_count_twice_what_is_computed_twice() -> None:
    with pytest.raises(ValueError, match="batch norms would count each batch twice"):
        config("icnet", batch_norm="trained", run={"gradient_checkpointing": True})


CASES: dict[str, dict[str, Any]] = {
    "segformer_b0": {"steps": 30, "batch": 4},
    "icnet": {"network": {"tile_size": 128, "inference": "global"}},
}


REGION = (30, 70, 100, 200)


class Segmented(NamedTuple):
    """A trained baseline, and its segmentations of the scene and of ``REGION``."""

    checkpoint: Path
    whole: Segmentation
    part: Segmentation

    @property
    def labels(self) -> np.ndarray:
        return self.whole.labels.read((0, 0, 160, 256))


@pytest.fixture(scope="module")
def segmented(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, command_engine: Engine
) -> Callable[[str], Segmented]:
    """``segmented(name)``: one of ``CASES``."""

    @cache
    def get(name: str) -> Segmented:
        out = tmp_path_factory.mktemp(name)
        path = Trainer(config(name, **CASES[name]), out / "run", data_folder=folder, device="cpu").run()
        found = []
        for part, region in (("whole", None), ("part", REGION)):
            request = SegmentationRequest(
                image=str(folder / "scene.png"),
                out=str(out / f"{part}.ome.zarr"),
                checkpoint=str(path),
                region=region,
                device="cpu",
                precision="fp32",
                maps=True,
            )
            assert command_engine.start(request).wait().error is None
            found.append(Segmentation.open(request.out))
        return Segmented(path, *found)

    return get


@pytest.mark.parametrize("name", CASES)
def test_a_region_of_a_baseline_is_the_whole_there(name: str, segmented: Callable[[str], Segmented]) -> None:
    found = segmented(name)
    assert set(found.whole.maps) == {"entropy", "margin"}
    assert (found.labels > 0).all()
    np.testing.assert_array_equal(found.part.labels.read(REGION), found.whole.labels.read(REGION))
    np.testing.assert_array_equal(found.part.confidence.read(REGION), found.whole.confidence.read(REGION))


def test_a_baseline_that_sees_tiles_finds_the_classes(folder: Path, segmented: Callable[[str], Segmented]) -> None:
    ground_truth = np.asarray(Image.open(folder / "truth.png"))
    assert (segmented("segformer_b0").labels[:, :192] - 1 == ground_truth[:, :192]).mean() > 0.8


def test_a_baseline_that_sees_the_whole_image_is_run_once(folder: Path, segmented: Callable[[str], Segmented]) -> None:
    found = segmented("icnet")
    model, _ = load_checkpoint(found.checkpoint)
    image = torch.from_numpy(read_stream(open_image(folder / "scene.png"), (0, 0, 160, 256), 128))[None]
    with torch.no_grad():
        logits = model.encode_context("large", image)
    expected = torch.nn.functional.interpolate(logits, (160, 256), mode="bilinear").argmax(1)[0].numpy() + 1
    assert (found.labels == expected).mean() > 0.999


@pytest.mark.parametrize("name", CASES)
def test_a_baseline_has_no_contexts_to_explain(name: str, folder: Path, segmented: Callable[[str], Segmented]) -> None:
    found = segmented(name)
    pixel = (40, 80)
    told = explain(folder / "scene.png", found.checkpoint, pixel, device="cpu", precision="fp32")
    assert told.contexts == told.enhancements == ()
    assert told.labels[40 - int(told.tile[0]), 80 - int(told.tile[1])] == found.labels[pixel]
    with pytest.raises(ConfigError, match="there is no context 'large' to leave out; this network has none"):
        explain(folder / "scene.png", found.checkpoint, pixel, device="cpu", without=Without.named(["large"]))
    assert read_card(found.checkpoint).figures["val"]["context_reliance"] == 0


@pytest.mark.parametrize(("name", "fields"), [("icnet", {"inference": "global"}), ("segformer_b0", {}), ("glnet", {})])
def test_what_learns_is_computed_anew_and_the_rest_is_kept(
    name: str, fields: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    trainer = Trainer(config(name, network=fields), tmp_path, data_folder=folder, device="cpu")
    image = open_image(folder / "scene.png")
    network = TileNetwork(trainer.model, [image], ["decoder"], None, torch.device("cpu"), "fp32")
    tile = Tile(0, (10, 20, 74, 84))
    logits = network.logits([tile])
    logits.square().mean().backward()
    assert all(p.grad is not None for p in network.learning.values())
    assert all(name.startswith("decoder.") for name in network.learning)
    assert not any(p.requires_grad for p in trainer.model.encoders.parameters())
