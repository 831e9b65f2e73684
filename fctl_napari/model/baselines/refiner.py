"""Refinement of masks after CascadePSP (Cheng et al., 2020): an image and its coarse mask give a finer mask.

One small U-Net replaces the paper's three passes of a PSPNet and refines all classes at once. Its output is added to
the mask that it is given, so before training it changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, cat, nn

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.baselines.base import Baseline
from fctl_napari.model.baselines.unet import UNetDecoder
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.unet import UNetEncoder
from fctl_napari.model.feature_ablation import WHOLE, Without

WIDTHS = (16, 32, 48, 64, 96)
"""Channels at strides 1 to 16."""

STRENGTH = 4.0
"""Logit of the class that was predicted; the others have 0."""

MASKS = 0
"""Key of the masks among the features by stride."""


class RefinerEncoder(UNetEncoder):
    """U-Net's encoder over RGB and one mask for each class.

    Parameters
    ----------
    classes : int
        Number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(3 + classes, WIDTHS)
        self.classes = classes

    def masks(self, images: Tensor) -> Tensor:
        """Make a mask of each class from labels.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, 4, T, T]
            RGB, and labels (0 nothing, k + 1 class k).

        Returns
        -------
        Tensor of float [B, classes, T, T]
            1 where a class was predicted, else 0, in the weights' dtype.
        """
        labels = torch.arange(1, self.classes + 1, device=images.device)[:, None, None]
        return (images[:, 3:] == labels).to(next(self.parameters()).dtype)

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize RGB as U-Net's encoder does, and set masks to -1 and 1.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, 4, T, T]
            RGB in 0..255, and labels (0 nothing, k + 1 class k).

        Returns
        -------
        Tensor of float [B, 3 + classes, T, T]
            Normalized RGB, then the masks.
        """
        return cat([super().normalize(images[:, :3]), self.masks(images) * 2 - 1], 1)


class Refiner(Baseline):
    """Network that adds a correction to masks, as logits, from the masks and the image.

    Its tiles have four channels: RGB in 0..255, and labels (0 nothing, k + 1 class k).

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.
    """

    def __init__(self, config: FCtLConfig) -> None:
        decoder = UNetDecoder(config.classes, WIDTHS)
        nn.init.zeros_(decoder.score.weight)
        assert decoder.score.bias is not None
        nn.init.zeros_(decoder.score.bias)
        super().__init__(config, RefinerEncoder(config.classes), decoder)

    @property
    def input_weights(self) -> tuple[str, ...]:
        """None: its first convolution takes masks as well, so that its filters are not of bands alone."""
        return ()

    def tile_features(self, images: Tensor) -> Features:
        """Run the encoder and keep the masks beside its features.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, 4, T, T]
            RGB in 0..255, and labels (0 nothing, k + 1 class k).

        Returns
        -------
        Features
            Maps [B, C, h, w] at the decoder's strides, and the masks [B, classes, T, T] at ``MASKS``.

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
        """Add the decoder's scores to the masks.

        Parameters
        ----------
        tile : Features
            From ``tile_features``.
        contexts, windows : dict of str to Tensor
            Unused; see ``Baseline.logits``.
        without : Without, optional
            Unused.
        fusion : list of Tensor or None, optional
            Unused.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """
        return STRENGTH * tile[MASKS] + super().logits(tile, contexts, windows, without, fusion)
