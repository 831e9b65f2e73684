"""Context reliance: how much the contexts change the network's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fctl_napari.exceptions import CheckpointError, InputError
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.image_with_mask import nearest
from fctl_napari.segmentation.inference.tile_cutting import TileInputs, read_inputs
from fctl_napari.segmentation.store.identity import open_image_of
from fctl_napari.segmentation.store.made_by import checkpoint_of
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import FloatWindow

RELIANCE_TILES = 32
"""Number of tiles, evenly chosen, that the context reliance of a segmentation is measured on."""


@torch.no_grad()
def context_reliance(model: Network, pyramid: Pyramid, windows: Sequence[FloatWindow], *, seed: int = 0) -> float:
    """Measure the share of pixels whose class changes when a tile is given the contexts of another tile.

    Each tile keeps its own pixels and takes everything else from another tile of the list: the contexts' pixels and
    all windows, so that a global context, whose pixels are the same for every tile, is looked at from elsewhere.

    Parameters
    ----------
    model : Network
        The network, in evaluation mode.
    pyramid : Pyramid
        The image.
    windows : sequence of FloatWindow
        Windows of the tiles, px of level 0; two or more.
    seed : int, optional
        Seed of the exchange, a random cyclic order in which no tile keeps its own contexts.

    Returns
    -------
    float
        Share of the pixels that hold data, 0..1; 0 for a network without contexts. Of a network that looks at all tiles
        of an image first, it is measured without that.
    """
    if model.config.inference == "global" or not model.config.outer_contexts or len(windows) < 2:
        return 0.0
    order = np.random.default_rng(seed).permutation(len(windows))
    inputs = [read_inputs(pyramid, windows[int(i)], model.config) for i in order]
    changed = total = 0
    for own, other in zip(inputs, inputs[1:] + inputs[:1], strict=True):
        exchanged = TileInputs(own.tile, other.contexts, other.windows)
        differ = (_classes(model, own) != _classes(model, exchanged))[0].cpu().numpy()
        valid = _valid(pyramid, own.windows["tile"], model.config.tile_size)
        changed += int(np.count_nonzero(differ & valid))
        total += int(np.count_nonzero(valid))
    return changed / max(1, total)


def _valid(pyramid: Pyramid, window: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    """Return which px of a tile hold data, bool [size, size]."""
    if not pyramid.masked:
        return np.ones((size, size), bool)
    y0, x0, y1, x1 = window.tolist()
    y, x = nearest((y0, x0, y1, x1), size)
    box = pyramid.read_valid((int(y[0]), int(x[0]), int(y[-1]) + 1, int(x[-1]) + 1))
    return box[np.ix_(y - y[0], x - x[0])]


def segmentation_reliance(segmentation: Segmentation, checkpoint: Path | None = None) -> float:
    """Measure the context reliance of the network that made a segmentation, on tiles that it segmented.

    Parameters
    ----------
    segmentation : Segmentation
        An opened store whose image is still where it was.
    checkpoint : Path or None, optional
        Checkpoint that made the segmentation. None looks for it, see :func:`checkpoint_of`.

    Returns
    -------
    float
        Context reliance, 0..1, as :func:`context_reliance` measures it on up to ``RELIANCE_TILES`` tiles.

    Raises
    ------
    CheckpointError
        The checkpoint is not at hand, or is another one.
    InputError
        The image is gone, or nothing is segmented yet.
    """
    found = checkpoint_of(segmentation, checkpoint)
    if found is None:
        raise CheckpointError(
            f"{segmentation.path}: its checkpoint {segmentation.facts['checkpoint']['name']!r} is not at hand; give "
            "the file that made it with --checkpoint."
        )
    settings = segmentation.settings
    pyramid = open_image_of(
        segmentation.facts["image"],
        segmentation.path,
        value_range=settings.get("value_range"),  # which a store that others wrote may lack
        bands=settings.get("bands"),
    )
    cells = np.argwhere(segmentation.done())
    if not len(cells):
        raise InputError(f"{segmentation.path}: nothing is segmented yet; run fctl segment first.")
    chosen = np.linspace(0, len(cells) - 1, min(RELIANCE_TILES, len(cells))).round().astype(int)
    windows = [segmentation.grid.window((int(row), int(column))) for row, column in cells[chosen]]
    model, _ = load_checkpoint(found)
    return context_reliance(model, pyramid, windows)


def _classes(model: Network, inputs: TileInputs) -> torch.Tensor:
    """Predict the classes of a tile, int64 [1, T, T]."""
    device = next(model.parameters()).device
    tile = torch.from_numpy(inputs.tile)[None].to(device)
    contexts = {name: torch.from_numpy(pixels)[None].to(device) for name, pixels in inputs.contexts.items()}
    windows = {name: torch.from_numpy(window)[None].to(device) for name, window in inputs.windows.items()}
    return model(tile, contexts, windows).argmax(1)
