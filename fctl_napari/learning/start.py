"""What a network starts from: published weights, a checkpoint, other checkpoints for single contexts."""

from __future__ import annotations

import warnings
from pathlib import Path

from torch import Tensor, nn

from fctl_napari.errors import CheckpointError, ConfigError
from fctl_napari.learning.config import TrainConfig
from fctl_napari.model.card import builtin_checkpoints
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.encoders import load_published_weights
from fctl_napari.model.network import Network

CONTEXT_PARTS = ("encoders", "necks", "lcf.correlations")
"""Where a context has arrays of its own: under these, by its name."""


def start(model: Network, config: TrainConfig, data_folder: Path) -> None:
    """Fill a new network as a training config says.

    Checkpoints are built-in names or paths; paths are relative to ``data_folder``. Warns of encoders that start at
    random and whose batch norms keep their statistics.

    Raises
    ------
    CheckpointError
        A file is missing or does not fit.
    ConfigError
        A context that is to start from a checkpoint has no stream of its own.
    """
    norms = any(isinstance(module, nn.BatchNorm2d) for module in model.encoders.modules())
    if norms and config.batch_norm == "frozen" and not (config.encoder_weights or config.init_from):
        warnings.warn(
            "the encoder starts at random and its batch norms keep their statistics, with which it hardly learns; give "
            "encoder_weights or init_from, or set batch_norm = 'trained'.",
            stacklevel=2,
        )
    if config.encoder_weights:
        for encoder in model.encoders.values():
            load_published_weights(encoder, data_folder / config.encoder_weights)  # type: ignore[arg-type]
    if config.init_from:
        start_from(model, _place(config.init_from, data_folder))
    for context, path in config.contexts_from.items():
        start_context_from(model, context, _place(path, data_folder))


def _place(checkpoint: str, data_folder: Path) -> Path:
    return builtin_checkpoints().get(checkpoint, data_folder / checkpoint)


def start_from(model: Network, path: Path | str) -> None:
    """Take over a checkpoint's arrays of equal name and shape; context streams without any start from the tile's.

    Raises
    ------
    CheckpointError
        The checkpoint has another encoder.
    """
    model.load_state_dict(_fitting(model, path), strict=False)


def start_context_from(model: Network, context: str, path: Path | str) -> None:
    """Take over what belongs to one context's stream: encoder, neck and correlation.

    Raises
    ------
    CheckpointError
        The checkpoint has another encoder.
    ConfigError
        The network has no stream of its own for the context.
    """
    if context not in model.encoders:
        raise ConfigError(
            f"contexts_from: this network has no encoder of its own for the context {context!r}; drop it, or set "
            "share_encoders = 'none'."
        )
    starts = tuple(f"{part}.{context}." for part in CONTEXT_PARTS)
    taken = {key: value for key, value in _fitting(model, path).items() if key.startswith(starts)}
    model.load_state_dict(taken, strict=False)


def _fitting(model: Network, path: Path | str) -> dict[str, Tensor]:
    """Arrays of a checkpoint that fit a network, by the network's names."""
    source, card = load_checkpoint(path)
    if card.config.encoder != model.config.encoder:
        raise CheckpointError(
            f"{path}: its encoder is {card.config.encoder}, this network's {model.config.encoder}; start from a "
            "checkpoint with the same encoder."
        )
    given = source.state_dict()
    own = model.state_dict()
    taken = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    for key, value in own.items():
        part, _, rest = key.partition(".")
        stream, _, name = rest.partition(".")
        template = f"{part}.tile.{name}"
        another = key not in taken and part in ("encoders", "necks") and stream != "tile"
        if another and template in given and given[template].shape == value.shape:
            taken[key] = given[template]
    return taken
