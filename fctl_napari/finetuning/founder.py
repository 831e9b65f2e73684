"""The founder of a family of fine-tunings: the network that all of them go back to (no torch)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.model_card import Card, builtin_checkpoints, checkpoint_hash, read_card


def founder_entry(card: Card) -> dict[str, str] | None:
    """Return the name and the hash of a network's founder, as its card has them.

    Parameters
    ----------
    card : Card
        Model card.

    Returns
    -------
    dict of str to str or None
        ``"name"`` and ``"hash"``. Cards of earlier versions have those of the parent alone. None if the network was not
        fine-tuned.
    """
    if "finetuning" not in card.provenance:
        return None
    entries = (card.provenance.get(key) or {} for key in ("founder", "parent"))
    return next((entry for entry in entries if {"name", "hash"} <= entry.keys()), None)


def founder_of(checkpoint: Path, card: Card) -> Path | None:
    """Find the network that a fine-tuned one goes back to.

    The scenes that it was trained on are best held to what it predicts itself: held to the parent, each fine-tuning
    would lose a little more of them.

    Parameters
    ----------
    checkpoint : Path
        A checkpoint.
    card : Card
        Its model card.

    Returns
    -------
    Path or None
        The founder, built in or in the same folder. None if it is the checkpoint itself, or not at hand.
    """
    entry = founder_entry(card)
    if entry is None:
        return None
    beside = [path for path in sorted(checkpoint.parent.glob("*.safetensors")) if path.is_file()]
    for path in (*builtin_checkpoints().values(), *beside):
        with suppress(CheckpointError):  # a large file is hashed only if its card has the name
            found = read_card(path)
            alike = found.name == entry["name"] and found.config == card.config and found.classes == card.classes
            if alike and checkpoint_hash(path) == entry["hash"]:
                return path
    return None
