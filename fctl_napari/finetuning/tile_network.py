"""Network of a fine-tuning run over tiles, which computes frozen encoders and the parent's prediction only once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari.finetuning.feature_cache import Arrays, FeatureCache
from fctl_napari.finetuning.tile_sampling import Tile
from fctl_napari.finetuning.trainable_parameters import parameters_of
from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.encoders import Features
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.device import numerics
from fctl_napari.segmentation.inference.hardware import Precision
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.segmentation.inference.tile_cutting import read_stream, stream_windows


class TileNetwork:
    """Network of which named parts are trained.

    It stays in evaluation mode, so that batch norms keep their statistics and there is no dropout. Every run therefore
    starts from the parent's own prediction.

    Parameters
    ----------
    model : Network
        The parent's network, which is changed in place.
    images : sequence of Pyramid
        The images that ``Tile.source`` counts.
    parts : sequence of str
        Parts that are trained, among ``PARTS``.
    cache : FeatureCache or None
        Cache of features and predictions. With None, everything is computed each time.
    device : torch.device
        Device of the network.
    precision : Precision
        Precision of the network.
    exact : bool, optional
        If True, contexts are resampled from full resolution.

    Attributes
    ----------
    learning : dict of str to nn.Parameter
        Trained parameters by name.
    parent : dict of str to Tensor
        The parent's values of those parameters.
    """

    def __init__(
        self,
        model: Network,
        images: Sequence[Pyramid],
        parts: Sequence[str],
        cache: FeatureCache | None,
        device: torch.device,
        precision: Precision,
        *,
        exact: bool = False,
    ) -> None:
        self.model = model.to(device).eval()
        self.device = device
        self.precision = precision
        self.learning = parameters_of(model, parts)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in self.learning)
        self.parent = {name: p.detach().clone() for name, p in self.learning.items()}
        self._images = [with_chunk_cache(network_image(image, model.config)) for image in images]
        self._cache = cache
        self._exact = exact
        names = ("tile", *(c.name for c in model.config.outer_contexts))
        self._live = {name for name in names if _learns(model, name)}

    def logits(self, tiles: Sequence[Tile]) -> Tensor:
        """Compute the logits of tiles, with gradients where they are enabled.

        Parameters
        ----------
        tiles : sequence of Tile
            The tiles, a batch of B.

        Returns
        -------
        Tensor of float32 [B, classes, T, T]
            Logits on the network's device.
        """
        with numerics(self.device, self.precision):
            encoded = [self._encode(tile) for tile in tiles]
            stacked = {stride: torch.cat([e[0][stride] for e in encoded]) for stride in encoded[0][0]}
            contexts = {name: torch.cat([e[1][name] for e in encoded]) for name in encoded[0][1]}
            windows = {name: torch.cat([e[2][name] for e in encoded]) for name in encoded[0][2]}
            return self.model.decode(stacked, contexts, windows).float()

    @torch.no_grad()
    def labels(self, tile: Tile) -> NDArray[np.uint8]:
        """Classify each pixel of a tile.

        Parameters
        ----------
        tile : Tile
            The tile.

        Returns
        -------
        ndarray of uint8 [T, T]
            Class indices.
        """
        # equal to argmax, which takes ten times as long on a CPU along any but the last axis
        return self.logits([tile]).max(1).indices[0].to(torch.uint8).cpu().numpy()

    def parents_prediction(self, tile: Tile) -> Tensor:
        """Compute the parent's prediction for a tile, or read it from the cache.

        Parameters
        ----------
        tile : Tile
            The tile.

        Returns
        -------
        Tensor of float16 [classes, T, T]
            Log-probabilities, on the CPU.
        """

        def make() -> Arrays:
            with torch.no_grad(), self.as_parent():
                return {"log_p": self.logits([tile])[0].log_softmax(0).half().cpu()}

        return self._get(f"parent {tile.source} {tile.window}", make)["log_p"]

    def parents_labels(self, tile: Tile) -> NDArray[np.uint8]:
        """Classify each pixel of a tile by the parent, or read it from the cache.

        Parameters
        ----------
        tile : Tile
            The tile.

        Returns
        -------
        ndarray of uint8 [T, T]
            Class indices.
        """

        def make() -> Arrays:
            with self.as_parent():
                return {"labels": torch.from_numpy(self.labels(tile))}

        return self._get(f"labels {tile.source} {tile.window}", make)["labels"].numpy()

    @contextlib.contextmanager
    def as_parent(self) -> Iterator[None]:
        """Use the parent's weights within a context.

        Yields
        ------
        None
            Once, while the network has the parent's weights.
        """
        own = {name: p.data for name, p in self.learning.items()}
        try:
            for name, parameter in self.learning.items():
                parameter.data = self.parent[name]
            yield
        finally:
            for name, parameter in self.learning.items():
                parameter.data = own[name]

    def prepare(self, tile: Tile) -> None:
        """Compute and cache the features of a tile that stay the same.

        Parameters
        ----------
        tile : Tile
            The tile.
        """
        with torch.no_grad(), numerics(self.device, self.precision):
            self._encode(tile)

    def _encode(self, tile: Tile) -> tuple[Features, dict[str, Tensor], dict[str, Tensor]]:
        """Compute the arguments of ``Network.decode`` for one tile, singly, so that the batch does not change a bit."""
        image = self._images[tile.source]
        windows = stream_windows(tile.window, self.model.config, image.shape)
        found = {name: self._stream(name, tile.source, window) for name, window in windows.items()}
        tile_features = {int(stride): array for stride, array in found.pop("tile").items()}
        contexts = {name: arrays["x"] for name, arrays in found.items()}
        extents = {
            name: torch.tensor([window], dtype=torch.float64, device=self.device) for name, window in windows.items()
        }
        return tile_features, contexts, extents

    def _stream(self, name: str, source: int, window: tuple[float, float, float, float]) -> Arrays:
        """Compute the features of one stream, by stride (the tile's) or as ``"x"``.

        Of a stream that is trained, only the pixels are cached.
        """

        def read() -> Arrays:
            pixels = read_stream(self._images[source], window, self.model.config.tile_size, exact=self._exact)
            return {"pixels": torch.from_numpy(pixels)[None]}

        key = f"{name} {source} {window}"
        if name in self._live:
            return self._through(name, self._get(key, read))

        def encode() -> Arrays:
            with torch.no_grad():
                return {part: array.cpu().contiguous() for part, array in self._through(name, read()).items()}

        return {part: array.to(self.device) for part, array in self._get(key, encode).items()}

    def _through(self, name: str, arrays: Arrays) -> Arrays:
        pixels = arrays["pixels"].to(self.device)
        if name != "tile":
            return {"x": self.model.encode_context(name, pixels)}
        needed = self.model.strides
        return {str(stride): array for stride, array in self.model.encode_tile(pixels).items() if stride in needed}

    def _get(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        return make() if self._cache is None else self._cache.get(key, make)


def _learns(model: Network, name: str) -> bool:
    """Return whether any weight between a stream's pixels and its features is trained."""
    return any(p.requires_grad for module in model.modules_before(name) for p in module.parameters())
