"""VGG16's convolutions in the FCN-8s convention of the released code: padding 100, ceil-mode pooling."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from fctl_napari.model.encoders.base import IMAGENET_MEAN, IMAGENET_STD, Encoder, Features
from fctl_napari.model.encoders.constant_border import ConstantBorder

LAYERS = (2, 2, 3, 3, 3)
WIDTHS = (64, 128, 256, 512, 512)
PADDING = 100
"""Padding of the first convolution, px."""
CAFFE_MEAN = (123.68, 116.779, 103.939)


class VGG16(Encoder):
    """Conv1 to Conv5 of VGG16, up to pool5.

    A tile of 508 px has 89, 45 and 23 cells at strides 8, 16 and 32. The first convolution is padded by 100 px instead
    of 1, so cell 0 starts 99 px before the tile at every stride. Modules have the indices of torchvision's
    ``features``.

    Parameters
    ----------
    in_channels : int, optional
        Number of bands of the input.

    Attributes
    ----------
    skip_constant_border : bool
        If True, inference takes the part that the image does not reach from an earlier run. The result is exact.
    """

    offsets: ClassVar[dict[int, float]] = {8: -99.0, 16: -99.0, 32: -99.0}
    skip_scales: ClassVar[dict[int, float]] = {8: 0.0001, 16: 0.01}
    multiple_of: ClassVar[int] = 1
    first_weight: ClassVar[str] = "layers.0.weight"
    published: str = "vgg16-397923af.pth (torchvision)"

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.channels = {8: 256, 16: 512, 32: 512}
        layers: list[nn.Module] = []
        before = in_channels
        for block, (count, width) in enumerate(zip(LAYERS, WIDTHS, strict=True)):
            for i in range(count):
                padding = PADDING if block == 0 and i == 0 else 1
                layers += [nn.Conv2d(before, width, 3, padding=padding), nn.ReLU(inplace=True)]
                before = width
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        self.layers = nn.ModuleList(layers)
        self.skip_constant_border = True
        self._border: tuple[object, ConstantBorder] | None = None

    def cells(self, tile_size: int, stride: int) -> int:
        """Count the cells along one side of the feature map of a tile.

        The padded tile is halved and rounded up at each pooling.

        Parameters
        ----------
        tile_size : int
            Side of the network's input, px.
        stride : int
            Stride of the feature map, px.

        Returns
        -------
        int
            Number of cells along one side.
        """
        return math.ceil((tile_size + 198) / stride)

    def features(self, images: Tensor, last_stride: int) -> Features:
        """Run the layers and keep the outputs of pool3, pool4 and pool5.

        In evaluation mode and without gradients, the part that the image does not reach is taken from an earlier run;
        see ``ConstantBorder``.

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
        alone = not self.training and not torch.is_grad_enabled() and not torch.compiler.is_exporting()
        if self.skip_constant_border and alone:
            return self._features_of_the_image(images, last_stride)
        found: Features = {}
        x = images
        start = 0
        for block, end in enumerate(self._poolings(), 1):
            x = self.run(nn.Sequential(*self.layers[start : end + 1]), x)
            start = end + 1
            stride = 2**block
            if stride >= 8:
                found[stride] = x
            if stride == last_stride:
                break
        return found

    def _poolings(self) -> list[int]:
        return [i for i, layer in enumerate(self.layers) if isinstance(layer, nn.MaxPool2d)]

    def _features_of_the_image(self, images: Tensor, last_stride: int) -> Features:
        kept = dict(zip(self._poolings()[2:], (8, 16, 32), strict=True))
        autocast = images.device.type != "meta" and torch.is_autocast_enabled(images.device.type)
        weights = tuple((p.data_ptr(), p._version) for p in self.parameters())
        key = (images.shape[-1], images.dtype, images.device, autocast, weights)
        if self._border is None or self._border[0] != key:
            self._border = key, ConstantBorder(list(self.layers), PADDING, images.shape[-1], kept, images)
        last = next(index for index, stride in kept.items() if stride == last_stride)
        return {kept[index]: x for index, x in self._border[1].run(images, last).items()}

    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename the keys of torchvision's VGG16, or the initializers of Keras' VGG16 in ONNX.

        Torchvision's keys are ``features.N.weight``. Keras' weights expect RGB in 0..255 minus a mean, with the first
        convolution's input stored as BGR. They are refitted to (RGB - mean) / std.

        Parameters
        ----------
        state : dict of str to Tensor
            Arrays of the published file by name.

        Returns
        -------
        dict of str to Tensor
            Arrays by this module's keys.
        """
        if any(key.startswith("features.") for key in state):
            return {
                "layers." + key.removeprefix("features."): value
                for key, value in state.items()
                if key.startswith("features.")
            }
        return self._from_keras(state)

    def _from_keras(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Match ``...block1_conv1...kernel/bias`` initializers by block and layer."""
        names = [f"block{b + 1}_conv{i + 1}" for b, count in enumerate(LAYERS) for i in range(count)]
        convs = [n for n, layer in self.layers.named_children() if isinstance(layer, nn.Conv2d)]
        out: dict[str, Tensor] = {}
        for name, index in zip(names, convs, strict=True):
            for key, value in state.items():
                if name in key:
                    out[f"layers.{index}.{'weight' if value.ndim == 4 else 'bias'}"] = value
        if "layers.0.weight" in out:
            weight = out["layers.0.weight"].flip(1)
            mean, std, caffe = (
                weight.new_tensor(v)[None, :, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD, CAFFE_MEAN)
            )
            out["layers.0.bias"] = out["layers.0.bias"] + (weight * (mean - caffe)).sum((1, 2, 3))
            out["layers.0.weight"] = weight * std
        return out
