"""``fctl ablate run`` and ``report``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.ablation.results import Result, append_results
from fctl_napari.ablation.tables import ablation_row
from fctl_napari.model.model_card import read_card

RECIPE = """
name = "blocks"
steps = 1
batch = 1
precision = "fp32"
[network]
encoder = "mit_b0"
tile_size = 64
width = 16
ale_windows = [3]
[data]
scenes = [
    { image = "a.png", truth = "t.png", group = "a" },
    { image = "b.png", truth = "t.png", group = "b" },
]
[data.classes]
classes = [{ name = "dark", color = [0, 0, 0] }, { name = "bright", color = [255, 255, 255] }]
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    ground_truth = np.kron(np.indices((2, 3)).sum(0) % 2, np.ones((32, 32))).astype(np.uint8)
    Image.fromarray(ground_truth).save(tmp_path / "t.png")
    for name in "ab":
        Image.fromarray(np.repeat(ground_truth[..., None] * 200, 3, -1).astype(np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def test_what_cannot_be_run_is_one_sentence(fctl: Fctl, data: Path) -> None:
    call = ("ablate", "run", 5, "--recipe", data / "recipe.toml", "--data", data, "--out", data / "out")
    for more, words in (
        ((), "name a group with --holdout"),
        (("--holdout", "c"), "no scene is of the group 'c'"),
        (("--holdout", "b", "--steps", 2, "--minutes", 1), "the budget is given twice"),
        (("--holdout", "b", "--row", "table5-average", "--row", "table6-c"), "there is no row 'table6-c'"),
        (("--holdout", "b", "--weights", "w.pth", "--frozen-encoders", "b.safetensors"), "give one"),
        (("--holdout", "b", "--frozen-encoders", data / "none.safetensors"), "there is no such checkpoint"),
    ):
        code, _, err = fctl(*call, *more)
        assert (code, err.strip().count("\n")) == (2, 0)
        assert words in err


def test_encoders_of_a_built_in_checkpoint_are_those_of_its_first_stage(fctl: Fctl, tmp_path: Path) -> None:
    call = ("ablate", "run", 3, "--frozen-encoders", "earth", "--out", tmp_path)
    code, _, err = fctl(*call, "--steps", 1, "--minutes", 1)  # refused before anything is trained
    assert code == 2
    assert "the budget is given twice" in err
    card = read_card(tmp_path / "earth_first_encoder.safetensors")
    assert (card.name, card.config.contexts) == ("earth_first_encoder", ())


@pytest.mark.nightly  # a worker process that loads torch and trains encoders
def test_a_table_is_trained(fctl: Fctl, data: Path) -> None:
    call = ("ablate", "run", 5, "--recipe", data / "recipe.toml", "--data", data, "--out", data / "out")
    code, out, _ = fctl(*call, "--holdout", "b", "--seeds", 1, "--device", "cpu", "--workers", 2)
    assert (code, out.strip()) == (0, str(data / "out" / "results.csv"))
    code, out, _ = fctl("ablate", "report", data / "out" / "results.csv")
    assert code == 0
    assert "blocks, held-out group b: fctl_lite (mit_b0, tiles of 64 px), 1 step of 1 tile, 1 seed" in out


def test_a_table_is_reported(fctl: Fctl, tmp_path: Path) -> None:
    row = ablation_row("table5-average")
    usual: dict[str, object] = {f.name: {"int": 5, "str": "x"}.get(str(f.type), 0.5) for f in fields(Result)}
    append_results(tmp_path / "r.csv", [Result(**(usual | {"row": row.name, "contexts": "inria", "iou": {}}))])
    figure, text = tmp_path / "f.svg", tmp_path / "t.md"
    code, out, _ = fctl("ablate", "report", tmp_path / "r.csv", "--out", text, "--figure", figure)
    assert code == 0
    assert "| average fusion | 72.89 | 73.20 | 50.00 |  | 50.0 % | 1 |" in out
    assert out.strip() == text.read_text().strip()
    assert figure.stat().st_size > 0


def test_what_cannot_be_reported_is_one_sentence(fctl: Fctl, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\r\n")
    for path, words in (
        (tmp_path / "none.csv", "none.csv: there is no such file"),
        (tmp_path / "empty.csv", "empty.csv: holds no results yet"),
        (tmp_path / "other.csv", "other.csv: is not a table of fctl ablate run; give a CSV file that it wrote."),
        (tmp_path / "image.csv", "image.csv: is not a table of fctl ablate run; give a CSV file that it wrote."),
        (tmp_path, "is a folder; give the CSV files in it that fctl ablate run wrote."),
    ):
        assert words in fctl("ablate", "report", path).sentence()
