"""What networks cost: known counts, parts that add up, savings that save."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fctl_napari.evaluation.cost import PARTS, count_flops, count_parameters, measure_speed
from fctl_napari.evaluation.image_cost import image_cost
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import make_encoder
from fctl_napari.model.presets import preset


@pytest.mark.parametrize(("name", "gflop"), [("lcc_released", 1002), ("fcn8s", 377)])
def test_the_released_networks_cost_what_is_known(name: str, gflop: int) -> None:
    flops = count_flops(preset(name), savings=False)
    assert tuple(flops) == PARTS
    assert sum(flops.values()) / 1e9 == pytest.approx(gflop, abs=2)
    assert sum(count_flops(preset(name)).values()) < 0.72 * sum(flops.values())


def test_a_shared_context_counts_for_no_tile() -> None:
    config = preset("fctl_vgg16")
    assert count_flops(config, shared_contexts=True)["encoders"] == count_flops(config)["encoders"] * 2 // 3


def test_parameters_that_nothing_reaches_are_not_live() -> None:
    found = count_parameters(preset("lcc_released", classes=2))
    assert found.total == found.live == found.trainable
    assert found.total / 1e6 == pytest.approx(170, abs=3)
    lite = count_parameters(preset("fctl_lite"))
    assert lite.live < lite.total


def test_a_tile_is_measured(tiny_config: FCtLConfig) -> None:
    speed = measure_speed(tiny_config, device="cpu", precision="fp32", runs=1)
    assert speed.seconds > 0
    assert speed.peak_bytes > 3 * tiny_config.tile_size**2 * 4
    assert speed.weight_bytes == 4 * count_parameters(tiny_config).total
    assert speed.where.endswith("fp32")


def test_resnet50_costs_what_is_published() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        make_encoder("resnet50").eval()(torch.empty(1, 3, 224, 224))
    with_fc = counter.get_total_flops() / 2 + 2048 * 1000
    assert with_fc / 1e9 == pytest.approx(4.09, abs=0.005)  # torchvision's GFLOPS: multiplications with their additions


@pytest.mark.parametrize("name", ["segnet", "segformer_b0", "fcn8s"])
def test_an_image_that_is_seen_whole_is_run_once(name: str) -> None:
    local = count_flops(preset(name))
    assert local["encoders"] > 0
    assert local["decoder"] > 0
    whole = count_flops(preset(name, inference="global"))
    share = count_flops(preset(name, inference="global"), shared_contexts=True)
    assert share["encoders"] == 0
    assert whole["encoders"] == local["encoders"]
    assert whole["decoder"] == local["decoder"] + share["decoder"]
    assert count_parameters(preset(name, inference="global")) == count_parameters(preset(name))


@pytest.mark.parametrize("inference", ["local", "global"])
def test_what_an_image_costs_is_what_its_tiles_cost_and_what_they_share(inference: str) -> None:
    config = preset("segformer_b0", tile_size=64, classes=3, inference=inference)
    cost = image_cost(config, (100, 130), device="cpu", precision="fp32", runs=1)
    each, once = (sum(count_flops(config, shared_contexts=shared).values()) for shared in (True, False))
    assert cost.tiles == 2 * 3
    assert cost.flops == (cost.tiles * each if inference == "local" else (cost.tiles - 1) * each + once)
    assert cost.seconds > 0
    assert cost.bytes > 4 * cost.parameters > 0
