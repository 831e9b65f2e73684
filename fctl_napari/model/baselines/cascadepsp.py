"""CascadePSP (Cheng et al., 2020): masks refined class by class, of the whole image first and then of each tile.

One module does both steps. It sees the image and three masks of a class, and gives finer ones at strides 8, 4 and 1. It
is run three times in a row, each time on what the time before gave.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, cat, nn
from torch.nn import functional as F

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.baselines.base import like
from fctl_napari.model.baselines.pspnet import BINS
from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.config import GLOBAL_VIEW, FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.resnet import ResNet50
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.geometry import FeatureGrid
from fctl_napari.model.network import Network

MASKS = 3
"""Masks beside the image."""
WIDTHS = {8: 1024, 4: 512, 2: 256, 1: 32}
"""Channels of the decoder by stride."""
INNER = 32
"""Channels in front of the scores."""
PLAIN = 0.1
"""Smallest share of a tile's px that a class and all others must have to be refined in it."""
LEAST = 1e-6
"""Probability of a class that is not there."""

Levels = dict[int, Tensor]
"""Scores of one class by stride, each [N, 1, T, T]."""


class CascadeEncoder(ResNet50):
    """ResNet-50 dilated to stride 8 over RGB and three masks, with the output of its first convolution at stride 2."""

    def __init__(self) -> None:
        super().__init__(8, 3 + MASKS)
        self.channels[2] = 64

    def features(self, images: Tensor, last_stride: int) -> Features:
        """Run the stages, and keep the output of the first convolution as well.

        Parameters
        ----------
        images : Tensor of float [N, 6, T, T]
            Normalized RGB, and masks from -1 to 1.
        last_stride : int
            Coarsest stride that is computed.

        Returns
        -------
        Features
            Maps [N, C, h, w] at strides 2, 4 and 8.
        """
        first = self.conv1(images)
        x = F.max_pool2d(F.relu(self.bn1(first)), 3, 2, padding=1)
        return {2: first} | self.run_stages(x, last_stride)

    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take the arrays of torchvision's ResNet-50, with zeros for the filters of the masks.

        Parameters
        ----------
        state : dict of str to Tensor
            Arrays of the published file by name.

        Returns
        -------
        dict of str to Tensor
            The arrays without the classifier ``fc``.
        """
        taken = super().published_keys(state)
        first = taken.get(self.first_weight)
        if first is not None and first.shape[1] == 3:
            taken[self.first_weight] = cat([first, torch.zeros_like(first)], 1)
        return taken


class Upsampling(nn.Module):
    """Coarse features upsampled to fine ones, with two residual pairs of normed convolutions.

    Parameters
    ----------
    coarse, fine, after : int
        Channels of the coarse and of the fine features, and of the output.
    """

    def __init__(self, coarse: int, fine: int, after: int) -> None:
        super().__init__()
        self.join = _pair(coarse + fine, after)
        self.refine = _pair(after, after)
        self.shortcut = nn.Conv2d(coarse, after, 1)

    def forward(self, x: Tensor, fine: Tensor) -> Tensor:
        """Join both.

        Parameters
        ----------
        x : Tensor of float [N, coarse, h, w]
            Coarse features.
        fine : Tensor of float [N, fine, 2h, 2w]
            Fine features.

        Returns
        -------
        Tensor of float [N, after, 2h, 2w]
            Joined features.
        """
        x = like(x, fine)
        joined: Tensor = self.join(cat([x, fine], 1)) + self.shortcut(x)
        refined: Tensor = joined + self.refine(joined)
        return refined


def _pair(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [BatchNorm(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, after, 3, padding=1)]
    return nn.Sequential(*layers)


def _scores(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, INNER, 1), nn.ReLU(inplace=True), nn.Conv2d(INNER, 1, 1))


class CascadeDecoder(nn.Module):
    """Pyramid pooling at stride 8, and three upsamplings, with scores at strides 8, 4 and 1.

    Parameters
    ----------
    channels : dict of int to int
        Channels of the encoder's features at strides 8, 4 and 2.
    """

    def __init__(self, channels: dict[int, int]) -> None:
        super().__init__()
        deep = channels[8]
        self.levels = nn.ModuleList(nn.Conv2d(deep, deep, 1, bias=False) for _ in BINS)
        self.fuse = nn.Conv2d((len(BINS) + 1) * deep, WIDTHS[8], 1)
        self.up4 = Upsampling(WIDTHS[8], channels[4], WIDTHS[4])
        self.up2 = Upsampling(WIDTHS[4], channels[2], WIDTHS[2])
        self.up1 = Upsampling(WIDTHS[2], 3, WIDTHS[1])
        self.score8 = _scores(WIDTHS[8])
        self.score4 = _scores(WIDTHS[4])
        self.score1 = _scores(WIDTHS[1] + 3)

    def forward(self, features: Features, images: Tensor, finest: int) -> Levels:
        """Score the cells down to a stride.

        Parameters
        ----------
        features : Features
            Maps [N, C, h, w] at strides 2, 4 and 8.
        images : Tensor of float [N, 3, T, T]
            Normalized RGB.
        finest : int
            Stride of the finest scores: 8, 4 or 1.

        Returns
        -------
        dict of int to Tensor
            Scores by stride, each resampled to [N, 1, T, T].
        """
        x = features[8]
        pooled = [like(level(F.adaptive_avg_pool2d(x, n)), x) for n, level in zip(BINS, self.levels, strict=True)]
        x = F.relu(self.fuse(cat([*pooled, x], 1)))
        found = {8: like(self.score8(x), images)}
        if finest <= 4:
            x = self.up4(x, features[4])
            found[4] = like(self.score4(x), images)
        if finest <= 1:
            x = self.up1(self.up2(x, features[2]), images)
            found[1] = self.score1(cat([x, images], 1))
        return found


class CascadePSP(Network):
    """Refinement of each class's mask against all others, first of the whole image, then of each tile.

    Its tiles and images have four channels: RGB in 0..255, and labels (0 nothing, k + 1 class k).

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network; its large context is the whole image.
    """

    def __init__(self, config: FCtLConfig) -> None:
        super().__init__(config)
        self._stream[GLOBAL_VIEW.name] = "tile"
        encoder = CascadeEncoder()
        encoder.normalize_as(config)
        self.encoders = nn.ModuleDict({"tile": encoder})
        self.decoder = CascadeDecoder(encoder.channels)
        self.strides = (1,)
        self.lcf = self.ale = None
        self.grid = FeatureGrid(config.tile_size, 1, 0.0, config.tile_size)

    @property
    def input_weights(self) -> tuple[str, ...]:
        """None: its first convolution takes masks as well, so that its filters are not of bands alone."""
        return ()

    def modules_before(self, name: str) -> list[nn.Module]:
        """List the modules between a stream's pixels and its refined masks.

        Parameters
        ----------
        name : str
            Stream: ``"tile"`` or ``"large"``.

        Returns
        -------
        list of nn.Module
            The whole network.
        """
        return [self]

    def cascade(self, images: Tensor, mask: Tensor, coarse: Tensor | None = None) -> list[Levels]:
        """Refine the masks of one class for each image.

        Parameters
        ----------
        images : Tensor of uint8 or float [N, 3, T, T]
            RGB, 0..255.
        mask : Tensor of float [N, 1, T, T]
            1 where the class is, else -1.
        coarse : Tensor of float [N, 1, T, T] or None, optional
            A refined mask from -1 to 1, which stands for the first time.

        Returns
        -------
        list of dict of int to Tensor
            Scores by stride of each time: at stride 8 (unless there is ``coarse``); at 8 and 4; at 8, 4 and 1.
        """
        encoder = self.encoder("tile")
        rgb = encoder.normalize(images)

        def run(finest: int, *masks: Tensor) -> Levels:
            seen = cat([rgb, *(one.to(rgb.dtype) for one in masks)], 1)
            levels: Levels = self.decoder(encoder.features(seen, 8), rgb, finest)
            return levels

        found = []
        if coarse is None:
            found.append(run(8, mask, mask, mask))
            coarse = found[0][8].tanh()
        found.append(run(4, mask, coarse, coarse))
        found.append(run(1, mask, found[-1][8].tanh(), found[-1][4].tanh()))
        return found

    def tile_features(self, images: Tensor) -> Features:
        """Keep tiles as they are.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, 4, T, T]
            RGB in 0..255, and labels (0 nothing, k + 1 class k).

        Returns
        -------
        Features
            The tiles, at stride 1.

        Raises
        ------
        ConfigError
            There is no mask beside the image.
        """
        if images.shape[1] != 4:
            raise ConfigError("this network refines a segmentation and does not make one; use it with `fctl refine`.")
        return {1: images}

    def context_features(self, name: str, images: Tensor) -> Tensor:
        """Refine the masks of whole images (the global step).

        Parameters
        ----------
        name : str
            ``"large"``.
        images : Tensor of uint8 or float [B, 4, T, T]
            RGB in 0..255, and labels (0 nothing, k + 1 class k), resampled to a tile.

        Returns
        -------
        Tensor of float32 [B, 2 * classes, T, T]
            Probability of each class at stride 1, and then at stride 4; 0 where an image has nothing of it.
        """
        images = self.tile_features(images)[1]
        labels = torch.arange(1, self.config.classes + 1, device=images.device)[:, None, None]
        masks = images[:, 3:] == labels
        found = masks.new_zeros((2, *masks.shape), dtype=torch.float32)
        for row, k in _chosen(masks.any(-1).any(-1)):
            levels = self.cascade(images[row : row + 1, :3], masks[row : row + 1, k : k + 1] * 2.0 - 1)[-1]
            found[0, row, k] = levels[1][0, 0].float().sigmoid()
            found[1, row, k] = levels[4][0, 0].float().sigmoid()
        return cat([found[0], found[1]], 1)

    def logits(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Refine the whole image's masks within tiles (the local step).

        A class that has nearly all or nearly none of a tile stays as it was in the whole image.

        Parameters
        ----------
        tile : Features
            From ``tile_features``.
        contexts : dict of str to Tensor
            From ``context_features``: ``"large"``, [B or 1, 2 * classes, T, T].
        windows : dict of str to Tensor
            Windows of ``"tile"`` and ``"large"``, (y0, x0, y1, x1) in image px, [B or 1, 4].
        without : Without, optional
            Parts that are left out. Without the context ``"large"`` a tile is an image of its own.
        fusion : list of Tensor or None, optional
            Unused.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logarithm of each class's probability against all others.
        """
        images, name = tile[1], GLOBAL_VIEW.name
        if name in without.contexts:
            whole = self.context_features(name, images)
        else:
            whole = self.part_of_image(contexts[name], windows).expand(len(images), -1, -1, -1)
        fine, coarse = whole.chunk(2, 1)
        found = fine.clone()
        inside = (fine > 0.5).float()
        share = inside.mean((2, 3))
        for row, k in _chosen((share >= PLAIN) & (share <= 1 - PLAIN)):
            one = slice(row, row + 1), slice(k, k + 1)
            levels = self.cascade(images[row : row + 1, :3], inside[one] * 2 - 1, coarse[one] * 2 - 1)[-1]
            found[row, k] = levels[1][0, 0].float().sigmoid()
        return found.clamp(min=LEAST).log()


def _chosen(which: Tensor) -> list[tuple[int, int]]:
    """List rows and classes where a bool [B, classes] is True, or all of them where there are no values."""
    if which.device.type == "meta":
        return list(itertools.product(*map(range, which.shape)))  # type: ignore[arg-type]
    return [(int(row), int(k)) for row, k in which.nonzero().tolist()]
