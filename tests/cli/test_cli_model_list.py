"""``fctl model list``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from helpers_commands import Fctl


def test_built_in_checkpoints_and_those_of_a_folder_are_listed(
    fctl: Fctl, awake_checkpoint: Path, tmp_path: Path
) -> None:
    code, out, _ = fctl("model", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["aerial", "earth"]
    inner = tmp_path / "mine" / "inner"
    inner.mkdir(parents=True)
    shutil.copyfile(awake_checkpoint, inner / "awake.safetensors")
    (inner / "other.txt").write_text("no checkpoint")
    code, out, _ = fctl("model", "list", tmp_path / "mine", "--json", tmp_path / "list.json")
    assert code == 0
    assert f"{inner / 'awake.safetensors'}  imported" in out or f"{inner / 'awake.safetensors'}  trained" in out
    listed = json.loads((tmp_path / "list.json").read_text())
    assert [(one["name"], one["kind"]) for one in listed[:2]] == [("aerial", "built in"), ("earth", "built in")]
    assert listed[0]["figures"]
    assert listed[0]["pixel_size"] == [0.3, 1.0]
    (own,) = listed[2:]
    assert own["path"] == str(inner / "awake.safetensors")
    assert own["classes"] == ["red", "green", "blue"]


def test_a_folder_without_checkpoints_is_one_sentence(fctl: Fctl, tmp_path: Path) -> None:
    assert "there is no checkpoint in this folder" in fctl("model", "list", tmp_path).sentence()
    assert "there is no such folder" in fctl("model", "list", tmp_path / "missing").sentence()
