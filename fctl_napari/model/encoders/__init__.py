"""Encoders by name."""

from fctl_napari.model.config import EncoderName
from fctl_napari.model.encoders.base import Encoder, Features
from fctl_napari.model.encoders.efficientnet import EfficientNetLite0
from fctl_napari.model.encoders.mit import MixTransformer
from fctl_napari.model.encoders.resnet import ResNet50
from fctl_napari.model.encoders.unet import UNetEncoder
from fctl_napari.model.encoders.vgg16 import VGG16
from fctl_napari.model.encoders.vgg16_bn import VGG16BatchNorm
from fctl_napari.model.encoders.weights import load_published_weights

__all__ = ["Encoder", "Features", "load_published_weights", "make_encoder"]


def make_encoder(name: EncoderName) -> Encoder:
    """Build an encoder with random weights.

    Parameters
    ----------
    name : EncoderName
        Name of the encoder in the network's settings.

    Returns
    -------
    Encoder
        The encoder, in float32.
    """
    if name == "vgg16":
        return VGG16()
    if name == "efficientnet_lite0":
        return EfficientNetLite0()
    if name == "resnet50":
        return ResNet50()
    if name == "vgg16_bn":
        return VGG16BatchNorm()
    if name == "unet":
        return UNetEncoder()
    return MixTransformer(name)
