"""The founder of a family of fine-tunings: the network that all of them go back to (no torch)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from fctl_napari.finetuning.lineage import Kin, lineage
from fctl_napari.model.model_card import checkpoint_hash, read_card


def founder_of(checkpoint: Path) -> Path | None:
    """Find the network that a fine-tuned one goes back to by fine-tunings alone.

    Its training scenes are best held to what it predicts itself: held to the parent, each fine-tuning would lose a
    little more of them.

    Parameters
    ----------
    checkpoint : Path
        A checkpoint.

    Returns
    -------
    Path or None
        The founder, built in or in the same folder. None if it is the checkpoint itself, or not at hand.
    """
    if "finetuning" not in read_card(checkpoint).provenance:
        return None
    wanted = checkpoint_hash(checkpoint)
    line = next((found for eldest in lineage(checkpoint) if (found := _line(eldest, wanted))), [])
    founder = None
    for child, parent in pairwise(line):  # upwards
        if child.card is None or "finetuning" not in child.card.provenance or parent.card is None:
            break
        if parent.card.config != child.card.config or parent.card.classes != child.card.classes:
            break
        founder = parent.path
    return founder


def _line(kin: Kin, wanted: str) -> list[Kin]:
    """Return a checkpoint and its ancestors up to one of them, or nothing."""
    if kin.hash == wanted:
        return [kin]
    below = next((found for child in kin.children if (found := _line(child, wanted))), [])
    return [*below, kin] if below else []
