"""``fctl train``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from helpers_layouts import make
from helpers_training import NO_CONTEXT, toml_of, write_scene
from helpers_training import make as make_config
from PIL import Image

from fctl_napari.model.model_card import read_card
from fctl_napari.training.train import train

SMALL = {
    "network.tile_size": 64,
    "network.width": 8,
    "network.fc_channels": 8,
    "network.fc_kernel": 1,
    "network.ale_windows": [3],
    "steps": 1,
    "validate_every": 0,
    "precision": "fp32",
}


def settings(**more: object) -> list[str]:
    return [part for key, value in (SMALL | more).items() for part in ("--set", f"{key}={value}".replace("'", '"'))]


@pytest.mark.filterwarnings("ignore:ALE's windows")
@pytest.mark.parametrize(("layout", "classes"), [("deepglobe", 6), pytest.param("inria", 2, marks=pytest.mark.nightly)])
def test_a_recipe_trains_its_stages_on_the_published_layout(
    layout: str, classes: int, fctl: Fctl, tmp_path: Path
) -> None:
    """By day DeepGlobe stands in: Inria's recipe has the same stages, and test_layouts reads its layout."""
    out = tmp_path / "run"
    locations = ("--data", make(layout, tmp_path / "data"), "--out", out)
    done = fctl("train", f"{layout}/fctl_mit_b0", *locations, "--device", "cpu", *settings(name="tiny"))
    assert done.code == 0, done.err
    assert "to train" in done.err
    assert done.out.strip() == str(out / "tiny.safetensors")
    card = read_card(out / "tiny.safetensors")
    assert card.config.classes == classes
    assert card.provenance["training"]["steps"] == 1
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
    common = ("--data", make("deepglobe", tmp_path / "data"), "--out", tmp_path / "run", "--device", "cpu")
    call = ("train", "deepglobe/fctl_mit_b0", *common, *settings(name="tiny", stages="[]"))
    assert fctl(*call).code == 0
    assert not (tmp_path / "run" / "medium").exists()
    for setting, says in (("stepz=1", "stepz"), ("steps", "KEY=VALUE"), ("seed=7", "other settings")):
        done = fctl(*call, "--set", setting)
        assert done.code == 2
        assert says in done.err
        assert done.err.splitlines()[-1].startswith("fctl: ")
    done = fctl("train", "mars")
    assert done.code == 2
    assert "deepglobe/fctl_vgg16" in done.err


def test_what_is_taken_over_and_what_cannot_be_learnt_is_said(fctl: Fctl, tmp_path: Path) -> None:
    write_scene(tmp_path)
    small = {"steps": 1, "network": NO_CONTEXT}
    base = train(make_config(measured=False, **small), tmp_path / "base", data_folder=tmp_path)
    small["init_from"] = str(base)
    config = make_config(**small)
    rare = [{"name": "rare", "color": (1, 2, 3)}, *(info.model_dump() for info in config.data.classes)]
    Image.fromarray(np.asarray(Image.open(tmp_path / "truth.png")) + np.uint8(1)).save(tmp_path / "truth.png")
    data = config.data.model_dump() | {"classes": {"classes": rare}}
    (tmp_path / "t.toml").write_text(toml_of(make_config(**small, data=data)))
    done = fctl("train", tmp_path / "t.toml", "--data", tmp_path, "--out", tmp_path / "run", "--device", "cpu")
    assert done.code == 0, done.err
    said = "tiny: its classes are found by their names; taken over: dark, bright; anew: rare."
    assert said in done.err
    assert "no training px is rare: the network cannot learn it from these data." in done.err
    assert "Warning" not in done.err
    assert read_card(tmp_path / "run" / "tiny.safetensors").provenance["started_from"] == [said]
    done = fctl("train", tmp_path / "t.toml", "--data", tmp_path, "--out", tmp_path / "best", "--set", "keep='best'")
    assert done.code == 0
    gone = ("--out", tmp_path / "gone", "--set", "init_from=gone.safetensors")
    done = fctl("train", tmp_path / "t.toml", "--data", tmp_path, *gone)
    assert done.code == 2
    assert str(Path("gone.safetensors").absolute()) in done.err  # from the current folder, not from the data
    data["scenes"] = [scene | {"val": ()} for scene in data["scenes"]]
    (tmp_path / "t.toml").write_text(toml_of(make_config(steps=1, network=NO_CONTEXT, data=data)))
    done = fctl("train", tmp_path / "t.toml", "--data", tmp_path, "--out", tmp_path / "none", "--set", "keep='best'")
    assert done.code == 2
    assert "keep = 'best' needs validation regions with labeled px" in done.err


def test_a_network_is_pretrained_on_images_alone_and_trained_from_there(fctl: Fctl, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    write_scene(tmp_path)
    (tmp_path / "scene.png").rename(images / "scene.png")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(toml_of(make_config(network=NO_CONTEXT, steps=1, keep="best")))
    done = fctl("pretrain", recipe, images, "--out", tmp_path / "first", "--device", "cpu", "--set", "steps=2")
    assert done.code == 0, done.err
    path = tmp_path / "first" / "tiny-pretrained.safetensors"
    assert done.out.strip() == str(path)
    assert "1 image." in done.err
    assert read_card(path).provenance["training"]["data"]["images"] == ["scene.png"]
    assert "none yet" in fctl("info", path).out
    compared = fctl("info", images / "scene.png", "--checkpoint", path)
    assert compared.code == 2
    assert "has no classes yet" in compared.err.replace("\n", " ")
    (images / "scene.png").rename(tmp_path / "scene.png")
    start = f"init_from={path}"
    done = fctl("train", recipe, "--data", tmp_path, "--out", tmp_path / "then", "--device", "cpu", "--set", start)
    assert done.code == 0, done.err
    assert read_card(tmp_path / "then" / "tiny.safetensors").classes.names == ("dark", "bright")
    done = fctl("pretrain", recipe, tmp_path / "none", "--out", tmp_path / "other")
    assert done.code == 2
    assert "none" in done.err
    assert not (tmp_path / "other").exists()
