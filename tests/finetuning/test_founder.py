"""The founder of a family, which the training scenes are held to."""

from __future__ import annotations

import shutil

import torch

from fctl_napari.finetuning.finetune import Finetuner, finetune
from fctl_napari.finetuning.founder import founder_of
from fctl_napari.model.model_card import read_card


def founder_beside(path):
    return founder_of(path, read_card(path))


def test_training_scenes_are_held_to_the_founder_and_the_image_to_the_parent(request_for, corrected, tmp_path) -> None:
    assert founder_beside(corrected.parent) is None
    parent = corrected.parent
    for number in range(2):
        out = corrected.parent.parent / f"{tmp_path.name} {number}.safetensors"
        finetune(corrected.request(out, checkpoint=str(parent), steps=2), keep_anyway=True)
        parent = out
        assert founder_beside(parent) == corrected.parent
    last = corrected.request(tmp_path / "last.safetensors", checkpoint=str(parent), steps=1)
    tuner, first = Finetuner(last), Finetuner(request_for())
    training = [tile for tile in tuner.sets.replay if tile.source > 0]
    assert training
    for tile in training:
        assert torch.equal(tuner.learner.loss._held_to(tile), first.network.parents_prediction(tile))
        assert not torch.equal(tuner.learner.loss._held_to(tile), tuner.network.parents_prediction(tile))
    for tile in tuner.sets.corrected:
        assert torch.equal(tuner.learner.loss._held_to(tile), tuner.network.parents_prediction(tile))
    alone = tmp_path / "alone"
    alone.mkdir()
    moved = parent.rename(alone / "elsewhere.safetensors")
    assert founder_beside(moved) is None, "it is not at hand there"
    (alone / "no checkpoint.safetensors").write_bytes(b"")
    shutil.copyfile(corrected.parent, alone / "founder.safetensors")
    assert founder_beside(moved) == alone / "founder.safetensors", "without the generation between them"
