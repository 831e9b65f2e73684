"""ResNet-50 (He et al., 2016) and its dilated forms, with the module names of torchvision's file."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.encoders.base import Encoder, Features

BLOCKS = (3, 4, 6, 3)
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a residual, the 3x3 one with stride and dilation.

    Parameters
    ----------
    before, inner : int
        Channels of the input and of the 3x3 convolution. The output has 4 * ``inner``.
    stride, dilation : int
        Stride and dilation of the 3x3 convolution, cells.
    """

    def __init__(self, before: int, inner: int, stride: int, dilation: int) -> None:
        super().__init__()
        after = inner * EXPANSION
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.bn1 = BatchNorm(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = BatchNorm(inner)
        self.conv3 = nn.Conv2d(inner, after, 1, bias=False)
        self.bn3 = BatchNorm(after)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), BatchNorm(after))
            if stride > 1 or before != after
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the block.

        Parameters
        ----------
        x : Tensor of float [B, before, h, w]
            Feature map.

        Returns
        -------
        Tensor of float [B, 4 * inner, h / stride, w / stride]
            Feature map.
        """
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class ResNet50(Encoder):
    """ResNet-50 for tiles of any size.

    Strides 4, 8, 16, 32 have 256, 512, 1024, 2048 channels.

    Parameters
    ----------
    output_stride : int, optional
        Stride of the last stage: 32, or 16 or 8. Under 32, later stages are dilated instead of strided (Chen et al.,
        2017), with the same weights.
    in_channels : int, optional
        Number of bands of the input.
    multi_grid : tuple of 3 int, optional
        Multiples of the last stage's dilation, by block.

    Attributes
    ----------
    stages : list of (str, int)
        Name and stride of each stage.
    """

    first_weight: ClassVar[str] = "conv1.weight"
    published: str = "resnet50-0676ba61.pth (torchvision)"

    def __init__(
        self, output_stride: int = 32, in_channels: int = 3, multi_grid: tuple[int, int, int] | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
        self.bn1 = BatchNorm(64)
        self.channels = {}
        self.stages: list[tuple[str, int]] = []
        before, stride, dilation = 64, 4, 1
        for number, count in enumerate(BLOCKS, 1):
            inner = 32 * 2**number
            step, first = (1 if number == 1 else 2), dilation
            if step * stride > output_stride:
                step, dilation = 1, dilation * 2
            stride *= step
            dilations = [first] + (count - 1) * [dilation]
            if multi_grid is not None and number == len(BLOCKS):
                dilations = [factor * dilation for factor in multi_grid]
            blocks = []
            for position, one in enumerate(dilations):
                blocks.append(Bottleneck(before, inner, 1 if position else step, one))
                before = inner * EXPANSION
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            self.stages.append((f"layer{number}", stride))
            self.channels[stride] = before
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, images: Tensor) -> Tensor:
        """Convolve and pool images to stride 4.

        Parameters
        ----------
        images : Tensor of float [B, C, T, T]
            Normalized images.

        Returns
        -------
        Tensor of float [B, 64, T / 4, T / 4]
            Feature map, rounded up in size.
        """
        return F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, padding=1)

    def features(self, images: Tensor, last_stride: int) -> Features:
        """Run the stages and keep the last output at each stride.

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
        return self.run_stages(self.stem(images), last_stride)

    def run_stages(self, x: Tensor, last_stride: int) -> Features:
        """Run the stages after the stem.

        Parameters
        ----------
        x : Tensor of float [B, 64, h, w]
            Output of the stem.
        last_stride : int
            Coarsest stride that is computed.

        Returns
        -------
        Features
            Maps [B, C, h, w] by stride.
        """
        found: Features = {}
        for name, stride in self.stages:
            if stride > last_stride:
                break
            for block in self.get_submodule(name).children():
                x = self.run(block, x)
            found[stride] = x
        return found

    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take the arrays of torchvision's ResNet-50, whose keys are this module's.

        Parameters
        ----------
        state : dict of str to Tensor
            Arrays of the published file by name.

        Returns
        -------
        dict of str to Tensor
            The arrays without the classifier ``fc``.
        """
        return {key: value for key, value in state.items() if not key.startswith("fc.")}
