"""Features of frozen encoders on fixed tiles, computed once and kept in memory-mapped files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from fctl_napari.ablation.frozen_tiles import CHUNK, Chunk, Frozen, MeasuredTile, Part, Stream, streams_of
from fctl_napari.evaluation.context_reliance import RELIANCE_TILES
from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.files import atomic_write
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.fctl import FCtL
from fctl_napari.segmentation.inference.device import numerics
from fctl_napari.segmentation.inference.hardware import Precision
from fctl_napari.segmentation.inference.tile_cutting import read_inputs
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.training.augment import Batch, collate
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import Scene, TileSampler
from fctl_napari.training.tones import SceneTones
from fctl_napari.training.weight_init import start_streams_from

BATCH = 8
"""Tiles in a batch while measuring."""


class FeatureMaker:
    """Features of the fixed tiles through one stream, computed file by file.

    Parameters
    ----------
    config : TrainConfig
        The training config, whose seed draws the training tiles.
    scenes : list of Scene
        Scenes that are trained and measured on.
    measured : sequence of MeasuredTile
        Tiles that cover what is measured.
    network : FCtLConfig
        Settings of any of the networks. Its contexts are replaced by the stream's.
    frozen : Frozen
        The frozen encoders.
    stream : Stream
        Stream through which the tiles are encoded.
    device : torch.device
        Device of the encoder. Tiles are encoded one by one, so that the batch does not change a bit of the result.
    precision : Precision
        Precision of the encoder. With bf16, features are also kept in it.

    Raises
    ------
    CheckpointError
        The checkpoint has another encoder.
    InputError
        There is no training region, or ground truth is damaged.
    """

    def __init__(
        self,
        config: TrainConfig,
        scenes: list[Scene],
        measured: Sequence[MeasuredTile],
        network: FCtLConfig,
        frozen: Frozen,
        stream: Stream,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self._config = config
        self._scenes = scenes
        self._measured = measured
        self._frozen = frozen
        self._stream = stream
        self._device = device
        self._precision = precision
        contexts = () if stream.context is None else (stream.context,)
        self._network = network.model_copy(update={"contexts": contexts, "ale": "none", "lcf": True})
        self._sampler = TileSampler(scenes, self._network, config.augment, config.balanced_tiles, config.seed)
        self._tones = SceneTones(scenes, self._network)
        self._model = FCtL(self._network)
        start_streams_from(self._model, frozen.checkpoint)
        self._model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def make(self, chunk: Chunk) -> Path:
        """Write a file of features unless it exists.

        Parameters
        ----------
        chunk : Chunk
            The tiles of the file.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InputError
            An image or its ground truth is damaged.
        OutputError
            The disk is full.
        """
        file = chunk.file(self._frozen)
        if file.exists():
            return file
        found: dict[str, list[Tensor]] = {}
        for index in chunk.indices(self._frozen):
            pixels = self.pixels(chunk.part, index)
            arrays = {str(stride): array for stride, array in self._encode(pixels).items()}
            arrays["window"] = pixels.windows[self._stream.name]
            if self._stream.context is None:
                arrays["truth"] = pixels.ground_truth.to(torch.uint8)
            for key, array in arrays.items():
                found.setdefault(key, []).append(array)
        content = save({key: torch.cat(arrays).contiguous() for key, arrays in found.items()})
        with atomic_write(file) as target:
            target.write(content)
        return file

    def pixels(self, part: Part, index: int) -> Batch:
        """Read the pixels of one tile.

        Parameters
        ----------
        part : Part
            ``"trained"`` for an augmented training tile, ``"measured"`` for a tile as it is.
        index : int
            Number of the tile in its part.

        Returns
        -------
        Batch
            A batch of one tile. Ground truth of a measured tile is given where it counts, and is ``IGNORE`` elsewhere.

        Raises
        ------
        InputError
            An image or its ground truth is damaged.
        """
        if part == "trained":
            rng = np.random.default_rng([self._config.seed, 3, index])
            samples = self._sampler.batch(index, 1)
            return collate(samples, self._config.augment, rng, self._network.in_channels, tones=self._tones)
        tile = self._measured[index]
        scene = self._scenes[tile.scene]
        size = self._network.tile_size
        grid = TileGrid(scene.pyramid.shape, size, default_overlap(size))
        y, x = grid.window(tile.cell)[:2]
        inputs = read_inputs(scene.pyramid, (float(y), float(x), float(y + size), float(x + size)), self._network)
        ground_truth = np.full((size, size), IGNORE, np.uint8)
        for region in tile.regions:
            owned = grid.core(tile.cell).intersect(region)
            if not owned.empty:
                ground_truth[owned.slices_in((y, x, y, x))] = scene.ground_truth[owned.slices_in()]
        return Batch(
            torch.from_numpy(inputs.tile)[None],
            {name: torch.from_numpy(pixels)[None] for name, pixels in inputs.contexts.items()},
            {name: torch.zeros(1, dtype=torch.int64) for name in inputs.contexts},
            {
                name: torch.from_numpy(location - [y, x, y, x])[None].float()
                for name, location in inputs.windows.items()
            },
            torch.from_numpy(ground_truth)[None].long(),
        )

    @torch.no_grad()
    def _encode(self, pixels: Batch) -> Features:
        """Compute the features that the stream's neck takes, or for the tile also those for the decoder."""
        name = self._stream.name
        if self._stream.context is None:
            images, strides = pixels.tile, set(self._model.strides)
        else:
            neck = self._model.neck(name)
            images, strides = pixels.contexts[name], {neck.stride, neck.last_stride}
        with numerics(self._device, self._precision):
            features = self._model.encoder(name)(
                images.to(self._device, memory_format=torch.channels_last), max(strides)
            )
        dtype = torch.bfloat16 if self._precision == "bf16" else torch.float32
        return {stride: features[stride].to(dtype).cpu() for stride in sorted(strides)}


