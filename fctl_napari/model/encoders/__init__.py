"""Encoders by name."""

from fctl_napari.model.architectures import EncoderName
from fctl_napari.model.encoders.base import Encoder, Features
from fctl_napari.model.encoders.efficientnet import EfficientNetLite
from fctl_napari.model.encoders.mit import MixTransformer
from fctl_napari.model.encoders.resnet import VARIANTS as RESNETS
from fctl_napari.model.encoders.resnet import ResNet
from fctl_napari.model.encoders.unet import UNetEncoder
from fctl_napari.model.encoders.vgg16 import VGG16
from fctl_napari.model.encoders.vgg16_bn import VGG16BatchNorm
from fctl_napari.model.encoders.weights import load_published_weights

__all__ = ["Encoder", "Features", "load_published_weights", "make_encoder"]


def make_encoder(name: EncoderName, in_channels: int = 3) -> Encoder:
    """Build an encoder with random weights.

    Parameters
    ----------
    name : EncoderName
        Name of the encoder in the network's settings.
    in_channels : int, optional
        Number of bands of the input.

    Returns
    -------
    Encoder
        The encoder, in float32.
    """
    if name == "vgg16":
        return VGG16(in_channels)
    if name in ("efficientnet_lite0", "efficientnet_lite2"):
        return EfficientNetLite(name, in_channels)
    if name in RESNETS:
        return ResNet(name, in_channels=in_channels)
    if name == "vgg16_bn":
        return VGG16BatchNorm(in_channels)
    if name == "unet":
        return UNetEncoder(in_channels)
    return MixTransformer(name, in_channels)
