"""The encoder that a checkpoint's first stage trained, which an ablation can freeze without favoring contexts."""

from __future__ import annotations

from pathlib import Path

import torch

from fctl_napari.exceptions import CheckpointError, ConfigError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.model_card import Card, resolve_checkpoint
from fctl_napari.model.presets import preset

FIRST = "first"
"""Name of the stage without contexts, in the model card of a built-in checkpoint."""


def write_first_encoder(checkpoint: str | Path, out: Path | str) -> Path:
    """Write the encoder of a checkpoint's first stage as a checkpoint without contexts.

    The second stage of a built-in checkpoint froze the encoders of its contexts. They are the baseline's, trained
    without any context, while the tile's encoder was trained further together with them. Neck and decoder of the
    written network are random.

    Parameters
    ----------
    checkpoint : str or Path
        A built-in name, or a file whose model card describes its stages.
    out : Path or str
        Target file, ``.safetensors``.

    Returns
    -------
    Path
        The file. Its model card says what the first stage was trained on, so that ``run_ablation`` can compare it with
        what is measured.

    Raises
    ------
    CheckpointError
        There is no such checkpoint, or it does not hold such an encoder.
    OutputError
        The file cannot be written.
    """
    source, card = load_checkpoint(resolve_checkpoint(checkpoint))
    try:
        training = card.provenance["stages"][FIRST]["settings"]
        config = preset(training["preset"], **(training["network"] | {"classes": card.config.classes}))
        frozen = card.provenance["training"]["frozen"]
        kept = next(f"encoders.{c.name}" for c in card.config.outer_contexts if f"encoders.{c.name}" in frozen)
    except (KeyError, TypeError, ConfigError, StopIteration) as error:
        raise CheckpointError(
            f"{checkpoint}: holds no encoder of a first stage without contexts; give a built-in checkpoint."
        ) from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_network(config)
    arrays = {f"encoders.tile.{k}": v for k, v in source.get_submodule(kept).state_dict().items()}
    model.load_state_dict(model.state_dict() | arrays)
    written = Card(
        name=f"{card.name}_first_encoder",
        description=f"The encoder of the first stage of {card.name}; neck and decoder are random.",
        config=config,
        classes=card.classes,
        provenance={"training": training, "data": card.provenance["data"]},
    )
    return save_checkpoint(out, model, written)
