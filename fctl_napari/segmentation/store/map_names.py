"""Names of the maps beside a segmentation: certainty of each pixel and weights of the contexts (no torch)."""

from __future__ import annotations

from fctl_napari.model.config import FCtLConfig

MAPS = "maps"
"""Folder of a store that holds the maps, and value of the setting ``kept_output`` of a run that keeps them."""

ENTROPY = "entropy"
"""Entropy of the class probabilities over the log of the number of classes: 1 where all are equal."""

MARGIN = "margin"
"""Largest class probability minus the second largest: 0 where the two are equal."""

WEIGHT = "weight_"
"""Prefix before a context's name: its weight in MCF (Eq. 3), the mean over channels. The weights sum to 1."""


def map_title(name: str) -> str:
    """Return the name of a map for people: ``"weight of large"``.

    Parameters
    ----------
    name : str
        Name of the map.

    Returns
    -------
    str
        The title.
    """
    return f"weight of {name.removeprefix(WEIGHT)}" if name.startswith(WEIGHT) else name


def map_names(config: FCtLConfig) -> tuple[str, ...]:
    """List the maps that a network has: entropy and margin, and with LCF a weight for each context.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    tuple of str
        Names of the maps, in the order in which they are stored.
    """
    contexts = config.contexts if config.lcf else ()
    return ENTROPY, MARGIN, *(WEIGHT + context.name for context in contexts)
