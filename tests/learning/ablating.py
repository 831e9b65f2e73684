"""A small scene of dark and bright blocks, a baseline trained on its left, and a recipe for ablations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from conftest import CLASSES, checks, picture
from PIL import Image

from fctl_napari.learning.config import TrainConfig
from fctl_napari.learning.train import train

NETWORK = {"encoder": "mit_b0", "tile_size": 64, "width": 16, "ale_windows": [3]}
BANDS = {"train": [(0, 160)], "val": [(160, 208)], "test": [(208, 256)]}


def write_scene(folder: Path) -> None:
    rng = np.random.default_rng(0)
    truth = checks(rng, 5, 8)
    Image.fromarray(picture(truth, rng)).save(folder / "scene.png")
    Image.fromarray(truth).save(folder / "truth.png")


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
        "save_every": 2,
    }
    return TrainConfig.model_validate(usual | fields)


def train_baseline(folder: Path) -> Path:
    torch.set_num_threads(1)
    config = recipe(steps=8, network=NETWORK | {"contexts": [], "ale": "none"})
    return train(config, folder / "baseline", data_folder=folder, device="cpu")