@dataclass
class FeatureBatch:
    """Input of the trainable parts of a network for some tiles.

    Attributes
    ----------
    streams : dict of str to dict of int to Tensor of float [B, C, H, W]
        Features of the encoder by stride, for the tile and each context by name.
    windows : dict of str to Tensor of float32 [B, 4]
        Windows (y0, x0, y1, x1) by stream, in level 0 px from the corner of the tile.
    ground_truth : Tensor of int64 [B, T, T]
        Class indices, ``IGNORE`` where there is none.
    """

    streams: dict[str, Features]
    windows: dict[str, Tensor]
    ground_truth: Tensor

    def logits(self, model: FCtL) -> Tensor:
        """Run the part of a network that follows its encoders.

        Parameters
        ----------
        model : FCtL
            The network.

        Returns
        -------
        Tensor of float [B, C, T, T]
            Logits of the classes, on the network's device.
        """
        device = next(model.parameters()).device
        streams = {
            name: {stride: array.to(device, memory_format=torch.channels_last) for stride, array in features.items()}
            for name, features in self.streams.items()
        }
        tile = streams.pop("tile")
        tile[model.config.correlation_stride] = model.neck("tile")(tile)
        contexts: dict[str, Tensor] = {name: model.neck(name)(features) for name, features in streams.items()}
        return model.decode(tile, contexts, {name: window.to(device) for name, window in self.windows.items()})


