"""Context reliance: do the contexts change what the network says?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.windows import Window
from fctl_napari.segmentation.inputs import TileInputs, read_inputs


@torch.no_grad()
def context_reliance(model: FCtL, pyramid: Pyramid, windows: Sequence[Window], *, seed: int = 0) -> float:
    """Share of pixels whose class changes when a tile is given the contexts of another tile.

    Each tile keeps its own pixels and takes everything else from another tile of the list: the contexts' pixels and
    all windows, so that a global context, whose pixels are the same for every tile, is looked at from elsewhere.

    Parameters
    ----------
    model
        In evaluation mode.
    pyramid
        The image.
    windows
        Tiles, full-resolution px; two or more.
    seed
        Of the exchange, a random cyclic order: no tile keeps its own.

    Returns
    -------
    float
        0 for a network without contexts.
    """
    if not model.config.outer_contexts or len(windows) < 2:
        return 0.0
    order = np.random.default_rng(seed).permutation(len(windows))
    inputs = [read_inputs(pyramid, windows[int(i)], model.config) for i in order]
    changed = 0
    for own, other in zip(inputs, inputs[1:] + inputs[:1], strict=True):
        exchanged = TileInputs(own.tile, other.contexts, other.windows)
        changed += int((_classes(model, own) != _classes(model, exchanged)).sum())
    return changed / (len(inputs) * model.config.tile_size**2)


def _classes(model: FCtL, inputs: TileInputs) -> torch.Tensor:
    device = next(model.parameters()).device
    tile = torch.from_numpy(inputs.tile)[None].to(device)
    contexts = {name: torch.from_numpy(pixels)[None].to(device) for name, pixels in inputs.contexts.items()}
    windows = {name: torch.from_numpy(window)[None].to(device) for name, window in inputs.windows.items()}
    return model(tile, contexts, windows).argmax(1)
