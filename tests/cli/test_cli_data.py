"""``fctl data`` and ``fctl train`` on data sets in their published layouts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from helpers_layouts import NAMES, make

from fctl_napari.cli import app as cli
from fctl_napari.finetuning.tile_sampling import training_scenes
from fctl_napari.model.model_card import read_card

CONFIG = """
name = "small"
steps = 1
batch = 2
precision = "fp32"
class_weights = "inverse_sqrt"
[network]
encoder = "mit_b0"
tile_size = 64
width = 16
contexts = []
ale = "none"
[data]
layout = "LAYOUT"
"""


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fctl", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_check_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make("deepglobe", tmp_path / "data")
    (tmp_path / "data/train/100694_mask.png").unlink()
    assert run(monkeypatch, "data", "check", tmp_path / "data", "--json", tmp_path / "out.json") == 0
    said = capsys.readouterr().out
    for words in (
        "DeepGlobe land cover",
        "3 of 96 x 96 px",
        "train 1, val 1, test 1",
        "the lists that GLNet published",
        "unknown (ignored)",
        "train/100694_sat.jpg: is an image without its ground truth; add the ground truth",
        "1 thing to mend; 1 of 1 training pair can be used",
    ):
        assert words in said
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["problems"][0]["file"] == "train/100694_sat.jpg"
    assert sum(told["class_shares"]["train"].values()) == pytest.approx(1)


def test_only_what_is_unusable_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "data", "check", tmp_path / "empty") == 2
    assert "holds no image with a ground truth" in capsys.readouterr().err
    make("pairs", tmp_path / "data")
    for mask in (tmp_path / "data/masks").iterdir():
        mask.write_bytes(b"gone")
    assert run(monkeypatch, "data", "check", tmp_path / "data") == 2
    said = capsys.readouterr()
    assert "no pair can be trained on" in said.err
    assert "no px is" not in said.out  # none was read


@pytest.mark.parametrize("layout", list(NAMES))
def test_each_layout_trains_and_its_scenes_are_known_again(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(layout, tmp_path / "data")
    (tmp_path / "small.toml").write_text(CONFIG.replace("LAYOUT", layout))
    assert run(monkeypatch, "train", tmp_path / "small.toml", "--data", folder, "--out", tmp_path / "run") == 0
    assert "to train" in capsys.readouterr().err
    card = read_card(tmp_path / "run" / "small.safetensors")
    assert card.provenance["training"]["data"]["layout"] == layout
    assert {"val", "test"} <= set(card.figures) or layout in ("pairs", "omezarr")
    scenes, missing = training_scenes(card, folder)
    assert not missing
    assert scenes
    assert all(scene.train for scene in scenes)
    if layout == "pairs":  # a copy is as good
        assert run(monkeypatch, "data", "convert", folder, tmp_path / "copy") == 0
        copied, missing = training_scenes(card, tmp_path / "copy")
        assert [scene.name for scene in copied] == [scene.name for scene in scenes]
        assert not missing


def test_far_labels_are_made_and_can_be_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "far"
    words = ("data", "make", "far-labels", made, "--kind", "sizes", "--distance", 1.5, "--tile", 32, "--scenes", 4)
    assert run(monkeypatch, *words, "--seed", 3) == 0
    assert capsys.readouterr().out.split() == [str(made)]
    record = json.loads((made / "far_labels.json").read_text())
    assert [record[key] for key in ("kind", "distance", "tile", "seed")] == ["sizes", 1.5, 32, 3]
    assert run(monkeypatch, "data", "check", made) == 0
    assert "train 2, val 1, test 1" in capsys.readouterr().out
    assert run(monkeypatch, *words) == 2
    assert "is not an empty folder; choose a new one" in capsys.readouterr().err.replace("\n", " ")
    assert run(monkeypatch, *words[:3], tmp_path / "other", "--distance", 0) == 2
    assert "distance is 0; choose a number from 0.5 to 16" in capsys.readouterr().err.replace("\n", " ")
