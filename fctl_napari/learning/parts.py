"""The network's parts that may learn while the others keep their weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from fctl_napari.errors import ConfigError
from fctl_napari.learning.finetune_config import PARTS
from fctl_napari.model.build import make_network
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.network import Network

POSITIONAL = ("v_pos", "z")


def parameters_of(model: Network, parts: Sequence[str]) -> dict[str, nn.Parameter]:
    """Find the parameters of named parts, by name.

    Parameters
    ----------
    model
        The network.
    parts
        Of ``PARTS``. A part that this network lacks (ALE of a baseline, say) is passed over; the encoder of a context
        that shares another's is that one.

    Raises
    ------
    ConfigError
        There is no such part, or the network has none of them.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ConfigError(f"there is no part {unknown[0]!r} of a network; choose of {', '.join(PARTS)}.")
    chosen = {name: p for name, p in model.named_parameters() if set(_parts_with(model, name)) & set(parts)}
    if not chosen:
        raise ConfigError(f"this network has no {' and no '.join(parts)} that could learn; choose other parts.")
    return chosen


def _parts_with(model: Network, name: str) -> list[str]:
    """Say which parts a parameter belongs to; more than one where streams share an encoder."""
    top, *rest = name.split(".")
    if top in ("encoders", "necks"):
        return [f"{stream}_encoder" for stream in model.streams_of(rest[0])]
    if top != "lcf":
        return [top]
    if rest[0] == "fusion":
        return ["mcf"]
    return ["gpe" if rest[-1] in POSITIONAL else "lcc"]


def trainable_share(config: FCtLConfig, parts: Sequence[str]) -> float:
    """Share of a network's parameters that learn, 0..1; nothing is allocated.

    Raises
    ------
    ConfigError
        There is no such part, or the network has none of them.
    """
    with torch.device("meta"):
        model = make_network(config)
    chosen = parameters_of(model, parts)
    return sum(p.numel() for p in chosen.values()) / sum(p.numel() for p in model.parameters())
