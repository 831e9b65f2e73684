"""Networks as the QGIS plugin Deepness runs them: one tile of values 0..1 in, probabilities out, settings beside."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import Card
from fctl_napari.model.network import Network

OVERLAP_PERCENT = 25
"""Overlap of tiles that Deepness is given, as is usual here: about a quarter of the side."""


class DeepnessNetwork(nn.Module):
    """Network whose only input is the tile, as values of 0..1, and whose output is probabilities.

    Parameters
    ----------
    model : Network
        Network without contexts beside the tile.
    """

    window: Tensor

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model
        size = float(model.config.tile_size)
        self.register_buffer("window", torch.tensor([[0.0, 0.0, size, size]]), persistent=False)

    def forward(self, tile: Tensor) -> Tensor:
        """Segment one tile.

        Parameters
        ----------
        tile : Tensor of float32 [1, C, T, T]
            Values of the bands, 0..1.

        Returns
        -------
        Tensor of float32 [1, classes, T, T]
            Probabilities.
        """
        values = (tile * 255).round()  # Deepness divides values of 8 bits by 255
        logits: Tensor = self.model(values, {}, {"tile": self.window})
        return logits.softmax(1)


def require_deepness(checkpoint: Path | str, config: FCtLConfig) -> None:
    """Refuse a network that Deepness cannot feed.

    Parameters
    ----------
    checkpoint : Path or str
        The checkpoint.
    config : FCtLConfig
        Settings of the network.

    Raises
    ------
    ConfigError
        It looks at contexts beside the tile, or its bands have ranges of their own.
    """
    if config.outer_contexts:
        names = ", ".join("the whole image" if c.scale == "global" else c.name for c in config.outer_contexts)
        raise ConfigError(
            f"{checkpoint}: looks beside the tile ({names}), and Deepness cannot feed contexts; export it without "
            "--deepness, or take a network without contexts."
        )
    ranged = [band.name for band in config.bands if band.value_range is not None]
    if ranged:
        raise ConfigError(
            f"{checkpoint}: takes {', '.join(ranged)} with a range of values of its own, and Deepness feeds values of "
            "8 bits; export it without --deepness."
        )


def deepness_metadata(card: Card) -> dict[str, str]:
    """Write the settings that Deepness reads from the metadata of an ONNX file.

    Probabilities are neither cut at a threshold nor smoothed, so the classes are the network's. The network itself
    normalizes its input, so Deepness is given a standardization that changes nothing; versions without one do the same.

    Parameters
    ----------
    card : Card
        Model card of the network.

    Returns
    -------
    dict of str to str
        JSON by the keys of Deepness. The resolution, cm per px, is that of the training data, if the card knows it.
    """
    bands = card.config.in_channels
    settings: dict[str, object] = {
        "model_type": "Segmentor",
        "class_names": {str(k): name for k, name in enumerate(card.classes.names)},
        "tile_size": card.config.tile_size,
        "tiles_overlap": OVERLAP_PERCENT,
        "standardization_mean": [0.0] * bands,
        "standardization_std": [1.0] * bands,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    if card.domain is not None and card.domain.pixel_size is not None:
        low, high = card.domain.pixel_size
        settings["resolution"] = round(100 * (low * high) ** 0.5, 2)
    return {key: json.dumps(value) for key, value in settings.items()}
