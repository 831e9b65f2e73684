"""Training tiles: windows drawn from scenes, read with their contexts exactly as the predictor reads them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fctl_napari.datasets.data_pixels import DataPixels
from fctl_napari.datasets.files import PARTS
from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.datasets.layouts import find_data_set
from fctl_napari.datasets.read_ahead import read_ahead, reading_threads
from fctl_napari.datasets.scene_ground_truth import SceneGroundTruth
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.sample import sample_files, sample_splits
from fctl_napari.model.classes import IGNORE, ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.segmentation.inference.image_with_mask import MaskedImage, nearest
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.segmentation.inference.tile_cutting import TileInputs, read_inputs
from fctl_napari.training.config import AugmentSettings
from fctl_napari.training.data_settings import DataSettings, SceneSettings
from fctl_napari.training.random_masks import open_masks
from fctl_napari.windows import FloatWindow, IntWindow, pieces_of

GroundTruth = NDArray[np.uint8] | SceneGroundTruth | DataPixels

STATED_VALUES = "[data] values of the training config"
"""Setting that states the classes of the values of a list of scenes."""

SAMPLED_POSITIONS = 128_000
"""Approximate number of positions that are kept of each class, over all pieces, for tiles centered on a class."""


@dataclass(frozen=True)
class Scene:
    """One image with its ground truth and the regions that may be used.

    Attributes
    ----------
    name : str
        Name of the image file, or of the scene in its data set.
    pyramid : Pyramid
        The image.
    ground_truth : ndarray of uint8 [H, W], SceneGroundTruth or DataPixels
        Class indices, in memory or read by slices, ``IGNORE`` where unlabelled or of an ignored class; without ground
        truth the px that hold data.
    train, val, test : tuple of IntWindow
        Regions (y0, x0, y1, x1), px, half open.
    """

    name: str
    pyramid: Pyramid
    ground_truth: GroundTruth
    train: tuple[IntWindow, ...]
    val: tuple[IntWindow, ...]
    test: tuple[IntWindow, ...]


@dataclass(frozen=True)
class Sample:
    """One training tile.

    Attributes
    ----------
    scene : int
        Index of the scene.
    inputs : TileInputs
        Input of the network: pixels and windows of the tile and its contexts.
    ground_truth : ndarray of uint8 [T, T]
        Class indices.
    """

    scene: int
    inputs: TileInputs
    ground_truth: NDArray[np.uint8]


def open_scenes(
    settings: DataSettings, folder: Path | str = ".", *, shelf: Shelf | None = None
) -> tuple[list[Scene], ClassTable]:
    """Open every scene of a data set without reading its pixels.

    Parameters
    ----------
    settings : DataSettings
        The data set.
    folder : Path or str, optional
        Folder that relative paths start from, or the folder of a data set in a known layout.
    shelf : Shelf or None, optional
        Cache of what was read last. By default a new one.

    Returns
    -------
    scenes : list of Scene
        The scenes.
    table : ClassTable
        Their class table.

    Raises
    ------
    InputError
        A file is missing or unreadable, or an image and its ground truth differ in size.
    """
    scenes, table = _open(settings, Path(folder), shelf or Shelf())
    if settings.masks:
        scenes = [
            replace(
                s,
                pyramid=MaskedImage(s.pyramid, open_masks(settings.masks, Path(folder), s.name, s.ground_truth, table)),
            )
            for s in scenes
        ]
    return scenes, table


def _open(settings: DataSettings, folder: Path, shelf: Shelf) -> tuple[list[Scene], ClassTable]:
    if settings.layout:
        return _open_data_set(settings, folder, shelf)
    if settings.sample:
        files = sample_files()
        table = ClassTable.read(files.classes)
        bands = {name: tuple((a, b) for a, b in spans) for name, spans in sample_splits().items()}
        scene = SceneSettings(
            image=str(files.image),
            truth=str(files.ground_truth),
            train=bands["train"],
            val=bands["val"],
            test=bands["test"],
        )
        return [_open_scene(scene, Path(), table, settings, shelf)], table
    assert settings.classes is not None
    scenes = [_open_scene(s, folder, settings.classes, settings, shelf) for s in settings.scenes]
    return scenes, settings.classes


def _open_data_set(settings: DataSettings, folder: Path, shelf: Shelf) -> tuple[list[Scene], ClassTable]:
    assert settings.layout
    found = find_data_set(folder, layout=settings.layout, table=settings.classes)
    scenes = []
    for part in PARTS:
        for pair in found.split.part(part):
            pyramid, ground_truth = _open_files(
                pair.image, pair.ground_truth, found.table, shelf, settings, found.values
            )
            regions: dict[str, tuple[IntWindow, ...]] = {part: ((0, 0, *ground_truth.shape),)}
            scenes.append(Scene(pair.name, pyramid, ground_truth, *(regions.get(name, ()) for name in PARTS)))
    return scenes, found.table


def _open_files(
    image: Path,
    ground_truth: Path,
    table: ClassTable,
    shelf: Shelf,
    data: DataSettings,
    values: Mapping[int, int] | None = None,
    stated_in: str = "",
) -> tuple[Pyramid, SceneGroundTruth]:
    pyramid = shelf.image(image, data.value_range, data.bands)
    source = SceneGroundTruth(ground_truth, table, shelf, values, pyramid, stated_in)
    height, width = pyramid.shape
    if source.shape != (height, width):
        raise InputError(
            f"{ground_truth}: is {source.shape[0]} x {source.shape[1]} px (height x width) where its image is "
            f"{height} x {width}; they must be of one size."
        )
    return pyramid, source


def _open_scene(settings: SceneSettings, folder: Path, table: ClassTable, data: DataSettings, shelf: Shelf) -> Scene:
    values = None
    if data.values is not None:
        stated = {value: table.names.index(name) if name else IGNORE for value, name in data.values.items()}
        values = {IGNORE: IGNORE} | stated
    files = folder / settings.image, folder / settings.truth
    pyramid, ground_truth = _open_files(*files, table, shelf, data, values, STATED_VALUES)
    height, width = ground_truth.shape

    def regions(bands: tuple[tuple[int, int], ...]) -> tuple[IntWindow, ...]:
        return tuple((0, x0, height, x1) for x0, x1 in bands)

    whole: tuple[IntWindow, ...] = ((0, 0, height, width),)
    if settings.train:
        train, val, test = regions(settings.train), regions(settings.val), regions(settings.test)
    elif data.holdout and settings.group == data.holdout:
        train, val, test = (), whole, ()
    else:
        train, val, test = whole, (), ()
    return Scene(settings.image, pyramid, ground_truth, train, val, test)


class TileSampler:
    """Random sampler of training tiles.

    The batch of step n depends on the seed and on n alone, so that a resumed run sees the same tiles.

    Parameters
    ----------
    scenes : list of Scene
        Scenes with at least one training region among them.
    config : FCtLConfig
        The network's settings.
    augment : AugmentSettings
        Ranges of the random changes. Only ``scale`` is used here.
    balanced : float
        Share of tiles centered on a pixel of a uniformly drawn class, 0..1.
    seed : int
        Seed of everything that is drawn.

    Attributes
    ----------
    regions : list of tuple of (int, IntWindow)
        Training regions with the index of their scene.
    unlabelled : list of str
        Names of scenes whose training regions hold no class at all.

    Raises
    ------
    InputError
        There is no training region, an image cannot be read as the network reads it, or ground truth is damaged.
    """

    def __init__(
        self, scenes: list[Scene], config: FCtLConfig, augment: AugmentSettings, balanced: float, seed: int
    ) -> None:
        for scene in scenes:
            network_image(scene.pyramid, config)  # refuses an image that it cannot read
        self.scenes = scenes
        self.config = config
        self.augment = augment
        self.balanced = balanced
        self.seed = seed
        self.regions = [(i, region) for i, scene in enumerate(scenes) for region in scene.train]
        if not self.regions:
            raise InputError("there is no training region among the scenes; check data.holdout and the splits.")
        areas = np.array([(y1 - y0) * (x1 - x0) for _, (y0, x0, y1, x1) in self.regions], float)
        self._shares = areas / areas.sum()
        self._counts = np.zeros(config.classes)
        self.unlabelled: list[str] = []
        self._positions = self._look_through()
        self._pool = ThreadPoolExecutor(reading_threads(), thread_name_prefix="fctl-tiles")

    def class_shares(self) -> NDArray[np.float64]:
        """Compute the share of each class among labelled training pixels.

        Returns
        -------
        ndarray of float64 [C]
            Shares, 0..1.
        """
        return np.asarray(self._counts / max(self._counts.sum(), 1))

    def _look_through(self) -> list[NDArray[np.int32]]:
        """Count the training pixels of each class and sample positions of each, as rows (scene, y, x)."""
        rng = np.random.default_rng([self.seed, 1])
        positions: list[list[NDArray[np.int32]]] = [[] for _ in range(self.config.classes)]
        pieces = [(index, piece) for index, region in self.regions for piece in pieces_of(region)]
        most = min(max(SAMPLED_POSITIONS // len(pieces), 64), 4000)
        labelled = set()
        for (index, (y0, x0, _, _)), ground_truth in zip(pieces, read_ahead(self._read_piece, pieces), strict=True):
            for k in range(self.config.classes):
                flat = np.flatnonzero(ground_truth == k)
                self._counts[k] += len(flat)
                if len(flat):
                    labelled.add(index)
                    chosen = rng.choice(flat, min(most, len(flat)), replace=False)
                    y, x = np.unravel_index(chosen, ground_truth.shape)
                    positions[k].append(np.stack([np.full_like(y, index), y + y0, x + x0], 1).astype(np.int32))
        self.unlabelled = [self.scenes[i].name for i in dict(self.regions) if i not in labelled]
        return [np.concatenate(p) if p else np.empty((0, 3), np.int32) for p in positions]

    def _read_piece(self, piece: tuple[int, IntWindow]) -> NDArray[np.uint8]:
        index, (y0, x0, y1, x1) = piece
        return self.scenes[index].ground_truth[y0:y1, x0:x1]

    def _draw_window(self, rng: np.random.Generator) -> tuple[int, FloatWindow]:
        """Draw the scene and the window of a tile."""
        span = self.config.tile_size * self.augment.scale ** rng.uniform(-1, 1)
        filled = [p for p in self._positions if len(p)]
        if filled and rng.random() < self.balanced:
            pool = filled[rng.integers(len(filled))]
            index, row, column = (int(v) for v in pool[rng.integers(len(pool))])
            y, x = row + rng.uniform(-0.4, 0.4) * span, column + rng.uniform(-0.4, 0.4) * span
            inside = [r for i, r in self.regions if i == index and r[1] <= column < r[3]]
            region = inside[0] if inside else next(r for i, r in self.regions if i == index)
        else:
            index, region = self.regions[rng.choice(len(self.regions), p=self._shares)]
            y, x = rng.uniform(region[0], region[2]), rng.uniform(region[1], region[3])
        y0, x0, y1, x1 = region
        top = _clamp(y - span / 2, y0, y1 - span)
        left = _clamp(x - span / 2, x0, x1 - span)
        return index, (top, left, top + span, left + span)

    def _draw_image(self, rng: np.random.Generator) -> int:
        return self.regions[rng.choice(len(self.regions), p=self._shares)][0]

    def batch(self, step: int, size: int) -> list[Sample]:
        """Read the tiles of one forward pass, before ``augment.collate`` changes their color and orientation.

        Parameters
        ----------
        step : int
            Number of the forward pass, which seeds the drawing.
        size : int
            Number of tiles.

        Returns
        -------
        list of Sample
            The tiles.

        Raises
        ------
        InputError
            An image or its ground truth is damaged.
        """
        rng = np.random.default_rng([self.seed, 2, step])
        if self.config.inference == "global":
            return list(self._pool.map(self._read_image, [self._draw_image(rng) for _ in range(size)]))
        return list(self._pool.map(self._read, [self._draw_window(rng) for _ in range(size)]))

    def _read(self, drawn: tuple[int, FloatWindow]) -> Sample:
        index, window = drawn
        if self.config.refines:  # masks have outlines along whole px, so the tiles of a refiner lie on whole px
            y0, x0, y1, x1 = map(round, window)
            window = y0, x0, y1, x1
        scene = self.scenes[index]
        region = next(
            (r for i, r in self.regions if i == index and r[1] <= (window[1] + window[3]) / 2 < r[3]),
            (0, 0, *scene.pyramid.shape),
        )
        inputs = read_inputs(scene.pyramid, window, self.config)
        return Sample(index, inputs, read_ground_truth(scene.ground_truth, window, self.config.tile_size, region))

    def _read_image(self, index: int) -> Sample:
        """Read an image resampled to a tile, with ground truth in its training regions, for a whole-image network."""
        scene = self.scenes[index]
        height, width = scene.pyramid.shape
        window = (0.0, 0.0, float(height), float(width))
        size = self.config.tile_size
        ground_truths = [
            read_ground_truth(scene.ground_truth, window, size, region) for i, region in self.regions if i == index
        ]
        return Sample(index, read_inputs(scene.pyramid, window, self.config), np.minimum.reduce(ground_truths))


def _clamp(value: float, low: float, high: float) -> float:
    return (low + high) / 2 if high < low else min(max(value, low), high)


def read_ground_truth(
    ground_truth: GroundTruth, window: FloatWindow, size: int, region: IntWindow
) -> NDArray[np.uint8]:
    """Sample ground truth at the centers of a tile's pixels, nearest neighbor.

    Parameters
    ----------
    ground_truth : ndarray of uint8 [H, W] or SceneGroundTruth
        Class indices.
    window : FloatWindow
        Window of the tile in level 0 px, (y0, x0, y1, x1). It may be fractional or reach outside the image.
    size : int
        Side of the tile, px.
    region : IntWindow
        Region (y0, x0, y1, x1), px, whose ground truth counts.

    Returns
    -------
    ndarray of uint8 [size, size]
        Class indices, ``IGNORE`` outside ``region``.

    Raises
    ------
    InputError
        The ground truth is damaged there.
    """
    y, x = nearest(window, size)
    inside_y = (y >= region[0]) & (y < region[2])
    inside_x = (x >= region[1]) & (x < region[3])
    rows, columns = np.clip(y, 0, ground_truth.shape[0] - 1), np.clip(x, 0, ground_truth.shape[1] - 1)
    box = ground_truth[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    out = box[(rows - rows[0])[:, None], (columns - columns[0])[None, :]]
    return np.where(inside_y[:, None] & inside_x[None, :], out, IGNORE).astype(np.uint8)
