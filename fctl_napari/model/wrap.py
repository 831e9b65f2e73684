"""Networks that see their tile alone, wrapped into FCtL: contexts join with an effect of exactly zero."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from fctl_napari.exceptions import ConfigError
from fctl_napari.files import local_path
from fctl_napari.model.ale import LFI
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_new_checkpoint, stored_dtype
from fctl_napari.model.config import Context, FCtLConfig, make_config
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.free_path import check_free
from fctl_napari.model.lcf import LCC
from fctl_napari.model.model_card import Card, checkpoint_hash, require_classes
from fctl_napari.model.network import Network

CONTEXTS = (Context(name="local"), Context(name="medium", scale=3.0), Context(name="large", scale="global"))
"""Contexts that join unless others are stated: those of the presets."""

JOINED: dict[str, Any] = {
    "lcf": True,
    "gpe": True,
    "projections": True,
    "scale_logits": True,
    "values_from": "context",
    "gate_init": 1.0,
    "fusion": "adaptive",
    "ale_tokenise_target": True,
}
"""Settings of the parts that join. Gates are open, and the values behind them start at 0: these are weights of every
channel, which few steps move by more than a gate, a single number (context reliance after 8 steps of a fine-tuning:
0.4 % against 0.02 % with closed gates)."""

KEPT = ("training", "data", "imported")
"""Provenance that holds for the wrapped network, too: its weights are the same."""


def wrap_checkpoint(
    checkpoint: Path | str, out: Path | str, contexts: Sequence[Context] = CONTEXTS, name: str | None = None
) -> Path:
    """Write a network that sees its tile alone as an FCtL with contexts, whose logits are exactly the same at first.

    Encoder and decoder stay. Each context gets a copy of the encoder, and what LCF and ALE add to the tile's features
    is 0 until the new network is trained: with corrections, or by a training that starts from it (``init_from``).

    Parameters
    ----------
    checkpoint : Path or str
        A SegFormer, trained or imported, or an FCtL without contexts.
    out : Path or str
        Checkpoint to write, ``.safetensors``; a new file.
    contexts : sequence of Context, optional
        Contexts that join.
    name : str or None, optional
        Name of the new network. None takes that of the file.

    Returns
    -------
    Path
        The checkpoint. Its card names the wrapped one as its parent.

    Raises
    ------
    CheckpointError
        The checkpoint is missing or damaged, or has no classes yet.
    ConfigError
        The network cannot be wrapped, or the contexts do not fit each other or its tiles.
    OutputError
        The new checkpoint exists already or cannot be written.
    """
    out = local_path(str(out))
    check_free(out)
    parent, card = load_checkpoint(checkpoint)
    require_classes(checkpoint, card)
    try:
        model = wrapped(parent, contexts)
    except ConfigError as error:
        raise ConfigError(f"{checkpoint}: {error}") from error
    provenance = {key: card.provenance[key] for key in KEPT if key in card.provenance} | {
        "parent": {"name": card.name, "hash": checkpoint_hash(checkpoint)},
        "wrapped": {"contexts": [context.model_dump() for context in contexts]},
    }
    child = Card(
        name=name or out.stem,
        description=card.description,
        config=model.config,
        classes=card.classes,
        provenance=provenance,
        # What was measured holds, as the logits are the same; what a fine-tuning changed was the parent's.
        figures={key: value for key, value in card.figures.items() if key != "finetuning"},
        domain=card.domain,
    )
    return save_new_checkpoint(out, model, child, stored_dtype(load_file(checkpoint)))


def wrapped(parent: Network, contexts: Sequence[Context] = CONTEXTS) -> FCtL:
    """Make an FCtL of a network that sees its tile alone, with the same logits.

    Parameters
    ----------
    parent : Network
        A SegFormer, or an FCtL without contexts.
    contexts : sequence of Context, optional
        Contexts that join.

    Returns
    -------
    FCtL
        The network in evaluation mode. Its arrays are copies.

    Raises
    ------
    ConfigError
        The network cannot be wrapped, or the contexts do not fit each other or its tiles.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same file each time
        model = make_network(_config(parent.config, contexts))
    assert isinstance(model, FCtL)
    given, state = parent.state_dict(), {}
    for key in model.state_dict():
        part, _, rest = key.partition(".")
        name = rest.partition(".")[2]
        source = f"{part}.tile.{name}" if part in ("encoders", "necks") else key
        if source in given:
            state[key] = given[source]
    model.load_state_dict(state, strict=False)
    _start_at_zero(model)
    return model.eval()


def _config(config: FCtLConfig, contexts: Sequence[Context]) -> FCtLConfig:
    """Make the settings of the wrapped network."""
    if config.inference == "global":
        raise ConfigError("it sees the whole image already, so there is no context to add; wrap one that sees tiles.")
    if not contexts:
        raise ConfigError("no contexts are stated that could join; state one or more.")
    if config.architecture == "fctl" and config.contexts:
        raise ConfigError(
            "it has contexts already; train it, or another one with other contexts that starts from it (init_from)."
        )
    if config.architecture not in ("segformer", "fctl") or config.light:
        raise ConfigError(
            f"this network ({config.title}) cannot be wrapped, only a SegFormer or an FCtL without contexts can; "
            "choose one of them."
        )
    fields = config.model_dump() | JOINED | {"contexts": tuple(contexts)}
    if config.architecture == "segformer":
        fields |= {"architecture": "fctl", "decoder": "segformer", "correlation_stride": 16}
    both = {"medium", "large"} <= {context.name for context in contexts}
    cells = config.tile_size // fields["correlation_stride"]
    windows = tuple(window for window in config.ale_windows if window <= cells)
    fields |= {"ale": "d", "ale_windows": windows} if both and windows else {"ale": "none"}
    return make_config(**fields)


@torch.no_grad()
def _start_at_zero(model: FCtL) -> None:
    """Set what LCF and ALE add to exactly 0, with weights that the first gradients move."""
    assert model.lcf is not None
    for correlation in model.lcf.correlations.values():
        assert isinstance(correlation, LCC)
        assert isinstance(correlation.value, nn.Conv2d)
        correlation.value.weight.zero_()
    if model.ale is not None:
        last = model.ale.steps[-1]["tile"]  # type: ignore[index]
        assert isinstance(last, LFI)
        for module in (last.target, *last.kernels):
            for parameter in module.parameters():
                parameter.zero_()
