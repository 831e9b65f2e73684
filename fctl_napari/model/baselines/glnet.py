"""Global-local fusion after GLNet (Chen et al., 2019) of feature pyramids of the tile and of the whole image.

GLNet shares features between its branches at every layer, in both directions, as ``glnet_sharing`` does. Here the
global branch's last features are given to the local branch, and nothing goes back, so that no pass over all tiles of an
image is needed before any of them is segmented. While it is trained, the branches have losses of their own, see
``training.auxiliary_losses``.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, cat, nn, zeros_like

from fctl_napari.model.baselines.base import Decoder, like, resize
from fctl_napari.model.config import GLOBAL_VIEW, FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.resnet import ResNet50
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.geometry import FeatureGrid, apply_separable, interpolation_matrices
from fctl_napari.model.network import Network

WIDTH, SMOOTH = 256, 128
"""Channels of a pyramid's levels, and of what each gives."""
STRIDES = (4, 8, 16, 32)
FUSED = len(STRIDES) * SMOOTH


class FeaturePyramid(nn.Module):
    """Top-down feature pyramid whose smoothed levels are upsampled to stride 4 and stacked.

    Parameters
    ----------
    channels : dict of int to int
        Channels of the encoder's features by stride.
    """

    def __init__(self, channels: dict[int, int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(channels[stride], WIDTH, 1) for stride in STRIDES)
        self.smooth = nn.ModuleList(
            nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, SMOOTH, 3, padding=1))
            for _ in STRIDES
        )

    def forward(self, features: Features) -> Tensor:
        """Compute the stacked pyramid at stride 4.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] at strides 4, 8, 16 and 32.

        Returns
        -------
        Tensor of float [B, 512, h, w]
            Stacked levels at stride 4.
        """
        levels: list[Tensor] = []
        for stride, lateral in reversed(list(zip(STRIDES, self.lateral, strict=True))):
            x = lateral(features[stride])
            levels.insert(0, x + like(levels[0], x) if levels else x)
        smoothed = [like(smooth(x), levels[0]) for x, smooth in zip(levels, self.smooth, strict=True)]
        return cat(smoothed[::-1], 1)


class GlobalLocalDecoder(Decoder):
    """Decoder of the tile's features and the image's features at the same position.

    They are smoothed together, then scored together.

    Parameters
    ----------
    classes : int
        Scores per pixel.
    """

    strides: ClassVar[tuple[int, ...]] = (4,)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(2 * FUSED, FUSED, 3, padding=1)
        self.score = nn.Conv2d(2 * FUSED, classes, 3, padding=1)

    def forward(self, features: Features) -> Tensor:
        """Score the cells at stride 4.

        Parameters
        ----------
        features : Features
            At stride 4 the tile's pyramid and then the image's, [B, 2 * 512, h, w].

        Returns
        -------
        Tensor of float [B, classes, h, w]
            Scores at stride 4.
        """
        both = features[4]
        scores: Tensor = self.score(cat([self.smooth(both), both[:, FUSED:]], 1))
        return scores


class GlobalLocal(Network):
    """Two ResNet-50 with a feature pyramid each, one of the tile and one of the whole image.

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
        self.necks = nn.ModuleDict({name: FeaturePyramid(self.encoder(name).channels) for name in names})
        self.decoder = GlobalLocalDecoder(config.classes)
        self.strides = (4,)
        self.lcf = self.ale = None
        self.grid = FeatureGrid(-(-config.tile_size // 4), 4, 0.0, config.tile_size)

    def modules_before(self, name: str) -> list[nn.Module]:
        """List a stream's encoder and pyramid.

        Parameters
        ----------
        name : str
            Stream: ``"tile"`` or ``"large"``.

        Returns
        -------
        list of nn.Module
            The two modules.
        """
        return [*super().modules_before(name), self.necks[name]]

    def tile_features(self, images: Tensor) -> Features:
        """Compute the tile's pyramid at stride 4.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Features
            Map [B, 512, h, w] at stride 4.
        """
        return {4: self.context_features("tile", images)}

    def context_features(self, name: str, images: Tensor) -> Tensor:
        """Compute a stream's pyramid at stride 4.

        Parameters
        ----------
        name : str
            Stream: ``"tile"`` or ``"large"``.
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Tensor of float [B, 512, h, w]
            Stacked levels at stride 4.
        """
        x: Tensor = self.necks[name](self.encoder(name)(images))
        return x

    def logits(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Resample the image's features to the tile's cells and decode both.

        Parameters
        ----------
        tile : Features
            From ``tile_features``.
        contexts : dict of str to Tensor
            From ``context_features``: ``"large"``, [B or 1, 512, h, w].
        windows : dict of str to Tensor
            Windows of ``"tile"`` and ``"large"``, (y0, x0, y1, x1) in image px, [B or 1, 4].
        without : Without, optional
            Parts that are left out. Without the context ``"large"`` its features are zeros.
        fusion : list of Tensor or None, optional
            Unused.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """
        name = GLOBAL_VIEW.name
        x = tile[4]
        if name in without.contexts:
            around = zeros_like(x)
        else:
            matrices = interpolation_matrices(self.grid, windows["tile"], self.grid, windows[name])
            around = apply_separable(*matrices, contexts[name]).expand_as(x)
        return resize(self.decoder({4: cat([x, around], 1)}), self.config.tile_size)
