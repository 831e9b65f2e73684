"""GLNet (Chen et al., 2019) with its feature maps shared at every layer, down to the tile or in both directions.

The image gives the tile its features at every layer of the two pyramids. In both directions, the features of all tiles
of an image are then merged and given back to the image's pyramid, layer by layer, before any tile is scored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, cat, nn

from fctl_napari.model.baselines.base import like, resize
from fctl_napari.model.baselines.glnet import FUSED, SMOOTH, STRIDES, WIDTH, GlobalLocal
from fctl_napari.model.config import GLOBAL_VIEW, FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.resnet import ResNet50
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.geometry import FeatureGrid, apply_separable, interpolation_matrices
from fctl_napari.model.network import Network

Layers = list[list[Tensor]]
"""Encoder's features, pyramid's levels and the maps of its two convolutions, each by ``STRIDES``, [B, C, h, w]."""


class SharedPyramid(nn.Module):
    """Feature pyramid that takes another one's maps beside its own at every layer.

    Parameters
    ----------
    channels : dict of int to int
        Channels of the encoder's features by stride.
    shared : bool
        False for a pyramid by itself.
    """

    def __init__(self, channels: dict[int, int], shared: bool) -> None:
        super().__init__()
        fold = 1 + shared
        self.lateral = nn.ModuleList(nn.Conv2d(fold * channels[stride], WIDTH, 1) for stride in STRIDES)
        self.smooth1 = nn.ModuleList(nn.Conv2d(fold * WIDTH, WIDTH, 3, padding=1) for _ in STRIDES)
        self.smooth2 = nn.ModuleList(nn.Conv2d(fold * WIDTH, SMOOTH, 3, padding=1) for _ in STRIDES)
        self.join = nn.Conv2d(2 * FUSED, FUSED, 3, padding=1) if shared else nn.Identity()

    def forward(self, features: list[Tensor], other: Layers | None = None) -> tuple[Layers, Tensor]:
        """Compute the layers and what they give.

        Parameters
        ----------
        features : list of Tensor
            Encoder's features by ``STRIDES``, [B, C, h, w].
        other : list of list of Tensor or None, optional
            Layers of the other pyramid over the same cells; None for a pyramid by itself.

        Returns
        -------
        layers : list of list of Tensor
            The four layers.
        stacked : Tensor of float [B, 512, h, w]
            The last layer's maps, stacked at stride 4.
        """

        def beside(maps: list[Tensor], layer: int) -> list[Tensor]:
            return maps if other is None else [cat(pair, 1) for pair in zip(maps, other[layer], strict=True)]

        levels: list[Tensor] = []
        for conv, x in reversed(list(zip(self.lateral, beside(features, 0), strict=True))):
            x = conv(x)
            levels.insert(0, x + like(levels[0], x) if levels else x)
        first = [conv(x) for conv, x in zip(self.smooth1, beside(levels, 1), strict=True)]
        second = [conv(x) for conv, x in zip(self.smooth2, beside(first, 2), strict=True)]
        stacked = cat([like(x, levels[0]) for x in beside(second, 3)[::-1]], 1)
        return [features, levels, first, second], self.join(stacked)


class BranchScores(nn.Module):
    """Scores of the tile's and the image's stacked features together.

    Parameters
    ----------
    classes : int
        Scores per pixel.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(2 * FUSED, classes, 3, padding=1)

    def forward(self, both: Tensor) -> Tensor:
        """Score the cells.

        Parameters
        ----------
        both : Tensor of float [B, 1024, h, w]
            Features of the tile, then of the image.

        Returns
        -------
        Tensor of float [B, classes, h, w]
            Scores.
        """
        scores: Tensor = self.score(both)
        return scores


