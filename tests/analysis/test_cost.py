"""What networks cost: known counts, parts that add up, savings that save."""

from __future__ import annotations

import pytest

from fctl_napari.analysis.cost import PARTS, count_flops, count_parameters, measure_speed
from fctl_napari.model.config import FCtLConfig, preset


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
