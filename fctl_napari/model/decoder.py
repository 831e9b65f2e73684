"""FCN-8s decoder: transposed convolutions with skips, cropped to the tile."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.encoders.base import Encoder, Features


class UpScores(nn.ConvTranspose2d):
    """Transposed convolution that starts as bilinear upsampling of each class, with cell edges aligned.

    Parameters
    ----------
    classes : int
        Number of channels.
    factor : int
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

    def forward(self, scores: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Upsample scores.

        This is computed as a 2x2 convolution to ``factor ** 2`` phases that are then laid out, which gives the same
        sums. oneDNN's transposed convolution takes about six times as long in bf16 (8 tiles of 256 px, one core).

        Parameters
        ----------
        scores : Tensor of float [B, classes, h, w]
            Scores.
        output_size : list of int or None, optional
            Unused: the output is ``factor`` times as large.

        Returns
        -------
        Tensor of float [B, classes, h * factor, w * factor]
            Upsampled scores.
        """
        factor = self.stride[0]
        classes = self.in_channels
        # an output row in block j gets input row j - a through kernel rows a * factor + phase, a = 0, 1
        kernel = self.weight.reshape(classes, classes, 2, factor, 2, factor).flip(2, 4)
        phases = kernel.permute(1, 3, 5, 0, 2, 4).reshape(classes * factor**2, classes, 2, 2)
        blocks = F.pixel_shuffle(F.conv2d(scores, phases, padding=1), factor)
        start, (height, width) = factor // 2, (n * factor for n in scores.shape[-2:])
        return blocks[:, :, start : start + height, start : start + width]


class PatchConv2d(nn.Conv2d):
    """Convolution as one matrix product over its patches.

    Where the kernel is wide and the map small, as in fc6, oneDNN's convolution takes twice as long in fp32. Most of
    that is spent on laying the weights out anew in every call.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with stride 1.

        Parameters
        ----------
        x : Tensor of float [B, C, h, w]
            Feature map.

        Returns
        -------
        Tensor of float [B, C', h', w']
            Convolved map.
        """
        assert not isinstance(self.padding, str)
        (rows, columns), (above, left) = self.kernel_size, self.padding
        patches = F.pad(x, (left, left, above, above)).permute(0, 2, 3, 1).unfold(1, rows, 1).unfold(2, columns, 1)
        b, height, width = patches.shape[:3]
        patches = patches.permute(0, 1, 2, 4, 5, 3).reshape(b * height * width, -1)
        out = F.linear(patches, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias)
        return out.reshape(b, height, width, -1).permute(0, 3, 1, 2)


class FullyConnected(nn.Sequential):
    """Layers fc6 (k x k) and fc7 (1x1) of FCN, each with ReLU and dropout, on the features at stride 32.

    Parameters
    ----------
    channels, width : int
        Channels of the input, and of the output of both layers.
    kernel : int
        Kernel size of fc6, cells, odd.
    valid : bool
        If True, cells at the border are left out instead of padded with zeros, for encoders that padded the image.

    Attributes
    ----------
    margin : int
        Cells that are left out on each side.
    """

    def __init__(self, channels: int, width: int, kernel: int, valid: bool) -> None:
        conv6 = PatchConv2d(channels, width, kernel, padding=0 if valid else kernel // 2)
        conv7 = nn.Conv2d(width, width, 1)
        super().__init__(conv6, nn.ReLU(inplace=True), nn.Dropout2d(), conv7, nn.ReLU(inplace=True), nn.Dropout2d())
        self.margin = kernel // 2 if valid else 0


class FCN8sDecoder(nn.Module):
    """Decoder of FCN-8s: scores at stride 32, upsampled and added to the scores of finer skips, then cropped.

    The steps are x2 + scores of the stride-16 skip, x2 + scores of the stride-8 skip, x8, crop. A last skip finer than
    that of FCN-8s continues in the same way.

    Parameters
    ----------
    encoder : Encoder
        Encoder that gives the strides' channels, grids and the skips' scales.
    channels : dict of int to int
        Channels of the maps by stride: 32, 16, 8 and finer. Those of the enhanced map may differ from the encoder's.
    classes : int
        Scores per pixel.
    tile_size : int
        Side of the network's input, px.
    finest_skip : int, optional
        Stride of the last skip: 8, 4 or 2.
    fc_channels : int or None, optional
        Channels of ``FullyConnected``; None scores the features at stride 32 as they are.
    fc_kernel : int, optional
        Kernel size of ``FullyConnected``, cells.

    Raises
    ------
    ConfigError
        The encoder has no features at ``finest_skip``, or the tile size does not fit it.
    """

    def __init__(
        self,
        encoder: Encoder,
        channels: dict[int, int],
        classes: int,
        tile_size: int,
        finest_skip: int = 8,
        fc_channels: int | None = None,
        fc_kernel: int = 7,
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
        self.skip_scales = dict(encoder.skip_scales)
        self.tile_size = tile_size
        self.fc = (
            FullyConnected(channels[32], fc_channels, fc_kernel, valid=encoder.offsets[32] < 0) if fc_channels else None
        )
        channels = channels | {32: fc_channels or channels[32]}
        self.score = nn.ModuleDict({str(s): nn.Conv2d(channels[s], classes, 1) for s in strides})
        for score in self.score.values():
            # no class is preferred before training, however large the features are
            nn.init.normal_(score.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(score.bias)  # type: ignore[arg-type]
        self.up = nn.ModuleDict({str(s): UpScores(classes, 2 if s > finest_skip else finest_skip) for s in strides})
        self.steps = tuple(itertools.pairwise(strides))
        self.finest_skip = finest_skip

    def forward(self, features: Features) -> Tensor:
        """Decode feature maps to logits.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] at strides 32 to ``finest_skip``.

        Returns
        -------
        Tensor of float [B, classes, tile_size, tile_size]
            Logits.
        """
        if self.fc is None:
            scores = self.score["32"](features[32])
        else:
            # the cells that fc6 left out get zeros as scores, as if the transposed convolution ended there
            scores = F.pad(self.score["32"](self.fc(features[32])), [self.fc.margin] * 4)
        for coarse, fine in self.steps:
            skip = self.score[str(fine)](features[fine] * self.skip_scales[fine])
            scores = _cells(self.up[str(coarse)](scores), skip.shape[-1]) + skip
        start = round(-self.grids[self.finest_skip].offset)
        pixels = self.up[str(self.finest_skip)](scores)
        return _cells(pixels[:, :, start:, start:], self.tile_size)


def _cells(x: Tensor, size: int) -> Tensor:
    """Keep the first ``size`` rows and columns.

    Grids of one encoder share their offset.
    """
    return x if x.shape[-1] == size else F.pad(x, (0, size - x.shape[-1], 0, size - x.shape[-1]))