class KeptFeatures:
    """Kept features of a part, read as a network needs them.

    Parameters
    ----------
    frozen : Frozen
        The frozen encoders and the folder of their features.
    part : Part
        ``"trained"`` or ``"measured"``.
    network : FCtLConfig
        Settings of the network, which decide the contexts that are read.
    """

    def __init__(self, frozen: Frozen, part: Part, network: FCtLConfig) -> None:
        self._frozen = frozen
        self._part = part
        self._streams = streams_of(network)
        self._files: dict[Chunk, safe_open] = {}

    def __len__(self) -> int:
        """Return the number of tiles."""
        return self._frozen.count(self._part)

    def batch(self, indices: Sequence[int], contexts_of: Sequence[int] | None = None) -> FeatureBatch:
        """Read the features of tiles.

        Parameters
        ----------
        indices : sequence of int
            Numbers of the tiles.
        contexts_of : sequence of int or None, optional
            Numbers of the tiles whose contexts and windows replace those of ``indices``, of the same length. None keeps
            each tile's own.

        Returns
        -------
        FeatureBatch
            The features, on the CPU.
        """
        streams: dict[str, Features] = {}
        windows = {}
        for stream in self._streams:
            others = indices if contexts_of is None else contexts_of
            found = [self._read(stream, i) for i in (others if stream.context else indices)]
            streams[stream.name] = {
                int(key): torch.cat([arrays[key] for arrays in found]) for key in found[0] if key.isdigit()
            }
            windows[stream.name] = torch.cat([self._read(stream, i, ("window",))["window"] for i in others])
        ground_truth = torch.cat([self._read(Stream(), i, ("truth",))["truth"] for i in indices]).long()
        return FeatureBatch(streams, windows, ground_truth)

    def _read(self, stream: Stream, index: int, keys: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Read the arrays of one tile, [1, ...] each, or all its features if no keys are given."""
        chunk = Chunk(self._part, stream, index // CHUNK)
        if chunk not in self._files:
            self._files[chunk] = safe_open(chunk.file(self._frozen), "pt")
        file = self._files[chunk]
        at = index % CHUNK
        wanted = keys or [key for key in file.keys() if key.isdigit()]  # noqa: SIM118 (it is no mapping)
        return {key: file.get_slice(key)[at : at + 1] for key in wanted}


@torch.no_grad()
def score_features(
    model: FCtL, features: KeptFeatures, names: Sequence[str], device: torch.device, precision: Precision
) -> Scores:
    """Compute figures over what is measured, as ``score_scenes`` does.

    Parameters
    ----------
    model : FCtL
        The network, in evaluation mode.
    features : KeptFeatures
        Features of the measured tiles.
    names : sequence of str
        Names of the classes, in order.
    device : torch.device
        Device of the network.
    precision : Precision
        Precision of the network.

    Returns
    -------
    Scores
        Figures of all measured tiles together.
    """
    matrix = np.zeros((len(names), len(names)), np.int64)
    for first in range(0, len(features), BATCH):
        batch = features.batch(range(first, min(first + BATCH, len(features))))
        predicted = _predict(model, batch, device, precision)
        matrix += confusion_matrix(batch.ground_truth.numpy().astype(np.uint8), predicted, len(names))
    return Scores.from_confusion(matrix, names)


@torch.no_grad()
def reliance_on_features(
    model: FCtL, features: KeptFeatures, tiles: Sequence[MeasuredTile], device: torch.device, precision: Precision
) -> float:
    """Compute the mean context reliance over scenes, as ``context_reliance`` defines it.

    Parameters
    ----------
    model : FCtL
        The network, in evaluation mode.
    features : KeptFeatures
        Features of the measured tiles.
    tiles : sequence of MeasuredTile
        The measured tiles.
    device : torch.device
        Device of the network.
    precision : Precision
        Precision of the network.

    Returns
    -------
    float
        Share of pixels whose class changes with the contexts, 0..1. It is 0 for a network without contexts.
    """
    if not model.config.outer_contexts:
        return 0.0
    values = []
    for group in _by_scene(tiles):
        chosen = np.linspace(0, len(group) - 1, min(RELIANCE_TILES, len(group))).round().astype(int)
        order = [group[chosen[i]] for i in np.random.default_rng(0).permutation(len(chosen))]
        if len(order) < 2:
            values.append(0.0)
            continue
        others = order[1:] + order[:1]
        changed = []
        for first in range(0, len(order), BATCH):
            own, exchanged = (
                _predict(model, features.batch(order[first : first + BATCH], contexts), device, precision)
                for contexts in (None, others[first : first + BATCH])
            )
            changed.append((own != exchanged).mean((1, 2)))
        values.append(float(np.concatenate(changed).mean()))
    return float(np.mean(values))


def _predict(model: FCtL, batch: FeatureBatch, device: torch.device, precision: Precision) -> NDArray[np.uint8]:
    with numerics(device, precision):
        return batch.logits(model).argmax(1).to(torch.uint8).cpu().numpy()


def _by_scene(tiles: Sequence[MeasuredTile]) -> Iterator[list[int]]:
    """List the numbers of the tiles of each scene."""
    for scene in sorted({tile.scene for tile in tiles}):
        yield [index for index, tile in enumerate(tiles) if tile.scene == scene]
