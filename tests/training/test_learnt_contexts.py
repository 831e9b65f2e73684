"""Contexts learn what lies beyond the tile, and nothing else does: made scenes that are decided three tiles away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fctl_napari.ablation.first_encoder import write_first_encoder
from fctl_napari.datasets.far_labels.data_set import make_far_labels
from fctl_napari.datasets.far_labels.record import read_far_labels
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.config import Context
from fctl_napari.model.model_card import read_card
from fctl_napari.model.wrap import wrap_checkpoint
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import open_scenes
from fctl_napari.training.data_settings import DataSettings
from fctl_napari.training.train import train
from fctl_napari.training.validate import score_scenes

SCENES = 32
NETWORK = {"tile_size": 64, "width": 64, "correlation_stride": 8, "top_down": True, "ale": "none"}


def learn(folder: Path, out: Path, contexts: list[dict[str, Any]], seed: int) -> Path:
    """Train a network of these contexts on the training scenes alone."""
    start = write_first_encoder("earth", out / "encoder.safetensors")
    network = NETWORK | {"contexts": contexts}
    return run(folder, out, seed=seed, network=network, init_from=str(start), steps=180, learning_rate=2e-3)


def run(folder: Path, out: Path, **fields: Any) -> Path:
    """Train on the training scenes alone."""
    names = (folder / "train.txt").read_text().split()
    config = TrainConfig(
        name="far",
        data=DataSettings(
            classes=json.loads((folder / "classes.json").read_text()),
            scenes=[{"image": f"images/{name}.png", "truth": f"masks/{name}.png"} for name in names],  # type: ignore[arg-type]
        ),
        augment={"brightness": 0, "contrast": 0, "saturation": 0},  # type: ignore[arg-type]
        batch=8,
        loss="cross_entropy",
        batch_norm="trained",
        precision="auto",
        **fields,
    )
    return train(config, out, data_folder=folder, device="cpu")


def blind_accuracy(checkpoint: Path, folder: Path) -> float:
    """Share of the px of the test scenes that no tile decides and that are right."""
    record = read_far_labels(folder)
    model, card = load_checkpoint(checkpoint)
    scenes, _ = open_scenes(DataSettings(layout="pairs"), folder)
    parts = []
    for scene in scenes:
        if scene.test:
            mask = np.asarray(scene.ground_truth[:, :])
            blind = np.where(record.blind(scene.name, mask), mask, IGNORE).astype(np.uint8)
            parts.append((replace(scene, ground_truth=blind), scene.test))
    return score_scenes(model, parts, card.classes.names).accuracy


@pytest.mark.slow
@pytest.mark.timeout(900)  # two trainings: minutes where a core has no more than AVX2
def test_only_contexts_learn_what_is_decided_beyond_the_tile(tmp_path: Path) -> None:
    folder = make_far_labels(tmp_path / "data", "markers", distance=3, tile=64, scenes=SCENES)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: threads that wait for each other are slower
    try:
        blind = {
            name: blind_accuracy(learn(folder, tmp_path / name, contexts, seed=0), folder)
            for name, contexts in {"none": [], "medium": [{"name": "medium", "scale": 6.0}]}.items()
        }
    finally:
        torch.set_num_threads(threads)
    assert blind["medium"] > 0.9, blind
    assert blind["none"] < 0.66, blind


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_wrapped_segformer_learns_what_it_could_not_know(tmp_path: Path) -> None:
    """By day ``test_contexts_joined.py`` shows that its contexts learn at all."""
    folder = make_far_labels(tmp_path / "data", "markers", distance=3, tile=64, scenes=SCENES)
    fields: dict[str, Any] = {"network": {"tile_size": 64}, "steps": 60, "learning_rate": 1e-3}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        parent = run(folder, tmp_path / "parent", preset="segformer_b0", **fields)
        wide = wrap_checkpoint(parent, tmp_path / "wide.safetensors", (Context(name="medium", scale=6.0),))
        fields["network"] = read_card(wide).config.model_dump(exclude_defaults=True, exclude={"classes"})
        fields |= {"preset": "fctl_mit_b0", "steps": 150, "init_from": str(wide)}
        blind = [blind_accuracy(path, folder) for path in (parent, wide, run(folder, tmp_path / "run", **fields))]
    finally:
        torch.set_num_threads(threads)
    assert blind[0] == blind[1] < 0.66, blind
    assert blind[2] > 0.8, blind
