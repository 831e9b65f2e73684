import json

import numpy as np
import pytest
import torch
from PIL import Image

from fctl_napari.errors import CheckpointError, ConfigError
from fctl_napari.learning.config import TrainConfig, load_train_config
from fctl_napari.learning.start import start_from
from fctl_napari.learning.train import Trainer, train
from fctl_napari.model.card import read_card
from fctl_napari.model.checkpoint import load_checkpoint, round_as_stored, save_checkpoint
from fctl_napari.model.config import preset
from fctl_napari.model.fctl import FCtL

CLASSES = {"classes": [{"name": "dark", "color": (0, 0, 0)}, {"name": "bright", "color": (255, 255, 255)}]}
NETWORK = {
    "encoder": "mit_b0",  # layer norm: it learns from random weights, where frozen batch norm does not
    "tile_size": 64,
    "width": 16,
    "contexts": [{"name": "local"}, {"name": "medium", "scale": 2.0}, {"name": "large", "scale": "global"}],
    "ale_windows": [3],
}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(0, 2, (5, 8)), np.ones((32, 32))).astype(np.uint8)
    image = (truth[..., None] * 150 + rng.integers(0, 60, (*truth.shape, 3))).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "scene.png")
    Image.fromarray(truth).save(tmp_path / "truth.png")
    return tmp_path


def make(**fields):
    scene = {"image": "scene.png", "truth": "truth.png", "train": [(0, 160)], "val": [(160, 208)], "test": [(208, 256)]}
    return TrainConfig(
        **{
            "name": "tiny",
            "network": NETWORK,
            "data": {"classes": CLASSES, "scenes": [scene]},
            "steps": 6,
            "batch": 2,
            "learning_rate": 1e-3,
            "precision": "fp32",
            "save_every": 2,
            **fields,
        }
    )


def test_training_learns_and_writes_a_checkpoint_with_its_card(folder, tmp_path):
    config = make(steps=30, learning_rate=2e-3, loss="cross_entropy", validate_every=15)
    trainer = Trainer(config, tmp_path / "run", data_folder=folder)
    path = trainer.run()
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [e["loss"] for e in entries if "loss" in e]
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert [e["step"] for e in entries if "val" in e] == [15, 30]
    card = read_card(path)
    assert card.classes.names == ("dark", "bright")
    assert 0 <= card.figures["test"]["miou"] <= 1
    assert 0 <= card.figures["test"]["context_reliance"] <= 1
    assert card.provenance["training"]["steps"] == 30
    assert set(card.provenance["data"]) == {"scene.png"}
    model, _ = load_checkpoint(path)
    torch.testing.assert_close(model.state_dict(), trainer.model.state_dict(), rtol=0, atol=0)


def test_a_killed_run_goes_on_to_the_same_weights(folder, tmp_path):
    config = make()
    torch.set_num_threads(1)
    whole = Trainer(config, tmp_path / "whole", data_folder=folder)
    whole.run()

    class Killed(Exception):
        pass

    def kill(step, steps, loss):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        Trainer(config, tmp_path / "killed", data_folder=folder).run(kill)
    resumed = Trainer(config, tmp_path / "killed", data_folder=folder)
    assert resumed.step == 4
    resumed.run()
    for (name, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_folder_with_another_run_is_refused(folder, tmp_path):
    Trainer(make(steps=2), tmp_path / "run", data_folder=folder).run()
    with pytest.raises(ConfigError, match="other settings"):
        Trainer(make(steps=3), tmp_path / "run", data_folder=folder)


def test_frozen_parts_keep_their_weights_and_the_rest_moves(folder, tmp_path):
    trainer = Trainer(make(steps=2, frozen=["encoders.medium"]), tmp_path / "run", data_folder=folder)
    round_as_stored(trainer.model)  # as it will be in the end
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.run()
    after = trainer.model.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert not any(k.startswith("encoders.medium") for k in moved)
    assert any(k.startswith("encoders.tile") for k in moved)
    assert not any("running_" in k for k in moved), "batch norm keeps its statistics"


def test_a_frozen_name_that_matches_nothing_is_an_error(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"nothing in the network starts with 'encoder\."):
        Trainer(make(frozen=["encoder."]), tmp_path / "run", data_folder=folder)


def test_contexts_start_from_the_tiles_stream_of_a_baseline(folder, tmp_path):
    base = train(
        make(steps=1, network={**NETWORK, "contexts": [], "ale": "none"}), tmp_path / "base", data_folder=folder
    )
    trained, _ = load_checkpoint(base)
    model = FCtL(preset("fctl_lite", **NETWORK, classes=2))
    start_from(model, base)
    given, own = trained.state_dict(), model.state_dict()
    for key, value in given.items():
        assert torch.equal(own[key], value), key
        if key.startswith("encoders.tile."):
            assert torch.equal(own[key.replace(".tile.", ".large.")], value), key


def test_a_checkpoint_of_another_network_cannot_be_started_from(folder, tmp_path):
    base = train(make(steps=1), tmp_path / "base", data_folder=folder)
    other = FCtL(preset("fctl_lite", tile_size=64, ale_windows=(3,), contexts=NETWORK["contexts"], classes=9))
    with pytest.raises(CheckpointError, match="its encoder is mit_b0"):
        start_from(other, base)


def test_saving_under_another_networks_card_is_refused(folder, tmp_path):
    path = train(make(steps=1), tmp_path / "base", data_folder=folder)
    other = FCtL(preset("fctl_lite", **NETWORK, classes=3))
    with pytest.raises(CheckpointError):
        save_checkpoint(tmp_path / "x.safetensors", other, read_card(path))


@pytest.mark.parametrize("name", ["earth", "aerial"])
def test_the_configs_that_come_along_load_and_take_overrides(name):
    config = load_train_config(name, {"seed": 7, "network.gate_init": 0.25})
    assert config.seed == 7
    assert config.network_config(5).gate_init == 0.25


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "TOML"),
        ('name = "x"\n[data]\nsample = false', "sample = true"),
        ('name = "x"\nstepz = 3\n[data]\nsample = true', "stepz"),
        ('name = "x"\nsteps = 0\n[data]\nsample = true', "steps"),
    ],
)
def test_a_bad_config_is_one_sentence(tmp_path, text, says):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        load_train_config(tmp_path / "c.toml")
    assert "\n" not in str(caught.value)
