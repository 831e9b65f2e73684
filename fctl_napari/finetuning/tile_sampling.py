"""Tiles of a fine-tuning run, divided into those trained on and those only measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.regions import CorrectedBox
from fctl_napari.evaluation.trained_on import LearnedRegions
from fctl_napari.exceptions import InputError
from fctl_napari.finetuning.correction_sources import NOTHING, CorrectionSource, check_size, with_classes
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.targets import Split, meet, only, split_together, target_of
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.training.data import Scene, open_scenes
from fctl_napari.training.data_settings import DataSettings
from fctl_napari.training.scene_identity import names_of
from fctl_napari.windows import IntWindow

MOST_SCENES = 32
"""Largest number of scenes, evenly chosen, that are replayed and checked. Each is read whole for its digest."""


@dataclass(frozen=True)
class Tile:
    """A tile of one of the images.

    Attributes
    ----------
    source : int
        Index of the image: first the corrected images, then the training scenes.
    window : IntWindow
        Window (y0, x0, y1, x1), px of that image.
    """

    source: int
    window: IntWindow


@dataclass
class TileSets:
    """All tiles of a run, by their use.

    Attributes
    ----------
    images : list of Pyramid
        The corrected images, then the training scenes.
    scenes : list of Scene
        The training scenes with their ground truth.
    splits : list of Split
        Split of the corrected regions of each corrected image.
    targets : dict of Tile to ndarray of uint8 [T, T]
        Target of each corrected tile, see ``target_of``.
    held_out : dict of Tile to ndarray of uint8 [T, T]
        Held-out corrections of each tile that touches some: 0 not scored, k + 1 class k.
    replay : list of Tile
        Tiles without corrections on which the network is held to the parent.
    check_scene : list of Tile
        Tiles of the corrected images without corrections on which agreement is measured, none of them in ``replay``.
    check_training : list of Tile
        Tiles of the training set on which agreement is measured, none of them in ``replay``.
    notes : list of str
        Notes for the user.
    """

    images: list[Pyramid]
    scenes: list[Scene]
    splits: list[Split]
    targets: dict[Tile, NDArray[np.uint8]]
    held_out: dict[Tile, NDArray[np.uint8]]
    replay: list[Tile] = field(default_factory=list)
    check_scene: list[Tile] = field(default_factory=list)
    check_training: list[Tile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _valid: dict[Tile, NDArray[np.bool_]] = field(default_factory=dict, repr=False)

    def scene_of(self, tile: Tile) -> Scene:
        """Return the training scene of a tile.

        Parameters
        ----------
        tile : Tile
            Tile of a training scene.

        Returns
        -------
        Scene
            The scene.
        """
        return self.scenes[tile.source - len(self.splits)]

    def valid(self, tile: Tile) -> NDArray[np.bool_] | None:
        """Read which px of a tile hold data.

        Parameters
        ----------
        tile : Tile
            A tile.

        Returns
        -------
        ndarray of bool [T, T] or None
            True where there is data. None if all px of its image hold some.

        Raises
        ------
        InputError
            The image is damaged there.
        """
        image = self.images[tile.source]
        if not image.masked:
            return None
        if tile not in self._valid:
            self._valid[tile] = image.read_valid(tile.window)
        return self._valid[tile]

    def target(self, tile: Tile) -> NDArray[np.uint8]:
        """Return the target of any tile.

        Parameters
        ----------
        tile : Tile
            A tile.

        Returns
        -------
        ndarray of uint8 [T, T]
            Its target as of ``targets``; without corrections 0, and 255 where there is no data.

        Raises
        ------
        InputError
            The image is damaged there.
        """
        if tile in self.targets:
            return self.targets[tile]
        y0, x0, y1, x1 = tile.window
        blank = np.zeros((y1 - y0, x1 - x0), np.uint8)
        valid = self.valid(tile)
        return blank if valid is None else np.where(valid, blank, np.uint8(NOT_SURE))

    @property
    def corrected(self) -> list[Tile]:
        """Tiles that are trained on for their corrections."""
        return list(self.targets)

    def class_pixels(self, classes: int) -> NDArray[np.int64]:
        """Count the corrected pixels of each class in each corrected tile.

        Parameters
        ----------
        classes : int
            Number of classes.

        Returns
        -------
        ndarray of int64 [tiles, classes]
            Numbers of pixels.
        """
        counts = [np.bincount(values.ravel(), minlength=256)[1 : classes + 1] for values in self.targets.values()]
        return np.array(counts, np.int64).reshape(-1, classes)


@dataclass(frozen=True)
class Corrected:
    """An image with its corrections.

    Attributes
    ----------
    image : Pyramid
        The image.
    corrections : CorrectionSource
        Its corrections.
    path : str
        Path of the corrections, for people.
    """

    image: Pyramid
    corrections: CorrectionSource
    path: str


def choose_tiles(
    request: FinetuneRequest,
    corrected: Sequence[Corrected],
    card: Card,
    known: Sequence[LearnedRegions] = (),
) -> TileSets:
    """Choose all tiles of a run.

    The same request gives the same tiles.

    Parameters
    ----------
    request : FinetuneRequest
        All settings of the run.
    corrected : sequence of Corrected
        The corrected images.
    card : Card
        Model card of the parent.
    known : sequence of LearnedRegions, optional
        Corrected regions of each image that the parent knows.

    Returns
    -------
    TileSets
        The tiles.

    Raises
    ------
    InputError
        Corrections are of another size, empty, or hold a value that is no class.
    """
    for one in corrected:
        check_size(one.corrections, one.image, one.path)
    tile_size = card.config.tile_size
    grids = [TileGrid(one.image.shape, tile_size, default_overlap(tile_size)) for one in corrected]
    boxes, strange = _of_classes([one.corrections for one in corrected], card)
    splits, note = split_together(boxes, request.held_out, request.seed, known)
    scenes, missing = training_scenes(card, request.data_folder)
    images = [*(one.image for one in corrected), *(scene.pyramid for scene in scenes)]
    sets = TileSets(images, scenes, splits, {}, {}, notes=[strange, note, missing])
    rng = np.random.default_rng([request.seed, 11])
    names = card.classes.names
    learnt = [[box for box in own if box not in set(parts.held_out)] for own, parts in zip(boxes, splits, strict=True)]
    wanted = {name for own in learnt for box in own for name in box.classes}
    training = [tile for i, parts in enumerate(splits) for tile in _tiles(i, _over(grids[i], parts.training))]
    for number, tile in enumerate(_shuffled(training, rng)):
        # beyond the largest number, add only tiles of a class that no tile has yet
        if number >= request.most_tiles and not any(
            wanted & box.classes and meet(tile.window, box) for box in learnt[tile.source]
        ):
            continue
        one = corrected[tile.source]
        values = target_of(one.corrections, tile.window, splits[tile.source].held_out)
        valid = sets.valid(tile)
        if valid is not None:
            values[~valid] = NOT_SURE
        _check_values(values, card.config.classes, one.path)
        if ((values != NOTHING) & (values != NOT_SURE)).any():
            sets.targets[tile] = values
            wanted -= {names[value - 1] for value in np.unique(values) if value not in (NOTHING, NOT_SURE)}
    if not sets.targets:
        paths = ", ".join(one.path for one in corrected)
        raise InputError(f"{paths}: no pixel was given a class; paint some first. {strange}".rstrip())
    held_out = [tile for i, parts in enumerate(splits) for tile in _tiles(i, _over(grids[i], parts.held_out))]
    for tile in _shuffled(held_out, rng, request.most_tiles):
        one, parts = corrected[tile.source], splits[tile.source]
        values = only(target_of(one.corrections, tile.window), tile.window, parts.held_out)
        values[values == NOT_SURE] = NOTHING
        valid = sets.valid(tile)
        if valid is not None:
            values[~valid] = NOTHING
        _check_values(values, card.config.classes, one.path)
        if values.any():
            sets.held_out[tile] = values
    everywhere = [tile for i, grid in enumerate(grids) for tile in _tiles(i, _all_windows(grid))]
    shuffled = _shuffled(everywhere, rng)
    away = [tile for tile in shuffled if not any(meet(tile.window, box) for box in boxes[tile.source])]
    sets.check_scene, replay = _deal(away, request.check_tiles, request.replay_tiles)
    trained = [tile for i, scene in enumerate(scenes, len(corrected)) for tile in _tiles(i, _inside(scene, tile_size))]
    sets.check_training, more = _deal(_shuffled(trained, rng), request.check_tiles, request.training_tiles)
    sets.replay = replay + more
    sets.notes = [note for note in sets.notes if note]
    return sets


def _of_classes(corrections: Sequence[CorrectionSource], card: Card) -> tuple[list[list[CorrectedBox]], str]:
    """List corrected regions with their classes that the checkpoint knows, and a note on the other painted ones."""
    names = card.classes.names
    boxes = [
        [box if isinstance(box, CorrectedBox) else with_classes(source, box, names) for box in source.boxes()]
        for source in corrections
    ]
    strange = sorted({name for own in boxes for box in own for name in box.classes}.difference(names))
    note = f"Painted, but no class of {card.name}: {', '.join(strange)}. It is kept, and not learned from."
    known = [[CorrectedBox(box, box.classes.intersection(names)) for box in own] for own in boxes]
    return known, note if strange else ""


def data_hash(fingerprints: Sequence[str], *targets: dict[Tile, NDArray[np.uint8]]) -> str:
    """Hash the images' fingerprints and the targets of their tiles, which identify the corrections that a network saw.

    Parameters
    ----------
    fingerprints : sequence of str
        Fingerprint of each corrected image.
    *targets : dict of Tile to ndarray of uint8 [T, T]
        Targets by tile.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    digest = hashlib.sha256()
    for source, fingerprint in enumerate(fingerprints):
        digest.update(fingerprint.encode())
        for side in targets:
            for tile in sorted((tile for tile in side if tile.source == source), key=lambda t: t.window):
                digest.update(repr(tile.window).encode() + side[tile].tobytes())
    return digest.hexdigest()


