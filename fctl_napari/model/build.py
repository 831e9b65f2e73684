"""Networks from their settings."""

from __future__ import annotations

from collections.abc import Callable

from fctl_napari.model.architectures import ArchitectureName
from fctl_napari.model.baselines.cascadepsp import CascadePSP
from fctl_napari.model.baselines.deeplab import deeplabv3plus
from fctl_napari.model.baselines.deeplab_separable import deeplabv3plus_separable
from fctl_napari.model.baselines.fpn import fpn
from fctl_napari.model.baselines.glnet_sharing import glnet
from fctl_napari.model.baselines.icnet import icnet
from fctl_napari.model.baselines.pspnet import pspnet
from fctl_napari.model.baselines.refiner import Refiner
from fctl_napari.model.baselines.segformer import segformer
from fctl_napari.model.baselines.segnet import segnet
from fctl_napari.model.baselines.unet import unet
from fctl_napari.model.baselines.unet_resnet import unet_resnet
from fctl_napari.model.baselines.upernet import UperNet
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.network import Network
from fctl_napari.model.onnx_network import OnnxNetwork

_BUILDERS: dict[ArchitectureName, Callable[[FCtLConfig], Network]] = {
    "fctl": FCtL,
    "segnet": segnet,
    "unet": unet,
    "unet_resnet": unet_resnet,
    "fpn": fpn,
    "pspnet": pspnet,
    "deeplabv3plus": deeplabv3plus,
    "deeplabv3plus_separable": deeplabv3plus_separable,
    "icnet": icnet,
    "segformer": segformer,
    "upernet": UperNet,
    "glnet": glnet,
    "refiner": Refiner,
    "cascadepsp": CascadePSP,
    "onnx": OnnxNetwork,
}


def make_network(config: FCtLConfig) -> Network:
    """Build a network with random weights.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Network
        The network, in training mode.

    Raises
    ------
    CheckpointError
        The network runs through a package that is not installed.
    ConfigError
        The tile size does not fit the encoder, or the encoder has no features at ``finest_skip``.
    """
    return _BUILDERS[config.architecture](config)
