"""Training refiners, and refining segmentations with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.errors import CheckpointError, ConfigError, InputError, OutputError
from fctl_napari.imagery.formats import open_image
from fctl_napari.learning.refiner import (
    RefinerConfig,
    load_refiner_config,
    refinement_loss,
    roughen,
    train_refiner,
)
from fctl_napari.model.refinement import load_refiner, read_refiner
from fctl_napari.segmentation.refining import refine_crop, refine_segmentation
from fctl_napari.segmentation.store import Segmentation

CLASSES = {"classes": [{"name": "dark", "color": (0, 0, 0)}, {"name": "bright", "color": (255, 255, 255)}]}


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of 96 x 128 px whose bright blocks are class 1."""
    path = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(0, 2, (3, 4)), np.ones((32, 32))).astype(np.uint8)
    image = (truth[..., None] * 150 + rng.integers(0, 60, (*truth.shape, 3))).astype(np.uint8)
    Image.fromarray(image).save(path / "scene.png")
    Image.fromarray(truth).save(path / "truth.png")
    return path


def config(**fields: object) -> RefinerConfig:
    data = {"classes": CLASSES, "scenes": [{"image": "scene.png", "truth": "truth.png"}]}
    return RefinerConfig.model_validate({"data": data, "crop": 64, "steps": 2, "batch": 2} | fields)


@pytest.fixture(scope="module")
def refiner(folder: Path) -> Path:
    """After two steps: its masks are no better, but they differ from place to place."""
    return train_refiner(config(), folder / "refiner.safetensors", data_folder=folder, device="cpu")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), target=st.floats(0.75, 0.99))
def test_masks_are_roughened_near_their_outline(seed: int, target: float) -> None:
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(0, 2, (4, 4)), np.ones((16, 16))).astype(bool)
    rough = roughen(mask, target, rng)
    if mask.all() or not mask.any():
        assert (rough == mask).all()
    else:
        assert iou(rough, mask) <= target or rough.all()
        again = [roughen(mask, target, np.random.default_rng(seed)) for _ in range(2)]
        np.testing.assert_array_equal(*again)


def test_the_loss_is_least_where_the_mask_is_right_and_counts_no_unknown_px() -> None:
    wanted = torch.zeros(1, 1, 32, 32)
    wanted[..., 8:20, 5:25] = 1
    counted = torch.ones_like(wanted, dtype=torch.bool)
    right = dict.fromkeys((8, 4, 1), (wanted * 2 - 1) * 20)
    assert float(refinement_loss(right, wanted, counted)) == pytest.approx(0, abs=1e-4)
    for stride in right:
        wrong = right | {stride: right[stride].roll(3, -1)}
        assert float(refinement_loss(wrong, wanted, counted)) > 0.01
        assert float(refinement_loss(wrong, wanted, torch.zeros_like(counted))) == 0


def test_a_refiner_says_what_it_was_trained_on(refiner: Path) -> None:
    facts = read_refiner(refiner)
    assert facts["training"]["steps"] == 2
    assert set(facts["data"]) == {"scene.png"}
    json.dumps(facts)
    assert all(value.isfinite().all() for value in load_refiner(refiner).state_dict().values())


@pytest.fixture
def segmentation(folder: Path, make_segmentation: Callable[..., Segmentation]) -> Segmentation:
    """The scene's truth with a rough outline, made from its file."""
    truth = np.asarray(Image.open(folder / "truth.png"))
    rough = roughen(truth == 1, 0.8, np.random.default_rng(0))
    image = open_image(folder / "scene.png")
    return make_segmentation(rough + 1, names=("dark", "bright"), image=image)


def test_a_part_is_what_the_whole_has_there_and_a_second_call_goes_on(
    refiner: Path, segmentation: Segmentation, tmp_path: Path
) -> None:
    fields = {"crop": 64, "device": "cpu", "precision": "fp32"}
    before = segmentation.labels.read((0, 0, 96, 128)).copy()
    region = (10, 10, 40, 40)
    part = refine_segmentation(segmentation, refiner, tmp_path / "r.ome.zarr", region=region, **fields)  # type: ignore[arg-type]
    assert part.done().sum() == 1
    labels, confidence = part.labels.read(region).copy(), part.confidence.read(region).copy()
    assert (labels > 0).all()
    assert (confidence > 0).all()
    seen: list[tuple[int, int]] = []
    whole = refine_segmentation(
        segmentation,
        refiner,
        tmp_path / "r.ome.zarr",
        progress=lambda done, total: seen.append((done, total)),
        **fields,  # type: ignore[arg-type]
    )
    assert whole.done().all()
    assert seen == [(n, whole.done().size - 1) for n in range(1, whole.done().size)]
    np.testing.assert_array_equal(whole.labels.read(region), labels)
    np.testing.assert_array_equal(whole.confidence.read(region), confidence)
    np.testing.assert_array_equal(segmentation.labels.read((0, 0, 96, 128)), before)
    assert "refined by refiner" in whole.facts["checkpoint"]["name"]
    cell = (1, 2)
    window, core = whole.grid.window(cell), whole.grid.core(cell)
    found, _ = refine_crop(
        load_refiner(refiner), open_image(whole.image_path), window, segmentation.labels.read(window), "fp32"
    )
    inner = np.s_[core[0] - window[0] : core[2] - window[0], core[1] - window[1] : core[3] - window[1]]
    np.testing.assert_array_equal(whole.labels.read(core), found[inner])


def test_bad_input_is_one_sentence(
    refiner: Path, segmentation: Segmentation, make_segmentation: Callable[..., Segmentation], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="there is no such"):
        refine_segmentation(segmentation, tmp_path / "none.safetensors", tmp_path / "r.ome.zarr")
    with pytest.raises(OutputError, match="another checkpoint"):
        refine_segmentation(segmentation, refiner, segmentation.path, crop=64)
    lost = make_segmentation(np.ones((64, 64)), path=tmp_path / "lost.ome.zarr")
    with pytest.raises(InputError, match="was not made from a file"):
        refine_segmentation(lost, refiner, tmp_path / "r.ome.zarr")
    (tmp_path / "c.toml").write_text("crop = 8\n[data]\nsample = true")
    with pytest.raises(ConfigError, match="crop"):
        load_refiner_config(tmp_path / "c.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_refiner_config(tmp_path / "none.toml")
