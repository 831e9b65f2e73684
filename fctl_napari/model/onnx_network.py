"""Network that came as an ONNX file, whose graph is run as it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.baselines.base import resize
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.geometry import FeatureGrid
from fctl_napari.model.network import Network
from fctl_napari.model.onnx_graph import OnnxGraph
from fctl_napari.model.onnx_settings import OnnxSettings
from fctl_napari.words import count_of

SCORES = 1
"""Stride of the only features: the logits themselves."""


class OnnxNetwork(Network):
    """Network of an ONNX file, run by onnxruntime on the CPU.

    Its graph is a buffer of bytes, so that a checkpoint holds it. It is opened when it is first run. The network sees a
    tile and nothing around it, and learns nothing.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network, with ``onnx``.

    Attributes
    ----------
    graph : Tensor of uint8 [n]
        Content of the ONNX file.
    where : str
        Name of the file that holds the network, for sentences.
    """

    graph: Tensor

    def __init__(self, config: FCtLConfig) -> None:
        super().__init__(config)
        assert config.onnx is not None
        self.settings: OnnxSettings = config.onnx
        self.encoders = nn.ModuleDict()
        self.decoder = nn.Identity()
        self.lcf = self.ale = None
        self.strides = (SCORES,)
        self.grid = FeatureGrid(config.tile_size, SCORES, 0.0, config.tile_size)
        self.register_buffer("graph", torch.empty(0, dtype=torch.uint8))
        self.where = "an ONNX network"
        self._opened: OnnxGraph | None = None

    def take(self, data: bytes, where: str, opened: OnnxGraph | None = None) -> None:
        """Take the graph of an ONNX file.

        Parameters
        ----------
        data : bytes
            Content of the file.
        where : str
            Name of the file.
        opened : OnnxGraph or None, optional
            The graph, if it is open already.
        """
        self.graph = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        self.where = where
        self._opened = opened

    def open(self) -> OnnxGraph:
        """Open the graph, once.

        Returns
        -------
        OnnxGraph
            The graph.

        Raises
        ------
        ConfigError
            The packages that run it are not installed.
        CheckpointError
            It is damaged.
        """
        if self._opened is None:
            self._opened = OnnxGraph(self.graph.cpu().numpy().tobytes(), self.where)
        return self._opened

    def tile_features(self, images: Tensor) -> Features:
        """Run the graph.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Features
            Logits [B, classes, T, T] at stride 1.

        Raises
        ------
        ConfigError
            The packages that run it are not installed.
        CheckpointError
            The graph is damaged, or predicts other classes than its model card names.
        """
        values = images.cpu().contiguous().numpy()
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (self.settings.mean, self.settings.std))
        found = torch.from_numpy(self.open().run((values - mean) / std))
        return {SCORES: self._logits(found).to(images.device)}

    def _logits(self, found: Tensor) -> Tensor:
        """Turn the graph's output [B, h, w] or [B, c, h, w] to logits [B, classes, T, T]."""
        size, classes = self.config.tile_size, self.config.classes
        if self.settings.output == "classes":
            return _log(resize(self._indicators(found), size))
        values = (found[:, None] if found.ndim == 3 else found).float()
        if values.shape[1] == classes:
            values = resize(values, size)
            return _log(values) if self.settings.output == "probabilities" else values
        if values.shape[1] != 1 or classes != 2:
            raise CheckpointError(
                f"{self.where}: gives {count_of(values.shape[1], 'channel')} for {count_of(classes, 'class')}; import "
                "the ONNX file again with a name for each class."
            )
        values = resize(values, size)
        second = _log(values) - _log(1 - values) if self.settings.output == "probabilities" else values
        threshold = self.settings.threshold
        return torch.cat([torch.zeros_like(second), second - math.log(threshold / (1 - threshold))], dim=1)

    def _indicators(self, found: Tensor) -> Tensor:
        """Return 1 for the class of each px and 0 for the others, float32 [B, classes, h, w]."""
        classes = self.config.classes
        indices = found[:, 0] if found.ndim == 4 and found.shape[1] == 1 else found
        if indices.ndim != 3:
            raise CheckpointError(
                f"{self.where}: gives {count_of(found.shape[1], 'channel')} where indices of classes are one; import "
                "the ONNX file again with another output."
            )
        whole = indices.long()
        if not bool(((whole == indices) & (whole >= 0) & (whole < classes)).all()):
            wrong = indices[(whole != indices) | (whole < 0) | (whole >= classes)].flatten()[0].item()
            raise CheckpointError(
                f"{self.where}: predicts class {wrong:g}, and its classes are 0 to {classes - 1}; import the ONNX file "
                "again with a name for each class."
            )
        return nn.functional.one_hot(whole, classes).permute(0, 3, 1, 2).float()

    def logits(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Return the logits that the graph gave.

        Parameters
        ----------
        tile : Features
            From ``tile_features``.
        contexts, windows : dict of str to Tensor
            Unused, as there is nothing else to combine.
        without : Without, optional
            Unused.
        fusion : list of Tensor or None, optional
            Unused.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """
        return tile[SCORES]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        stored = state_dict.get(f"{prefix}graph")
        if isinstance(stored, Tensor) and stored.dtype == torch.uint8 and stored.ndim == 1:
            self.graph = torch.empty_like(stored)  # a graph is as long as its file
            self._opened = None
        super()._load_from_state_dict(state_dict, prefix, *others)


def _log(probabilities: Tensor) -> Tensor:
    """Return finite logarithms."""
    return probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()
