"""Fixed tiles of an ablation with frozen encoders, and the files of their features (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fctl_napari.exceptions import CheckpointError
from fctl_napari.imagery.sample import sample_splits
from fctl_napari.model.config import Context, FCtLConfig
from fctl_napari.model.model_card import Card, checkpoint_hash, read_card
from fctl_napari.segmentation.tiling.grid import Cell, TileGrid, default_overlap
from fctl_napari.training.data import Scene
from fctl_napari.training.scene_identity import names_of
from fctl_napari.windows import IntWindow, Window

Part = Literal["trained", "measured"]

CHUNK = 32
"""Number of tiles whose features share a file."""


@dataclass(frozen=True)
class Frozen:
    """Frozen encoders and the features that they computed.

    Attributes
    ----------
    checkpoint : str
        File that the encoders come from.
    hash : str
        SHA-256 of the file.
    tiles : int
        Number of augmented training tiles.
    measured : int
        Number of tiles that cover what is measured.
    folder : str
        Folder of the features.
    """

    checkpoint: str
    hash: str
    tiles: int
    measured: int
    folder: str

    def count(self, part: Part) -> int:
        """Count the tiles of a part.

        Parameters
        ----------
        part : Part
            ``"trained"`` or ``"measured"``.

        Returns
        -------
        int
            Number of tiles.
        """
        return self.tiles if part == "trained" else self.measured


@dataclass(frozen=True)
class Stream:
    """One input of a network for a tile: the tile itself or one of its contexts.

    Attributes
    ----------
    context : Context or None
        The context, or None for the tile itself.
    """

    context: Context | None = None

    @property
    def name(self) -> str:
        """Name of the stream in the network."""
        return "tile" if self.context is None else self.context.name

    @property
    def key(self) -> str:
        """Name of the stream in file names, which differs for contexts of one name and different scales."""
        return self.name if self.context is None else f"{self.name}-{self.context.scale}"


def streams_of(network: FCtLConfig) -> list[Stream]:
    """List the streams of a network.

    Parameters
    ----------
    network : FCtLConfig
        The network's settings.

    Returns
    -------
    list of Stream
        The tile, then the outer contexts.
    """
    return [Stream(), *(Stream(context) for context in network.outer_contexts)]


@dataclass(frozen=True)
class Chunk:
    """Features of some tiles through one stream, which share a file.

    Attributes
    ----------
    part : Part
        ``"trained"`` or ``"measured"``.
    stream : Stream
        The stream.
    number : int
        Number of the file, from 0. Each has ``CHUNK`` tiles, except for the last.
    """

    part: Part
    stream: Stream
    number: int

    def file(self, frozen: Frozen) -> Path:
        """Return the path of the file.

        Parameters
        ----------
        frozen : Frozen
            The frozen encoders and the folder of their features.

        Returns
        -------
        Path
            The path, whether or not the file exists.
        """
        return Path(frozen.folder) / f"{self.part}-{self.stream.key}-{self.number:05d}.safetensors"

    def indices(self, frozen: Frozen) -> range:
        """Return the numbers of the tiles in the file.

        Parameters
        ----------
        frozen : Frozen
            The frozen encoders and the numbers of their tiles.

        Returns
        -------
        range
            Numbers of the tiles in their part.
        """
        return range(self.number * CHUNK, min((self.number + 1) * CHUNK, frozen.count(self.part)))


def chunks_of(frozen: Frozen, streams: Sequence[Stream]) -> list[Chunk]:
    """List every file of features that streams need.

    Parameters
    ----------
    frozen : Frozen
        The frozen encoders and the numbers of their tiles.
    streams : sequence of Stream
        The streams.

    Returns
    -------
    list of Chunk
        The files of the trained tiles, then those of the measured ones.
    """
    parts: tuple[Part, ...] = ("trained", "measured")
    return [
        Chunk(part, stream, number)
        for part in parts
        for stream in streams
        for number in range(-(-frozen.count(part) // CHUNK))
    ]


@dataclass(frozen=True)
class MeasuredTile:
    """A cell of the grid over a scene, with the regions that count.

    Attributes
    ----------
    scene : int
        Index of the scene.
    cell : Cell
        The cell, (row, column).
    regions : tuple of IntWindow
        Regions of the scene that count, (y0, x0, y1, x1), px.
    """

    scene: int
    cell: Cell
    regions: tuple[IntWindow, ...]


def measured_tiles(scenes: Sequence[Scene], part: str, tile_size: int) -> list[MeasuredTile]:
    """List the cells that ``fctl segment`` would compute over the regions of a part, scene by scene.

    Parameters
    ----------
    scenes : sequence of Scene
        The scenes.
    part : str
        Part of the scenes, ``"test"`` or ``"val"``.
    tile_size : int
        Side of the tile, px.

    Returns
    -------
    list of MeasuredTile
        The cells, row by row within a scene.
    """
    found = []
    for index, scene in enumerate(scenes):
        regions: tuple[IntWindow, ...] = getattr(scene, part)
        grid = TileGrid(scene.pyramid.shape, tile_size, default_overlap(tile_size))
        cells = sorted({cell for region in regions for cell in grid.cells_in(region)})
        found += [MeasuredTile(index, cell, regions) for cell in cells]
    return found


def check_unseen(checkpoint: Path | str, scenes: Sequence[Scene], part: str) -> str:
    """Refuse a checkpoint whose encoders were trained on what is to be measured.

    Parameters
    ----------
    checkpoint : Path or str
        File that the encoders come from.
    scenes : sequence of Scene
        The scenes.
    part : str
        Measured part of the scenes, ``"test"`` or ``"val"``.

    Returns
    -------
    str
        SHA-256 of the checkpoint, hexadecimal.

    Raises
    ------
    CheckpointError
        The checkpoint's model card says that it was trained there, or does not say where it was trained.
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
    """Return the digests of the scenes by name, and a function that gives the trained regions of one of them."""
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
            f"{checkpoint}: its model card does not say what it was trained on; give a checkpoint of fctl train."
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
