"""Networks of the package segmentation_models.pytorch: their structure, their names of weights, and ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.architectures import ArchitectureName, EncoderName
from fctl_napari.model.encoders.resnet import VARIANTS, Bottleneck
from fctl_napari.model.folders.filled import renamed
from fctl_napari.words import count_of

KIND = "_model_class"
"""Field of ``config.json`` that only this package writes."""

PREFIXES = {"encoders.tile.": "encoder.", "decoder.score.": "segmentation_head.0.", "decoder.": "decoder."}
"""Beginnings of the names of weights: ours, and theirs."""


class Structure(NamedTuple):
    """One of their classes of networks.

    Attributes
    ----------
    title : str
        Name for people.
    architecture : ArchitectureName
        Our name of it.
    mark : str
        Name of a weight by which its decoder is known.
    fields : dict of str to tuple
        Values of each field of ``config.json`` that ours has, their default first.
    """

    title: str
    architecture: ArchitectureName
    mark: str
    fields: dict[str, tuple[Any, ...]]


_COMMON: dict[str, tuple[Any, ...]] = {"encoder_depth": (5,), "in_channels": (3,), "aux_params": (None,)}
STRUCTURES = {
    "Unet": Structure(
        "U-Net",
        "unet_resnet",
        "decoder.blocks.0.conv1.0.weight",
        _COMMON
        | {
            "decoder_use_norm": ("batchnorm", True, {"type": "batchnorm"}),
            "decoder_use_batchnorm": (True, None),
            "decoder_channels": ([256, 128, 64, 32, 16],),
            "decoder_attention_type": (None,),
            "decoder_interpolation": ("nearest",),
        },
    ),
    "FPN": Structure(
        "FPN",
        "fpn",
        "decoder.p5.weight",
        _COMMON
        | {
            "decoder_pyramid_channels": (256,),
            "decoder_segmentation_channels": (128,),
            "decoder_merge_policy": ("add",),
            "decoder_interpolation": ("nearest",),
            "upsampling": (4,),
        },
    ),
    "DeepLabV3Plus": Structure(
        "DeepLab v3+",
        "deeplabv3plus_separable",
        "decoder.aspp.0.convs.0.0.weight",
        _COMMON
        | {
            "encoder_output_stride": (16,),
            "decoder_channels": (256,),
            "decoder_atrous_rates": ([12, 24, 36],),
            "decoder_aspp_separable": (True,),
            "upsampling": (4,),
        },
    ),
}
"""Their classes that have a counterpart here."""

WITHOUT_EFFECT = ("encoder_name", "encoder_weights", "classes", "activation", "decoder_dropout", "decoder_aspp_dropout")
"""Fields that are read elsewhere, or that do not count for logits."""

PARTS_ELSEWHERE = {
    "classification_head.": "an auxiliary classification head",
    ".attention1.": "scse attention",
    "decoder.aspp.0.convs.1.0.weight": "an atrous pyramid of plain convolutions",
}
"""Parts of networks that have no counterpart here, by what stands in the names of their weights."""


class Found(NamedTuple):
    """A network as its weights show it.

    Attributes
    ----------
    structure : Structure
        Its class.
    encoder : EncoderName
        Its encoder.
    outputs : int
        Scores per pixel.
    state : dict of str to Tensor
        Its weights by their names, without what stands before all of them.
    """

    structure: Structure
    encoder: EncoderName
    outputs: int
    state: dict[str, Tensor]

    @property
    def title(self) -> str:
        """Name for people."""
        return f"{self.structure.title} over {self.encoder}"


def find_network(path: Path, state: dict[str, Tensor]) -> Found:
    """Find out which network weights are of.

    Parameters
    ----------
    path : Path
        Their file or folder.
    state : dict of str to Tensor
        The weights. What stands before the names of all of the network's (``"model."``) is taken off, and others are
        left out then.

    Returns
    -------
    Found
        The network.

    Raises
    ------
    CheckpointError
        They are of no network that has a counterpart here.
    """
    state = _without_prefix(path, state)
    for part, words in PARTS_ELSEWHERE.items():
        if any(part in key for key in state):
            raise CheckpointError(f"{path}: the network has {words}, which is missing here; import one without.")
    structure = next((one for one in STRUCTURES.values() if one.mark in state), None)
    if structure is None:
        some = next((key for key in state if key.startswith("decoder.")), "no weights of a decoder")
        raise CheckpointError(
            f"{path}: its decoder ({some}) is none of {_listed([one.title for one in STRUCTURES.values()])} of "
            "segmentation_models.pytorch; only those can be imported."
        )
    encoder = _encoder(path, state)
    filters = state["encoder.conv1.weight"]
    if filters.ndim != 4 or filters.shape[1] != 3:
        raise CheckpointError(
            f"{path}: its first filters have the shape {tuple(filters.shape)}; only networks of 3 bands can be "
            "imported."
        )
    bias = state.get("segmentation_head.0.bias")
    if bias is None or bias.ndim != 1 or not 1 <= len(bias) <= 250:
        raise CheckpointError(f"{path}: has no scores of 1 to 250 classes (segmentation_head.0.bias); check the file.")
    return Found(structure, encoder, len(bias), state)


def check_settings(path: Path, document: dict[str, Any]) -> None:
    """Refuse a network whose ``config.json`` states what ours has not.

    Parameters
    ----------
    path : Path
        The document.
    document : dict of str to object
        Its content.

    Raises
    ------
    CheckpointError
        The class, the encoder or a setting has no counterpart here.
    """
    kind = document.get(KIND)
    structure = STRUCTURES.get(kind) if isinstance(kind, str) else None
    if structure is None:
        raise CheckpointError(
            f"{path}: is of {kind}; of segmentation_models.pytorch only {_listed(STRUCTURES)} can be imported."
        )
    encoder = document.get("encoder_name", "resnet34")
    if encoder not in VARIANTS:
        raise CheckpointError(f"{path}: the encoder is {encoder}; only {_listed(VARIANTS)} can be imported.")
    for key, value in document.items():
        if key.startswith("_") or key in WITHOUT_EFFECT:
            continue
        accepted = structure.fields.get(key, (None,))
        if value not in accepted:
            raise CheckpointError(
                f"{path}: {key} is {value}; {structure.title} can be imported only with {accepted[0]}."
            )


def our_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights, and give a network of one score a second class.

    Parameters
    ----------
    state : dict of str to Tensor
        Weights by their names.

    Returns
    -------
    dict of str to Tensor
        Weights by our names. A network that scores one class with x scores the background with 0 and the class with x,
        whose softmax is the sigmoid of x.
    """
    prefixes = {theirs: ours for ours, theirs in PREFIXES.items()}
    ours = {renamed(key, prefixes): value for key, value in state.items()}
    for key in ("decoder.score.weight", "decoder.score.bias"):
        if key in ours and len(ours[key]) == 1:
            ours[key] = torch.cat([torch.zeros_like(ours[key]), ours[key]])
    return ours


