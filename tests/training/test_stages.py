import os
import signal
import subprocess
import sys

import pytest
import torch
from helpers_training import NETWORK, STAGES, losses, make, write_scene

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.model_card import read_card
from fctl_napari.training.train import train
from fctl_napari.training.weight_init import start_context_from

KILLED = """
import os, signal, sys, torch
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.train import train

stages = []

def progress(step, steps, loss):
    if stages[-1] == "tiny-medium" and step == 3:
        os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
config = TrainConfig.model_validate_json(open(sys.argv[1]).read())
train(config, sys.argv[2], data_folder=sys.argv[3], device="cpu", progress=progress, starting=stages.append)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def staged(folder):
    """A staged training that ran through."""
    torch.set_num_threads(1)
    train(
        make(measured=False, steps=3, save_every=2, stages=STAGES), folder / "whole", data_folder=folder, device="cpu"
    )
    return folder / "whole"


def state(path):
    return load_checkpoint(path)[0].state_dict()


def test_stages_hand_their_networks_on(staged):
    baseline = state(staged / "baseline" / "tiny-baseline.safetensors")
    medium = state(staged / "medium" / "tiny-medium.safetensors")
    whole = state(staged / "tiny.safetensors")
    assert not any(key.startswith("lcf") for key in baseline)
    assert {key.split(".")[1] for key in medium if key.startswith("encoders")} == {"tile"}
    context = {key for key in whole if key.startswith("encoders.medium.")}
    assert context
    for key in context:  # frozen, so still what its stage learnt for both streams
        assert torch.equal(whole[key], medium[key.replace(".medium.", ".tile.")]), key
    moved = [k for k in whole if k.startswith("encoders.tile.") and not torch.equal(whole[k], baseline[k])]
    assert moved
    card = read_card(staged / "tiny.safetensors")
    assert card.name == "tiny"
    assert card.provenance["training"]["contexts_from"] == {"medium": "tiny-medium.safetensors"}
    assert card.provenance["training"]["learning_rate"] == 5e-4


def test_a_warning_of_every_stage_is_shown_once(folder, tmp_path):
    stages = [{"name": "first"}, {"name": "all", "init_from": "first"}]
    config = make(measured=False, steps=1, stages=stages, network=NETWORK | {"ale_windows": [31]})
    with pytest.warns(UserWarning, match="ALE's windows") as shown:
        train(config, tmp_path / "run", data_folder=folder, device="cpu")
    said = [str(warning.message) for warning in shown]
    assert sum("ALE's windows" in words for words in said) == 1
    assert len(said) == len(set(said))


def test_a_staged_training_killed_in_a_stage_resumes_to_the_same_weights(folder, staged, tmp_path):
    config = make(measured=False, steps=3, save_every=2, stages=STAGES)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    script = [sys.executable, "-c", KILLED, str(tmp_path / "config.json"), str(tmp_path / "run"), str(folder)]
    done = subprocess.run(script, env=os.environ, timeout=280)
    assert done.returncode == -signal.SIGKILL
    first = (tmp_path / "run" / "baseline" / "tiny-baseline.safetensors").stat().st_mtime_ns
    moved = tmp_path / "elsewhere"
    (tmp_path / "run").rename(moved)
    started, steps = [], []
    train(
        config,
        moved,
        data_folder=folder,
        device="cpu",
        starting=started.append,
        progress=lambda step, *_: steps.append(step),
    )
    assert started == ["tiny-medium", "tiny"]
    assert steps == [3, 1, 2, 3]
    assert (moved / "baseline" / "tiny-baseline.safetensors").stat().st_mtime_ns == first
    assert losses(moved / "medium") == losses(staged / "medium")
    ours = state(moved / "tiny.safetensors")
    for key, value in state(staged / "tiny.safetensors").items():
        assert torch.equal(ours[key], value), key


def test_a_stage_of_other_settings_is_refused(folder, staged):
    stages = [{**STAGES[0], "learning_rate": 0.5}, *STAGES[1:]]
    with pytest.raises(ConfigError, match="baseline: holds a run of other settings"):
        train(make(measured=False, steps=3, save_every=2, stages=stages), staged, data_folder=folder, device="cpu")


def test_only_a_stream_of_its_own_can_start_from_a_checkpoint(staged):
    model, _ = load_checkpoint(staged / "medium" / "tiny-medium.safetensors")
    with pytest.raises(ConfigError, match="no encoder of its own for the context 'medium'"):
        start_context_from(model, "medium", staged / "tiny.safetensors")
