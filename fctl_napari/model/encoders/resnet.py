"""ResNets (He et al., 2016) and their dilated forms, with the module names of torchvision's files."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.architectures import EncoderName
from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.encoders.base import Encoder, Features

STEM = 64
"""Channels of the stem."""


def _shortcut(before: int, after: int, stride: int) -> nn.Module:
    """Build the path beside a block's convolutions."""
    if stride == 1 and before == after:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), BatchNorm(after))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a residual, the first with a stride, both with dilation.

    Parameters
    ----------
    before, inner : int
        Channels of the input and of the output.
    stride, dilation : int
        Stride of the first convolution and dilation of both, cells.
    """

    expansion: ClassVar[int] = 1

    def __init__(self, before: int, inner: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, inner, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn1 = BatchNorm(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = BatchNorm(inner)
        self.downsample = _shortcut(before, inner, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block.

        Parameters
        ----------
        x : Tensor of float [B, before, h, w]
            Feature map.

        Returns
        -------
        Tensor of float [B, inner, h / stride, w / stride]
            Feature map.
        """
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a residual, the 3x3 one with stride and dilation.

    Parameters
    ----------
    before, inner : int
        Channels of the input and of the 3x3 convolution. The output has 4 * ``inner``.
    stride, dilation : int
        Stride and dilation of the 3x3 convolution, cells.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, before: int, inner: int, stride: int, dilation: int) -> None:
        super().__init__()
        after = inner * self.expansion
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.bn1 = BatchNorm(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = BatchNorm(inner)
        self.conv3 = nn.Conv2d(inner, after, 1, bias=False)
        self.bn3 = BatchNorm(after)
        self.downsample = _shortcut(before, after, stride)

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


class Variant(NamedTuple):
    """Layers of a ResNet.

    Attributes
    ----------
    block : type of BasicBlock or Bottleneck
        Kind of its blocks.
    counts : tuple of 4 int
        Blocks of each stage.
    published : str
        Torchvision's file of its weights.
    """

    block: type[BasicBlock] | type[Bottleneck]
    counts: tuple[int, int, int, int]
    published: str


VARIANTS: dict[EncoderName, Variant] = {
    "resnet18": Variant(BasicBlock, (2, 2, 2, 2), "resnet18-f37072fd.pth"),
    "resnet34": Variant(BasicBlock, (3, 4, 6, 3), "resnet34-b627a593.pth"),
    "resnet50": Variant(Bottleneck, (3, 4, 6, 3), "resnet50-0676ba61.pth"),
    "resnet101": Variant(Bottleneck, (3, 4, 23, 3), "resnet101-63fe2227.pth"),
}


class ResNet(Encoder):
    """ResNet for tiles of any size.

    Strides 4, 8, 16, 32 have 64, 128, 256, 512 channels, four times as many with bottlenecks.

    Parameters
    ----------
    name : EncoderName
        Key of ``VARIANTS``.
    output_stride : int, optional
        Stride of the last stage: 32, or 16 or 8. Under 32, later stages are dilated instead of strided (Chen et al.,
        2017), with the same weights.
    in_channels : int, optional
        Number of bands of the input.
    multi_grid : tuple of int, optional
        Multiples of the last stage's dilation, by block. Without, its first block keeps the dilation of the stage
        before, as torchvision's does.
    fine : bool, optional
        If True, the stem's features before its pooling are given at stride 2.

    Attributes
    ----------
    stages : list of (str, int)
        Name and stride of each stage.
    """

    first_weight: ClassVar[str] = "conv1.weight"

    def __init__(
        self,
        name: EncoderName,
        output_stride: int = 32,
        in_channels: int = 3,
        multi_grid: tuple[int, ...] | None = None,
        fine: bool = False,
    ) -> None:
        super().__init__()
        variant = VARIANTS[name]
        self.published = f"{variant.published} (torchvision)"
        self.conv1 = nn.Conv2d(in_channels, STEM, 7, 2, padding=3, bias=False)
        self.bn1 = BatchNorm(STEM)
        self.fine = fine
        self.channels = {2: STEM} if fine else {}
        self.stages: list[tuple[str, int]] = []
        before, stride, dilation = STEM, 4, 1
        for number, count in enumerate(variant.counts, 1):
            inner = 32 * 2**number
            step, first = (1 if number == 1 else 2), dilation
            if step * stride > output_stride:
                step, dilation = 1, dilation * 2
            stride *= step
            dilations = [first] + (count - 1) * [dilation]
            if multi_grid is not None and number == len(variant.counts):
                dilations = [factor * dilation for factor in multi_grid]
            blocks = []
            for position, one in enumerate(dilations):
                blocks.append(variant.block(before, inner, 1 if position else step, one))
                before = inner * variant.block.expansion
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            self.stages.append((f"layer{number}", stride))
            self.channels[stride] = before
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def first(self, images: Tensor) -> Tensor:
        """Convolve images to stride 2.

        Parameters
        ----------
        images : Tensor of float [B, C, T, T]
            Normalized images.

        Returns
        -------
        Tensor of float [B, 64, T / 2, T / 2]
            Feature map, rounded up in size.
        """
        return F.relu(self.bn1(self.conv1(images)))

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
        return _pool(self.first(images))

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
        first = self.first(images)
        found = {2: first} if self.fine else {}
        return found | self.run_stages(_pool(first), last_stride)

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
        """Take the arrays of torchvision's ResNet, whose keys are this module's.

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


class ResNet50(ResNet):
    """ResNet-50, see ``ResNet``.

    Parameters
    ----------
    output_stride, in_channels, multi_grid : optional
        As of ``ResNet``.
    """

    def __init__(
        self, output_stride: int = 32, in_channels: int = 3, multi_grid: tuple[int, int, int] | None = None
    ) -> None:
        super().__init__("resnet50", output_stride, in_channels, multi_grid)


def _pool(x: Tensor) -> Tensor:
    """Pool the stem's features to stride 4."""
    return F.max_pool2d(x, 3, 2, padding=1)
