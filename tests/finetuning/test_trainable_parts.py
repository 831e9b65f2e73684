from __future__ import annotations

import pytest
import torch

from fctl_napari.exceptions import ConfigError
from fctl_napari.finetuning.request import HEADS, PARTS
from fctl_napari.finetuning.trainable_parameters import parameters_of
from fctl_napari.finetuning.trainable_parts import sizes_of_parts, trainable_share
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import builtin_checkpoints
from fctl_napari.model.presets import preset


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


def test_a_shared_encoder_of_all_is_the_part_of_each_stream(tiny_config):
    model = FCtL(tiny_config.model_copy(update={"share_encoders": "all"}))
    assert set(parameters_of(model, ["tile_encoder"])) == set(parameters_of(model, ["large_encoder"]))


@pytest.mark.parametrize("share", ["none", "contexts", "all"])
def test_shares_count_parameters_without_loading_them(tiny_config, make_checkpoint, share):
    path = make_checkpoint(tiny_config.model_copy(update={"share_encoders": share}), f"share_{share}")
    model, _ = load_checkpoint(path)
    sizes = sizes_of_parts(path)
    for parts in (HEADS, ["medium_encoder"], ["gpe", "tile_encoder"]):
        learn = sum(p.numel() for p in parameters_of(model, parts).values())
        assert trainable_share(sizes, parts) == learn / sum(p.numel() for p in model.parameters())
    assert trainable_share(sizes, PARTS) == 1


@pytest.mark.parametrize(
    ("name", "fields"), [("segformer_b0", {}), ("segformer_b0", {"inference": "global"}), ("glnet", {})]
)
def test_parts_of_a_baseline_partition_it(name, fields):
    config = preset(name, tile_size=64, classes=2, **fields)
    with torch.device("meta"):
        model = make_network(config)
    streams = [f"{stream}_encoder" for stream in ("tile", *(c.name for c in config.outer_contexts))]
    by_part = {part: set(parameters_of(model, [part])) for part in (*streams, "decoder")}
    assert set().union(*by_part.values()) == {parameter for parameter, _ in model.named_parameters()}
    assert (by_part["tile_encoder"] == by_part.get("large_encoder")) == bool(fields)  # one encoder, seen through twice


def test_the_built_in_checkpoint_learns_in_part():
    assert 0.02 < trainable_share(sizes_of_parts(builtin_checkpoints()["earth"]), HEADS) < 0.5


def test_parts_that_are_not_there_are_one_sentence(tiny_checkpoint, tiny_config, make_checkpoint):
    with pytest.raises(ConfigError, match="no part 'head'"):
        trainable_share(sizes_of_parts(tiny_checkpoint), ["head"])
    bare = make_checkpoint(tiny_config.model_copy(update={"ale": "none"}), "no_ale")
    with pytest.raises(ConfigError, match="no ale that could learn"):
        trainable_share(sizes_of_parts(bare), ["ale"])
    with pytest.raises(ConfigError, match="no ale that could learn"):
        parameters_of(load_checkpoint(bare)[0], ["ale"])
    assert trainable_share(sizes_of_parts(bare), ["ale", "decoder"]) > 0
