"""The fixed tiles of an ablation with frozen encoders: which they are, and where their features lie (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fctl_napari.errors import CheckpointError
from fctl_napari.imagery.sample import sample_splits
from fctl_napari.model.config import Context, FCtLConfig
from fctl_napari.model.model_card import Card, checkpoint_hash, read_card
from fctl_napari.segmentation.tiling.grid import Cell, TileGrid, default_overlap
from fctl_napari.training.data import Scene, names_of
from fctl_napari.windows import IntWindow, Window

Part = Literal["trained", "measured"]

CHUNK = 32
"""Tiles whose features share a file."""


@dataclass(frozen=True)
class Frozen:
    """Encoders that stay as they are, and the features that they made.

    Attributes
    ----------
    checkpoint
        The file that the encoders come from.
    hash
        Its SHA-256.
    tiles
        How many augmented training tiles there are.
    measured
        How many tiles cover what is measured.
    folder
        Of the features.
    """

    checkpoint: str
    hash: str
    tiles: int
    measured: int
    folder: str

    def count(self, part: Part) -> int:
        """Count the tiles of a part."""
        return self.tiles if part == "trained" else self.measured


@dataclass(frozen=True)
class Stream:
    """What a tile is seen through: itself (no context) or one of its contexts."""

    context: Context | None = None

    @property
    def name(self) -> str:
        """The stream's name in the network."""
        return "tile" if self.context is None else self.context.name

    @property
    def key(self) -> str:
        """The stream's name among files: contexts of one name and another scale differ."""
        return self.name if self.context is None else f"{self.name}-{self.context.scale}"


def streams_of(network: FCtLConfig) -> list[Stream]:
    """List what a network looks through."""
    return [Stream(), *(Stream(context) for context in network.outer_contexts)]


@dataclass(frozen=True)
class Chunk:
    """The features of some tiles through one stream: a file."""

    part: Part
    stream: Stream
    number: int

    def file(self, frozen: Frozen) -> Path:
        """Where it lies."""
        return Path(frozen.folder) / f"{self.part}-{self.stream.key}-{self.number:05d}.safetensors"

    def indices(self, frozen: Frozen) -> range:
        """Which tiles it holds."""
        return range(self.number * CHUNK, min((self.number + 1) * CHUNK, frozen.count(self.part)))


def chunks_of(frozen: Frozen, streams: Sequence[Stream]) -> list[Chunk]:
    """List every file of features that the streams need."""
    parts: tuple[Part, ...] = ("trained", "measured")
    return [
        Chunk(part, stream, number)
        for part in parts
        for stream in streams
        for number in range(-(-frozen.count(part) // CHUNK))
    ]


@dataclass(frozen=True)
class MeasuredTile:
    """A cell of the grid over a scene, and the regions of the scene that count."""

    scene: int
    cell: Cell
    regions: tuple[IntWindow, ...]


def measured_tiles(scenes: Sequence[Scene], part: str, tile_size: int) -> list[MeasuredTile]:
    """List the cells that ``fctl segment`` would compute over the regions of a part, scene by scene."""
    found = []
    for index, scene in enumerate(scenes):
        regions: tuple[IntWindow, ...] = getattr(scene, part)
        grid = TileGrid(scene.pyramid.shape, tile_size, default_overlap(tile_size))
        cells = sorted({cell for region in regions for cell in grid.cells_in(region)})
        found += [MeasuredTile(index, cell, regions) for cell in cells]
    return found


def check_unseen(checkpoint: Path | str, scenes: Sequence[Scene], part: str) -> str:
    """Refuse a checkpoint whose encoders saw what is to be measured; returns its hash.

    Raises
    ------
    CheckpointError
        Its card says that it was trained there, or does not say where it was trained.
    """
    card = read_card(checkpoint)
    digests, trained = _training(card, checkpoint)
    for scene in scenes:
        measured: tuple[IntWindow, ...] = getattr(scene, part)
        for name in names_of(scene, digests) if measured else ():
            regions = trained(name, scene.pyramid.shape)
            if any(not Window(*a).intersect(b).empty for a in regions for b in measured):
                raise CheckpointError(
                    f"{checkpoint}: was trained on parts of {scene.name} that are measured here; give a checkpoint "
                    "of a run that held them out."
                )
    return checkpoint_hash(checkpoint)


def _training(card: Card, checkpoint: Path | str) -> tuple[dict[str, str], Any]:
    """Digests of the scenes by name, and a function that gives the regions trained on of one of them."""
    try:
        training = card.provenance["training"]
        digests: dict[str, str] = dict(card.provenance["data"])
        data: dict[str, Any] = training["data"]
        parent = training["init_from"] or training.get("contexts_from")
        trained_on: dict[str, list[IntWindow]] | None = card.provenance.get("trained_on")
        if trained_on is None and data.get("layout"):
            raise KeyError("trained_on")
        scenes = {scene["image"]: scene for scene in data["scenes"]}
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{checkpoint}: its card does not say what it was trained on; give a checkpoint of fctl train."
        ) from error
    if parent:
        raise CheckpointError(
            f"{checkpoint}: started from {parent}, and what that was trained on is not known; give the checkpoint of "
            "a first stage."
        )

    def regions(name: str, shape: tuple[int, int]) -> list[IntWindow]:
        if trained_on is not None:
            return trained_on.get(name, [])
        height, width = shape
        scene = scenes.get(name, {})
        bands = sample_splits()["train"] if data["sample"] else scene.get("train")
        if bands:
            return [(0, x0, height, x1) for x0, x1 in bands]
        return [] if data["holdout"] and scene.get("group") == data["holdout"] else [(0, 0, height, width)]

    return digests, regions
