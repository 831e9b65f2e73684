"""Locality-aware context fusion against plain transcriptions of Eq. 1 to 5."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model import lcf as lcf_module
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.explain import attention_of
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.geometry import FeatureGrid, relative_positions
from fctl_napari.model.lcf import LCC, LCF, MAX_ATTENTION_CELLS, MCF, attend

from .conftest import make_batch, randomise, small_config
from .helpers_plain import PADDED, UNPADDED, Box, attention, conv1x1, softmax, weigh

CHANNELS = 5
TILES: list[Box] = [(100.0, 200.0, 164.0, 264.0), (37.5, 8.0, 101.5, 72.0)]
CONTEXTS: list[Box] = [(40.0, 150.0, 200.0, 310.0), (-20.25, 0.0, 171.75, 256.0)]  # off centre, one not square
OPTIONS = [
    dict(zip(("projections", "scale_logits", "values_from", "gpe"), values, strict=True))
    for values in itertools.product((True, False), (True, False), ("context", "local"), (True, False))
]


def make_lcc(**options: Any) -> LCC:
    lcc = LCC(CHANNELS, **({"gate_init": 0.7} | options)).double()
    randomise(lcc)
    with torch.no_grad():
        if lcc.v_pos is not None and lcc.z is not None:
            lcc.v_pos.copy_(torch.tensor([-0.3, 0.2, -0.4]))
            lcc.z.fill_(0.4)
    return lcc


def project(layer: nn.Module, x: Tensor) -> Tensor:
    return conv1x1(layer.weight, layer.bias, x) if isinstance(layer, nn.Conv2d) else x


def plain_lcc(lcc: LCC, grid: FeatureGrid, x_tile: Tensor, x_context: Tensor, tile: Box, context: Box) -> Tensor:
    """The residual gate times M_U V, for one tile: [C, h, w]."""
    rows = plain_attention(lcc, grid, x_tile, x_context, tile, context)
    values = project(lcc.value, x_context if lcc.values_from == "context" else x_tile)
    return float(lcc.gamma) * weigh(rows, values)


def plain_attention(lcc: LCC, grid: FeatureGrid, x_tile: Tensor, x_context: Tensor, tile: Box, context: Box) -> Tensor:
    scale = CHANNELS**-0.5 if lcc.scale != 1 else 1.0
    query, key = project(lcc.query, x_tile), project(lcc.key, x_context)
    return attention(grid, query, key, tile, context, scale=scale, v_pos=lcc.v_pos, z=lcc.z)


def maps(count: int, grid: FeatureGrid) -> Tensor:
    return torch.randn(count, CHANNELS, grid.size, grid.size, dtype=torch.float64)


@torch.no_grad()
@pytest.mark.parametrize("grid", [PADDED, UNPADDED], ids=["padded", "unpadded"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_correlation_is_equation_1_and_2(options: dict[str, Any], grid: FeatureGrid) -> None:
    lcc = make_lcc(**options)
    x_tile, x_context = maps(2, grid), maps(2, grid)
    offsets = relative_positions(grid, torch.tensor(TILES).double(), grid, torch.tensor(CONTEXTS).double())
    got = lcc(x_tile, x_context, *offsets)
    for b in range(2):
        expected = plain_lcc(lcc, grid, x_tile[b], x_context[b], TILES[b], CONTEXTS[b])
        torch.testing.assert_close(got[b], expected)


@torch.no_grad()
@pytest.mark.parametrize("gpe", [True, False])
@pytest.mark.parametrize("values_from", ["context", "local"])
def test_a_row_is_the_row_of_equation_2_and_gives_forwards_output(gpe: bool, values_from: Any) -> None:
    grid = UNPADDED
    lcc = make_lcc(projections=True, scale_logits=True, values_from=values_from, gpe=gpe)
    x_tile, x_context = maps(1, grid), maps(1, grid)
    offsets = relative_positions(grid, torch.tensor(TILES[:1]).double(), grid, torch.tensor(CONTEXTS[:1]).double())
    out = lcc(x_tile, x_context, *offsets)[0]
    rows = plain_attention(lcc, grid, x_tile[0], x_context[0], TILES[0], CONTEXTS[0])
    values = lcc.value(x_context if values_from == "context" else x_tile)[0]
    told = attention_of(lcc, x_tile, x_context, *offsets)
    assert told.gate == pytest.approx(1 / (1 + math.exp(-0.4)) if gpe else 1)
    for y, x in ((0, 0), (1, 3), (3, 2)):
        row = told.row((y, x))
        for part in (row.content, row.combined, *([] if row.positional is None else [row.positional])):
            assert float(part.sum()) == pytest.approx(1, abs=1e-5)
            assert (part >= 0).all()
        assert (row.positional is None) == (not gpe)
        torch.testing.assert_close(row.combined.double().flatten(), rows[y * grid.size + x], rtol=1e-4, atol=1e-6)
        weighted = told.gamma * (row.combined.double() * values).sum((1, 2))
        torch.testing.assert_close(weighted, out[:, y, x], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_positional_rows_sum_to_one_and_start_local() -> None:
    lcc = LCC(4, projections=True, scale_logits=True, values_from="context", gate_init=0.0, gpe=True)
    window = torch.tensor(TILES[:1])
    rows_y, rows_x = lcc.positional(*relative_positions(UNPADDED, window, UNPADDED, window))
    for rows in (rows_y[0], rows_x[0]):
        torch.testing.assert_close(rows.sum(-1), torch.ones(UNPADDED.size))
        assert rows.argmax(-1).tolist() == list(range(UNPADDED.size))


@torch.no_grad()
@pytest.mark.parametrize(("unit", "low", "high"), [("tile", 1, 1.01), ("context", 4, 10)])
def test_a_wide_context_starts_on_one_cell_or_on_several_of_its_own(unit: Any, low: float, high: float) -> None:
    lcc = LCC(4, projections=True, scale_logits=True, values_from="context", gate_init=0.0, gpe=True)
    grid = FeatureGrid(16, 16, 0.0, 256)
    tile, context = torch.tensor([[2560.0, 2560, 2816, 2816]]), torch.tensor([[0.0, 0, 5376, 5376]])
    rows_y, rows_x = lcc.positional(*relative_positions(grid, tile, grid, context, unit))
    entropy = -sum((rows * rows.clamp(min=1e-12).log()).sum(-1).mean() for rows in (rows_y, rows_x))
    assert low <= float(entropy.exp()) <= high


def test_a_network_measures_in_the_cells_that_its_settings_name() -> None:
    """Both are the same function of a context as wide as the tile, and different ones of a wider context."""
    fields: dict[str, Any] = {"encoder": "mit_b0", "tile_size": 64, "width": 16, "classes": 2, "ale": "none"}
    tile, windows = torch.rand(1, 3, 64, 64) * 255, {"tile": torch.tensor([[64.0, 64, 128, 128]])}
    for scale, window in ((1.0, [64.0, 64, 128, 128]), (3.0, [0.0, 0, 192, 192])):
        contexts = ({"name": "medium", "scale": scale},)
        networks = []
        for unit in ("tile", "context"):
            torch.manual_seed(0)
            networks.append(FCtL(FCtLConfig(contexts=contexts, gate_init=1.0, gpe_unit=unit, **fields)).eval())
        with torch.no_grad():
            first, second = (
                n.decode(
                    n.encode_tile(tile),
                    {"medium": n.encode_context("medium", tile.flip(3))},
                    windows | {"medium": torch.tensor([window])},
                )
                for n in networks
            )
        assert torch.equal(first, second) == (scale == 1.0)
        assert FCtLConfig.model_validate_json(networks[1].config.model_dump_json()) == networks[1].config
        assert "gpe_unit" not in networks[0].config.model_dump(), "settings of earlier versions compare equal"


@torch.no_grad()
def test_projections_start_as_equation_1_is_written() -> None:
    options: dict[str, Any] = {"scale_logits": True, "values_from": "context", "gate_init": 1.0, "gpe": True}
    x_tile, x_context = maps(2, UNPADDED).float(), maps(2, UNPADDED).float()
    offsets = relative_positions(UNPADDED, torch.tensor(TILES), UNPADDED, torch.tensor(CONTEXTS))
    with_projections, without = (LCC(CHANNELS, projections=p, **options) for p in (True, False))
    torch.testing.assert_close(with_projections(x_tile, x_context, *offsets), without(x_tile, x_context, *offsets))


@pytest.mark.parametrize("grad", [True, False])
def test_attention_in_chunks_equals_attention_in_one(grad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = (torch.randn(2, n, 6, dtype=torch.float64, requires_grad=grad) for n in (37, 20, 20))
    direction = torch.randn(2, 37, 6, dtype=torch.float64)

    def run() -> list[Tensor]:
        with torch.set_grad_enabled(grad):
            out = attend(query, key, value, 0.4)
        return [out, *(torch.autograd.grad((out * direction).sum(), (query, key, value)) if grad else ())]

    whole = run()
    plain = ((query @ key.transpose(1, 2)) * 0.4).softmax(-1) @ value
    torch.testing.assert_close(whole[0], plain)
    monkeypatch.setattr(lcf_module, "MAX_ATTENTION_CELLS", 100)  # 5 rows at once
    for got, expected in zip(run(), whole, strict=True):
        torch.testing.assert_close(got, expected)


class Spy:
    """Records the size n * m of every attention product."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.product = F.scaled_dot_product_attention
        monkeypatch.setattr(F, "scaled_dot_product_attention", self)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        self.sizes.append(query.shape[-2] * key.shape[-2])
        return self.product(query, key, value, **options)


