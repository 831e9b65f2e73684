"""Refinement of masks after CascadePSP (Cheng et al., 2020): an image and a coarse mask of it give a finer mask.

One small U-Net in place of the paper's three passes of a PSPNet, all classes at once, and what it finds is added to the
mask that it is given: before training it changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, cat, nn

from fctl_napari.errors import ConfigError
from fctl_napari.model.baselines.base import Baseline
from fctl_napari.model.baselines.unet import UNetDecoder
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.unet import UNetEncoder
from fctl_napari.model.feature_ablation import WHOLE, Without

WIDTHS = (16, 32, 48, 64, 96)
"""Channels at strides 1 to 16."""

STRENGTH = 4.0
"""The logit of a class that was called; the others have 0."""

MASKS = 0
"""Where the masks stand among the features by stride."""


class RefinerEncoder(UNetEncoder):
    """U-Net's, over RGB and one mask for each class.

    Parameters
    ----------
    classes
        How many.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(3 + classes, WIDTHS)
        self.classes = classes

    def masks(self, images: Tensor) -> Tensor:
        """Make masks of labels: 1 where a class was called, else 0, [B, classes, T, T] in the weights' dtype."""
        labels = torch.arange(1, self.classes + 1, device=images.device)[:, None, None]
        return (images[:, 3:] == labels).to(next(self.parameters()).dtype)

    def normalize(self, images: Tensor) -> Tensor:
        """Normalise RGB as ever; masks become -1 and 1."""
        return cat([super().normalize(images[:, :3]), self.masks(images) * 2 - 1], 1)


class Refiner(Baseline):
    """Adds to the masks, as logits, what a U-Net makes of them and the image.

    Its tiles have four channels: RGB in 0..255, and labels (0 nothing, k + 1 class k).

    Parameters
    ----------
    config
        The settings.
    """

    def __init__(self, config: FCtLConfig) -> None:
        decoder = UNetDecoder(config.classes, WIDTHS)
        nn.init.zeros_(decoder.score.weight)
        assert decoder.score.bias is not None
        nn.init.zeros_(decoder.score.bias)
        super().__init__(config, RefinerEncoder(config.classes), decoder)

    def tile_features(self, images: Tensor) -> Features:
        """Run the encoder; the masks go with what it finds.

        Raises
        ------
        ConfigError
            There is no mask beside the image.
        """
        if images.shape[1] != 4:
            raise ConfigError("this network refines a segmentation and does not make one; use it with `fctl refine`.")
        encoder = self.encoder("tile")
        assert isinstance(encoder, RefinerEncoder)
        return super().tile_features(images) | {MASKS: encoder.masks(images)}

    def logits(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Add what the decoder says to the masks."""
        return STRENGTH * tile[MASKS] + super().logits(tile, contexts, windows, without, fusion)
