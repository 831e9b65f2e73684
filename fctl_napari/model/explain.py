"""What the network did for a tile: attention, fusion weights, enhancements, from what ``decode`` computes with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fctl_napari.model.ale import LFI
from fctl_napari.model.encoders import Features
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.geometry import FeatureGrid
from fctl_napari.model.lcf import LCC, MAX_ATTENTION_CELLS
from fctl_napari.model.network import Network


@dataclass(frozen=True)
class AttentionMaps:
    """Attention over the cells of one context, [h, w] float32 each.

    Attributes
    ----------
    content, positional
        The two parts of M_U (Eq. 2); ``positional`` is None without GPE.
    combined
        sigma(z) * content + (1 - sigma(z)) * positional.
    """

    content: Tensor
    positional: Tensor | None
    combined: Tensor


@dataclass(frozen=True)
class Attention:
    """M_U (Eq. 2) of one tile and one context, never formed whole: any row of it, and the sum of its rows.

    Attributes
    ----------
    query
        Q of the tile, [C, n, n] float32.
    key
        K of the context, [C, h, w] float32.
    scale
        Factor of the content logits.
    axes
        Rows of the positional attention over y [n, h] and over x [n, w]; None without GPE.
    gate
        sigma(z), the content part's share; 1 without GPE.
    gamma
        The residual gate that multiplies the result.
    """

    query: Tensor
    key: Tensor
    scale: float
    axes: tuple[Tensor, Tensor] | None
    gate: float
    gamma: float

    def row(self, cell: tuple[int, int]) -> AttentionMaps:
        """Compute how cell (y, x) of the tile attends: the exact row of M_U; each map sums to 1."""
        y, x = cell
        content = self._content(self.query[:, y, x, None])
        positional = None if self.axes is None else self.axes[0][y, :, None] * self.axes[1][x, None, :]
        return self._combine(content, positional)

    def received(self) -> AttentionMaps:
        """Sum the rows of all cells of the tile; each map sums to the number of these cells.

        At most ``MAX_ATTENTION_CELLS`` of the content part are held at once; the positional part is separable.
        """
        rows = max(1, MAX_ATTENTION_CELLS // self.key[0].numel())
        content = torch.zeros_like(self.key[0])
        for queries in torch.split(self.query.flatten(1), rows, dim=1):
            content += self._content(queries)
        positional = None if self.axes is None else self.axes[0].sum(0)[:, None] * self.axes[1].sum(0)[None, :]
        return self._combine(content, positional)

    def _content(self, queries: Tensor) -> Tensor:
        """Sum the content attention of queries [C, m]."""
        with torch.autocast(queries.device.type, enabled=False):
            logits = queries.T @ self.key.flatten(1) * self.scale
            return logits.softmax(1).sum(0).reshape(self.key.shape[1:])

    def _combine(self, content: Tensor, positional: Tensor | None) -> AttentionMaps:
        if positional is None:
            return AttentionMaps(content, None, content)
        return AttentionMaps(content, positional, self.gate * content + (1 - self.gate) * positional)


@dataclass(frozen=True)
class EnhancementMaps:
    """What one LFI block adds (Eq. 6).

    Attributes
    ----------
    step
        1, 2, ...
    target
        Whose features it enhances: ``"tile"``, ``"medium"``, ``"large"``.
    maps
        By window size (cells): mean of abs(E) over that group's channels, [n, n] float32 over the tile's cells.
    """

    step: int
    target: str
    maps: dict[int, Tensor]


@dataclass(frozen=True)
class Explanation:
    """What the network did for one tile.

    Attributes
    ----------
    grid
        Grid of all maps; place them with the tile's or the context's window.
    attention
        By context that is not left out: M_U. Empty without LCF.
    fusion
        By the same names: MCF's weights H_U (Eq. 3), [C, n, n] float32 over the tile's cells; they sum to 1.
    enhancements
        ALE's blocks in the order of Alg. 1; empty without ALE and with ``concat``.
    logits
        The tile's logits, [classes, T, T] float32.
    """

    grid: FeatureGrid
    attention: dict[str, Attention]
    fusion: dict[str, Tensor]
    enhancements: tuple[EnhancementMaps, ...]
    logits: Tensor


@torch.no_grad()
def explain(
    model: Network, tile: Features, contexts: dict[str, Tensor], windows: dict[str, Tensor], without: Without = WHOLE
) -> Explanation:
    """Decode one tile, and keep what its parts computed with.

    Parameters
    ----------
    model
        In evaluation mode; used by nobody else meanwhile.
    tile, contexts, windows, without
        As for ``Network.decode``, with a batch of 1.

    Returns
    -------
    Explanation
        From the very features that ``decode`` used; its logits are ``decode``'s.

    Raises
    ------
    ConfigError
        The network does not have what is to be left out.
    """
    without.check(model.config)
    attention: dict[str, Attention] = {}
    kept: list[Tensor] = []
    enhancements: list[EnhancementMaps] = []
    with contextlib.ExitStack() as hooks:
        if model.lcf is not None:
            for name, correlation in model.lcf.correlations.items():
                hooks.enter_context(_calls(correlation, _keep_attention(attention, name)))
        for number, step in enumerate([] if model.ale is None else model.ale.steps, start=1):
            for name, block in step.items():  # type: ignore[operator]
                hooks.enter_context(_calls(block, _keep_enhancement(enhancements, number, name)))
        logits = model.decode(tile, contexts, windows, without, fusion=kept)[0].float()
    names = [] if model.lcf is None else list(model.lcf.correlations)
    weights = dict(zip(names, kept[0][0].float() if kept else (), strict=True))
    fusion = {name: weights[name] for name in attention}
    return Explanation(model.grid, attention, fusion, tuple(enhancements), logits)


@contextlib.contextmanager
def _calls(module: nn.Module, hear: Callable[..., None]) -> Iterator[None]:
    """Tell ``hear(module, *arguments)`` of each call of a module."""
    handle = module.register_forward_pre_hook(lambda module, arguments: hear(module, *arguments))
    try:
        yield
    finally:
        handle.remove()


def _keep_attention(kept: dict[str, Attention], name: str) -> Callable[..., None]:
    def keep(lcc: LCC, x_tile: Tensor, x_context: Tensor, d_y: Tensor, d_x: Tensor, gpe: bool) -> None:
        kept[name] = attention_of(lcc, x_tile, x_context, d_y, d_x, gpe)

    return keep


def attention_of(lcc: LCC, x_tile: Tensor, x_context: Tensor, d_y: Tensor, d_x: Tensor, gpe: bool = True) -> Attention:
    """Take M_U from a correlation, with the arguments of its ``forward`` and a batch of 1."""
    axes = None
    gate = 1.0
    if lcc.z is not None and gpe:
        rows_y, rows_x = lcc.positional(d_y.float(), d_x.float())
        axes = rows_y[0], rows_x[0]
        gate = float(torch.sigmoid(lcc.z.float()))
    query, key = lcc.query(x_tile)[0].float(), lcc.key(x_context)[0].float()
    return Attention(query, key, lcc.scale, axes, gate, float(lcc.gamma))


def _keep_enhancement(kept: list[EnhancementMaps], step: int, name: str) -> Callable[..., None]:
    def keep(lfi: LFI, target: Tensor, references: list[Tensor]) -> None:
        groups = torch.split(lfi.enhancement(references)[0].float().abs(), lfi.groups)
        by_window: dict[int, list[Tensor]] = {}
        for size, group in zip(lfi.windows, groups, strict=True):
            by_window.setdefault(size, []).append(group)
        kept.append(EnhancementMaps(step, name, {w: torch.cat(parts).mean(0) for w, parts in by_window.items()}))

    return keep
