"""Contexts of a wrapped SegFormer change nothing, and then learn: from corrections, or in a training of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fctl_napari.evaluation.context_reliance import context_reliance
from fctl_napari.finetuning.finetune import finetune
from fctl_napari.finetuning.light_network import full_network, light_network
from fctl_napari.finetuning.trainable_parts import sizes_of_parts
from fctl_napari.imagery.open import open_image
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.model.wrap import wrap_checkpoint
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.train import train

WINDOWS = [(y, x, y + 64.0, x + 64.0) for y in (0.0, 96.0, 192.0) for x in (0.0, 128.0, 256.0, 384.0)]
CLASSES = {"classes": [{"name": "dark", "color": (0, 0, 0)}, {"name": "bright", "color": (255, 255, 255)}]}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small sums: on a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(folder: Path, name: str, **fields: Any) -> Path:
    """Train on the scene of the tests of fine-tuning."""
    usual: dict[str, Any] = {
        "data": {"classes": CLASSES, "scenes": [{"image": "scene.png", "truth": "truth.png"}]},
        "batch": 4,
        "learning_rate": 2e-3,
        "loss": "cross_entropy",
        "precision": "fp32",
    }
    return train(TrainConfig(name=name, **(usual | fields)), folder / name, data_folder=folder, device="cpu")


def reliance(checkpoint: Path, image: Path) -> float:
    return context_reliance(load_checkpoint(checkpoint)[0], open_image(image), WINDOWS)


@pytest.fixture(scope="session")
def wrapped(learned_parent: tuple[Path, np.random.Generator]) -> Path:
    """A SegFormer that has learnt to tell dark from bright, wrapped."""
    folder = learned_parent[0].parent.parent
    parent = run(folder, "segformer", preset="segformer_b0", network={"tile_size": 64}, steps=20)
    return wrap_checkpoint(parent, folder / "wrapped.safetensors")


def test_from_corrections(wrapped: Path, corrected: Any, request_for: Callable[..., Any]) -> None:
    image = corrected.folder / "new.png"
    assert reliance(wrapped, image) == 0
    result = finetune(request_for(checkpoint=str(wrapped), steps=8, check_every=4, near=0.1, replay=1.0))
    # so few steps need not change the class of any px; what the contexts add was exactly 0 through these weights
    before, after = (load_checkpoint(path)[0].state_dict() for path in (wrapped, result.candidate))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    for context in ("local", "medium", "large"):
        assert f"lcf.correlations.{context}.value.weight" in changed
        assert after[f"lcf.correlations.{context}.value.weight"].any()
    assert any(name.startswith("ale.") for name in changed)
    assert any(name.startswith("decoder.") for name in changed)
    assert not any(name.startswith("encoders.") for name in changed)
    card = read_card(result.candidate)
    assert card.provenance["parent"]["hash"] == checkpoint_hash(wrapped)
    parts = {part for shared in sizes_of_parts(wrapped) for part in shared}
    assert parts == {"decoder", "lcc", "gpe", "mcf", "ale", "tile_encoder", "medium_encoder", "large_encoder"}


def test_in_a_training_that_starts_from_it(wrapped: Path, corrected: Any) -> None:
    network = read_card(wrapped).config.model_dump(mode="json", exclude_defaults=True, exclude={"classes"})
    path = run(corrected.folder, "wide", preset="fctl_mit_b0", network=network, init_from=str(wrapped), steps=3)
    assert read_card(path).config == read_card(wrapped).config
    before, after = (load_checkpoint(path)[0].state_dict() for path in (wrapped, path))
    streams = {name.split(".")[1] for name, value in after.items() if not torch.equal(value, before[name])}
    assert {"tile", "medium", "large"} <= streams, "encoders learn, too"


def test_a_light_head_stands_on_it_and_becomes_a_full_network(wrapped: Path) -> None:
    model, _ = load_checkpoint(wrapped)
    head = light_network(model, classes=3)
    assert (head.config.decoder, head.config.classes, head.lcf is None) == ("linear", 3, False)
    assert full_network(head).config.decoder == "fcn8s"
