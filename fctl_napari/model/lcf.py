"""Locality-aware context fusion: LCC with gated positional embeddings (Eq. 1, 2) and MCF (Eq. 3, 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.geometry import FeatureGrid, apply_separable, relative_positions

Fusion = Literal["adaptive", "average", "weighted", "released"]

MAX_ATTENTION_CELLS = 1024 * 1024
"""Largest attention matrix (queries x keys) held at once."""


@dataclass(frozen=True)
class AttentionRow:
    """How one cell of the tile attends to the cells of one context: the exact row of M_U (Eq. 2).

    Attributes
    ----------
    content, positional, combined
        [h, w] over the context's cells, each summing to 1; without GPE ``positional`` is None and ``combined`` is
        ``content``.
    gate
        sigma(z), the content part's share; 1 without GPE.
    gamma
        The residual gate that multiplies the result.
    """

    content: Tensor
    positional: Tensor | None
    combined: Tensor
    gate: float
    gamma: float


class LCC(nn.Module):
    """Locality-aware contextual correlation of the tile with one context.

    Parameters
    ----------
    channels
        Channels of X_I and X_U.
    projections
        1x1 convolutions in front of Q, K and V (V's without bias, as released).
    scale_logits
        Divide the content logits by sqrt(channels).
    values_from
        Whose features the attention weights: the context's, or the tile's (equal grids).
    gate_init
        Start of the residual gate gamma_U.
    gpe
        Gated positional embeddings.
    """

    def __init__(
        self,
        channels: int,
        *,
        projections: bool,
        scale_logits: bool,
        values_from: Literal["context", "local"],
        gate_init: float,
        gpe: bool,
    ) -> None:
        super().__init__()
        self.query: nn.Module = nn.Conv2d(channels, channels, 1) if projections else nn.Identity()
        self.key: nn.Module = nn.Conv2d(channels, channels, 1) if projections else nn.Identity()
        self.value: nn.Module = nn.Conv2d(channels, channels, 1, bias=False) if projections else nn.Identity()
        for projection in (self.query, self.key, self.value):
            if isinstance(projection, nn.Conv2d):
                _start_as_identity(projection)
        self.scale = channels**-0.5 if scale_logits else 1.0
        self.values_from = values_from
        self.gamma = nn.Parameter(torch.tensor(float(gate_init)))
        self.v_pos = nn.Parameter(torch.tensor([-1.0, 0.0, 0.0])) if gpe else None
        self.z = nn.Parameter(torch.zeros(())) if gpe else None

    def positional(self, d_y: Tensor, d_x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute softmax_j(v_pos . r_ij) with r_ij = (|d|^2, d_y, d_x), as its two factors.

        The logits are a sum of a term in y and a term in x, so the softmax over all cells is the product of one
        softmax per axis.

        Parameters
        ----------
        d_y, d_x
            [B, n, m] offsets along each axis; see ``relative_positions``.

        Returns
        -------
        tuple of Tensor
            Rows over y and over x, [B, n, m] each, summing to 1.
        """
        assert self.v_pos is not None
        square, along_y, along_x = self.v_pos.to(d_y.dtype).unbind()
        return (square * d_y**2 + along_y * d_y).softmax(-1), (square * d_x**2 + along_x * d_x).softmax(-1)

    def forward(self, x_tile: Tensor, x_context: Tensor, d_y: Tensor, d_x: Tensor) -> Tensor:
        """Compute gamma_U * M_U V (Eq. 2 and the residual gate).

        Parameters
        ----------
        x_tile
            [B, C, h, w].
        x_context
            [B or 1, C, h', w'].
        d_y, d_x
            Offsets from ``relative_positions``.

        Returns
        -------
        Tensor
            [B, C, h, w].
        """
        b, c, h, w = x_tile.shape
        query = self.query(x_tile)
        key = self.key(x_context)
        value = self.value(x_context if self.values_from == "context" else x_tile)
        q, k, v = (t.flatten(2).transpose(1, 2).expand(b, -1, -1) for t in (query, key, value))
        content = attend(q, k, v, self.scale).transpose(1, 2).reshape(b, c, h, w)
        if self.z is None:
            return self.gamma * content
        gate = torch.sigmoid(self.z)
        positional = apply_separable(*self.positional(d_y, d_x), value)
        return self.gamma * (gate * content + (1 - gate) * positional)

    @torch.no_grad()
    def row(self, x_tile: Tensor, x_context: Tensor, d_y: Tensor, d_x: Tensor, cell: tuple[int, int]) -> AttentionRow:
        """Compute the exact row of M_U for one cell of the tile's grid, from the same weights as ``forward``.

        Parameters
        ----------
        x_tile, x_context
            [1, C, h, w] each.
        d_y, d_x
            [1, n, m].
        cell
            Index (y, x) of the query cell.

        Returns
        -------
        AttentionRow
            In float32, over the context's cells.
        """
        y, x = cell
        h, w = x_context.shape[-2:]
        query = self.query(x_tile)[0, :, y, x].float()
        key = self.key(x_context)[0].float()
        content = (torch.einsum("c,chw->hw", query, key) * self.scale).flatten().softmax(0).reshape(h, w)
        gamma = float(self.gamma)
        if self.z is None:
            return AttentionRow(content, None, content, 1.0, gamma)
        rows_y, rows_x = self.positional(d_y.float(), d_x.float())
        positional = rows_y[0, y, :, None] * rows_x[0, x, None, :]
        gate = torch.sigmoid(self.z.float())
        combined = gate * content + (1 - gate) * positional
        return AttentionRow(content, positional, combined, float(gate), gamma)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Compute softmax(scale * Q K^T) V, holding at most ``MAX_ATTENTION_CELLS`` of the attention at once.

    Parameters
    ----------
    query
        [B, n, C].
    key, value
        [B, m, C].
    scale
        Factor of the logits.

    Returns
    -------
    Tensor
        [B, n, C].
    """
    # one head, as a dimension of its own: torch's fused kernels take nothing else
    query, key, value = query[:, None], key[:, None], value[:, None]
    rows = max(1, MAX_ATTENTION_CELLS // key.shape[2])
    if query.shape[2] <= rows:
        return F.scaled_dot_product_attention(query, key, value, scale=scale)[:, 0]
    parts = []
    for chunk in torch.split(query, rows, dim=2):
        if torch.is_grad_enabled():
            # recomputed in the backward pass, or every chunk's rows would be kept until then
            part = torch.utils.checkpoint.checkpoint(
                F.scaled_dot_product_attention, chunk, key, value, scale=scale, use_reentrant=False
            )
        else:
            part = F.scaled_dot_product_attention(chunk, key, value, scale=scale)
        parts.append(part)
    return torch.cat(parts, dim=2)[:, 0]


def _start_as_identity(projection: nn.Conv2d) -> None:
    """Eq. 1 as written, until training moves it: context features arrive in the space that the decoder knows."""
    nn.init.dirac_(projection.weight)
    if projection.bias is not None:
        nn.init.zeros_(projection.bias)


class MCF(nn.Module):
    """Multi-context fusion (Eq. 3, 4; Table 5).

    Parameters
    ----------
    channels
        Channels of each locality-aware feature map.
    contexts
        How many contexts are fused.
    fusion
        ``adaptive``: 1x1 squeeze, 1x1 split, softmax over contexts per channel and cell; ``average``; ``weighted``:
        one learned scalar per context, softmax; ``released``: one 1x1 conv, sigmoid, softmax (the released code's three
        layers are affine up to the sigmoid and fold into one).
    """

    def __init__(self, channels: int, contexts: int, fusion: Fusion) -> None:
        super().__init__()
        self.contexts = contexts
        self.mix = nn.Conv2d(contexts * channels, contexts * channels, 1) if fusion == "released" else None
        self.squeeze = nn.Conv2d(contexts * channels, channels, 1) if fusion == "adaptive" else None
        self.split = nn.Conv2d(channels, contexts * channels, 1) if fusion == "adaptive" else None
        self.logits = nn.Parameter(torch.zeros(contexts)) if fusion == "weighted" else None

    def weights(self, features: list[Tensor]) -> Tensor:
        """Compute H_U for every context (Eq. 3).

        Parameters
        ----------
        features
            X_{I|U} of every context, [B, C, h, w] each.

        Returns
        -------
        Tensor
            [B, contexts, C, h, w], summing to 1 over contexts.
        """
        b, c, h, w = features[0].shape
        if self.mix is not None:
            gates: Tensor = self.mix(torch.cat(features, dim=1)).sigmoid()
            return gates.reshape(b, self.contexts, c, h, w).softmax(1)
        if self.squeeze is not None and self.split is not None:
            logits: Tensor = self.split(self.squeeze(torch.cat(features, dim=1)))
            return logits.reshape(b, self.contexts, c, h, w).softmax(1)
        if self.logits is not None:
            weights = self.logits.softmax(0).to(features[0].dtype)
            return weights[None, :, None, None, None].expand(b, -1, c, h, w)
        return features[0].new_full((1, 1, 1, 1, 1), 1 / self.contexts).expand(b, self.contexts, c, h, w)

    def forward(self, features: list[Tensor], kept: list[Tensor] | None = None) -> Tensor:
        """Sum H_U * X_{I|U} over contexts (Eq. 4), [B, C, h, w]; the weights H_U are appended to ``kept``."""
        weights = self.weights(features)
        if kept is not None:
            kept.append(weights)
        return (weights * torch.stack(features, dim=1)).sum(1)


class LCF(nn.Module):
    """LCC for each context, then MCF (Eq. 5).

    Parameters
    ----------
    channels
        Channels of X.
    contexts
        Names of the contexts, ``local`` among them where it is used.
    projections, scale_logits, values_from, gate_init, gpe
        See ``LCC``.
    fusion
        See ``MCF``.
    """

    def __init__(
        self,
        channels: int,
        contexts: tuple[str, ...],
        *,
        projections: bool,
        scale_logits: bool,
        values_from: Literal["context", "local"],
        gate_init: float,
        gpe: bool,
        fusion: Fusion,
    ) -> None:
        super().__init__()
        self.correlations = nn.ModuleDict(
            {
                name: LCC(
                    channels,
                    projections=projections,
                    scale_logits=scale_logits,
                    values_from=values_from,
                    gate_init=gate_init,
                    gpe=gpe,
                )
                for name in contexts
            }
        )
        self.fusion = MCF(channels, len(contexts), fusion)

    def correlate(self, grid: FeatureGrid, features: dict[str, Tensor], windows: dict[str, Tensor]) -> list[Tensor]:
        """Correlate the tile with every context.

        Parameters
        ----------
        grid
            Grid of the features, the same for every stream.
        features
            ``"tile"`` and the outer contexts: [B or 1, C, h, w]. A local context that is the tile is left out.
        windows
            The same names: [B or 1, 4] px.

        Returns
        -------
        list of Tensor
            X_{I|U} in the order of the config, [B, C, h, w] each.
        """
        out = []
        for name, correlation in self.correlations.items():
            source = name if name in features else "tile"
            d_y, d_x = relative_positions(grid, windows["tile"], grid, windows[source])
            out.append(correlation(features["tile"], features[source], d_y, d_x))
        return out

    def forward(
        self,
        grid: FeatureGrid,
        features: dict[str, Tensor],
        windows: dict[str, Tensor],
        kept: list[Tensor] | None = None,
    ) -> Tensor:
        """Fuse the locality-aware features of every context (Eq. 5).

        Parameters
        ----------
        grid, features, windows
            As in ``correlate``.
        kept
            The weights H_U (Eq. 3), [B, contexts, C, h, w], are appended to it.

        Returns
        -------
        Tensor
            [B, C, h, w].
        """
        fused: Tensor = self.fusion(self.correlate(grid, features, windows), kept=kept)
        return fused
