"""Which part of a network an array belongs to, and how much of a network learns (no torch)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from fctl_napari.errors import ConfigError
from fctl_napari.finetuning.request import PARTS
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import read_card, read_header

POSITIONAL = ("v_pos", "z")
COUNTED = ("running_mean", "running_var", "num_batches_tracked")
"""What a batch norm has counted: it is kept in checkpoints, and nobody learns it."""


def parts_with(config: FCtLConfig, name: str) -> list[str]:
    """Say which of ``PARTS`` a parameter belongs to, by its name; more than one where streams share an encoder."""
    top, *rest = name.split(".")
    if top in ("encoders", "necks"):
        return [f"{stream}_encoder" for stream in _streams(config, rest[0])]
    if top != "lcf":
        return [top]
    if rest[0] == "fusion":
        return ["mcf"]
    return ["gpe" if rest[-1] in POSITIONAL else "lcc"]


def check_parts(parts: Sequence[str]) -> None:
    """Refuse names that are no parts.

    Raises
    ------
    ConfigError
        There is such a name.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ConfigError(f"there is no part {unknown[0]!r} of a network; choose of {', '.join(PARTS)}.")


def none_learn(parts: Sequence[str]) -> ConfigError:
    """What to say of parts that a network lacks."""
    return ConfigError(f"this network has no {' and no '.join(parts)} that could learn; choose other parts.")


def sizes_of_parts(checkpoint: Path | str) -> dict[frozenset[str], int]:
    """Count a checkpoint's parameters by the parts that they belong to; only the header is read.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or no checkpoint of ours.
    """
    config = read_card(checkpoint).config
    sizes: dict[frozenset[str], int] = {}
    for name, array in read_header(checkpoint).items():
        if name == "__metadata__" or name.rsplit(".", 1)[-1] in COUNTED:
            continue
        key = frozenset(parts_with(config, name))
        sizes[key] = sizes.get(key, 0) + math.prod(array["shape"])
    return sizes


def trainable_share(sizes: dict[frozenset[str], int], parts: Sequence[str]) -> float:
    """Share of a network's parameters that learn, 0..1.

    Parameters
    ----------
    sizes
        From :func:`sizes_of_parts`.
    parts
        Of ``PARTS``.

    Raises
    ------
    ConfigError
        There is no such part, or the network has none of them.
    """
    check_parts(parts)
    chosen = sum(size for key, size in sizes.items() if key & set(parts))
    if not chosen:
        raise none_learn(parts)
    return chosen / sum(sizes.values())


def _streams(config: FCtLConfig, encoder: str) -> list[str]:
    """Which streams go through an encoder, by its key in the network."""
    outer: list[str] = [context.name for context in config.outer_contexts if context.name != "local"]
    if config.share_encoders == "all" or config.inference == "global":
        return ["tile", *outer]
    return outer if encoder == "context" else [encoder]
