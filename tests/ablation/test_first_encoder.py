"""The encoder of a first stage, out of a built-in checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fctl_napari.ablation.first_encoder import write_first_encoder
from fctl_napari.ablation.frozen_tiles import check_unseen
from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.model_card import builtin_checkpoints
from fctl_napari.training.config import load_train_config
from fctl_napari.training.data import open_scenes


def test_it_is_what_the_contexts_kept_and_knows_where_it_was_trained(tmp_path: Path) -> None:
    path = write_first_encoder("earth", tmp_path / "first.safetensors")
    model, card = load_checkpoint(path)
    whole, _ = load_checkpoint(builtin_checkpoints()["earth"])
    assert not card.config.contexts
    assert card.config.ale == "none"
    found = model.encoders["tile"].state_dict()
    kept, learnt = (whole.encoders[name].state_dict() for name in ("medium", "tile"))
    assert all(torch.equal(found[key], kept[key]) for key in found)
    assert any(not torch.equal(found[key], learnt[key]) for key in found), "the tile's encoder learnt on"
    scenes, _ = open_scenes(load_train_config("earth").data)
    assert len(check_unseen(path, scenes, "test")) == 64
    with pytest.raises(CheckpointError, match="trained on parts of"):
        check_unseen(path, scenes, "train")


def test_it_is_taken_of_each_built_in_checkpoint(tmp_path: Path) -> None:
    for name in builtin_checkpoints():
        model, card = load_checkpoint(write_first_encoder(name, tmp_path / f"{name}.safetensors"))
        whole, of = load_checkpoint(builtin_checkpoints()[name])
        assert not card.config.contexts
        assert card.classes == of.classes
        kept = whole.encoders["medium"].state_dict()
        assert all(torch.equal(value, kept[key]) for key, value in model.encoders["tile"].state_dict().items())


def test_a_checkpoint_without_stages_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no encoder of a first stage"):
        write_first_encoder(tiny_checkpoint, tmp_path / "first.safetensors")
    assert not (tmp_path / "first.safetensors").exists()
