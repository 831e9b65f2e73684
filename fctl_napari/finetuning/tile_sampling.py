"""Tiles of a fine-tuning run, divided into those trained on and those only measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.corrections.regions import CorrectedBox
from fctl_napari.errors import InputError
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.targets import (
    NOTHING,
    CorrectionSource,
    Split,
    meet,
    only,
    split,
    target_of,
    with_classes,
)
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.training.config import DataSettings
from fctl_napari.training.data import Scene, names_of, open_scenes
from fctl_napari.windows import IntWindow

MOST_SCENES = 32
"""Largest number of scenes, evenly chosen, that are replayed and checked. Each is read whole for its digest."""


@dataclass(frozen=True)
class Tile:
    """A tile of one of the images.

    Attributes
    ----------
    source : int
        Index of the image: 0 is the corrected image, the training scenes follow.
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
        The corrected image, then the training scenes.
    scenes : list of Scene
        The training scenes with their ground truth.
    split : Split
        Split of the corrected regions.
    targets : dict of Tile to ndarray of uint8 [T, T]
        Target of each corrected tile, see ``target_of``.
    held_out : dict of Tile to ndarray of uint8 [T, T]
        Held-out corrections of each tile that touches some: 0 not scored, k + 1 class k.
    replay : list of Tile
        Tiles without corrections on which the network is held to the parent.
    check_scene : list of Tile
        Tiles of the scene without corrections on which agreement is measured, none of them in ``replay``.
    check_training : list of Tile
        Tiles of the training set on which agreement is measured, none of them in ``replay``.
    notes : list of str
        Notes for the user.
    """

    images: list[Pyramid]
    scenes: list[Scene]
    split: Split
    targets: dict[Tile, NDArray[np.uint8]]
    held_out: dict[Tile, NDArray[np.uint8]]
    replay: list[Tile] = field(default_factory=list)
    check_scene: list[Tile] = field(default_factory=list)
    check_training: list[Tile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _valid: dict[Tile, NDArray[np.bool_]] = field(default_factory=dict, repr=False)

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


def choose_tiles(request: FinetuneRequest, image: Pyramid, corrections: CorrectionSource, card: Card) -> TileSets:
    """Choose all tiles of a run.

    The same request gives the same tiles.

    Parameters
    ----------
    request : FinetuneRequest
        All settings of the run.
    image : Pyramid
        The corrected image.
    corrections : CorrectionSource
        The corrections.
    card : Card
        Model card of the parent.

    Returns
    -------
    TileSets
        The tiles.

    Raises
    ------
    InputError
        The corrections are of another size, empty, or hold a value that is no class.
    """
    if corrections.shape != image.shape:
        (h, w), (height, width) = corrections.shape, image.shape
        raise InputError(
            f"{request.corrections}: is {h} x {w} px where its image is {height} x {width}; corrections belong to "
            "an image of their own size."
        )
    grid = TileGrid(image.shape, card.config.tile_size, default_overlap(card.config.tile_size))
    boxes, strange = _of_classes(corrections, card)
    parted = split(boxes, request.held_out, request.seed)
    scenes, missing = training_scenes(card, request.data_folder)
    sets = TileSets(
        [image, *(s.pyramid for s in scenes)], scenes, parted, {}, {}, notes=[strange, parted.note, missing]
    )
    rng = np.random.default_rng([request.seed, 11])
    names = card.classes.names
    held_out = set(parted.held_out)
    learnt = [box for box in boxes if box not in held_out]
    wanted = {name for box in learnt for name in box.classes}
    for number, window in enumerate(_shuffled(_over(grid, parted.training), rng)):
        # beyond the largest number, add only tiles of a class that no tile has yet
        if number >= request.most_tiles and not any(wanted & box.classes and meet(window, box) for box in learnt):
            continue
        values = target_of(corrections, window, parted.held_out)
        valid = sets.valid(Tile(0, window))
        if valid is not None:
            values[~valid] = NOT_SURE
        _check_values(values, card.config.classes, request.corrections)
        if ((values != NOTHING) & (values != NOT_SURE)).any():
            sets.targets[Tile(0, window)] = values
            wanted -= {names[value - 1] for value in np.unique(values) if value not in (NOTHING, NOT_SURE)}
    if not sets.targets:
        raise InputError(f"{request.corrections}: no pixel was given a class; paint some first. {strange}".rstrip())
    for window in _shuffled(_over(grid, parted.held_out), rng, request.most_tiles):
        values = only(target_of(corrections, window), window, parted.held_out)
        values[values == NOT_SURE] = NOTHING
        valid = sets.valid(Tile(0, window))
        if valid is not None:
            values[~valid] = NOTHING
        _check_values(values, card.config.classes, request.corrections)
        if values.any():
            sets.held_out[Tile(0, window)] = values
    away = [window for window in _shuffled(_all_windows(grid), rng) if not any(meet(window, box) for box in boxes)]
    sets.check_scene, replay = _deal([Tile(0, w) for w in away], request.check_tiles, request.replay_tiles)
    trained = [Tile(i, w) for i, scene in enumerate(scenes, 1) for w in _inside(scene, card.config.tile_size)]
    order = rng.permutation(len(trained))
    sets.check_training, more = _deal([trained[i] for i in order], request.check_tiles, request.training_tiles)
    sets.replay = replay + more
    sets.notes = [note for note in sets.notes if note]
    return sets


def _of_classes(corrections: CorrectionSource, card: Card) -> tuple[list[CorrectedBox], str]:
    """List corrected regions with their classes that the checkpoint knows, and a note on the other painted ones."""
    names = card.classes.names
    boxes = [b if isinstance(b, CorrectedBox) else with_classes(corrections, b, names) for b in corrections.boxes()]
    strange = sorted({name for box in boxes for name in box.classes}.difference(names))
    note = f"Painted, but no class of {card.name}: {', '.join(strange)}. It is kept, and not learned from."
    return [CorrectedBox(box, box.classes.intersection(names)) for box in boxes], note if strange else ""


def data_hash(fingerprint: str, *targets: dict[Tile, NDArray[np.uint8]]) -> str:
    """Hash an image's fingerprint and the targets of its tiles, which identify the corrections that a network saw.

    Parameters
    ----------
    fingerprint : str
        Fingerprint of the image.
    *targets : dict of Tile to ndarray of uint8 [T, T]
        Targets by tile.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    digest = hashlib.sha256(fingerprint.encode())
    for side in targets:
        for tile in sorted(side, key=lambda t: t.window):
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
    """Cover the corrected image with tiles, or choose some of them, evenly spread.

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


def _shuffled(windows: list[IntWindow], rng: np.random.Generator, most: int | None = None) -> list[IntWindow]:
    return [windows[i] for i in rng.permutation(len(windows))[:most]]


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