def draw_tiles(request: FinetuneRequest, sets: TileSets, pixels: NDArray[np.int64], step: int) -> list[Tile]:
    """Draw the tiles of a step.

    Corrected tiles come first, each for a class drawn evenly among the corrected classes. Replay tiles follow.

    Parameters
    ----------
    request : FinetuneRequest
        All settings of the run.
    sets : TileSets
        Tiles of the run.
    pixels : ndarray of int64 [tiles, classes]
        Numbers of corrected pixels, see ``TileSets.class_pixels``.
    step : int
        Number of the step, from 0. The same step of the same run gives the same tiles.

    Returns
    -------
    list of Tile
        The tiles.
    """
    rng = np.random.default_rng([request.seed, 12, step])
    replayed = round(request.batch * request.replay_share) if sets.replay else 0
    corrected = sets.corrected
    there = np.flatnonzero(pixels.sum(0))
    tiles = []
    for _ in range(max(request.batch - replayed, 1)):
        share = np.sqrt(pixels[:, rng.choice(there)])
        tiles.append(corrected[rng.choice(len(corrected), p=share / share.sum())])
    return tiles + [sets.replay[i] for i in rng.integers(0, max(len(sets.replay), 1), replayed)]


def training_scenes(card: Card, folder: Path | str | None) -> tuple[list[Scene], str]:
    """Open the training scenes of a checkpoint, if they are at hand and unchanged.

    Parameters
    ----------
    card : Card
        Model card of the checkpoint.
    folder : Path, str or None
        Folder of its scenes. The bundled sample is always found.

    Returns
    -------
    scenes : list of Scene
        The scenes, at most ``MOST_SCENES``.
    note : str
        The reason why there are none, empty if there are.
    """
    settings: dict[str, Any] = card.provenance.get("training", {}).get("data", {})
    if not settings:
        return [], "The checkpoint does not say what it was trained on: old scenes are neither replayed nor checked."
    if not settings.get("sample") and folder is None:
        return [], "The checkpoint's training scenes are not at hand: they are neither replayed nor checked."
    classes = {"classes": [info.model_dump() for info in card.classes]}
    known = {key: value for key, value in settings.items() if key in DataSettings.model_fields}
    try:
        data = DataSettings.model_validate(known if settings.get("sample") else known | {"classes": classes})
        scenes, _ = open_scenes(data, folder or ".")
    except (InputError, ValueError) as error:
        return [], f"The checkpoint's training scenes cannot be used ({' '.join(str(error).split())[:120]})."
    digests = card.provenance.get("data", {})
    scenes = [scene for scene in scenes if scene.train]
    some = np.linspace(0, len(scenes) - 1, min(MOST_SCENES, len(scenes))).round().astype(int)
    scenes = [scenes[i] for i in some]
    same = [scene for scene in scenes if names_of(scene, digests)]
    return same, "" if same else "The checkpoint's training scenes have changed: they are neither replayed nor checked."