@pytest.mark.parametrize("grad", [True, False])
def test_no_attention_beyond_1024_x_1024_is_held(grad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    cells = 1500
    query, key, value = (torch.randn(1, cells, 4, requires_grad=grad) for _ in range(3))
    kept: list[int] = []

    def keep(saved: Tensor) -> Tensor:
        kept.append(saved.numel())
        return saved

    with torch.set_grad_enabled(grad), torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        out = attend(query, key, value, 1.0)
        if grad:
            out.sum().backward()
    assert MAX_ATTENTION_CELLS == 1024 * 1024
    assert len(spy.sizes) >= 3
    assert max(spy.sizes) <= MAX_ATTENTION_CELLS
    assert max(kept, default=0) <= MAX_ATTENTION_CELLS


def test_a_network_on_a_fine_grid_stays_under_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    config = small_config(tile_size=288, correlation_stride=8, width=8, share_encoders="all", ale="none")
    model = FCtL(config).eval()
    assert model.grid.size**2 > 1024
    with torch.no_grad():
        assert model(*make_batch(config, tiles=1))[0].isfinite().all()
    assert len(spy.sizes) >= 2 * len(config.contexts)
    assert max(spy.sizes) <= MAX_ATTENTION_CELLS


def plain_mcf(mcf: MCF, features: list[Tensor]) -> tuple[Tensor, Tensor]:
    """H_U [U, C, h, w] and the sum of H_U * X_{I|U} (Eq. 3, 4) of one tile."""
    count = len(features)
    c, h, w = features[0].shape
    if mcf.squeeze is not None and mcf.split is not None:
        squeezed = conv1x1(mcf.squeeze.weight, mcf.squeeze.bias, torch.cat(features))
        logits = conv1x1(mcf.split.weight, mcf.split.bias, squeezed).reshape(count, c, h, w)
    else:
        scalars = mcf.logits if mcf.logits is not None else torch.zeros(count)
        logits = scalars.double()[:, None, None, None].expand(-1, c, h, w)
    weights = torch.zeros(count, c, h, w, dtype=torch.float64)
    fused = torch.zeros(c, h, w, dtype=torch.float64)
    for k, y, x in itertools.product(range(c), range(h), range(w)):
        weights[:, k, y, x] = torch.tensor(softmax([float(v) for v in logits[:, k, y, x]]))
        for u in range(count):
            fused[k, y, x] += weights[u, k, y, x] * features[u][k, y, x]
    return weights, fused


@torch.no_grad()
@pytest.mark.parametrize("contexts", [1, 2, 3])
@pytest.mark.parametrize("fusion", ["adaptive", "average", "weighted"])
def test_fusion_is_equation_3_and_4(fusion: Any, contexts: int) -> None:
    mcf = MCF(CHANNELS, contexts, fusion).double()
    if mcf.logits is not None:
        mcf.logits.copy_(torch.randn(contexts))
    features = [maps(2, UNPADDED) for _ in range(contexts)]
    weights = mcf.weights(features)
    fused = mcf(features)
    torch.testing.assert_close(weights.sum(1).expand_as(fused), torch.ones_like(fused))
    for b in range(2):
        expected_weights, expected = plain_mcf(mcf, [f[b] for f in features])
        torch.testing.assert_close(weights[b].expand_as(expected_weights), expected_weights)
        torch.testing.assert_close(fused[b], expected)


@torch.no_grad()
@pytest.mark.parametrize("names", [("local",), ("large",), ("local", "medium"), ("local", "medium", "large")])
def test_lcf_is_equation_5_for_any_contexts(names: tuple[str, ...]) -> None:
    lcf = LCF(
        CHANNELS,
        names,
        projections=True,
        scale_logits=True,
        values_from="context",
        gate_init=0.7,
        gpe=True,
        gpe_unit="tile",
        fusion="adaptive",
    ).double()
    randomise(lcf)
    boxes = {"tile": TILES[0], "medium": CONTEXTS[0], "large": CONTEXTS[1]}
    features = {name: maps(1, UNPADDED) for name in boxes}
    windows = {name: torch.tensor([box]).double() for name, box in boxes.items()}
    got = lcf(UNPADDED, features, windows)
    correlated = []
    for name in names:
        lcc = lcf.correlations[name]
        assert isinstance(lcc, LCC)
        source = "tile" if name == "local" else name
        pair = features["tile"][0], features[source][0]
        correlated.append(plain_lcc(lcc, UNPADDED, *pair, boxes["tile"], boxes[source]))
    torch.testing.assert_close(got[0], plain_mcf(lcf.fusion, correlated)[1])
