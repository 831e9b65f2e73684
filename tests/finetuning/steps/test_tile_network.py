from __future__ import annotations

import numpy as np
import pytest
import torch

from fctl_napari.finetuning.request import HEADS
from fctl_napari.finetuning.steps.feature_cache import FeatureCache
from fctl_napari.finetuning.steps.tile_network import TileNetwork
from fctl_napari.finetuning.tile_sampling import Tile
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.segmentation.inference.tile_cutting import read_inputs

CPU = torch.device("cpu")
TILES = [Tile(0, (0, 0, 64, 64)), Tile(1, (16, 30, 80, 94)), Tile(0, (70, 90, 134, 154))]


@pytest.fixture
def images(make_rgb):
    return [pyramid_from_array(make_rgb(150, 170, seed=1)), pyramid_from_array(make_rgb(120, 100, seed=2))]


def network(checkpoint, images, cache=None, parts=HEADS):
    model, _ = load_checkpoint(checkpoint)
    return TileNetwork(model, images, parts, cache, CPU, "fp32")


def disturb(net):
    with torch.no_grad():
        for parameter in net.learning.values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("parts", [HEADS, (*HEADS, "medium_encoder"), ("tile_encoder",)])
@pytest.mark.parametrize("limit", [0, 2**30])
def test_the_cached_path_is_the_plain_one_to_the_bit(awake_checkpoint, images, tmp_path, parts, limit):
    plain = network(awake_checkpoint, images, None, parts)
    cached = network(awake_checkpoint, images, FeatureCache(limit, tmp_path / "f"), parts)
    for _ in range(2):
        gradients = []
        for net in (plain, cached):
            net.model.zero_grad()
            logits = net.logits(TILES)
            logits.square().mean().backward()
            gradients.append((logits.detach(), {n: p.grad for n, p in net.learning.items()}))
            disturb(net)
        (a, grads), (b, others) = gradients
        assert torch.equal(a, b)
        for name, grad in grads.items():
            other = others[name]
            assert other is None if grad is None else torch.equal(grad, other), name


def test_it_says_what_the_network_says_of_the_tile(awake_checkpoint, images):
    net = network(awake_checkpoint, images)
    model, card = load_checkpoint(awake_checkpoint)
    for tile in TILES:
        inputs = read_inputs(images[tile.source], tile.window, card.config)
        with torch.no_grad():
            expected = model(
                torch.from_numpy(inputs.tile)[None],
                {name: torch.from_numpy(pixels)[None] for name, pixels in inputs.contexts.items()},
                {name: torch.from_numpy(window)[None] for name, window in inputs.windows.items()},
            )
        torch.testing.assert_close(net.logits([tile]).detach(), expected, rtol=1e-4, atol=1e-4)
        assert np.array_equal(net.labels(tile), net.logits([tile]).argmax(1)[0].numpy())


@pytest.mark.parametrize("parts", [HEADS, ("tile_encoder", "decoder")])
def test_the_parent_stays_what_it_was_while_the_network_learns(awake_checkpoint, images, tmp_path, parts):
    untouched = network(awake_checkpoint, images, parts=parts)
    net = network(awake_checkpoint, images, FeatureCache(2**30, tmp_path / "f"), parts)
    disturb(net)
    before = {name: p.detach().clone() for name, p in net.learning.items()}
    for tile in TILES:
        with torch.no_grad():
            expected = untouched.logits([tile])[0].log_softmax(0).half()
        torch.testing.assert_close(net.parents_prediction(tile), expected, rtol=0, atol=0)
        assert np.array_equal(net.parents_labels(tile), untouched.labels(tile))
        assert not torch.equal(net.logits([tile]), untouched.logits([tile]))
    assert all(torch.equal(before[name], p) for name, p in net.learning.items())


def test_only_what_learns_gets_a_gradient(awake_checkpoint, images):
    net = network(awake_checkpoint, images, None, ("ale", "large_encoder"))
    net.logits(TILES[:1]).square().mean().backward()
    moved = {name.split(".")[0] for name, p in net.model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"ale", "encoders"}
    frozen = ("encoders.tile", "encoders.medium", "decoder", "lcf")
    assert not any(n.startswith(frozen) for n, p in net.model.named_parameters() if p.grad is not None)


def test_encoders_run_once(awake_checkpoint, images, tmp_path, monkeypatch):
    net = network(awake_checkpoint, images, FeatureCache(2**30, tmp_path / "f"))
    calls = []
    encode = net.parents_network.encode_context
    monkeypatch.setattr(
        net.parents_network, "encode_context", lambda name, pixels: calls.append(name) or encode(name, pixels)
    )
    for tile in TILES:
        net.prepare(tile)
    for _ in range(3):
        net.logits(TILES)
        net.parents_prediction(TILES[0])
    assert sorted(calls) == ["large"] * 2 + ["medium"] * 3, "the context of the whole image is shared by its tiles"
