"""Maps beside a segmentation: how sure the network was of each px, and which context it drew on (no torch)."""

from __future__ import annotations

from fctl_napari.model.config import FCtLConfig

MAPS = "maps"
"""Folder of a store that holds them, and the value of the setting ``kept_output`` of a run that keeps them."""

ENTROPY = "entropy"
"""Entropy of the class probabilities over the log of the number of classes: 1 where all are alike."""

MARGIN = "margin"
"""The largest class probability less the second largest: 0 where two are alike."""

WEIGHT = "weight_"
"""What stands before a context's name: its weight in MCF (Eq. 3), the mean over channels; the weights sum to 1."""


def map_title(name: str) -> str:
    """Name a map for people: ``"weight of large"``."""
    return f"weight of {name.removeprefix(WEIGHT)}" if name.startswith(WEIGHT) else name


def map_names(config: FCtLConfig) -> tuple[str, ...]:
    """List the maps that a network has: entropy and margin, and with LCF a weight for each context."""
    contexts = config.contexts if config.lcf else ()
    return ENTROPY, MARGIN, *(WEIGHT + context.name for context in contexts)
