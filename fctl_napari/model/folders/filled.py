"""Networks filled with weights from elsewhere, which are theirs to the last array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.build import make_network
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.network import Network


def filled_network(
    path: Path, config: FCtLConfig, state: dict[str, Tensor], their_name: Callable[[str], str], fault: str
) -> Network:
    """Build a network with its weights.

    Parameters
    ----------
    path : Path
        File or folder of the weights.
    config : FCtLConfig
        Settings of the network.
    state : dict of str to Tensor
        Its weights, whose names are ours.
    their_name : callable
        Returns the name of a weight in the file.
    fault : str
        What it means that the weights are others, and what to do.

    Returns
    -------
    Network
        The network, in float32 and evaluation mode.

    Raises
    ------
    CheckpointError
        Weights are missing, unknown, or of another shape or type.
    """
    with torch.device("meta"):
        model = make_network(config)
    wanted = model.state_dict()
    # A count of batches that only training reads, and that some files lack.
    counts = {key: torch.zeros((), dtype=value.dtype) for key, value in wanted.items() if _is_count(key)}
    state = {**counts, **state}
    both = [(key, state[key], value) for key, value in wanted.items() if key in state]
    faults = {
        "lack": [key for key in wanted if key not in state],
        "hold unknown": [key for key in state if key not in wanted],
        "have other shapes for": [key for key, own, value in both if own.shape != value.shape],
        "are of another type for": [
            key for key, own, value in both if own.is_floating_point() != value.is_floating_point()
        ],
    }
    for what, keys in faults.items():
        if keys:
            some = ", ".join(map(their_name, keys[:3])) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            raise CheckpointError(f"{path}: its weights {what} {some}, so {fault}.")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()}, assign=True)
    return model.eval()


def renamed(name: str, prefixes: dict[str, str]) -> str:
    """Replace the beginning of a name.

    Parameters
    ----------
    name : str
        The name.
    prefixes : dict of str to str
        Beginnings, and what stands in place of them; the first that fits counts.

    Returns
    -------
    str
        The new name; the same name if no beginning fits.
    """
    for before, after in prefixes.items():
        if name.startswith(before):
            return after + name.removeprefix(before)
    return name


def _is_count(key: str) -> bool:
    return key.endswith("num_batches_tracked")
