"""Trainable parts of a network: the part of each array, and the share of the network that is trained (no torch)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from fctl_napari.exceptions import ConfigError
from fctl_napari.finetuning.request import PARTS
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import read_card, read_header, require_own

POSITIONAL = ("v_pos", "z")
COUNTED = ("running_mean", "running_var", "num_batches_tracked")
"""Statistics of batch norms, which checkpoints hold but training does not learn."""


def parts_with(config: FCtLConfig, name: str) -> list[str]:
    """Find the parts that a parameter belongs to, by its name.

    Parameters
    ----------
    config : FCtLConfig
        The network's settings.
    name : str
        Name of the parameter.

    Returns
    -------
    list of str
        Names among ``PARTS``, more than one where streams share an encoder.
    """
    top, *rest = name.split(".")
    if top in ("encoders", "necks"):
        return [f"{stream}_encoder" for stream in _streams(config, rest[0])]
    if top != "lcf":
        return [top]
    if rest[0] == "fusion":
        return ["mcf"]
    return ["gpe" if rest[-1] in POSITIONAL else "lcc"]


def check_parts(parts: Sequence[str]) -> None:
    """Refuse names that are not parts.

    Parameters
    ----------
    parts : sequence of str
        Names to check against ``PARTS``.

    Raises
    ------
    ConfigError
        A name is unknown.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ConfigError(f"there is no part {unknown[0]!r} of a network; choose from {', '.join(PARTS)}.")


def none_learn(parts: Sequence[str]) -> ConfigError:
    """Build the error for parts that a network lacks.

    Parameters
    ----------
    parts : sequence of str
        Names among ``PARTS``.

    Returns
    -------
    ConfigError
        The error, to be raised.
    """
    return ConfigError(f"this network has no {' and no '.join(parts)} that could learn; choose other parts.")


def sizes_of_parts(checkpoint: Path | str) -> dict[frozenset[str], int]:
    """Count a checkpoint's parameters by the parts that they belong to.

    Only the header of the file is read.

    Parameters
    ----------
    checkpoint : Path or str
        The file.

    Returns
    -------
    dict of frozenset of str to int
        Numbers of parameters by the parts that share them.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, not a checkpoint of this package, or came as an ONNX file.
    """
    card = read_card(checkpoint)
    require_own(checkpoint, card)
    sizes: dict[frozenset[str], int] = {}
    for name, array in read_header(checkpoint).items():
        if name == "__metadata__" or name.rsplit(".", 1)[-1] in COUNTED:
            continue
        key = frozenset(parts_with(card.config, name))
        sizes[key] = sizes.get(key, 0) + math.prod(array["shape"])
    return sizes


def trainable_share(sizes: dict[frozenset[str], int], parts: Sequence[str]) -> float:
    """Compute the share of a network's parameters that is trained.

    Parameters
    ----------
    sizes : dict of frozenset of str to int
        Numbers of parameters from :func:`sizes_of_parts`.
    parts : sequence of str
        Names among ``PARTS``.

    Returns
    -------
    float
        Share, 0..1.

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
    """List the streams that go through an encoder, given its key in the network."""
    outer: list[str] = [context.name for context in config.outer_contexts if context.name != "local"]
    if config.share_encoders == "all" or config.inference == "global":
        return ["tile", *outer]
    return outer if encoder == "context" else [encoder]
