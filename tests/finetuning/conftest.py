"""A small network that has learnt to tell dark from bright, and an image where it is wrong in places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.train import train

CLASSES = [{"name": "dark", "color": (0, 0, 0)}, {"name": "bright", "color": (255, 255, 255)}]
NETWORK = {
    "encoder": "mit_b0",  # layer norm: it learns from random weights, where frozen batch norm does not
    "tile_size": 64,
    "width": 16,
    "contexts": [{"name": "local"}, {"name": "medium", "scale": 2.0}, {"name": "large", "scale": "global"}],
    "ale_windows": [3],
}


def checks(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Blocks of 32 px of two classes."""
    return np.kron(rng.integers(0, 2, (rows, columns)), np.ones((32, 32))).astype(np.uint8)


def picture(ground_truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Class 1 is bright, with some noise."""
    return (ground_truth[..., None] * 150 + rng.integers(0, 60, (*ground_truth.shape, 3))).astype(np.uint8)


@dataclass(frozen=True)
class Corrected:
    """A parent, an image in whose left half it is wrong (a tint makes dark look bright), and corrections of that."""

    folder: Path
    parent: Path
    ground_truth: np.ndarray
    corrections: np.ndarray

    def request(self, out: Path | str, **fields: object) -> FinetuneRequest:
        """A short run, exact to the bit."""
        usual = {
            "image": str(self.folder / "new.png"),
            "checkpoint": str(self.parent),
            "corrections": str(self.folder / "corrections.ome.zarr"),
            "out": str(out),
            "data_folder": str(self.folder),
            "steps": 6,
            "batch": 4,
            "check_tiles": 4,
            "replay_tiles": 4,
            "training_tiles": 4,
            "check_every": 2,
            "save_every": 2,
            "precision": "fp32",
            "device": "cpu",
        }
        return FinetuneRequest(**(usual | fields))


@pytest.fixture(scope="session")
def learned_parent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.random.Generator]:
    """A network that tells dark from bright, with what it was trained on beside it."""
    folder = tmp_path_factory.mktemp("corrected")
    rng = np.random.default_rng(0)
    ground_truth = checks(rng, 5, 8)
    Image.fromarray(picture(ground_truth, rng)).save(folder / "scene.png")
    Image.fromarray(ground_truth).save(folder / "truth.png")
    config = TrainConfig(
        name="parent",
        network=NETWORK,
        data={"classes": {"classes": CLASSES}, "scenes": [{"image": "scene.png", "truth": "truth.png"}]},
        steps=30,
        batch=4,
        learning_rate=2e-3,
        loss="cross_entropy",
        precision="fp32",
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # many small sums: on a busy machine two threads wait for each other
    parent = train(config, folder / "run", data_folder=folder, device="cpu")
    torch.set_num_threads(threads)
    return parent, rng


@pytest.fixture(scope="session")
def corrected(learned_parent: tuple[Path, np.random.Generator]) -> Corrected:
    """See ``Corrected``: 256 x 512 px, corrected regions of 24 x 24 px, one of which has a patch of "not sure"."""
    parent, rng = learned_parent
    folder = parent.parent.parent
    ground_truth = checks(rng, 8, 16)
    image = picture(ground_truth, rng)
    left = np.s_[:, :256]
    tinted = np.where(ground_truth[left][..., None] == 0, [20, 150, 190], image[left])
    image[left] = tinted + rng.integers(0, 30, tinted.shape)
    Image.fromarray(image).save(folder / "new.png")
    Image.fromarray(ground_truth).save(folder / "new_truth.png")
    corrections = np.zeros_like(ground_truth)
    blocks = [(r, c) for r in (0, 3, 6) for c in (0, 2, 4, 6)]
    for row, column in blocks:
        k = ground_truth[row * 32, column * 32]
        corrections[row * 32 + 4 : row * 32 + 28, column * 32 + 4 : column * 32 + 28] = k + 1
    assert set(corrections[corrections > 0].tolist()) == {1, 2}
    corrections[4:8, 4:8] = 255
    labels = LabelPyramid.create(folder / "corrections.ome.zarr", ground_truth.shape, classes=CLASSES)
    labels.write(0, 0, corrections)
    labels.update_levels((0, 0, *ground_truth.shape))
    return Corrected(folder, parent, ground_truth, corrections)


@pytest.fixture
def request_for(corrected: Corrected, tmp_path: Path) -> Callable[..., FinetuneRequest]:
    """``request_for(name, **fields)``: a short run that writes ``name`` into this test's folder."""

    def make(name: str = "new", **fields: object) -> FinetuneRequest:
        return corrected.request(tmp_path / f"{name}.safetensors", **fields)

    return make
