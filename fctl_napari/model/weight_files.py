"""Identification of weight files and of their use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.architectures import ENCODERS, OWN_ENCODERS, EncoderName
from fctl_napari.model.encoders import make_encoder
from fctl_napari.model.encoders.weights import misfits
from fctl_napari.model.folders.smp import find_network
from fctl_napari.model.model_card import read_card
from fctl_napari.model.presets import PRESETS, preset
from fctl_napari.model.released import read_released, released_kind
from fctl_napari.words import count_of


@dataclass(frozen=True)
class Identity:
    """Kind and use of a weight file.

    Attributes
    ----------
    what : str
        Kind of the file, for people.
    use : str
        Use of the file, for people.
    presets : tuple of str
        Presets that take the file.
    """

    what: str
    use: str
    presets: tuple[str, ...]


def identify(path: Path | str) -> Identity:
    """Identify a file of weights.

    Parameters
    ----------
    path : Path or str
        The file.

    Returns
    -------
    Identity
        Kind and use of the file.

    Raises
    ------
    CheckpointError
        The file is missing, unreadable, or of no kind that is known here.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        try:
            card = read_card(path)
        except CheckpointError:
            pass  # other people's safetensors
        else:
            what = f"a checkpoint of this project, {card.name!r}: {card.config.title}, "
            if card.pretrained:
                what += "pretrained on images without ground truth, no classes yet"
                return Identity(what, "init_from in a training config; it cannot segment before that training", ())
            command = "fctl refine --refiner" if card.config.refines else "fctl segment --checkpoint"
            what += f"{card.config.classes} classes"
            return Identity(what, f"{command}, or init_from in a training config", ())
    state = read_released(path)
    kind = released_kind(state)
    if kind is not None:
        argument = "a context's file (MEDIUM or LARGE)" if kind == "context" else "the tile's file (ALL)"
        return Identity(f"of the released network, {argument}", "fctl import-released", ("lcc_released",))
    encoders = matching_encoders(state)
    if not encoders and any(key.endswith("encoder.conv1.weight") for key in state):
        network = find_network(path, state)
        what = f"{network.title} of segmentation_models.pytorch, {count_of(network.outputs, 'score')} per px"
        return Identity(what, f"fctl model import {path}", ())
    if not encoders:
        some = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"{path}: {count_of(len(state), 'array')} in it ({some}, ...) fit no encoder here; check the file."
        )
    presets = tuple(name for name in PRESETS if name != "lcc_released" and preset(name).encoder in encoders)
    others = [name for name in encoders if name in ENCODERS["fctl"] and name != preset("fcn8s").encoder]
    presets += tuple(f"fcn8s with encoder = {name!r}" for name in others)
    use = "encoder_weights in a training config"
    if "decode_head.classifier.weight" in state:  # a whole SegFormer, whose classes stand beside the file
        use = f"fctl model import {path.parent}, or {use}"
    return Identity(f"weights for the encoder {' or '.join(encoders)}", use, presets)


def matching_encoders(state: dict[str, Tensor]) -> tuple[EncoderName, ...]:
    """Find the encoders that a published state dict fills completely.

    Parameters
    ----------
    state : dict of str to Tensor
        Arrays of the published file by name.

    Returns
    -------
    tuple of EncoderName
        Names of the encoders.
    """
    found: list[EncoderName] = []
    for name in OWN_ENCODERS:
        with torch.device("meta"):
            encoder = make_encoder(name)
        try:
            missing, wrong = misfits(encoder, encoder.published_keys(state))
        except (ValueError, KeyError, IndexError, RuntimeError):
            continue  # the layout of another encoder
        if not missing and not wrong:
            found.append(name)
    return tuple(found)
