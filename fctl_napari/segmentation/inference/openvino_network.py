"""A network that OpenVINO runs on the CPU (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.model.config import FCtLConfig
from fctl_napari.segmentation.inference.checksums import drop_damaged, keep_sums
from fctl_napari.segmentation.inference.hardware import Precision
from fctl_napari.segmentation.inference.openvino_parts import OUTPUTS, TILE, Parts
from fctl_napari.segmentation.inference.openvino_runtime import ov
from fctl_napari.segmentation.inference.tile_predictor import Result
from fctl_napari.windows import FloatWindow

RESULTS: dict[Result, tuple[str, ...]] = {
    "logits": OUTPUTS[:1],
    "classes": OUTPUTS[1:3],
    "classes with maps": OUTPUTS[1:],
}
"""Outputs of the tile's part that a result is made of."""

BLOBS = "*.blob"
"""Names of the files in which OpenVINO keeps what it has compiled."""

HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoNetwork:
    """Network whose parts OpenVINO runs, a tile at a time.

    A call takes one core, so that calls from several threads run side by side without waiting for each other.

    Parameters
    ----------
    parts : Parts
        The parts.
    config : FCtLConfig
        Settings of the network.
    precision : Precision
        Precision in which it computes. Classes and maps are made of the logits in fp32.
    streams : int
        Number of calls that run side by side.
    core : openvino.Core
        Runtime.
    cache : Path or None, optional
        Folder in which OpenVINO keeps what it has compiled; it is made if it is missing.

    Attributes
    ----------
    config : FCtLConfig
        Settings of the network.
    precision : Precision
        Precision in which it computes.
    streams : int
        Number of calls that run side by side.
    callers : int
        Largest number of threads that may call it at once: one more, which prepares the next call.
    """

    def __init__(
        self,
        parts: Parts,
        config: FCtLConfig,
        precision: Precision,
        streams: int,
        core: ov.Core,
        cache: Path | None = None,
    ) -> None:
        self.config = config
        self.precision = precision
        self.streams = streams
        self.callers = streams + 1
        self._parts = parts
        self._core = core
        self._cache = cache
        self._settings = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
        } | ({} if cache is None else {"CACHE_DIR": str(cache)})
        self._requests: dict[str, SimpleQueue[ov.InferRequest]] = {}

    def compile(self, result: Result) -> None:
        """Compile what a result needs, unless that is done.

        Parameters
        ----------
        result : Result
            What is computed of tiles.
        """
        models = self._parts.contexts | {result: self._model(result)}
        missing = [name for name in models if name not in self._requests]
        if self._cache is not None and missing:
            drop_damaged(self._cache, BLOBS)
        for name in missing:  # one by one: two threads that read what was compiled can leave the locale changed
            compiled = self._core.compile_model(models[name], "CPU", self._settings)
            requests = [compiled.create_infer_request() for _ in range(self.callers)]
            # Once here: where two threads take OpenVINO's first array, each may wait for the other forever.
            requests[0].infer([np.zeros(port.shape, port.element_type.to_dtype()) for port in compiled.inputs])
            self._requests[name] = SimpleQueue()
            for request in requests:
                self._requests[name].put(request)
        if self._cache is not None and missing:
            keep_sums(self._cache, BLOBS)

    def encode_context(self, name: str, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode a context.

        Parameters
        ----------
        name : str
            Name of the context.
        image : ndarray of uint8 [C, T, T]
            Values of the bands, 0..255. ``compile`` was called for a result.

        Returns
        -------
        ndarray of float32 [1, C, h, w]
            X_U.
        """
        return self._infer(name, [image[None]])[0]

    def run(
        self,
        result: Result,
        image: NDArray[np.uint8],
        contexts: Mapping[str, NDArray[np.float32]],
        windows: Mapping[str, FloatWindow],
    ) -> list[NDArray[Any]]:
        """Compute a tile.

        Parameters
        ----------
        result : Result
            What is computed; ``compile`` was called for it.
        image : ndarray of uint8 [C, T, T]
            Values of the bands of the tile, 0..255.
        contexts : mapping of str to ndarray of float32 [1, C, h, w]
            From ``encode_context``, by name.
        windows : mapping of str to FloatWindow
            Windows of ``"tile"`` and the contexts, image px.

        Returns
        -------
        list of ndarray
            Arrays of the result.
        """
        corner = np.array(windows[TILE])[[0, 1, 0, 1]]
        # counted from the tile's corner, where float32 is exact enough in images of any size
        relative = [(np.array(windows[name]) - corner)[None].astype(np.float32) for name in (TILE, *contexts)]
        found = [array[0] for array in self._infer(result, [image[None], *contexts.values(), *relative])]
        if result != "classes with maps":
            return found
        labels, confidence, *maps = found
        cells = self._parts.cells
        maps[1:] = [weights[:, cells[:, None], cells] for weights in maps[1:]]
        return [labels, confidence, np.concatenate(maps)]

    def _model(self, result: Result) -> ov.Model:
        """Make the tile's part for some of its outputs."""
        tile = self._parts.tile
        made = dict(zip(OUTPUTS, tile.get_results(), strict=False))
        outputs = [made[name] for name in RESULTS[result] if name in made]
        return ov.Model(outputs, tile.get_parameters(), result)

    def _infer(self, name: str, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        requests = self._requests[name]
        request = requests.get()
        try:
            found = request.infer([np.ascontiguousarray(one) for one in inputs], share_inputs=True)
            return [np.array(value) for value in found.values()]
        finally:
            requests.put(request)
