"""Explanation of a tile: attention, fusion weights and enhancements, from the features that ``decode`` uses."""

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
    """Attention over the cells of one context.

    Attributes
    ----------
    content : Tensor of float32 [h, w]
        Content part of M_U (Eq. 2).
    positional : Tensor of float32 [h, w] or None
        Positional part of M_U (Eq. 2); None without GPE.
    combined : Tensor of float32 [h, w]
        sigma(z) * content + (1 - sigma(z)) * positional.
    """

    content: Tensor
    positional: Tensor | None
    combined: Tensor


@dataclass(frozen=True)
class Attention:
    """Attention M_U (Eq. 2) of one tile and one context.

    It is never formed whole: it gives any of its rows, and the sum of its rows.

    Attributes
    ----------
    query : Tensor of float32 [C, n, n]
        Q of the tile.
    key : Tensor of float32 [C, h, w]
        K of the context.
    scale : float
        Factor of the content logits.
    axes : tuple of 2 Tensor or None
        Rows of the positional attention over y [n, h] and over x [n, w]; None without GPE.
    gate : float
        sigma(z), the content part's share; 1 without GPE.
    gamma : float
        Residual gate that multiplies the result.
    """

    query: Tensor
    key: Tensor
    scale: float
    axes: tuple[Tensor, Tensor] | None
    gate: float
    gamma: float

    def row(self, cell: tuple[int, int]) -> AttentionMaps:
        """Compute the attention of one cell of the tile, the exact row of M_U.

        Parameters
        ----------
        cell : tuple of 2 int
            Cell (y, x) of the tile.

        Returns
        -------
        AttentionMaps
            Maps that sum to 1 each.
        """
        y, x = cell
        content = self._content(self.query[:, y, x, None])
        positional = None if self.axes is None else self.axes[0][y, :, None] * self.axes[1][x, None, :]
        return self._combine(content, positional)

    def received(self) -> AttentionMaps:
        """Sum the attention of all cells of the tile, the rows of M_U.

        At most ``MAX_ATTENTION_CELLS`` of the content part are held at once. The positional part is separable.

        Returns
        -------
        AttentionMaps
            Maps that sum to the number of the tile's cells each.
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
    """Enhancement by one LFI block (Eq. 6).

    Attributes
    ----------
    step : int
        Step of the block: 1, 2, ...
    target : str
        Stream whose features the block enhances: ``"tile"``, ``"medium"``, ``"large"``.
    maps : dict of int to Tensor
        Mean of abs(E) over the channels of a window's group, by window size (cells): float32 [n, n] over the tile's
        cells.
    """

    step: int
    target: str
    maps: dict[int, Tensor]


@dataclass(frozen=True)
class Explanation:
    """Attention, fusion weights and enhancements for one tile.

    Attributes
    ----------
    grid : FeatureGrid
        Grid of all maps; place them with the tile's or the context's window.
    attention : dict of str to Attention
        M_U by context, for contexts that are not left out. Empty without LCF.
    fusion : dict of str to Tensor
        MCF's weights H_U (Eq. 3) by the same names, float32 [C, n, n] over the tile's cells; they sum to 1.
    enhancements : tuple of EnhancementMaps
        ALE's blocks in the order of Alg. 1; empty without ALE and with ``concat``.
    logits : Tensor of float32 [classes, T, T]
        Logits of the tile.
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
    """Decode one tile and keep the intermediate results of its parts.

    Parameters
    ----------
    model : Network
        Network in evaluation mode, which nothing else uses meanwhile.
    tile : Features
        As for ``Network.decode``, with a batch of 1.
    contexts, windows : dict of str to Tensor
        As for ``Network.decode``, with a batch of 1.
    without : Without, optional
        Parts that are left out.

    Returns
    -------
    Explanation
        Explanation from the very features that ``decode`` used. Its logits are those of ``decode``.

    Raises
    ------
    ConfigError
        The network lacks a part that is to be left out.
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
def _calls(module: nn.Module, record: Callable[..., None]) -> Iterator[None]:
    """Call ``record(module, *arguments)`` before each call of a module."""
    handle = module.register_forward_pre_hook(lambda module, arguments: record(module, *arguments))
    try:
        yield
    finally:
        handle.remove()


def _keep_attention(kept: dict[str, Attention], name: str) -> Callable[..., None]:
    def keep(lcc: LCC, x_tile: Tensor, x_context: Tensor, d_y: Tensor, d_x: Tensor, gpe: bool) -> None:
        kept[name] = attention_of(lcc, x_tile, x_context, d_y, d_x, gpe)

    return keep


def attention_of(lcc: LCC, x_tile: Tensor, x_context: Tensor, d_y: Tensor, d_x: Tensor, gpe: bool = True) -> Attention:
    """Extract M_U from a correlation.

    The arguments are those of its ``forward`` with a batch of 1.

    Parameters
    ----------
    lcc : LCC
        The correlation.
    x_tile : Tensor of float [1, C, n, n]
        X_I, the tile's features.
    x_context : Tensor of float [1, C, h, w]
        X_U, the context's features.
    d_y : Tensor of float [1, n, h]
        Offsets along y; see ``relative_positions``.
    d_x : Tensor of float [1, n, w]
        Offsets along x.
    gpe : bool, optional
        If False, attend by content alone.

    Returns
    -------
    Attention
        M_U.
    """
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
