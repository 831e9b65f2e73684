"""CascadePSP: its two steps, class by class, its losses, and what ``fctl refine`` makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_commands import Fctl
from helpers_training import CLASSES, losses
from PIL import Image
from torch.nn import functional as F

from fctl_napari.exceptions import ConfigError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.open import open_image
from fctl_napari.model.baselines.cascadepsp import CascadePSP
from fctl_napari.model.build import make_network
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.encoders import load_published_weights
from fctl_napari.model.encoders.resnet import ResNet50
from fctl_napari.model.feature_ablation import Without
from fctl_napari.model.presets import preset
from fctl_napari.segmentation.inference import image_with_mask
from fctl_napari.segmentation.inference.engines import resolve_engine
from fctl_napari.segmentation.inference.image_with_mask import MaskedImage
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.training.cascade_losses import (
    cascade_loss,
    drawn_classes,
    gradient_magnitude,
    learned_view,
    output_loss,
)
from fctl_napari.training.config import TrainConfig, load_train_config
from fctl_napari.training.train import train
from fctl_napari.training.trainer import Trainer

NAMES = ("dark", "bright")
SIZE = (160, 224)


def make_psp(classes: int = 3, size: int = 64) -> CascadePSP:
    torch.manual_seed(0)
    model = make_network(preset("cascadepsp", classes=classes, tile_size=size)).eval()
    assert isinstance(model, CascadePSP)
    return model


def masked(labels: np.ndarray) -> torch.Tensor:
    """An image of noise with these labels, [1, 4, T, T]."""
    torch.manual_seed(1)
    return torch.cat([torch.randint(0, 256, (1, 3, *labels.shape)), torch.from_numpy(labels)[None, None]], 1)


def halves(size: int = 64) -> np.ndarray:
    """Labels 1 on the left, 3 on the right, and nothing of class 1."""
    labels = np.ones((size, size), np.int64)
    labels[:, size // 2 :] = 3
    return labels


# -- the network ---------------------------------------------------------------------------------------------------


def test_its_size_is_that_of_the_authors_layers() -> None:
    def conv(before: int, after: int, kernel: int = 1, bias: bool = True) -> int:
        return before * after * kernel**2 + bias * after

    def up(coarse: int, joined: int, after: int) -> int:
        norms = 2 * joined + 3 * 2 * after
        return norms + conv(joined, after, 3) + 3 * conv(after, after, 3) + conv(coarse, after)

    resnet = 25_557_032 - 2_049_000 + 3 * 64 * 49  # torchvision's without fc, and the filters of three masks
    pyramid = 4 * conv(2048, 2048, bias=False) + conv(5 * 2048, 1024)
    ups = up(1024, 1024 + 256, 512) + up(512, 512 + 64, 256) + up(256, 256 + 3, 32)
    scores = sum(conv(width, 32) + conv(32, 1) for width in (1024, 512, 32 + 3))
    with torch.device("meta"):
        model = make_network(preset("cascadepsp"))
    assert sum(p.numel() for p in model.parameters()) == resnet + pyramid + ups + scores


def test_published_weights_see_the_image_and_not_yet_the_masks(tmp_path: Path) -> None:
    published = ResNet50(8)
    torch.save(published.state_dict(), tmp_path / "resnet50.pth")
    model = make_psp()
    encoder = model.encoder("tile")
    load_published_weights(encoder, tmp_path / "resnet50.pth")
    images = torch.randn(1, 3, 64, 64)
    expected = published.eval().features(images, 8)
    for masks in (torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)):
        found = encoder.features(torch.cat([images, masks], 1), 8)
        torch.testing.assert_close(found[8], expected[8])
        assert found[2].shape == (1, 64, 32, 32)


@torch.no_grad()
def test_each_time_sees_what_the_time_before_gave() -> None:
    model = make_psp()
    images, mask = masked(halves())[:, :3], torch.from_numpy(halves() == 1)[None, None] * 2.0 - 1
    first, second, third = model.cascade(images, mask)
    assert [sorted(levels) for levels in (first, second, third)] == [[8], [4, 8], [1, 4, 8]]
    assert all(scores.shape == (1, 1, 64, 64) for levels in (first, second, third) for scores in levels.values())
    given = model.cascade(images, mask, first[8].tanh())
    torch.testing.assert_close(given[0], second)
    torch.testing.assert_close(given[1], third)


@torch.no_grad()
def test_the_global_step_refines_the_classes_that_are_there() -> None:
    model = make_psp()
    image = masked(halves())
    found = model.context_features("large", image)
    assert found.shape == (1, 6, 64, 64)
    assert not found[:, [1, 4]].any()
    last = model.cascade(image[:, :3], (image[:, 3:] == 3) * 2.0 - 1)[-1]
    torch.testing.assert_close(found[:, 2:3], last[1].sigmoid())
    torch.testing.assert_close(found[:, 5:], last[4].sigmoid())
    with pytest.raises(ConfigError, match="fctl refine"):
        model.context_features("large", image[:, :3])


@torch.no_grad()
def test_the_local_step_refines_what_is_mixed_in_a_tile_and_keeps_the_rest() -> None:
    model = make_psp()
    image = masked(halves())
    whole = torch.zeros(1, 6, 64, 64)
    whole[:, 0, :, :32] = whole[:, 3, :, :32] = 0.9  # half of the image
    whole[:, 1, :4] = 0.8  # a sixteenth
    windows = {name: torch.tensor([[0.0, 0.0, 64.0, 64.0]]) for name in ("tile", "large")}
    probability = model.logits(model.tile_features(image), {"large": whole}, windows).exp()
    mask = torch.full((1, 1, 64, 64), -1.0)
    mask[..., :32] = 1
    last = model.cascade(image[:, :3], mask, whole[:, 3:4] * 2 - 1)[-1]
    torch.testing.assert_close(probability[:, :1], last[1].sigmoid(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(probability[:, 1], whole[:, 1], rtol=0, atol=1e-5)
    assert (probability[:, 2] < 1e-5).all()


@torch.no_grad()
def test_without_the_image_around_a_tile_is_refined_by_itself() -> None:
    model = make_psp()
    image = masked(halves())
    windows = {"tile": torch.tensor([[0.0, 0.0, 64.0, 64.0]])}
    alone = model.logits(model.tile_features(image), {}, windows, Without.named(["large"]))
    whole = {"large": model.context_features("large", image)}
    torch.testing.assert_close(
        alone, model.logits(model.tile_features(image), whole, windows | {"large": windows["tile"]})
    )


# -- its losses ----------------------------------------------------------------------------------------------------


def test_losses_are_those_of_the_paper_by_stride() -> None:
    torch.manual_seed(0)
    scores, wanted = torch.randn(2, 1, 16, 16), (torch.rand(2, 1, 16, 16) > 0.5).float()
    known = torch.ones_like(wanted)
    entropy = F.binary_cross_entropy_with_logits(scores, wanted)
    distances = F.l1_loss(scores.sigmoid(), wanted) + F.mse_loss(scores.sigmoid(), wanted)
    gradients = F.l1_loss(gradient_magnitude(scores.sigmoid()), gradient_magnitude(wanted))
    torch.testing.assert_close(output_loss(scores, wanted, known, 8), entropy)
    torch.testing.assert_close(output_loss(scores, wanted, known, 4), entropy / 2 + distances / 4)
    torch.testing.assert_close(output_loss(scores, wanted, known, 1), distances + 5 * gradients)


def test_the_gradients_magnitude_is_that_of_a_smoothed_step() -> None:
    mask = torch.zeros(1, 1, 12, 12)
    mask[..., 6:] = 1
    row = gradient_magnitude(mask)[0, 0, 6]
    # a step over 3 px, whose central difference over 2 px is 1/3, 2/3, 2/3, 1/3
    torch.testing.assert_close(row[4:8], torch.tensor([1 / 3, 2 / 3, 2 / 3, 1 / 3]), rtol=0, atol=2e-3)
    assert row[2] == pytest.approx(0.01)
    torch.testing.assert_close(gradient_magnitude(mask.mT).mT, gradient_magnitude(mask))


@pytest.mark.parametrize("stride", [8, 4, 1])
def test_px_without_ground_truth_do_not_count(stride: int) -> None:
    torch.manual_seed(0)
    scores, wanted, known = torch.randn(1, 1, 32, 32), torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    known[..., 16:] = 0
    other, truth = scores.clone(), wanted.clone()
    other[..., 16:], truth[..., 16:] = 9, 1
    torch.testing.assert_close(output_loss(scores, wanted, known, stride), output_loss(other, truth, known, stride))
    assert output_loss(scores, wanted, known * 0, stride) == 0


def test_each_tile_learns_a_class_that_it_has() -> None:
    truth = torch.full((3, 8, 8), IGNORE)
    truth[0, 0], truth[1] = 2, 1
    truth[1, 0, 0] = 4
    seen = torch.stack([drawn_classes(truth, 5) for _ in range(60)])
    assert set(seen[:, 0].tolist()) == {2}
    assert set(seen[:, 1].tolist()) == {1, 4}
    assert set(seen[:, 2].tolist()) == {0, 1, 2, 3, 4}


def test_it_learns_from_small_crops_without_the_image_around() -> None:
    config = preset("cascadepsp", classes=5)
    assert config.tile_size == 900
    assert (learned_view(config).tile_size, learned_view(config).outer_contexts) == (224, ())
    other = preset("glnet")
    assert learned_view(other) == other


# -- in use --------------------------------------------------------------------------------------------------------


def blobs() -> np.ndarray:
    y, x = np.indices(SIZE)
    return (np.sin(y / 9) + np.sin(x / 13) + np.sin((x + y) / 17) > 0.3).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene")
    truth = blobs()
    image = (truth[..., None] * 60 + np.random.default_rng(0).integers(60, 140, (*truth.shape, 3))).astype(np.uint8)
    Image.fromarray(image).save(path / "scene.png")
    Image.fromarray(truth).save(path / "truth.png")
    return path


def config(**fields: Any) -> TrainConfig:
    scene = {"image": "scene.png", "truth": "truth.png", "train": [(0, 128)], "test": [(128, 224)]}
    usual = {
        "name": "cascadepsp",
        "preset": "cascadepsp",
        "network": {"tile_size": 96},
        "data": {"classes": CLASSES, "scenes": [scene], "masks": "roughened"},
        "steps": 2,
        "batch": 2,
        "learning_rate": 2e-4,
        "precision": "fp32",
    }
    return TrainConfig.model_validate(usual | fields)


@pytest.fixture(scope="module")
def refiner(folder: Path) -> Path:
    return train(config(), folder / "run", data_folder=folder, device="cpu")


def test_a_training_step_reaches_every_parameter(folder: Path, tmp_path: Path) -> None:
    run = Trainer(config(), tmp_path, data_folder=folder, device="cpu")
    assert isinstance(run.model, CascadePSP)
    batch = run._load(0)
    assert batch.contexts == {}
    torch.manual_seed(3)
    loss = run._loss(batch)
    torch.manual_seed(3)
    torch.testing.assert_close(loss, cascade_loss(run.model, batch.tile, batch.ground_truth))
    loss.backward()
    for name, parameter in run.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_two_steps_become_a_checkpoint_that_refines(
    refiner: Path, folder: Path, make_segmentation: Callable[..., Segmentation], command_engine: Engine, tmp_path: Path
) -> None:
    assert sorted(losses(folder / "run")) == [1, 2]
    labels = blobs() + np.uint8(1)
    masks = make_segmentation(labels, names=NAMES, image=open_image(folder / "scene.png"))
    everywhere, region = (0, 0, *SIZE), (30, 50, 90, 180)
    found = []
    for name, part in (("whole", None), ("part", region)):
        request = SegmentationRequest(
            image=str(masks.image_path),
            out=str(tmp_path / f"{name}.ome.zarr"),
            checkpoint=str(refiner),
            merge="average",
            precision="fp32",
            device="cpu",
            refine=str(masks.path),
            region=part,
        )
        error = command_engine.start(request).wait(120).error
        assert error is None
        found.append(Segmentation.open(request.out))
    whole, some = found
    assert set(np.unique(whole.labels.read(everywhere))) <= {1, 2}
    assert (whole.labels.read(everywhere) > 0).all()
    np.testing.assert_array_equal(some.labels.read(region), whole.labels.read(region))
    made_by = masks.facts["checkpoint"]
    assert whole.settings["refined"]["checkpoint"] == {key: made_by[key] for key in ("name", "hash")}


def test_masks_have_to_be_there_everywhere(
    refiner: Path, folder: Path, make_segmentation: Callable[..., Segmentation], fctl: Fctl, tmp_path: Path
) -> None:
    masks = make_segmentation(blobs() + np.uint8(1), names=NAMES, image=open_image(folder / "scene.png"))
    masks._done_array[0, 0] = 0
    done = fctl(
        "refine", masks.path, "--refiner", refiner, "--out", tmp_path / "r.ome.zarr", "--region", 90, 150, 99, 160
    )
    assert "is not segmented everywhere, and cascadepsp looks at the whole image" in done.sentence()


def test_masks_of_a_whole_image_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(0).integers(1, 5, (500, 300), np.uint8)
    read: list[int] = []

    class Whole:
        def read(self, window: tuple[int, int, int, int]) -> np.ndarray:
            y0, x0, y1, x1 = window
            read.append((y1 - y0) * (x1 - x0))
            return labels[y0:y1, x0:x1]

    image = MaskedImage(pyramid_from_array(np.zeros((500, 300, 3), np.uint8)), Whole())
    at_once = image.read_resized((0, 0, 500, 300), 37)
    monkeypatch.setattr(image_with_mask, "MOST_PX", 30_000)
    in_parts = image.read_resized((0, 0, 500, 300), 37)
    np.testing.assert_array_equal(in_parts, at_once)
    assert len(read) > 3
    assert max(read[1:]) <= 30_000


def test_openvino_leaves_it_to_torch() -> None:
    assert resolve_engine("auto", "cpu", preset("cascadepsp")) == "torch"


def test_its_recipe_is_its_papers() -> None:
    recipe = load_train_config("cascadepsp")
    assert (recipe.batch, recipe.steps, recipe.learning_rate) == (12, 45_000, 2.25e-4)
    assert recipe.network_config(5).refines
