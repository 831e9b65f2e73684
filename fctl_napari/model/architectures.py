"""Names of architectures and encoders, and which go together (no torch)."""

from __future__ import annotations

from typing import Literal, get_args

ArchitectureName = Literal[
    "fctl",
    "segnet",
    "unet",
    "unet_resnet",
    "fpn",
    "pspnet",
    "deeplabv3plus",
    "deeplabv3plus_separable",
    "icnet",
    "segformer",
    "upernet",
    "glnet",
    "refiner",
    "cascadepsp",
    "onnx",
]
EncoderName = Literal[
    "vgg16",
    "mit_b0",
    "mit_b2",
    "mit_b5",
    "efficientnet_lite0",
    "efficientnet_lite2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "vgg16_bn",
    "unet",
    "transformers",
]

_RESNETS: tuple[EncoderName, ...] = ("resnet34", "resnet18", "resnet50", "resnet101")
ENCODERS: dict[ArchitectureName, tuple[EncoderName, ...]] = {
    "fctl": ("vgg16", "mit_b0", "mit_b2", "mit_b5", "efficientnet_lite0", "efficientnet_lite2", "resnet50"),
    "segnet": ("vgg16_bn",),
    "unet": ("unet",),
    "unet_resnet": _RESNETS,
    "fpn": _RESNETS,
    "pspnet": ("resnet50",),
    "deeplabv3plus": ("resnet50",),
    "deeplabv3plus_separable": _RESNETS,
    "icnet": ("resnet50",),
    "segformer": ("mit_b0", "mit_b2", "mit_b5"),
    "upernet": ("transformers",),
    "glnet": ("resnet50",),
    "refiner": ("unet",),
    "cascadepsp": ("resnet50",),
}
"""Encoders of each architecture, its own first. A network that came as an ONNX file has none of them."""

OWN_ENCODERS: tuple[EncoderName, ...] = tuple(name for name in get_args(EncoderName) if name != "transformers")
"""Encoders that are made by their names alone."""
