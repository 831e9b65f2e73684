"""Network of a fine-tuning run over tiles, which computes frozen encoders and the parent's prediction only once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fctl_napari.exceptions import ConfigError
from fctl_napari.finetuning.steps.feature_cache import Arrays, FeatureCache
from fctl_napari.finetuning.tile_sampling import Tile
from fctl_napari.finetuning.trainable_parameters import parameters_of
from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.batch_norms import fold_batch_norms
from fctl_napari.model.encoders import Features
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.device import numerics, store_for_inference
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
    parents_decoder : nn.Module or None, optional
        Decoder of the parent, if it differs in nothing else. None for that of ``model`` as it is now.

    Attributes
    ----------
    learning : dict of str to nn.Parameter
        Trained parameters by name.
    parent : dict of str to Tensor
        The parent's values of those parameters.
    parents_network : Network
        The parent. It also encodes the streams of which nothing is trained.
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
        parents_decoder: nn.Module | None = None,
    ) -> None:
        if model.gathers:
            raise ConfigError(
                "this network looks at all tiles of an image before it segments one, which learning from corrections "
                "does not; fine-tune another one."
            )
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
        self.parents_network = _parent_of(model, [name for name in names if name not in self._live], precision)
        if parents_decoder is not None:
            self.parents_network.decoder = parents_decoder.requires_grad_(False).to(device).eval()

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
        return self._logits(self.model, tiles)

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
        return _labels(self.logits([tile])).numpy()

    @torch.no_grad()
    def probabilities(self, tile: Tile, *, parent: bool = False) -> NDArray[np.float32]:
        """Compute the probabilities of the classes in each pixel of a tile.

        Parameters
        ----------
        tile : Tile
            The tile.
        parent : bool, optional
            If True, those of the parent, whose prediction is cached.

        Returns
        -------
        ndarray of float32 [classes, T, T]
            Probabilities, 0..1.
        """
        log_p = self.parents_prediction(tile).float() if parent else self.logits([tile])[0].log_softmax(0)
        return log_p.exp().cpu().numpy()

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
            with torch.no_grad():
                return {"log_p": self._logits(self.parents_network, [tile])[0].log_softmax(0).half().cpu()}

        return self.cached(f"parent {tile.source} {tile.window}", make)["log_p"]

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
            with torch.no_grad():
                return {"labels": _labels(self._logits(self.parents_network, [tile]))}

        return self.cached(f"labels {tile.source} {tile.window}", make)["labels"].numpy()

    def prepare(self, tile: Tile) -> None:
        """Compute and cache the features of a tile that stay the same.

        Parameters
        ----------
        tile : Tile
            The tile.
        """
        with torch.no_grad(), numerics(self.device, self.precision):
            self._encode(self.model, tile)

    def cached(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return arrays that belong to a tile, computing them if they are not cached.

        Parameters
        ----------
        key : str
            Key of the arrays.
        make : callable
            Function that computes the arrays.

        Returns
        -------
        dict of str to Tensor
            The arrays, which must not be changed.
        """
        return make() if self._cache is None else self._cache.get(key, make)

    def _logits(self, model: Network, tiles: Sequence[Tile]) -> Tensor:
        with numerics(self.device, self.precision):
            encoded = [self._encode(model, tile) for tile in tiles]
            stacked = {stride: torch.cat([e[0][stride] for e in encoded]) for stride in encoded[0][0]}
            contexts = {name: torch.cat([e[1][name] for e in encoded]) for name in encoded[0][1]}
            windows = {name: torch.cat([e[2][name] for e in encoded]) for name in encoded[0][2]}
            return model.decode(stacked, contexts, windows).float()

    def _encode(self, model: Network, tile: Tile) -> tuple[Features, dict[str, Tensor], dict[str, Tensor]]:
        """Compute the arguments of ``Network.decode`` for one tile, singly, so that the batch does not change a bit."""
        image = self._images[tile.source]
        windows = stream_windows(tile.window, self.model.config, image.shape)
        found = {name: self._stream(model, name, tile.source, window) for name, window in windows.items()}
        tile_features = {int(stride): array for stride, array in found.pop("tile").items()}
        contexts = {name: arrays["x"] for name, arrays in found.items()}
        extents = {
            name: torch.tensor([window], dtype=torch.float64, device=self.device) for name, window in windows.items()
        }
        return tile_features, contexts, extents

    def _stream(self, model: Network, name: str, source: int, window: tuple[float, float, float, float]) -> Arrays:
        """Compute the features of one stream, by stride (the tile's) or as ``"x"``.

        Of a stream that is trained, only the pixels are cached.
        """

        def read() -> Arrays:
            pixels = read_stream(self._images[source], window, self.model.config.tile_size, exact=self._exact)
            return {"pixels": torch.from_numpy(pixels)[None]}

        key = f"{name} {source} {window}"
        if name in self._live:
            return self._through(model, name, self.cached(key, read))

        def encode() -> Arrays:
            with torch.no_grad():
                found = self._through(self.parents_network, name, read())
                return {part: array.cpu().contiguous() for part, array in found.items()}

        return {part: array.to(self.device) for part, array in self.cached(key, encode).items()}

    def _through(self, model: Network, name: str, arrays: Arrays) -> Arrays:
        pixels = arrays["pixels"].to(self.device)
        if name != "tile":
            return {"x": model.encode_context(name, pixels)}
        return {str(stride): array for stride, array in model.encode_tile(pixels).items() if stride in model.strides}


def _labels(logits: Tensor) -> Tensor:
    """Classify each pixel of a single tile, as uint8 on the CPU."""
    # equal to argmax, which takes ten times as long on a CPU along any but the last axis
    return logits.max(1).indices[0].to(torch.uint8).cpu()


def _learns(model: Network, name: str) -> bool:
    """Return whether any weight between a stream's pixels and its features is trained."""
    return any(p.requires_grad for module in model.modules_before(name) for p in module.parameters())


def _parent_of(model: Network, frozen: Sequence[str], precision: Precision) -> Network:
    """Copy a network before it learns, with the weights of frozen streams converted for inference.

    All weights that neither learn nor are converted are shared.
    """
    weights = {id(p) for name in frozen for module in model.modules_before(name) for p in module.parameters()}
    shared = [p for p in model.parameters() if not p.requires_grad and id(p) not in weights]
    parent = copy.deepcopy(model, {id(p): p for p in shared}).requires_grad_(False)
    modules = nn.ModuleList(module for name in frozen for module in parent.modules_before(name))
    fold_batch_norms(modules)
    store_for_inference(modules, precision)
    return parent