class SharedGlobalLocal(Network):
    """Two ResNet-50 with pyramids that share their maps, one of the tile and one of the whole image.

    Features of the image are one row of numbers, see ``pack``.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network; its large context is the whole image.
    """

    def __init__(self, config: FCtLConfig) -> None:
        super().__init__(config)
        names = ("tile", GLOBAL_VIEW.name)
        self._stream = {name: name for name in names}
        self.encoders = nn.ModuleDict({name: ResNet50(in_channels=config.in_channels) for name in names})
        for name in names:
            self.encoder(name).normalize_as(config)
        channels = self.encoder("tile").channels
        self.necks = nn.ModuleDict({name: SharedPyramid(channels, name == "tile") for name in names})
        if config.sharing == "both":
            self.back = SharedPyramid(channels, True)
        self.decoder = BranchScores(config.classes)
        self.strides = STRIDES
        self.lcf = self.ale = None
        size = config.tile_size
        self.grids = [FeatureGrid(-(-size // stride), stride, 0.0, size) for stride in STRIDES]
        self.grid = self.grids[0]
        widths = [[channels[stride] for stride in STRIDES], 4 * [WIDTH], 4 * [WIDTH], 4 * [SMOOTH]]
        self._shapes = [(w, g.size, g.size) for layer in widths for w, g in zip(layer, self.grids, strict=True)]
        self._shapes.append((FUSED, self.grid.size, self.grid.size))

    @property
    def gathers(self) -> bool:
        """True in both directions: the image's features then depend on all of its tiles."""
        return self.config.sharing == "both"

    def modules_before(self, name: str) -> list[nn.Module]:
        """List a stream's encoder, and the image's pyramids.

        Parameters
        ----------
        name : str
            Stream: ``"tile"`` or ``"large"``.

        Returns
        -------
        list of nn.Module
            The modules; in both directions the image's features depend on all but the scores.
        """
        if name == "tile":
            return super().modules_before(name)
        before = [*super().modules_before(name), self.necks[name]]
        return [*before, self.encoder("tile"), self.necks["tile"], self.back] if self.gathers else before

    def pack(self, layers: Layers, stacked: Tensor) -> Tensor:
        """Put the maps of an image into one row.

        Parameters
        ----------
        layers : list of list of Tensor
            Layers that are given to tiles.
        stacked : Tensor of float [B, 512, h, w]
            Features that are scored beside those of tiles.

        Returns
        -------
        Tensor of float [B, N]
            The row.
        """
        return cat([x.flatten(1) for x in [*itertools.chain(*layers), stacked]], 1)

    def unpack(self, row: Tensor) -> tuple[Layers, Tensor]:
        """Take the maps of an image out of one row.

        Parameters
        ----------
        row : Tensor of float [B, N]
            From ``pack``.

        Returns
        -------
        layers : list of list of Tensor
            Layers that are given to tiles.
        stacked : Tensor of float [B, 512, h, w]
            Features that are scored beside those of tiles.
        """
        parts = torch.split(row, [c * h * w for c, h, w in self._shapes], 1)
        maps = [part.reshape(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True)]
        return [maps[4 * layer : 4 * layer + 4] for layer in range(4)], maps[-1]

    def tile_features(self, images: Tensor) -> Features:
        """Run the tile's encoder.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Features
            Maps [B, C, h, w] at strides 4, 8, 16 and 32.
        """
        features = self.encoder("tile")(images)
        return {stride: features[stride] for stride in STRIDES}

    def context_features(self, name: str, images: Tensor) -> Tensor:
        """Compute the image's layers by itself.

        Parameters
        ----------
        name : str
            ``"large"``.
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Tensor of float [B, N]
            The maps in a row, see ``pack``.
        """
        features = self.encoder(name)(images)
        return self.pack(*self.necks[name]([features[stride] for stride in STRIDES]))

    def with_tiles(self, context: Tensor, tiles: Iterable[tuple[Tensor, Tensor]], window: Tensor) -> Tensor:
        """Give the merged features of all tiles of an image to its pyramid.

        Parameters
        ----------
        context : Tensor of float [1, N]
            From ``context_features``.
        tiles : iterable of tuple of (Tensor, Tensor)
            Images [n, C, T, T] of tiles that cover the image, and their windows (y0, x0, y1, x1), px, [n, 4].
        window : Tensor of float [1, 4]
            Window of the image, px.

        Returns
        -------
        Tensor of float [1, N]
            The row, in which what is scored beside tiles comes from both.
        """
        layers, _ = self.unpack(context)
        sums = [[torch.zeros_like(x, dtype=torch.float32) for x in layer] for layer in layers]
        counts = [context.new_zeros((1, 1, grid.size, grid.size), dtype=torch.float32) for grid in self.grids]
        given = [[x.detach() for x in layer] for layer in layers]
        for images, locations in tiles:
            with torch.no_grad():  # tiles are not trained by what they give back
                windows = {"tile": locations, GLOBAL_VIEW.name: window}
                own, _ = self._tile_layers(self.tile_features(images), given, windows)
            for k, grid in enumerate(self.grids):
                y, x = interpolation_matrices(grid, window.expand_as(locations), grid, locations)
                inside_y, inside_x = (
                    ((centers > locations[:, low, None]) & (centers < locations[:, low + 2, None])).to(y.dtype)
                    for low, centers in enumerate(grid.centers(window))
                )
                y, x = y * inside_y[:, :, None], x * inside_x[:, :, None]
                counts[k] += (inside_y[:, :, None] * inside_x[:, None]).sum(0)
                for total, layer in zip(sums, own, strict=True):
                    total[k] += apply_separable(y, x, layer[k].float()).sum(0, keepdim=True)
        merged = [[total / n.clamp(min=1) for total, n in zip(layer, counts, strict=True)] for layer in sums]
        _, stacked = self.back(layers[0], [[x.to(context.dtype) for x in layer] for layer in merged])
        return self.pack(layers, stacked.to(context.dtype))

    def logits(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Run the tile's pyramid with the image's maps, and score both.

        Parameters
        ----------
        tile : Features
            From ``tile_features``.
        contexts : dict of str to Tensor
            ``"large"``, [B or 1, N], from ``context_features`` or ``with_tiles``.
        windows : dict of str to Tensor
            Windows of ``"tile"`` and ``"large"``, (y0, x0, y1, x1) in image px, [B or 1, 4].
        without : Without, optional
            Parts that are left out. Without the context ``"large"`` its maps are zeros.
        fusion : list of Tensor or None, optional
            Unused.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """
        name = GLOBAL_VIEW.name
        row = contexts[name] * 0 if name in without.contexts else contexts[name]
        layers, stacked = self.unpack(row)
        _, own = self._tile_layers(tile, layers, windows)
        (around,) = self._in_tiles([stacked], windows, len(own))
        return resize(self.decoder(cat([own, around], 1)), self.config.tile_size)

    def _tile_layers(self, tile: Features, layers: Layers, windows: dict[str, Tensor]) -> tuple[Layers, Tensor]:
        """Run the tile's pyramid beside the image's layers."""
        features = [tile[stride] for stride in STRIDES]
        around = [self._in_tiles(layer, windows, len(features[0])) for layer in layers]
        found: tuple[Layers, Tensor] = self.necks["tile"](features, around)
        return found

    def _in_tiles(self, maps: Sequence[Tensor], windows: dict[str, Tensor], tiles: int) -> list[Tensor]:
        """Resample maps of the image, the first at stride 4, to the cells of tiles."""
        found = []
        for x, grid in zip(maps, self.grids, strict=False):
            matrices = interpolation_matrices(grid, windows["tile"], grid, windows[GLOBAL_VIEW.name])
            found.append(apply_separable(*matrices, x).expand(tiles, -1, -1, -1))
        return found


def glnet(config: FCtLConfig) -> Network:
    """Build GLNet.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network: ``sharing`` says which.

    Returns
    -------
    Network
        The network with random weights.
    """
    return GlobalLocal(config) if config.sharing == "last" else SharedGlobalLocal(config)
