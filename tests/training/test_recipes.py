from pathlib import Path

import pytest
import torch

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.build import make_network
from fctl_napari.model.presets import PRESETS
from fctl_napari.training.config import TrainConfig, load_train_config
from fctl_napari.training.recipes import parse_overrides, read_recipe, recipes
from fctl_napari.training.stages import stages_of

SETS = {"deepglobe": {"medium": 1524, "large": 2448}, "inria": {"medium": 1016, "large": 1524}}
"""Table 4, px."""


@pytest.mark.filterwarnings("ignore:ALE's windows")
@pytest.mark.parametrize("data", SETS)
def test_there_is_a_recipe_for_every_preset_with_the_papers_settings(data):
    mend = ("refiner", "cascadepsp")  # masks of another network
    elsewhere = ("unet_resnet", "fpn", "deeplabv3plus_separable")  # not in the paper
    presets = [name for name in PRESETS if name not in mend + elsewhere]
    assert {f"{data}/{name}" for name in presets} == {name for name in recipes() if name.startswith(data)}
    for name in presets:
        config = load_train_config(f"{data}/{name}")
        assert (config.preset, config.name, config.data.layout) == (name, f"{data}_{name}", data)
        assert (config.learning_rate, config.poly_power, config.epochs) == (5e-5, 0.9, 50)
        assert (config.batch * config.accumulate, config.loss, config.focal_gamma) == (6, "focal", 3)
        network = config.network_config(7)
        with torch.device("meta"):
            model = make_network(network)
        if any(isinstance(m, torch.nn.BatchNorm2d) for m in model.decoder.modules()) or name == "unet":
            assert config.batch == 6, "new norms follow a real batch"
        if name.startswith("fctl_"):
            scales = {c.name: c.scale for c in network.outer_contexts}
            sides = {k: 2448 if v == "global" else v * 508 for k, v in scales.items()}
            assert sides == SETS[data]
        assert network.tile_size in ((508,) if network.encoder == "vgg16" else (256, 512))


@pytest.mark.filterwarnings("ignore:ALE's windows")
@pytest.mark.parametrize("name", [name for name in recipes() if "/" in name])
def test_every_stage_of_a_recipe_is_a_network_with_the_parts_it_names(name, tmp_path):
    config = load_train_config(name)
    stages = stages_of(config, tmp_path)
    kinds = ["baseline", "medium", "large"] if "/fctl_" in name or "/lcc_" in name else []
    kinds = ["down"] if name.endswith("/glnet_both") else kinds
    assert [s.out for s in stages] == [*(tmp_path / kind for kind in kinds), tmp_path]
    for stage in stages:
        with torch.device("meta"):
            model = make_network(stage.config.network_config(6))
        parameters = [key for key, _ in model.named_parameters()]
        assert all(any(key.startswith(part) for key in parameters) for part in stage.config.frozen)
        assert set(stage.config.contexts_from) <= {c.name for c in config.network_config(6).outer_contexts}
        if stage.config.init_from:
            assert Path(stage.config.init_from) == stages[0].checkpoint
    assert stages[-1].config.network_config(6) == config.network_config(6)
    one = stages_of(load_train_config(name, {"stages": []}), tmp_path)
    assert [s.out for s in one] == [tmp_path]
    assert one[0].config.frozen == ()


def test_a_file_takes_over_what_it_includes(tmp_path):
    (tmp_path / "a.toml").write_text("seed = 3\nsteps = 7\n[network]\nwidth = 8\ngpe = false\n[data]\nsample = true")
    (tmp_path / "b.toml").write_text('include = ["a.toml"]\nname = "b"\nepochs = 2\n[network]\nwidth = 16')
    fields = read_recipe(tmp_path / "b.toml")
    assert fields["network"] == {"width": 16, "gpe": False}
    assert "steps" not in fields
    assert load_train_config(tmp_path / "b.toml").seed == 3


def test_settings_on_the_command_line_replace_others():
    given = parse_overrides(
        ["steps=2", "data.holdout=1+3", "network.gate_init = 0.5", "stages.1.epochs=3", "augment.dihedral=false"]
    )
    assert given["data.holdout"] == "1+3"
    fields = read_recipe("deepglobe/fctl_lite", given)
    assert fields["steps"] == 2
    assert "epochs" not in fields
    assert fields["network"]["gate_init"] == 0.5
    assert fields["network"]["contexts"]
    assert fields["augment"] == {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "dihedral": False}
    assert fields["stages"][1]["epochs"] == 3
    assert load_train_config("aerial", parse_overrides(["data.holdout=5"])).data.holdout == "5"


def test_paths_on_the_command_line_start_from_the_current_folder(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    given = [
        "encoder_weights=vgg.pth",
        "init_from=../own.safetensors",
        "contexts_from.large=large.safetensors",
        "contexts_from={medium = 'medium.safetensors'}",
        "data.masks=refined",
        "name=own",
        "stages.1.init_from=baseline",
    ]
    found = parse_overrides(given, tmp_path / "data")
    assert found == {
        "encoder_weights": str(here / "vgg.pth"),
        "init_from": str(here / "../own.safetensors"),
        "contexts_from.large": str(here / "large.safetensors"),
        "contexts_from": {"medium": str(here / "medium.safetensors")},
        "data.masks": str(here / "refined"),
        "name": "own",
        "stages.1.init_from": "baseline",
    }
    kept = ["init_from=aerial", "encoder_weights=/weights/vgg.pth", "data.masks=roughened", "encoder_weights="]
    assert parse_overrides(kept, tmp_path / "data") == parse_overrides(kept)
    assert parse_overrides(given[:2], here) == {"encoder_weights": "vgg.pth", "init_from": "../own.safetensors"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["steps"], "write KEY=VALUE"),
        (["stepz=3"], "stepz"),
        (["batch.more=3"], "no such setting"),
        (["stages.9.epochs=3"], "no such setting"),
        (["stages.1.init_from=later"], "no stage before it"),
        (["stages.1.name=baseline"], "two stages"),
    ],
)
def test_a_bad_setting_is_one_sentence(settings, says):
    with pytest.raises(ConfigError, match=says) as caught:
        load_train_config("inria/fctl_vgg16", parse_overrides(settings))
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_missing_or_includes_itself_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"aerial, .*, deepglobe/fctl_lite, .*earth"):
        load_train_config("mars")
    (tmp_path / "a.toml").write_text('include = ["b.toml"]')
    (tmp_path / "b.toml").write_text('include = ["a.toml"]')
    with pytest.raises(ConfigError, match="includes itself"):
        read_recipe(tmp_path / "a.toml")


def test_a_config_of_before_is_filled_up_with_what_is_new():
    config = load_train_config("earth")
    old = config.model_dump_json(exclude={"run", "stages", "epochs", "contexts_from"})
    assert TrainConfig.model_validate_json(old) == config
