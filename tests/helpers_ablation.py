"""A small scene of dark and bright blocks, a baseline trained on its left, and a recipe for ablations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fctl_napari.training.config import TrainConfig
from fctl_napari.training.train import train

CLASSES = [{"name": "dark", "color": (0, 0, 0)}, {"name": "bright", "color": (255, 255, 255)}]
NETWORK = {"encoder": "mit_b0", "tile_size": 64, "width": 16, "ale_windows": [3]}
BANDS = {"train": [(0, 160)], "val": [(160, 208)], "test": [(208, 256)]}


def write_scene(folder: Path) -> None:
    rng = np.random.default_rng(0)
    ground_truth = np.kron(rng.integers(0, 2, (5, 8)), np.ones((32, 32))).astype(np.uint8)
    noise = rng.integers(0, 60, (*ground_truth.shape, 3))
    Image.fromarray((ground_truth[..., None] * 150 + noise).astype(np.uint8)).save(folder / "scene.png")
    Image.fromarray(ground_truth).save(folder / "truth.png")


def recipe(**fields: object) -> TrainConfig:
    """Settings exact to the bit: one tile at a time."""
    usual = {
        "name": "blocks",
        "network": NETWORK,
        "data": {"classes": {"classes": CLASSES}, "scenes": [{"image": "scene.png", "truth": "truth.png", **BANDS}]},
        "steps": 4,
        "batch": 1,
        "accumulate": 2,
        "learning_rate": 2e-3,
        "loss": "cross_entropy",
        "precision": "fp32",
    }
    return TrainConfig.model_validate(usual | fields)


def train_baseline(folder: Path) -> Path:
    torch.set_num_threads(1)
    config = recipe(steps=1, network=NETWORK | {"contexts": [], "ale": "none"})
    return train(config, folder / "baseline", data_folder=folder, device="cpu")
