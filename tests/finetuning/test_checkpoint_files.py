"""Checkpoint files renamed and deleted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fctl_napari.exceptions import CheckpointError, FctlError, InputError, OutputError
from fctl_napari.finetuning.candidates import request_path
from fctl_napari.finetuning.checkpoint_files import delete_checkpoint, rename_checkpoint
from fctl_napari.model.model_card import builtin_checkpoints, checkpoint_hash


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    return Path(shutil.copy(tiny_checkpoint, tmp_path / "tiny.safetensors"))


@pytest.mark.parametrize("name", ["fields", "fields.safetensors", " fields "])
def test_a_renamed_checkpoint_is_the_same_network(checkpoint: Path, name: str) -> None:
    known = checkpoint_hash(checkpoint)
    renamed = rename_checkpoint(checkpoint, name)
    assert renamed == checkpoint.with_name("fields.safetensors")
    assert checkpoint_hash(renamed) == known
    assert not checkpoint.exists()


def test_its_own_name_changes_nothing(checkpoint: Path) -> None:
    assert rename_checkpoint(checkpoint, "tiny") == checkpoint
    assert checkpoint.exists()


@pytest.mark.parametrize("links", [True, False])
def test_nothing_is_overwritten(checkpoint: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:

        def no_links(*_: object) -> None:
            raise PermissionError("no links here")

        monkeypatch.setattr(os, "link", no_links)
    other = checkpoint.with_name("other.safetensors")
    other.write_bytes(b"somebody's")
    with pytest.raises(OutputError, match=r"other\.safetensors: exists"):
        rename_checkpoint(checkpoint, "other")
    assert (checkpoint.exists(), other.read_bytes()) == (True, b"somebody's")
    assert rename_checkpoint(checkpoint, "free").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp/a", "a\\b", ".hidden", "a.candidate", "a\nb", "a\0b"])
def test_names_that_files_cannot_have_are_refused(checkpoint: Path, name: str) -> None:
    with pytest.raises(InputError, match="give a name without folders"):
        rename_checkpoint(checkpoint, name)
    assert checkpoint.exists()


def test_the_name_of_an_undecided_run_is_taken(checkpoint: Path) -> None:
    request_path(checkpoint.with_name("next.safetensors")).write_text("{}")
    with pytest.raises(OutputError, match="not decided"):
        rename_checkpoint(checkpoint, "next")


def test_built_in_checkpoints_and_other_files_stay(tmp_path: Path) -> None:
    built = builtin_checkpoints()["earth"]
    other = tmp_path / "letter.safetensors"
    other.write_bytes(b"Dear Ann")
    for path, kind in ((built, InputError), (other, CheckpointError), (tmp_path / "none.safetensors", FctlError)):
        with pytest.raises(kind):
            rename_checkpoint(path, "new")
        with pytest.raises(kind):
            delete_checkpoint(path)
    assert built.exists()
    assert other.exists()


def test_a_deleted_checkpoint_is_gone(checkpoint: Path) -> None:
    delete_checkpoint(checkpoint)
    assert not checkpoint.exists()


def test_names_that_are_too_long_are_refused(checkpoint: Path) -> None:
    with pytest.raises(OutputError, match="too long"):
        rename_checkpoint(checkpoint, "n" * 300)
    assert checkpoint.exists()