def their_name(name: str) -> str:
    """Rename a weight of ours.

    Parameters
    ----------
    name : str
        Our name.

    Returns
    -------
    str
        Their name.
    """
    return renamed(name, PREFIXES)


def _without_prefix(path: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off what stands before all names of the network."""
    first = "encoder.conv1.weight"
    prefixes = [key.removesuffix(first) for key in state if key == first or key.endswith(f".{first}")]
    if not prefixes:
        some = next((key for key in state if "encoder." in key), next(iter(state), "no weights"))
        raise CheckpointError(
            f"{path}: its encoder ({some}) is no ResNet; of segmentation_models.pytorch only networks over "
            f"{_listed(VARIANTS)} can be imported."
        )
    if len(prefixes) > 1:
        raise CheckpointError(
            f"{path}: holds {count_of(len(prefixes), 'network')} ({', '.join(prefixes)}); export the weights of one."
        )
    prefix = prefixes[0]
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _encoder(path: Path, state: dict[str, Tensor]) -> EncoderName:
    """Find the ResNet by the numbers of its blocks."""
    blocks = {tuple(found.groups()) for key in state if (found := re.match(r"encoder\.layer(\d)\.(\d+)\.", key))}
    counts = tuple(sum(1 for stage, _ in blocks if stage == str(number)) for number in range(1, 5))
    bottlenecks = "encoder.layer1.0.conv3.weight" in state
    for name, variant in VARIANTS.items():
        if variant.counts == counts and (variant.block is Bottleneck) == bottlenecks:
            return name
    raise CheckpointError(
        f"{path}: its encoder has {', '.join(map(str, counts))} blocks; only {_listed(VARIANTS)} can be imported."
    )


def _listed(names: Sequence[str] | dict[Any, Any]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}"
