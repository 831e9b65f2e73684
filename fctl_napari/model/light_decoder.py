"""Light decoder: a multinomial logistic regression over features, or one with a hidden layer.

It is made for encoders that stay as they are: with few weights it is learned from a few strokes within a second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.encoders.base import Encoder, Features
from fctl_napari.model.geometry import FeatureGrid, apply_separable, interpolation_matrices

HIDDEN = 64
"""Channels of the hidden layer."""

NEVER = -1e4
"""Score of a class that is never predicted."""


def as_kept(features: Tensor) -> Tensor:
    """Round features as a cache keeps them, so that it makes no difference whether they come from there.

    Parameters
    ----------
    features : Tensor of float
        Features.

    Returns
    -------
    Tensor of float16
        The same, rounded.
    """
    return features.half()


class LightDecoder(nn.Module):
    """Scores of each cell by its features: the tile's at every stride, and those of its contexts at the same place.

    Each map goes through a 1x1 convolution at its own resolution and is then resampled to the finest cells, which for
    the linear decoder is the same as scoring the resampled features, and costs less.

    Parameters
    ----------
    encoder : Encoder
        Encoder that gives the strides' grids.
    channels : dict of int to int
        Channels of the tile's maps by stride: 32, 16, 8 and finer.
    contexts : dict of str to int
        Channels of the features of the contexts that have a window of their own.
    grid : FeatureGrid
        Grid of the contexts' features.
    classes : int
        Scores per pixel.
    tile_size : int
        Side of the network's input, px.
    finest_skip : int, optional
        Stride of the finest map: 8, 4 or 2.
    hidden : int or None, optional
        Channels of the hidden layer; None for none.

    Attributes
    ----------
    grids : dict of int to FeatureGrid
        Grids of the tile's maps by stride, the finest last.
    project : nn.ModuleDict
        1x1 convolution of each source, by stride or by the name of the context.
    score : nn.Module
        What follows the sum: nothing, or ReLU and a 1x1 convolution.

    Raises
    ------
    ConfigError
        The encoder has no features at ``finest_skip``.
    """

    def __init__(
        self,
        encoder: Encoder,
        channels: Mapping[int, int],
        contexts: Mapping[str, int],
        grid: FeatureGrid,
        classes: int,
        tile_size: int,
        finest_skip: int = 8,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        if finest_skip not in encoder.channels:
            raise ConfigError(
                f"finest_skip {finest_skip}: this encoder ({type(encoder).__name__}) has features at strides "
                f"{sorted(encoder.channels)}; choose one of them."
            )
        strides = [stride for stride in (32, 16, 8, 4, 2) if stride >= finest_skip]
        self.strides = tuple(strides)
        self.grids = {stride: encoder.grid(tile_size, stride) for stride in strides}
        self.cells = self.grids[finest_skip]
        self.grid = grid
        self.pixels = FeatureGrid(tile_size, 1, 0.0, tile_size)
        widths = {str(s): channels[s] for s in strides} | dict(contexts)
        self.contexts = tuple(contexts)
        self.project = nn.ModuleDict({name: nn.Conv2d(c, hidden or classes, 1) for name, c in widths.items()})
        self.score: nn.Module = nn.Identity()
        if hidden:
            self.score = nn.Sequential(nn.ReLU(), nn.Conv2d(hidden, classes, 1))

    def maps(
        self,
        tile: Features,
        contexts: Mapping[str, Tensor],
        windows: Mapping[str, Tensor],
        without: Collection[str] = (),
    ) -> dict[str, tuple[Tensor, FeatureGrid, Tensor]]:
        """Collect the maps that are scored.

        Parameters
        ----------
        tile : Features
            Maps [B, C, h, w] by stride.
        contexts : mapping of str to Tensor
            Features [B or 1, C, h, w] of the contexts.
        windows : mapping of str to Tensor
            Windows (y0, x0, y1, x1) of ``"tile"`` and the contexts, image px, [B or 1, 4].
        without : collection of str, optional
            Contexts that are left out.

        Returns
        -------
        dict of str to (Tensor, FeatureGrid, Tensor)
            Map, its grid and its window of each source.
        """
        found = {str(s): (as_kept(tile[s]), grid, windows["tile"]) for s, grid in self.grids.items()}
        for name in self.contexts:
            if name not in without:
                found[name] = as_kept(contexts[name]), self.grid, windows[name]
        return found

    @torch.no_grad()
    def features_at(
        self,
        cells: tuple[Tensor, Tensor],
        tile: Features,
        contexts: Mapping[str, Tensor],
        windows: Mapping[str, Tensor],
    ) -> Tensor:
        """Interpolate the features of some cells of one tile.

        The linear decoder's scores of a cell are the product of these with its weights, see ``set_weights``.

        Parameters
        ----------
        cells : tuple of 2 Tensor of int64 [N]
            Row and column of each cell, on the finest grid.
        tile : Features
            Maps [1, C, h, w] by stride.
        contexts : mapping of str to Tensor
            Features [1, C, h, w] of the contexts.
        windows : mapping of str to Tensor
            Windows of ``"tile"`` and the contexts, image px, [1, 4].

        Returns
        -------
        Tensor of float32 [N, D]
            Features of all sources, in their order.
        """
        rows, columns = cells
        found = []
        for features, grid, window in self.maps(tile, contexts, windows).values():
            along_y, along_x = interpolation_matrices(self.cells, windows["tile"], grid, window)
            # bilinear: at most two rows and two columns of the map count for a cell
            share_y, at_y = along_y[0, rows].topk(min(2, grid.size))
            share_x, at_x = along_x[0, columns].topk(min(2, grid.size))
            corners = features[0].float()[:, at_y[:, :, None], at_x[:, None, :]]
            shares = (share_y[:, :, None] * share_x[:, None, :]).float()
            found.append((corners * shares).sum((2, 3)).T)
        return torch.cat(found, 1)

    @property
    def widths(self) -> dict[str, int]:
        """Number of channels of each source, in their order."""
        return {name: self._projection(name).in_channels for name in self.project}

    @torch.no_grad()
    def set_weights(self, weight: Tensor, bias: Tensor, center: Tensor) -> None:
        """Set the first layer, ``weight @ (features - center) + bias`` over the features of all sources.

        A context that is left out adds 0, as its mean features do.

        Parameters
        ----------
        weight : Tensor of float [outputs, D]
            Weights of the features, in the order of ``features_at``.
        bias : Tensor of float [outputs]
            Bias of the sum.
        center : Tensor of float [D]
            Mean of the features.
        """
        widths = list(self.widths.values())
        parts = zip(torch.split(weight, widths, 1), torch.split(center, widths), strict=True)
        for number, (name, (part, middle)) in enumerate(zip(self.project, parts, strict=True)):
            project = self._projection(name)
            assert project.bias is not None
            project.weight.copy_(part[:, :, None, None])
            project.bias.copy_((bias if number == 0 else 0) - part @ middle)

    def forward(
        self,
        tile: Features,
        contexts: Mapping[str, Tensor],
        windows: Mapping[str, Tensor],
        without: Collection[str] = (),
    ) -> Tensor:
        """Score the pixels of tiles.

        Parameters
        ----------
        tile : Features
            Maps [B, C, h, w] by stride.
        contexts : mapping of str to Tensor
            Features [B or 1, C, h, w] of the contexts.
        windows : mapping of str to Tensor
            Windows (y0, x0, y1, x1) of ``"tile"`` and the contexts, image px, [B or 1, 4].
        without : collection of str, optional
            Contexts that are left out: they add 0.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """
        total: Tensor | None = None
        for name, (features, grid, window) in self.maps(tile, contexts, windows, without).items():
            project = self._projection(name)
            scores = project(features.to(project.weight.dtype))
            part = self._to(self.cells, windows["tile"], scores, grid, window)
            total = part if total is None else total + part
        assert total is not None
        return self._to(self.pixels, windows["tile"], self.score(total), self.cells, windows["tile"])

    def _projection(self, name: str) -> nn.Conv2d:
        module = self.project[name]
        assert isinstance(module, nn.Conv2d)
        return module

    @staticmethod
    def _to(target: FeatureGrid, target_window: Tensor, features: Tensor, grid: FeatureGrid, window: Tensor) -> Tensor:
        """Resample features to another grid."""
        if target == grid and target_window is window:
            return features
        return apply_separable(*interpolation_matrices(target, target_window, grid, window), features)
