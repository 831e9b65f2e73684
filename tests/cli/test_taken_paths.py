"""Paths of results at which a file lies already, where a folder is to be made."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_commands import Fctl
from helpers_layouts import make
from PIL import Image

FILE = "is a file where a folder is needed; choose another path, or move the file."


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize(
    "command",
    ["train earth --out", "pretrain earth scene.png --out", "ablate run 4 --device cpu --out", "data convert data"],
)
def test_a_file_where_a_folder_is_made_is_named(
    command: str, below: bool, fctl: Fctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("mine")
    Image.new("RGB", (64, 64)).save("scene.png")
    make("pairs", tmp_path / "data")
    done = fctl(*command.split(), Path("taken", "below") if below else "taken")
    assert done.code == 2
    assert done.err.splitlines()[-1] == f"fctl: taken: {FILE}"
    assert Path("taken").read_text() == "mine"


def test_a_folder_where_a_file_is_written_is_named(fctl: Fctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make("pairs", tmp_path / "data")
    Path("taken").mkdir()
    done = fctl("data", "check", "data", "--json", "taken")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("fctl: taken: is a folder where a file is to be written")


@pytest.mark.parametrize("command", ["train earth --out", "sample"])
def test_an_address_is_no_folder(command: str, fctl: Fctl) -> None:
    assert "not to addresses" in fctl(*command.split(), "https://example.org/run").sentence()
