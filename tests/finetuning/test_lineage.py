from __future__ import annotations

import shutil

import pytest
import torch

from fctl_napari.exceptions import CheckpointError, InputError
from fctl_napari.finetuning.lineage import lineage
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.model_card import builtin_checkpoints, checkpoint_hash, read_card


@pytest.fixture
def family(tmp_path, tiny_checkpoint):
    """``tiny`` with children a and b, and a's child c."""
    paths = {"tiny": tmp_path / "tiny.safetensors"}
    shutil.copy(tiny_checkpoint, paths["tiny"])
    for number, (name, parent) in enumerate([("a", "tiny"), ("b", "tiny"), ("c", "a")]):
        model, card = load_checkpoint(paths[parent])
        with torch.no_grad():
            next(model.parameters()).add_(number + 1)
        of = {"name": parent, "hash": checkpoint_hash(paths[parent])}
        paths[name] = tmp_path / "below" / f"{name}.safetensors"
        new = card.model_copy(update={"name": name, "provenance": {"parent": of}})
        save_checkpoint(paths[name], model, new)
    return paths


def names(kin):
    return (kin.name, [names(child) for child in kin.children])


def test_a_folder_shows_its_families(family, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"no checkpoint")
    (eldest,) = lineage(tmp_path)
    assert names(eldest) == ("tiny", [("a", [("c", [])]), ("b", [])])
    assert eldest.path == family["tiny"]
    assert eldest.children[0].children[0].card == read_card(family["c"])


def test_a_checkpoint_whose_parent_is_gone_remembers_it(family):
    family["tiny"].unlink()
    (eldest,) = lineage(family["c"])
    assert names(eldest) == ("tiny", [("a", [("c", [])]), ("b", [])])
    assert (eldest.path, eldest.card, eldest.story()) == (None, None, "")
    family["a"].unlink()
    (eldest,) = lineage(family["c"])
    assert names(eldest) == ("a", [("c", [])])


def test_built_in_checkpoints_are_parents_and_have_families(tmp_path):
    path = builtin_checkpoints()["earth"]
    model, card = load_checkpoint(path)
    of = {"name": "earth", "hash": checkpoint_hash(path)}
    with torch.no_grad():
        model.decoder.score["32"].bias += 1
    save_checkpoint(
        tmp_path / "mine.safetensors", model, card.model_copy(update={"name": "mine", "provenance": {"parent": of}})
    )
    (eldest,) = lineage(tmp_path)
    assert names(eldest) == ("earth", [("mine", [])])
    assert eldest.path == path
    assert [names(one) for one in lineage("earth")] == [("earth", [])]


def test_what_holds_no_checkpoint_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no checkpoint in this folder"):
        lineage(tmp_path)
    with pytest.raises(InputError, match="no such folder or checkpoint"):
        lineage(tmp_path / "gone")
    (tmp_path / "x.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError):
        lineage(tmp_path / "x.safetensors")


def test_arrays_on_disk_are_passed_over(family, tmp_path):
    (tmp_path / "image.ome.zarr" / "0").mkdir(parents=True)
    shutil.copy(family["tiny"], tmp_path / "image.ome.zarr" / "0" / "inside.safetensors")
    family["tiny"].unlink()
    (eldest,) = lineage(tmp_path)
    assert eldest.path is None
