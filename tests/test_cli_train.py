"""``fctl train``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from fctl_napari import cli
from fctl_napari.model.card import read_card

SMALL = {
    "network.tile_size": 64,
    "network.width": 8,
    "network.fc_channels": 8,
    "network.fc_kernel": 1,
    "network.ale_windows": [3],
    "steps": 2,
    "accumulate": 2,
    "validate_every": 0,
    "precision": "fp32",
}


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Fctl = Callable[..., Outcome]


@pytest.fixture
def fctl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fctl:
    """``fctl("train", ...)``: run a command in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fctl", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return Outcome(int(stop.value.code or 0), *capsys.readouterr())

    return run


def settings(**more: object) -> list[str]:
    return [part for key, value in (SMALL | more).items() for part in ("--set", f"{key}={value}".replace("'", '"'))]


def deepglobe(folder: Path) -> Path:
    """Six pairs as published, 160 px."""
    rng = np.random.default_rng(0)
    colours = np.array([[0, 255, 255], [255, 255, 0], [0, 255, 0], [0, 0, 0]], np.uint8)
    for number in range(6):
        truth = np.kron(rng.integers(0, 4, (5, 5)), np.ones((32, 32), int))
        noise = rng.integers(0, 40, (160, 160, 3))
        Image.fromarray((colours[truth] // 2 + noise).astype(np.uint8)).save(folder / f"{100 + number}_sat.jpg")
        Image.fromarray(colours[truth]).save(folder / f"{100 + number}_mask.png")
    return folder


def inria(folder: Path) -> Path:
    """Six pairs as published, 160 px."""
    rng = np.random.default_rng(0)
    for name in ("images", "gt"):
        (folder / name).mkdir()
    for number in range(1, 7):
        truth = np.kron(rng.integers(0, 2, (5, 5)), np.ones((32, 32))).astype(np.uint8)
        image = (truth[..., None] * 150 + rng.integers(0, 60, (160, 160, 3))).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"austin{number}.tif")
        Image.fromarray(truth * 255).save(folder / "gt" / f"austin{number}.tif")
    return folder


@pytest.mark.filterwarnings("ignore:ALE's windows")
@pytest.mark.parametrize(
    ("recipe", "make", "classes"), [("deepglobe/fctl_mit_b0", deepglobe, 6), ("inria/fctl_mit_b0", inria, 2)]
)
def test_a_recipe_trains_its_stages_on_the_published_layout(
    recipe: str, make: Callable[[Path], Path], classes: int, fctl: Fctl, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    out = tmp_path / "run"
    done = fctl(
        "train", recipe, "--data", make(tmp_path / "data"), "--out", out, "--device", "cpu", *settings(name="tiny")
    )
    assert done.code == 0, done.err
    assert done.out.strip() == str(out / "tiny.safetensors")
    card = read_card(out / "tiny.safetensors")
    assert card.config.classes == classes
    assert card.provenance["training"]["steps"] == 2
    assert [c.name for c in card.config.contexts] == ["local", "medium", "large"]
    assert 0 <= card.figures["test"]["miou"] <= 1
    stages = {stage: read_card(out / stage / f"tiny-{stage}.safetensors") for stage in ("baseline", "medium", "large")}
    assert {name: [c.name for c in stage.config.contexts] for name, stage in stages.items()} == {
        "baseline": [],
        "medium": ["medium"],
        "large": ["large"],
    }
    assert stages["large"].config.contexts[0] == card.config.contexts[2]


def test_end_to_end_and_what_is_wrong_in_one_sentence(fctl: Fctl, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "run").mkdir()
    common = ("--data", deepglobe(tmp_path / "data"), "--out", tmp_path / "run", "--device", "cpu")
    call = ("train", "deepglobe/fctl_mit_b0", *common, *settings(name="tiny", stages="[]", steps=1, epochs=0))
    assert fctl(*call).code == 0
    assert not (tmp_path / "run" / "medium").exists()
    for setting, says in (("stepz=1", "stepz"), ("steps", "KEY=VALUE"), ("seed=7", "other settings")):
        done = fctl(*call, "--set", setting)
        assert done.code == 2
        assert says in done.err
        assert done.err.count("\n") == 1
    done = fctl("train", "mars")
    assert done.code == 2
    assert "deepglobe/fctl_vgg16" in done.err
