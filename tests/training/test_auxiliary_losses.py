"""Losses inside of PSPNet, ICNet and GLNet while they are trained, which leave no trace in the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_training import make, write_scene
from torch.nn import functional as F

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.presets import preset
from fctl_napari.training.auxiliary_losses import GlobalLocalLosses, auxiliary_losses
from fctl_napari.training.run_state import load_state, save_state
from fctl_napari.training.trainer import Trainer

WEIGHTS = {"pspnet": [0.4], "icnet": [0.16, 0.4]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene"))


def trainer(name: str, folder: Path, out: Path, **fields: Any) -> Trainer:
    network = {"tile_size": 64} | fields.pop("network", {})
    usual = {"preset": name, "network": network, "measured": False, "loss": "cross_entropy"}
    return Trainer(make(**usual | fields), out, data_folder=folder, device="cpu")


@pytest.mark.parametrize("inference", ["local", "global"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_the_losses_are_added_with_their_weights(name: str, inference: str, folder: Path, tmp_path: Path) -> None:
    run = trainer(name, folder, tmp_path, network={"inference": inference})
    assert run.auxiliary is not None
    assert run.auxiliary.weights == WEIGHTS[name]
    run.model.eval()
    run.auxiliary.eval()
    batch = run._load(0)
    truth = batch.ground_truth.long()
    logits = run._forward(batch)
    plain = F.cross_entropy(logits, truth, ignore_index=255)
    for head in run.auxiliary.heads:
        torch.nn.init.zeros_([*head.parameters()][-2])
        torch.nn.init.zeros_([*head.parameters()][-1])  # each scores nothing, which costs log 2
    expected = float(plain.detach()) + sum(WEIGHTS[name]) * float(torch.tensor(2.0).log())
    assert float(run._loss(batch).detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", [*WEIGHTS, "glnet"])
def test_gradients_reach_the_heads_and_what_they_score(name: str, folder: Path, tmp_path: Path) -> None:
    run = trainer(name, folder, tmp_path)
    assert run.auxiliary is not None
    batch = run._load(0)
    with run.auxiliary.watched(run.model) as features:
        run._forward(batch)
    run.auxiliary(features, None, lambda scores: scores.square().mean()).backward()
    assert all(p.grad is not None and p.grad.any() for p in run.auxiliary.parameters())
    stage = run.model.encoders["tile"].get_submodule("layer3.0.conv1")
    assert stage.weight.grad is not None
    assert run.model.decoder.get_submodule("score").weight.grad is None  # they see what is inside alone
    optimized = {id(p) for group in run.optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in run.auxiliary.parameters()} <= optimized


def test_glnets_branches_are_scored_and_their_distance_counts(folder: Path, tmp_path: Path) -> None:
    run = trainer("glnet", folder, tmp_path)
    assert isinstance(run.auxiliary, GlobalLocalLosses)
    branch = torch.randn(2, 512, 16, 16)
    losses = iter([1.0, 2.0, 1.0, 2.0])

    def criterion(scores: torch.Tensor) -> torch.Tensor:
        assert scores.shape == (2, 2, 64, 64)
        return torch.tensor(next(losses))

    alike = run.auxiliary([torch.cat([branch, branch], 1)], None, criterion)
    assert float(alike) == pytest.approx(3)
    apart = run.auxiliary([torch.cat([branch, branch + 2], 1)], None, criterion)
    assert float(apart) == pytest.approx(3 + 0.15 * 4, rel=1e-4)


@pytest.mark.parametrize("name", ["fctl_lite", "segformer_b0", "unet", "deeplabv3plus"])
def test_other_networks_have_none(name: str) -> None:
    with torch.device("meta"):
        assert auxiliary_losses(make_network(preset(name, classes=3))) is None


def test_heads_are_kept_by_the_run_and_left_out_of_the_network(folder: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    fields = {"steps": 2, "save_every": 1, "batch": 2}
    whole = trainer("icnet", folder, tmp_path / "whole", **fields)
    path = whole.run()
    plain = make_network(whole.model.config)
    assert load_checkpoint(path)[0].state_dict().keys() == plain.state_dict().keys()

    class Stopped(Exception):
        pass

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        trainer("icnet", folder, tmp_path / "run", **fields).run(stop)
    resumed = trainer("icnet", folder, tmp_path / "run", **fields)
    assert resumed.step == 1
    resumed.run()
    assert whole.auxiliary is not None
    assert resumed.auxiliary is not None
    torch.testing.assert_close(resumed.auxiliary.state_dict(), whole.auxiliary.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_a_run_of_an_earlier_version_goes_on_without_them(folder: Path, tmp_path: Path) -> None:
    run = trainer("icnet", folder, tmp_path)
    run._save_state()
    state = load_state(tmp_path, run.config)
    assert state is not None
    del state["auxiliary"], state["config"]
    parameters = len(list(run.model.parameters()))
    for group in state["optimizer"]["param_groups"]:
        group["params"] = [number for number in group["params"] if number < parameters]
    save_state(tmp_path, run.config, state)
    assert trainer("icnet", folder, tmp_path).auxiliary is None


def test_multi_grid_dilates_deeplabs_last_stage_and_keeps_its_weights() -> None:
    def last(config: Any) -> list[int]:
        with torch.device("meta"):
            model = make_network(config)
        return [block.conv2.dilation[0] for block in model.encoders["tile"].get_submodule("layer4").children()]

    plain, grid = preset("deeplabv3plus"), preset("deeplabv3plus", multi_grid=True)
    assert last(plain) == [1, 2, 2]
    assert last(grid) == [2, 4, 8]
    with torch.device("meta"):
        assert make_network(plain).state_dict().keys() == make_network(grid).state_dict().keys()
    assert make_network(preset("deeplabv3plus", tile_size=64, classes=2, multi_grid=True)).eval()(
        torch.zeros(1, 3, 64, 64), {}, {}
    ).shape == (1, 2, 64, 64)
    assert "multi_grid" not in plain.model_dump()
    with pytest.raises(ConfigError, match="multi_grid is an option of deeplabv3plus, not of pspnet"):
        preset("pspnet", multi_grid=True)
