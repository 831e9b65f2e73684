"""Parameters of the network's trainable parts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from fctl_napari.finetuning.trainable_parts import check_parts, none_learn, parts_with
from fctl_napari.model.network import Network


def parameters_of(model: Network, parts: Sequence[str]) -> dict[str, nn.Parameter]:
    """Find the parameters of named parts.

    Parameters
    ----------
    model : Network
        The network.
    parts : sequence of str
        Names among ``PARTS``. A part that this network lacks (ALE of a baseline, say) is skipped. The encoder of a
        context that shares another's is the shared one.

    Returns
    -------
    dict of str to nn.Parameter
        Parameters by name.

    Raises
    ------
    ConfigError
        There is no such part, or the network has none of them.
    """
    check_parts(parts)
    config = model.config
    chosen = {name: p for name, p in model.named_parameters() if set(parts_with(config, name)) & set(parts)}
    if not chosen:
        raise none_learn(parts)
    return chosen
