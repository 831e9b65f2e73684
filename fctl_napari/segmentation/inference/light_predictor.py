"""Predictor of networks with a light decoder, which keeps what lies in front of it for the next decoder."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from fctl_napari.imagery.chunk_cache import LastUsed
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.encoders import Features
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.light_decoder import LightDecoder, as_kept
from fctl_napari.model.windows import Dihedral
from fctl_napari.segmentation.inference.device import numerics, store_for_inference
from fctl_napari.segmentation.inference.explaining_predictor import ExplainingPredictor
from fctl_napari.segmentation.inference.hardware import resolve_device, resolve_precision
from fctl_napari.segmentation.inference.tile_predictor import TilePredictor
from fctl_napari.segmentation.inference.tile_prefetch import PendingTile
from fctl_napari.windows import FloatWindow

KEPT_BYTES = 2**30
"""Limit of the features that are kept, bytes: about 960 tiles of 256 px of EfficientNet-Lite0."""


@dataclass(frozen=True)
class KeptTile:
    """Features of a tile that a light decoder takes, on the CPU.

    Attributes
    ----------
    tile : Features
        Maps of the tile, float16 [1, C, h, w], by stride; those at the correlation stride are enhanced by LCF and ALE.
    contexts : dict of str to Tensor
        Features of the outer contexts, float16 [1, C, h, w], by name.
    windows : dict of str to Tensor
        Windows of ``"tile"`` and the contexts, float64 [1, 4], full-resolution px.
    """

    tile: Features
    contexts: dict[str, Tensor]
    windows: dict[str, Tensor]


_kept: LastUsed[KeptTile] = LastUsed(KEPT_BYTES)
_names: WeakKeyDictionary[Pyramid, Hashable] = WeakKeyDictionary()
_next = itertools.count()
_offered: dict[tuple[str, ...], LightPredictor] = {}  # at most one


class LightPredictor(ExplainingPredictor):
    """Network of torch with a light decoder, which is run over tiles of images.

    All predictors of a process whose networks differ in nothing but the decoder share the features of tiles. So a new
    decoder classifies in milliseconds what an earlier one has seen.

    Parameters
    ----------
    model : FCtL
        The network, whose decoder is a ``LightDecoder``.
    **options : object
        See ``Predictor``.
    """

    def __init__(self, model: FCtL, **options: Any) -> None:
        super().__init__(model, **options)
        assert isinstance(model.decoder, LightDecoder)
        self._light = model
        self._decoder = model.decoder
        self._trunk = trunk_hash(model), str(self.device), self.precision, self._exact

    def with_decoder(self, decoder: LightDecoder) -> LightPredictor:
        """Make a predictor that shares all of the network but the decoder.

        Parameters
        ----------
        decoder : LightDecoder
            Decoder of the same settings, which is copied.

        Returns
        -------
        LightPredictor
            The predictor.
        """
        own = copy.deepcopy(decoder).to(self.device)
        store_for_inference(own, self.precision)
        model = copy.copy(self._light)
        model._modules = {**self._light._modules, "decoder": own}
        other = copy.copy(self)
        TilePredictor.__init__(other, self.config, self.precision, self._exact)  # threads of its own
        other._light = other._model = other._network = model
        other._decoder = own
        return other

    def offer(self, checkpoint: str) -> None:
        """Offer this predictor to the next run of a checkpoint in this process, in place of the one offered before.

        So the run begins without loading the network.

        Parameters
        ----------
        checkpoint : str
            SHA-256 of the checkpoint that holds the same network.
        """
        for earlier in _offered.values():
            earlier.close()
        _offered.clear()
        _offered[checkpoint, str(self.device), self.precision, str(self._exact)] = self

    def features(self, pyramid: Pyramid, windows: Sequence[FloatWindow]) -> Iterator[KeptTile]:
        """Compute what the decoder takes, or take what is kept of it, tile by tile.

        Parameters
        ----------
        pyramid : Pyramid
            The image.
        windows : sequence of FloatWindow
            Windows of the tiles, full-resolution px.

        Yields
        ------
        KeptTile
            Features of each tile, in their order.

        Raises
        ------
        InputError
            The image is damaged there.
        ConfigError
            Memory does not suffice for a single tile.
        """
        name = _name_of(pyramid)
        keys = [(name, *self._trunk, tuple(map(float, window))) for window in windows]
        known = [_kept.peek(key) for key in keys]
        reader = self._reader_of(pyramid)
        waiting = [(key, window) for key, window, tile in zip(keys, windows, known, strict=True) if tile is None]
        begun: list[PendingTile] = []
        try:
            for key, tile in zip(keys, known, strict=True):
                if tile is None:
                    while waiting and len(begun) < 2 * self.batch + 2:
                        begun.append(reader.start(0, waiting.pop(0)[1]))
                    pending = begun.pop(0)
                    tile = self._compute(pending)
                    _kept.get(key, _size(tile), partial(_same, tile))
                yield tile
        finally:
            for pending in begun:
                pending.pixels["tile"].cancel()

    def _compute(self, pending: PendingTile) -> KeptTile:
        """Compute the features of a tile."""
        with self._one_tile(), torch.inference_mode(), numerics(self.device, self.precision):
            tile, contexts, windows = self._encode_all([pending])
            return KeptTile(
                {stride: as_kept(x).cpu() for stride, x in self._light.fused(tile, contexts, windows).items()},
                {name: as_kept(x).cpu() for name, x in contexts.items()},
                {name: window.cpu() for name, window in windows.items()},
            )

    def _batches(
        self,
        pyramid: Pyramid,
        windows: Sequence[FloatWindow],
        turns: Sequence[Dihedral] | None = None,
        *,
        with_weights: bool = False,
    ) -> Iterator[tuple[list[int], Tensor, Tensor | None]]:
        if with_weights or turns is not None:  # fusion weights, and features of turned tiles, are not kept
            yield from super()._batches(pyramid, windows, turns, with_weights=with_weights)
            return
        for index, tile in enumerate(self.features(pyramid, windows)):
            with self._one_tile(), torch.inference_mode(), numerics(self.device, self.precision):
                logits = self._decoder(
                    self._there(tile.tile), self._there(tile.contexts), self._there(tile.windows)
                ).float()
            yield [index], logits, None

    def _there(self, arrays: dict[Any, Tensor]) -> dict[Any, Tensor]:
        """Move arrays to the device."""
        return {key: array.to(self.device, non_blocking=True) for key, array in arrays.items()}


def take_offered(checkpoint: str, device: str, precision: str, *, exact_contexts: bool) -> LightPredictor | None:
    """Take the predictor that was offered for a checkpoint.

    Parameters
    ----------
    checkpoint : str
        SHA-256 of the checkpoint.
    device : str
        Device, as for ``Predictor``.
    precision : str
        Precision, as for ``Predictor``.
    exact_contexts : bool
        As for ``Predictor``.

    Returns
    -------
    LightPredictor or None
        The predictor, which is offered no more. None if there is none with these settings.
    """
    there = resolve_device(device)
    settings = str(there), resolve_precision(precision, there.type), str(exact_contexts)
    return _offered.pop((checkpoint, *settings), None)


def trunk_hash(model: FCtL) -> str:
    """Compute the SHA-256 of all of a network but its decoder, hex.

    Parameters
    ----------
    model : FCtL
        The network.

    Returns
    -------
    str
        The hash.
    """
    config = model.config.model_dump_json(exclude={"decoder", "classes"})
    digest = hashlib.sha256(config.encode())
    for name, value in model.state_dict().items():
        if not name.startswith("decoder."):
            digest.update(name.encode())
            digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _name_of(pyramid: Pyramid) -> Hashable:
    """Return what tells the px of an image from those of others: of a file that is opened twice it is the same."""
    if pyramid not in _names:
        name: Hashable = next(_next)
        if pyramid.path is not None and not is_url(pyramid.path):
            state = image_file(Path(pyramid.path)).stat()
            name = (
                *(str(pyramid.path), state.st_mtime_ns, fingerprint(pyramid)),
                *(repr(pyramid.value_range), repr(pyramid.bands)),
            )
        _names[pyramid] = name
    return _names[pyramid]


def _same(tile: KeptTile) -> KeptTile:
    return tile


def _size(tile: KeptTile) -> int:
    """Return the size of a tile's features, bytes."""
    return sum(x.numel() * x.element_size() for x in (*tile.tile.values(), *tile.contexts.values()))
