"""The network without some of its parts, against the same computation written out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.baselines.base import resize
from fctl_napari.model.config import Context, FCtLConfig
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.feature_ablation import Without
from fctl_napari.model.geometry import relative_positions
from fctl_napari.model.lcf import LCC, LCF

from .conftest import awaken, encode, make_batch, small_config

Maps = dict[str, Tensor]
CASES: list[dict[str, Any]] = [
    {},
    {"gpe": False, "ale": "none", "fusion": "released"},
    {"fusion": "average", "ale": "e"},
    {"fusion": "weighted", "ale": "concat", "values_from": "local"},
    {"ale": "b", "ale_reference": "large"},
    {"lcf": False, "ale_tokenise_target": False},
    {"contexts": (Context(name="local", scale=2.0), Context(name="large", scale=3.0)), "ale": "none"},
    {"contexts": (), "ale": "none"},
    {"encoder": "mit_b0", "decoder": "segformer"},
]


def possible(config: FCtLConfig) -> list[Without]:
    """Everything that can be left out of a network, and nothing."""
    names = [c.name for c in config.contexts]
    subsets = [frozenset(s) for n in range(len(names) + 1) for s in itertools.combinations(names, n)]
    gpe = [False, True] if config.gpe and config.lcf and names else [False]
    ale = [False, True] if config.ale != "none" else [False]
    return [Without(*parts) for parts in itertools.product(subsets, gpe, ale)]


def plain_lcf(lcf: LCF, model: FCtL, maps: Maps, windows: Maps, without: Without) -> Tensor:
    left = [name for name in lcf.correlations if name not in without.contexts]
    correlated = {name: torch.zeros_like(maps["tile"][0]) for name in lcf.correlations}
    if not left:
        return torch.zeros_like(maps["tile"])
    for name in left:
        lcc = lcf.correlations[name]
        assert isinstance(lcc, LCC)
        source = name if name in maps else "tile"
        query, key = lcc.query(maps["tile"])[0].flatten(1), lcc.key(maps[source])[0].flatten(1)
        value = lcc.value(maps[source if lcc.values_from == "context" else "tile"])[0].flatten(1)
        rows = (query.T @ key * lcc.scale).softmax(1)
        if lcc.z is not None and lcc.v_pos is not None and not without.gpe:
            d_y, d_x = relative_positions(model.grid, windows["tile"], model.grid, windows[source])
            d_y, d_x = d_y[0, :, None, :, None].float(), d_x[0, None, :, None, :].float()
            position = lcc.v_pos[0] * (d_y**2 + d_x**2) + lcc.v_pos[1] * d_y + lcc.v_pos[2] * d_x
            positional = position.reshape(rows.shape).softmax(1)
            rows = lcc.z.sigmoid() * rows + (1 - lcc.z.sigmoid()) * positional
        correlated[name] = lcc.gamma * (value @ rows.T).reshape(correlated[name].shape)
    joined = torch.cat(list(correlated.values()))[None]
    shape = (len(correlated), *maps["tile"].shape[1:])
    fusion = lcf.fusion
    if fusion.mix is not None:
        scores = fusion.mix(joined).sigmoid().reshape(shape)
    elif fusion.squeeze is not None and fusion.split is not None:
        scores = fusion.split(fusion.squeeze(joined)).reshape(shape)
    elif fusion.logits is not None:
        scores = fusion.logits[:, None, None, None].expand(shape)
    else:
        scores = torch.zeros(shape)
    powers = {name: score.exp() for name, score in zip(correlated, scores, strict=True) if name in left}
    total = sum(powers.values())
    return sum((powers[name] / total * correlated[name] for name in left), torch.zeros(()))[None]


def plain_ale(model: FCtL, maps: Maps, windows: Maps, left_out: frozenset[str]) -> Tensor:
    assert model.ale is not None

    def blank(features: Maps) -> Maps:
        return {name: torch.zeros_like(x) if name in left_out else x for name, x in features.items()}

    current = blank(model.ale.crop(model.grid, maps, windows))
    if model.ale.concat is not None:
        merged: Tensor = model.ale.concat(torch.cat(list(current.values()), dim=1))
        return merged
    for step in model.ale.steps:
        assert isinstance(step, nn.ModuleDict)
        following = {}
        for name, lfi in step.items():
            references = [current[other] for other in current if other != name]
            following[name] = lfi.target(current[name]) + lfi.enhancement(references) * current[name]  # type: ignore[operator]
        current = blank(following)
    return current["tile"]


@torch.no_grad()
@pytest.mark.parametrize("fields", CASES, ids=str)
def test_leaving_parts_out_is_the_computation_without_them(
    fields: dict[str, Any], small_network: Callable[..., FCtL]
) -> None:
    model = small_network(**fields)
    for lcc in [] if model.lcf is None else model.lcf.correlations.values():
        if lcc.z is not None:
            lcc.z.copy_(torch.randn(()))
    tile, contexts, windows = make_batch(model.config, tiles=1)
    features, encoded = encode(model, tile, contexts)
    maps = {"tile": features[16], **encoded}
    seen = []
    for without in possible(model.config):
        got = model.decode(features, encoded, windows, without)
        total = features[16]
        if model.lcf is not None:
            total = total + plain_lcf(model.lcf, model, maps, windows, without)
        if model.ale is not None and not without.ale:
            total = total + plain_ale(model, maps, windows, without.contexts)
        expected = resize(model.decoder({**features, 16: total}), model.config.tile_size)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * float(expected.abs().max()), msg=str(without))
        seen.append(got)
        if not without:
            assert torch.equal(got, model(tile, contexts, windows)), "nothing left out: forward, to the bit"
    for a, b in itertools.combinations(range(len(seen)), 2):
        first, second = possible(model.config)[a], possible(model.config)[b]
        if same(model.config, first) != same(model.config, second):
            assert not torch.allclose(seen[a], seen[b]), f"{first} and {second} make a difference"


def same(config: FCtLConfig, without: Without) -> tuple[object, ...]:
    """What a variant comes to: two that agree in this are the same network."""
    names = {c.name for c in config.contexts}
    everything = without.contexts == names
    seen_by_ale = set() if without.ale or config.ale == "none" else {"medium", "large"}
    if config.ale == "b":
        seen_by_ale &= {config.ale_reference}
    seen_by_lcf = names if config.lcf else set()
    return (
        frozenset(without.contexts & (seen_by_lcf | seen_by_ale)),
        without.gpe and not everything,
        without.ale,
    )


def test_what_is_not_there_cannot_be_left_out() -> None:
    whole = small_config()
    for without in possible(whole):
        without.check(whole)
    two = small_config(contexts=whole.contexts[:2], ale="none", gpe=False)
    with pytest.raises(ConfigError, match="no context 'large' to leave out; this network has local, medium"):
        Without(frozenset({"large", "medium"})).check(two)
    with pytest.raises(ConfigError, match="no positional embeddings"):
        Without(gpe=True).check(two)
    with pytest.raises(ConfigError, match="no positional embeddings"):
        Without(gpe=True).check(small_config(lcf=False))
    with pytest.raises(ConfigError, match="no local enhancement"):
        Without(ale=True).check(two)
    with pytest.raises(ConfigError, match="no context 'huge'"):
        Without.named(["huge"]).check(whole)
    with pytest.raises(ConfigError, match="this network has none"):
        Without.named(["large"]).check(small_config(contexts=(), ale="none"))


def test_names_go_both_ways() -> None:
    for without in possible(small_config()):
        assert Without.named(without.names) == without
        assert bool(without) == bool(without.names)
    assert Without.named(["ale", "large", "gpe", "medium"]).names == ("medium", "large", "gpe", "ale")


@torch.no_grad()
@pytest.mark.parametrize(
    "without", [pytest.param(Without(), marks=pytest.mark.nightly), Without(frozenset({"large"}), gpe=True)], ids=str
)
def test_it_compiles_as_before(without: Without) -> None:
    """By day with parts left out: the whole network is exported in test_onnx_export."""
    model = awaken(FCtL(small_config()))
    tile, contexts, windows = make_batch(model.config, tiles=1)
    features, encoded = encode(model, tile, contexts)
    exported = torch.export.export(
        Decode(model, without), (features, encoded, windows), strict=False
    ).module()  # the same tracing as of torch.compile, without a compiler
    torch.testing.assert_close(exported(features, encoded, windows), model.decode(features, encoded, windows, without))


class Decode(nn.Module):
    def __init__(self, model: FCtL, without: Without) -> None:
        super().__init__()
        self.model = model
        self.without = without

    def forward(self, tile: dict[int, Tensor], contexts: Maps, windows: Maps) -> Tensor:
        return self.model.decode(tile, contexts, windows, self.without)
