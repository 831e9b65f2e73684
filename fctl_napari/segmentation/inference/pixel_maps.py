"""Pixel maps of tiles, on the device: certainty from the probabilities, fusion weights from the feature cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fctl_napari.model.baselines.base import resize
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.geometry import FeatureGrid
from fctl_napari.windows import FloatWindow


def on_image(logits: Tensor, config: FCtLConfig, window: FloatWindow) -> Tensor:
    """Resample the logits of tiles to px of the image, for a network that is tied to a px size on the ground.

    Parameters
    ----------
    logits : Tensor of float32 [B, classes, T, T]
        Logits of the tiles.
    config : FCtLConfig
        Settings of the network.
    window : FloatWindow
        Window (y0, x0, y1, x1) of one of the tiles, full-resolution px; the others have the same size.

    Returns
    -------
    Tensor of float32 [B, classes, S, S]
        Logits of the px of the windows, which for all other networks are those of their input.
    """
    if config.onnx is None:
        return logits
    y0, x0, y1, x1 = window
    return resize(logits, (round(y1 - y0), round(x1 - x0)))


@dataclass(frozen=True)
class ClassifiedTiles:
    """Classes of the pixels of some tiles, on the device.

    Attributes
    ----------
    probabilities : Tensor of float32 [B, classes, T, T]
        Probabilities of the classes.
    probability : Tensor of float32 [B, T, T]
        The largest probability.
    chosen : Tensor of int64 [B, T, T]
        The class of the largest probability.
    """

    probabilities: Tensor
    probability: Tensor
    chosen: Tensor

    def labels(self) -> Tensor:
        """Return the labels, uint8 [B, T, T]: k + 1 for class k."""
        return (self.chosen + 1).to(torch.uint8)

    def confidence(self) -> Tensor:
        """Return the confidence, uint8 [B, T, T]: the probability of the chosen class times 255, 1..255."""
        return as_bytes(self.probability)


@torch.inference_mode()
def classify_tiles(logits: Tensor) -> ClassifiedTiles:
    """Choose the class of each pixel.

    Parameters
    ----------
    logits : Tensor of float32 [B, classes, T, T]
        Logits of the tiles.

    Returns
    -------
    ClassifiedTiles
        Probabilities and chosen classes.
    """
    probabilities = logits.softmax(1)
    return ClassifiedTiles(probabilities, *probabilities.max(1))


def as_bytes(values: Tensor) -> Tensor:
    """Convert values of 0..1 to bytes.

    Parameters
    ----------
    values : Tensor of float
        Values of 0..1.

    Returns
    -------
    Tensor of uint8
        Values times 255, 1..255: 0 stands for pixels that are not computed.
    """
    return (values * 255).round().clamp(1, 255).to(torch.uint8)


@torch.inference_mode()
def certainty_maps(tiles: ClassifiedTiles) -> Tensor:
    """Compute the maps of how certain the network is.

    Parameters
    ----------
    tiles : ClassifiedTiles
        Result of ``classify_tiles``.

    Returns
    -------
    Tensor of uint8 [B, 2, T, T]
        Entropy, by that of equal probabilities, and margin: the probability of the chosen class less the second.
    """
    classes = tiles.probabilities.shape[1]
    # OpenVINO has no `entr`; the smallest number keeps the logarithm of 0 finite
    logs = tiles.probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()
    entropy = -(tiles.probabilities * logs).sum(1) / math.log(classes)
    # Only the chosen class is masked, so that a tie leaves the other one.
    second = tiles.probabilities.scatter(1, tiles.chosen[:, None], -1.0).amax(1)
    return as_bytes(torch.stack([entropy, tiles.probability - second], dim=1))


@torch.inference_mode()
def tile_maps(tiles: ClassifiedTiles, weights: Tensor | None, grid: FeatureGrid) -> Tensor:
    """Compute all maps of tiles, in the order of ``map_names``.

    Parameters
    ----------
    tiles : ClassifiedTiles
        Result of ``classify_tiles``.
    weights : Tensor [B, contexts, h, w] or None
        MCF's weights over the tiles' cells, the mean over channels. None without LCF.
    grid : FeatureGrid
        Feature cells of the tiles.

    Returns
    -------
    Tensor of uint8 [B, maps, T, T]
        The maps. Every pixel has the weights of the cell that covers it, or beyond the grid those of the cell at its
        rim: exactly what the network used there, without interpolation between the cells.
    """
    certainty = certainty_maps(tiles)
    if weights is None:
        return certainty
    cells = grid.cells_of_pixels().to(weights.device)
    return torch.cat([certainty, as_bytes(weights)[:, :, cells[:, None], cells]], dim=1)
