"""Locality-aware context fusion: LCC with gated positional embeddings (Eq. 1, 2) and MCF (Eq. 3, 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.geometry import FeatureGrid, apply_separable, relative_positions

Fusion = Literal["adaptive", "average", "weighted", "released"]

MAX_ATTENTION_CELLS = 1024 * 1024
"""Largest attention matrix (queries x keys) held at once."""


class LCC(nn.Module):
    """Locality-aware contextual correlation of the tile with one context.

    Parameters
    ----------
    channels : int
        Channels of X_I and X_U.
    projections : bool
        If True, put 1x1 convolutions in front of Q, K and V (V's without bias, as released).
    scale_logits : bool
        If True, divide the content logits by sqrt(channels).
    values_from : {"context", "local"}
        Source of the features that the attention weights: the context, or the tile (needs equal grids).
    gate_init : float
        Initial value of the residual gate gamma_U.
    gpe : bool
        If True, use gated positional embeddings.

    Attributes
    ----------
    gamma : Parameter
        Residual gate gamma_U, a scalar.
    v_pos : Parameter or None
        v_pos of Eq. 2, [3]; None without GPE.
    z : Parameter or None
        z of Eq. 2, a scalar; None without GPE.
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

        The logits are a sum of a term in y and a term in x, so the softmax over all cells is the product of one softmax
        per axis.

        Parameters
        ----------
        d_y, d_x : Tensor of float [B, n, m]
            Offsets along each axis; see ``relative_positions``.

        Returns
        -------
        tuple of 2 Tensor
            Factors over y and over x, [B, n, m] each, whose rows sum to 1.
        """
        assert self.v_pos is not None
        square, along_y, along_x = self.v_pos.to(d_y.dtype).unbind()
        return (square * d_y**2 + along_y * d_y).softmax(-1), (square * d_x**2 + along_x * d_x).softmax(-1)

    def forward(self, x_tile: Tensor, x_context: Tensor, d_y: Tensor, d_x: Tensor, gpe: bool = True) -> Tensor:
        """Compute gamma_U * M_U V (Eq. 2 and the residual gate).

        Parameters
        ----------
        x_tile : Tensor of float [B, C, h, w]
            X_I, the tile's features.
        x_context : Tensor of float [B or 1, C, h', w']
            X_U, the context's features.
        d_y, d_x : Tensor of float [B, n, m]
            Offsets along each axis; see ``relative_positions``.
        gpe : bool, optional
            If False, attend by content alone.

        Returns
        -------
        Tensor of float [B, C, h, w]
            Locality-aware features X_{I|U}.
        """
        b, c, h, w = x_tile.shape
        query = self.query(x_tile)
        key = self.key(x_context)
        value = self.value(x_context if self.values_from == "context" else x_tile)
        q, k, v = (t.flatten(2).transpose(1, 2).expand(b, -1, -1) for t in (query, key, value))
        content = attend(q, k, v, self.scale).transpose(1, 2).reshape(b, c, h, w)
        if self.z is None or not gpe:
            return self.gamma * content
        gate = torch.sigmoid(self.z)
        positional = apply_separable(*self.positional(d_y, d_x), value)
        return self.gamma * (gate * content + (1 - gate) * positional)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Compute softmax(scale * Q K^T) V, holding at most ``MAX_ATTENTION_CELLS`` of the attention at once.

    Parameters
    ----------
    query : Tensor of float [B, n, C]
        Q.
    key, value : Tensor of float [B, m, C]
        K and V.
    scale : float
        Factor of the logits.

    Returns
    -------
    Tensor of float [B, n, C]
        Attended values.
    """
    # one head as a dimension of its own, and channels last, as torch's fused kernels require
    query, key, value = (t.contiguous()[:, None] for t in (query, key, value))
    rows = max(1, MAX_ATTENTION_CELLS // key.shape[2])
    slow = torch.is_grad_enabled() and query.device.type == "cpu" and query.dtype == torch.bfloat16
    if slow and query.shape[2] <= rows:  # the fused kernel's gradient takes twice as long
        weights = (scale * (query @ key.transpose(-1, -2)).float()).softmax(-1)
        return (weights.to(value.dtype) @ value)[:, 0]
    if query.shape[2] <= rows:
        return F.scaled_dot_product_attention(query, key, value, scale=scale)[:, 0]
    parts = []
    for chunk in torch.split(query, rows, dim=2):
        if torch.is_grad_enabled():
            # recomputed in the backward pass, as every chunk's rows would be kept until then otherwise
            part = torch.utils.checkpoint.checkpoint(
                F.scaled_dot_product_attention, chunk, key, value, scale=scale, use_reentrant=False
            )
        else:
            part = F.scaled_dot_product_attention(chunk, key, value, scale=scale)
        parts.append(part)
    return torch.cat(parts, dim=2)[:, 0]


def _start_as_identity(projection: nn.Conv2d) -> None:
    """Initialize a projection as the identity.

    So attention starts as Eq. 1 is written, and context features arrive in the space that the decoder knows, until
    training moves it.
    """
    nn.init.dirac_(projection.weight)
    if projection.bias is not None:
        nn.init.zeros_(projection.bias)


class MCF(nn.Module):
    """Multi-context fusion (Eq. 3, 4, Table 5).

    Parameters
    ----------
    channels : int
        Channels of each locality-aware feature map.
    contexts : int
        Number of contexts that are fused.
    fusion : Fusion
        Form of the weights. ``adaptive``: 1x1 squeeze, 1x1 split, softmax over contexts per channel and cell.
        ``average``: equal weights. ``weighted``: one learned scalar per context, softmax. ``released``: one 1x1
        convolution, sigmoid, softmax (the released code's three layers are affine up to the sigmoid and fold into one).
    """

    def __init__(self, channels: int, contexts: int, fusion: Fusion) -> None:
        super().__init__()
        self.contexts = contexts
        self.mix = nn.Conv2d(contexts * channels, contexts * channels, 1) if fusion == "released" else None
        self.squeeze = nn.Conv2d(contexts * channels, channels, 1) if fusion == "adaptive" else None
        self.split = nn.Conv2d(channels, contexts * channels, 1) if fusion == "adaptive" else None
        self.logits = nn.Parameter(torch.zeros(contexts)) if fusion == "weighted" else None

    def weights(self, features: list[Tensor], left_out: Sequence[int] = ()) -> Tensor:
        """Compute the weights H_U of all contexts (Eq. 3).

        Parameters
        ----------
        features : list of Tensor
            X_{I|U} of every context, [B, C, h, w] each; 0 for one that is left out.
        left_out : sequence of int, optional
            Indices of contexts that get the weight 0. The softmax runs over the others.

        Returns
        -------
        Tensor of float [B, contexts, C, h, w]
            Weights that sum to 1 over contexts (all 0 where all are left out).
        """
        b, c, h, w = features[0].shape
        if len(left_out) == self.contexts:
            return features[0].new_zeros(1, 1, 1, 1, 1).expand(b, self.contexts, c, h, w)
        if self.mix is not None:
            gates: Tensor = self.mix(torch.cat(features, dim=1)).sigmoid()
            return _without(gates.reshape(b, self.contexts, c, h, w), left_out, 1).softmax(1)
        if self.squeeze is not None and self.split is not None:
            logits: Tensor = self.split(self.squeeze(torch.cat(features, dim=1)))
            return _without(logits.reshape(b, self.contexts, c, h, w), left_out, 1).softmax(1)
        if self.logits is not None:
            weights = _without(self.logits, left_out, 0).softmax(0).to(features[0].dtype)
            return weights[None, :, None, None, None].expand(b, -1, c, h, w)
        if left_out:
            equal = _without(features[0].new_zeros(1, self.contexts, 1, 1, 1), left_out, 1).softmax(1)
            return equal.expand(b, -1, c, h, w)
        return features[0].new_full((1, 1, 1, 1, 1), 1 / self.contexts).expand(b, self.contexts, c, h, w)

    def forward(self, features: list[Tensor], left_out: Sequence[int] = (), kept: list[Tensor] | None = None) -> Tensor:
        """Sum H_U * X_{I|U} over contexts (Eq. 4).

        Parameters
        ----------
        features : list of Tensor
            X_{I|U} of every context, [B, C, h, w] each; 0 for one that is left out.
        left_out : sequence of int, optional
            Indices of contexts that get the weight 0.
        kept : list of Tensor or None, optional
            List to which the weights H_U, [B, contexts, C, h, w], are appended.

        Returns
        -------
        Tensor of float [B, C, h, w]
            Fused features.
        """
        weights = self.weights(features, left_out)
        if kept is not None:
            kept.append(weights)
        return (weights * torch.stack(features, dim=1)).sum(1)


def _without(logits: Tensor, left_out: Sequence[int], dim: int) -> Tensor:
    """Set the logits of contexts that are left out to minus infinity, along the dimension of contexts."""
    if not left_out:
        return logits
    return logits.index_fill(dim, torch.tensor(left_out, device=logits.device), float("-inf"))


class LCF(nn.Module):
    """Locality-aware context fusion: LCC for each context, then MCF (Eq. 5).

    Parameters
    ----------
    channels : int
        Channels of X.
    contexts : tuple of str
        Names of the contexts, ``local`` among them where it is used.
    projections, scale_logits : bool
        See ``LCC``.
    values_from : {"context", "local"}
        See ``LCC``.
    gate_init : float
        See ``LCC``.
    gpe : bool
        See ``LCC``.
    gpe_unit : {"tile", "context"}
        Cells in which the positional embeddings measure: the tile's, or each context's own.
    fusion : Fusion
        See ``MCF``.

    Attributes
    ----------
    correlations : ModuleDict
        ``LCC`` of each context by its name.
    fusion : MCF
        Fusion of the contexts, in the same order.
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
        gpe_unit: Literal["tile", "context"],
        fusion: Fusion,
    ) -> None:
        super().__init__()
        self.gpe_unit = gpe_unit
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

    def correlate(
        self, grid: FeatureGrid, features: dict[str, Tensor], windows: dict[str, Tensor], without: Without = WHOLE
    ) -> list[Tensor]:
        """Correlate the tile with every context.

        Parameters
        ----------
        grid : FeatureGrid
            Grid of the features, the same for every stream.
        features : dict of str to Tensor
            Features [B or 1, C, h, w] of ``"tile"`` and of the outer contexts. A local context that is the tile has no
            entry.
        windows : dict of str to Tensor
            Windows (y0, x0, y1, x1) by the same names, image px, [B or 1, 4].
        without : Without, optional
            Contexts, or GPE, that are left out.

        Returns
        -------
        list of Tensor
            X_{I|U} in the order of the config, [B, C, h, w] each; 0 for a context that is left out.
        """
        out = []
        for name, correlation in self.correlations.items():
            if name in without.contexts:
                out.append(torch.zeros_like(features["tile"]))
                continue
            source = name if name in features else "tile"
            d_y, d_x = relative_positions(grid, windows["tile"], grid, windows[source], self.gpe_unit)
            out.append(correlation(features["tile"], features[source], d_y, d_x, not without.gpe))
        return out

    def forward(
        self,
        grid: FeatureGrid,
        features: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        kept: list[Tensor] | None = None,
    ) -> Tensor:
        """Fuse the locality-aware features of every context (Eq. 5).

        Parameters
        ----------
        grid : FeatureGrid
            Grid of the features, the same for every stream.
        features, windows : dict of str to Tensor
            As in ``correlate``.
        without : Without, optional
            Contexts, or GPE, that are left out.
        kept : list of Tensor or None, optional
            List to which the weights H_U (Eq. 3), [B, contexts, C, h, w], are appended.

        Returns
        -------
        Tensor of float [B, C, h, w]
            Fused features.
        """
        left_out = tuple(i for i, name in enumerate(self.correlations) if name in without.contexts)
        fused: Tensor = self.fusion(self.correlate(grid, features, windows, without), left_out, kept=kept)
        return fused
