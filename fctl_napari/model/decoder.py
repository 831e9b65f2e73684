"""FCN-8s decoder: three transposed convolutions with two skips, cropped to the tile."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.encoders.base import Encoder, Features


class UpScores(nn.ConvTranspose2d):
    """Transposed convolution that starts as bilinear upsampling of each class, cell edges aligned.

    Parameters
    ----------
    classes
        Channels.
    factor
        Output cells per input cell, even.
    """

    def __init__(self, classes: int, factor: int) -> None:
        super().__init__(classes, classes, 2 * factor, stride=factor, padding=factor // 2, bias=False)
        position = torch.arange(2 * factor) + 0.5
        line = 1 - (position - factor).abs() / factor
        with torch.no_grad():
            self.weight.zero_()
            for k in range(classes):
                self.weight[k, k] = line[:, None] * line[None, :]


class FCN8sDecoder(nn.Module):
    """Scores at stride 32, x2 + scores of the stride-16 skip, x2 + scores of the stride-8 skip, x8, crop.

    Parameters
    ----------
    encoder
        Gives the strides' channels, grids and the skips' scales.
    channels
        Channels of the maps at 32, 16 and 8 (the enhanced one may differ from the encoder's).
    classes
        Scores per pixel.
    tile_size
        Side of the network's input, px.
    """

    def __init__(self, encoder: Encoder, channels: dict[int, int], classes: int, tile_size: int) -> None:
        super().__init__()
        self.grids = {stride: encoder.grid(tile_size, stride) for stride in (32, 16, 8)}
        self.skip_scales = dict(encoder.skip_scales)
        self.tile_size = tile_size
        self.score = nn.ModuleDict({str(s): nn.Conv2d(channels[s], classes, 1) for s in (32, 16, 8)})
        for score in self.score.values():
            # no class is preferred before training, however large the features are
            nn.init.normal_(score.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(score.bias)  # type: ignore[arg-type]
        self.up = nn.ModuleDict({"32": UpScores(classes, 2), "16": UpScores(classes, 2), "8": UpScores(classes, 8)})

    def forward(self, features: Features) -> Tensor:
        """Decode feature maps.

        Parameters
        ----------
        features
            Maps at strides 32, 16 and 8, [B, C, h, w] each.

        Returns
        -------
        Tensor
            Logits [B, classes, tile_size, tile_size].
        """
        scores = self.score["32"](features[32])
        for coarse, fine in ((32, 16), (16, 8)):
            skip = self.score[str(fine)](features[fine] * self.skip_scales[fine])
            scores = _cells(self.up[str(coarse)](scores), skip.shape[-1]) + skip
        start = round(-self.grids[8].offset)
        pixels = self.up["8"](scores)
        return _cells(pixels[:, :, start:, start:], self.tile_size)


def _cells(x: Tensor, size: int) -> Tensor:
    """Keep the first ``size`` rows and columns; grids of one encoder share their offset."""
    return x if x.shape[-1] == size else F.pad(x, (0, size - x.shape[-1], 0, size - x.shape[-1]))
