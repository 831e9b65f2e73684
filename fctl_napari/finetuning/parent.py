"""The parent of a fine-tuning: the network that learns on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fctl_napari.finetuning.light_network import full_network
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import Card, checkpoint_hash, require_classes, require_own, resolve_checkpoint
from fctl_napari.model.network import Network


@dataclass(frozen=True)
class Parent:
    """A network that is fine-tuned.

    Attributes
    ----------
    path : Path
        Its checkpoint.
    hash : str
        SHA-256 of the checkpoint.
    model : Network
        The network that is trained. Of a light head it is a full one.
    card : Card
        Model card, of a light head with the settings of the full network.
    decoder : nn.Module or None
        Decoder of a light head, which ``model`` is held to. None if that is the decoder of ``model``.
    """

    path: Path
    hash: str
    model: Network
    card: Card
    decoder: nn.Module | None


def load_parent(checkpoint: str) -> Parent:
    """Load the network that is to be fine-tuned.

    Parameters
    ----------
    checkpoint : str
        A built-in checkpoint's name or a file.

    Returns
    -------
    Parent
        The network.

    Raises
    ------
    CheckpointError
        The checkpoint cannot be used, or its network cannot be fine-tuned.
    """
    path = resolve_checkpoint(checkpoint)
    model, card = load_checkpoint(path)
    require_classes(checkpoint, card)
    require_own(checkpoint, card)
    decoder = None
    if isinstance(model, FCtL) and card.config.light:
        decoder, model = model.decoder, full_network(model)
        grown = {"config": model.config, "description": f"FCtL, learned from the light head {card.name}."}
        card = card.model_copy(update=grown)
    return Parent(path, checkpoint_hash(path), model, card, decoder)
