"""VGG16 with batch norm, SegNet's encoder, which keeps the positions of the maxima."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.encoders.base import Encoder, Features
from fctl_napari.model.encoders.vgg16 import LAYERS, WIDTHS


class VGG16BatchNorm(Encoder):
    """The 13 convolutions of VGG16, each with batch norm and ReLU.

    Modules have the indices of torchvision's ``features``. At strides 1 to 16 the output is no feature map but the
    positions of the maxima that the pooling from there chose: int64 [B, C, h / 2, w / 2], indices into the map that was
    pooled, as ``max_unpool2d`` takes them.

    Parameters
    ----------
    in_channels : int, optional
        Number of bands of the input.
    """

    multiple_of: ClassVar[int] = 1
    first_weight: ClassVar[str] = "layers.0.weight"
    published: str = "vgg16_bn-6c64b313.pth (torchvision)"

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.channels = {**{2**n: width for n, width in enumerate(WIDTHS)}, 32: WIDTHS[-1]}
        layers: list[nn.Module] = []
        before = in_channels
        for count, width in zip(LAYERS, WIDTHS, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(before, width, 3, padding=1), BatchNorm(width), nn.ReLU(inplace=True)]
                before = width
            layers.append(nn.MaxPool2d(2, 2))
        self.layers = nn.ModuleList(layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def features(self, images: Tensor, last_stride: int) -> Features:
        """Run the layers and keep the positions of the maxima.

        Parameters
        ----------
        images : Tensor of float [B, C, T, T]
            Normalized images.
        last_stride : int
            Coarsest stride that is computed.

        Returns
        -------
        Features
            The last map at ``last_stride``, and positions of the maxima at finer strides.
        """
        found: Features = {}
        stride = 1
        x = images
        block: list[nn.Module] = []
        for layer in self.layers:
            if not isinstance(layer, nn.MaxPool2d):
                block.append(layer)
                continue
            x, found[stride] = F.max_pool2d(self.run(nn.Sequential(*block), x), 2, return_indices=True)
            block = []
            stride *= 2
            if stride == last_stride:
                break
        found[stride] = x
        return found

    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename the keys of torchvision's VGG16 with batch norm (``features.N.weight``).

        Parameters
        ----------
        state : dict of str to Tensor
            Arrays of the published file by name.

        Returns
        -------
        dict of str to Tensor
            Arrays by this module's keys. The classifier is dropped.
        """
        return {
            "layers." + key.removeprefix("features."): value
            for key, value in state.items()
            if key.startswith("features.")
        }