def spread_tiles(shape: tuple[int, int], tile_size: int, most: int) -> dict[Tile, IntWindow]:
    """Cover the first corrected image with tiles, or choose some of them, evenly spread.

    Parameters
    ----------
    shape : tuple of 2 int
        (height, width) of the image, px.
    tile_size : int
        Side of the tile, px.
    most : int
        Largest number of tiles.

    Returns
    -------
    dict of Tile to IntWindow
        The part of the image that each tile decides, (y0, x0, y1, x1), px, by tile.
    """
    grid = TileGrid(shape, tile_size, 0)
    cells = grid.cells_in((0, 0, *shape))
    chosen = np.linspace(0, len(cells) - 1, min(most, len(cells))).round().astype(int)
    return {Tile(0, grid.window(cells[i])): grid.core(cells[i]) for i in chosen}


def _deal(tiles: list[Tile], first: int, second: int) -> tuple[list[Tile], list[Tile]]:
    """Divide shuffled tiles between two uses, proportionally if there are few."""
    wanted = max(first + second, 1)
    count = first if len(tiles) >= wanted else len(tiles) * first // wanted
    return tiles[:count], tiles[count : count + second]


def _over(grid: TileGrid, boxes: Sequence[IntWindow]) -> list[IntWindow]:
    return sorted({grid.window(cell) for box in boxes for cell in grid.tiles_over(box)})


def _all_windows(grid: TileGrid) -> list[IntWindow]:
    return [grid.window(cell) for cell in grid.tiles_over((0, 0, *grid.image_shape))]


def _tiles(source: int, windows: Iterable[IntWindow]) -> list[Tile]:
    return [Tile(source, window) for window in windows]


def _shuffled(tiles: list[Tile], rng: np.random.Generator, most: int | None = None) -> list[Tile]:
    return [tiles[i] for i in rng.permutation(len(tiles))[:most]]


def _inside(scene: Scene, tile_size: int) -> list[IntWindow]:
    """List the tiles, edge to edge, that lie in a scene's training regions."""
    windows = []
    for y0, x0, y1, x1 in scene.train:
        for y in range(y0, y1 - tile_size + 1, tile_size):
            windows += [(y, x, y + tile_size, x + tile_size) for x in range(x0, x1 - tile_size + 1, tile_size)]
    return windows


def _check_values(values: NDArray[np.uint8], classes: int, path: str) -> None:
    named = values[values != NOT_SURE]
    if named.size and named.max() > classes:
        raise InputError(f"{path}: holds class {int(named.max()) - 1}, the checkpoint's classes end at {classes - 1}.")
