"""A network that runs on the CPU through OpenVINO, with the methods that inference needs of one."""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.openvino_parts import DECODER, TILE, Parts
from fctl_napari.model.openvino_runtime import ov
from fctl_napari.segmentation.inference.device import Precision

HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoNetwork:
    """Network whose parts OpenVINO runs, a tile at a time.

    Each thread that calls it has requests of its own. It takes one core for each call, so that calls from several
    threads run side by side without waiting for each other.

    Parameters
    ----------
    parts : Parts
        The parts.
    config : FCtLConfig
        Settings of the network.
    precision : Precision
        Precision in which it computes.
    streams : int
        Number of calls that run side by side.
    core : openvino.Core
        Runtime.

    Attributes
    ----------
    config : FCtLConfig
        Settings of the network.
    grid : FeatureGrid
        Feature cells of the tile.
    streams : int
        Number of calls that run side by side.
    """

    def __init__(self, parts: Parts, config: FCtLConfig, precision: Precision, streams: int, core: ov.Core) -> None:
        self.config = config
        self.streams = streams
        self.grid = parts.grid
        self._strides, self._contexts = parts.strides, parts.contexts
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
        }
        self._compiled = {name: core.compile_model(model, "CPU", settings) for name, model in parts.models.items()}
        self._own = threading.local()

    def encode_tile(self, images: Tensor) -> Features:
        """Encode tiles.

        Parameters
        ----------
        images : Tensor of uint8 [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Features
            Maps of float32 [B, C, h, w] by stride.
        """
        if not self._strides:
            return {}
        found = self._run(TILE, [images])
        return dict(zip(self._strides, found, strict=True))

    def encode_context(self, name: str, images: Tensor) -> Tensor:
        """Encode contexts.

        Parameters
        ----------
        name : str
            Name of the context.
        images : Tensor of uint8 [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Tensor of float32 [B, C, h, w]
            X_U.
        """
        return self._run(name, [images])[0]

    def decode(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Decode encoded tiles and contexts to logits.

        Parameters
        ----------
        tile : Features
            From ``encode_tile``.
        contexts : dict of str to Tensor
            From ``encode_context`` by name; a batch of 1 is shared by all tiles.
        windows : dict of str to Tensor
            Windows (y0, x0, y1, x1) of ``"tile"`` and the contexts, image px, [B or 1, 4].
        without : Without, optional
            Nothing can be left out here.
        fusion : list of Tensor or None, optional
            List to which MCF's weights, the mean over channels, [B, contexts, 1, h, w], are appended.

        Returns
        -------
        Tensor of float32 [B, classes, T, T]
            Logits.
        """
        assert not without, "parts are left out by torch alone"
        # counted from the tile's corner, where float32 is exact enough in images of any size
        corner = windows[TILE][:, [0, 1, 0, 1]]
        inputs = [*(tile[stride] for stride in self._strides), *(contexts[name] for name in self._contexts)]
        inputs += [(windows[name] - corner).float() for name in (TILE, *self._contexts)]
        logits, *weights = self._run(DECODER, inputs)
        if fusion is not None:
            fusion += [found[:, :, None] for found in weights]
        return logits

    def _run(self, name: str, inputs: list[Tensor]) -> list[Tensor]:
        """Run a part for each tile of a batch, which share an input of one."""
        count = max(len(one) for one in inputs)
        arrays = [np.ascontiguousarray(one.numpy()) for one in inputs]
        rows = [self._infer(name, [one[min(i, len(one) - 1)][None] for one in arrays]) for i in range(count)]
        return [torch.from_numpy(np.concatenate(parts)) for parts in zip(*rows, strict=True)]

    def _infer(self, name: str, inputs: list[NDArray[np.generic]]) -> list[NDArray[np.float32]]:
        requests = self._own.__dict__
        if name not in requests:
            requests[name] = self._compiled[name].create_infer_request()
        found = requests[name].infer(inputs, share_inputs=True)
        return [np.array(value) for value in found.values()]
