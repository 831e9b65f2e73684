from __future__ import annotations

import pytest
import torch

from fctl_napari.errors import ConfigError
from fctl_napari.learning.finetune_config import HEADS, PARTS
from fctl_napari.learning.parts import parameters_of, trainable_share
from fctl_napari.model.fctl import FCtL


def test_parts_partition_the_network(tiny_config):
    model = FCtL(tiny_config)
    by_part = [set(parameters_of(model, [part])) for part in PARTS]
    assert all(by_part)
    assert sum(map(len, by_part)) == len(set().union(*by_part)) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("part", "starts"),
    [
        ("gpe", ("lcf.correlations.",)),
        ("mcf", ("lcf.fusion.",)),
        ("ale", ("ale.",)),
        ("decoder", ("decoder.",)),
        ("medium_encoder", ("encoders.medium.", "necks.medium.")),
    ],
)
def test_a_part_is_what_its_name_says(tiny_config, part, starts):
    assert all(name.startswith(starts) for name in parameters_of(FCtL(tiny_config), [part]))


def test_gates_and_positions_are_gpe_and_gamma_is_lcc(tiny_config):
    model = FCtL(tiny_config)
    assert {name.rsplit(".", 1)[-1] for name in parameters_of(model, ["gpe"])} == {"v_pos", "z"}
    assert "gamma" in {name.rsplit(".", 1)[-1] for name in parameters_of(model, ["lcc"])}


def test_a_shared_encoder_is_the_part_of_each_stream(tiny_config):
    model = FCtL(tiny_config.model_copy(update={"share_encoders": "contexts"}))
    assert set(parameters_of(model, ["medium_encoder"])) == set(parameters_of(model, ["large_encoder"]))


def test_shares_count_parameters(tiny_config):
    model = FCtL(tiny_config)
    heads = sum(p.numel() for p in parameters_of(model, HEADS).values())
    assert trainable_share(tiny_config, HEADS) == heads / sum(p.numel() for p in model.parameters())
    assert trainable_share(tiny_config, PARTS) == 1
    assert torch.get_default_device() == torch.device("cpu")


def test_parts_that_are_not_there_are_one_sentence(tiny_config):
    with pytest.raises(ConfigError, match="no part 'head'"):
        trainable_share(tiny_config, ["head"])
    bare = tiny_config.model_copy(update={"ale": "none"})
    with pytest.raises(ConfigError, match="no ale that could learn"):
        trainable_share(bare, ["ale"])
    assert trainable_share(bare, ["ale", "decoder"]) > 0
