"""Evaluation of a network on the tiles of a fine-tuning run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.metrics import confusion_matrix
from fctl_napari.evaluation.unclear_classes import hints_on
from fctl_napari.exceptions import InputError
from fctl_napari.finetuning.judging.evidence import ClassProbability
from fctl_napari.finetuning.judging.gate import Count, Figures
from fctl_napari.finetuning.steps.side_by_side import SideBySide
from fctl_napari.finetuning.steps.tile_network import TileNetwork
from fctl_napari.finetuning.targets import only
from fctl_napari.finetuning.tile_sampling import Tile, TileSets, spread_tiles
from fctl_napari.imagery.labels.class_mapping import MappedGroundTruth, as_classes
from fctl_napari.imagery.labels.ground_truth_over import open_ground_truth_over
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import IGNORE, ClassTable
from fctl_napari.windows import Window

Labels = Callable[[Tile], NDArray[np.uint8]]

SAVE_VALUES = "if a value there stands for it (255 is no class), save the mask with the class indices of the checkpoint"
"""What to do about a value of a ground truth that may stand for a class."""

SAVE_ORDER = "check its values, and save the mask with the class indices of the checkpoint"
"""What to do about classes of a ground truth that seem to be mixed up."""


def ground_truth_of(path: str, image: Pyramid, table: ClassTable) -> LabelSource | MappedGroundTruth:
    """Open the ground truth of an image, with classes found by their names, colors or values.

    Parameters
    ----------
    path : str
        File of the ground truth.
    image : Pyramid
        The image, over which the ground truth lies by its georeference.
    table : ClassTable
        The class table of the checkpoint.

    Returns
    -------
    LabelSource or MappedGroundTruth
        Class indices, read by windows.

    Raises
    ------
    InputError
        It cannot be read, is of another size, or names classes none of which is one of the table's.
    """
    ignored = [info.name for info in table if info.ignored]
    source = open_ground_truth_over(path, image.georeference, image.shape, table.colors, image=image.path)
    ground_truth = as_classes(source, table.names, ignored)
    if ground_truth.shape != image.shape:
        (h, w), (height, width) = ground_truth.shape, image.shape
        raise InputError(f"{path}: is {h} x {w} px where its image is {height} x {width}; they must be of one size.")
    return ground_truth


class Measure:
    """Evaluation of networks on the tiles of a run that are not trained on.

    Parameters
    ----------
    sets : TileSets
        Tiles of the run.
    table : ClassTable
        The class table.
    ground_truth : LabelSource, MappedGroundTruth or None
        Ground truth of the corrected image, or None.
    ground_truth_tiles : int
        Largest number of tiles on which the ground truth is compared.
    tile_size : int
        Side of the tile, px.
    side_by_side : SideBySide
        Threads that compute.

    Attributes
    ----------
    hints : list of str
        What seems to be wrong with the classes of the ground truth, by the last network that was measured on it.
    """

    def __init__(
        self,
        sets: TileSets,
        table: ClassTable,
        ground_truth: LabelSource | MappedGroundTruth | None,
        ground_truth_tiles: int,
        tile_size: int,
        side_by_side: SideBySide,
    ) -> None:
        self._side_by_side = side_by_side
        self._sets = sets
        self._table = table
        self._names = table.names
        self._ground_truth = ground_truth
        self.hints: list[str] = []
        self._ground_truth_tiles = (
            spread_tiles(sets.images[0].shape, tile_size, ground_truth_tiles) if ground_truth is not None else {}
        )

    @property
    def tiles(self) -> list[Tile]:
        """Every tile that is measured on, each once."""
        sets = self._sets
        return list(dict.fromkeys([*sets.held_out, *sets.check_scene, *sets.check_training, *self._ground_truth_tiles]))

    def measure(
        self,
        network: TileNetwork,
        *,
        parent: bool = False,
        whole: bool = True,
    ) -> Generator[None, None, dict[str, Figures]]:
        """Measure a network or its parent, yielding before each group of tiles.

        Parameters
        ----------
        network : TileNetwork
            The network.
        parent : bool, optional
            If True, measure the parent instead, whose predictions are cached.
        whole : bool, optional
            If True, measure on the ground truth too, and not only what is watched during a run.

        Returns
        -------
        dict of str to Figures
            Figures by the keys of ``gate.WORDS``. What there are no tiles for is left out.

        Yields
        ------
        None
            Once before each group, so that the caller can pause or stop.

        Raises
        ------
        InputError
            An image or its ground truth is damaged, or the ground truth has a class that the checkpoint lacks.
        """
        sets = self._sets

        def labels(tile: Tile) -> NDArray[np.uint8]:
            return network.parents_labels(tile) if parent else network.labels(tile)

        counts = {"held_out": (yield from self._held_out(network, parent))}
        counts["scene"] = yield from self._count(sets.check_scene, labels, None, network)
        if parent:
            counts["scene"].uncertainty = yield from self._uncertainty(network)
        counts["training"] = yield from self._count(sets.check_training, labels, self._training_ground_truth, network)
        if whole:
            counts["truth"] = yield from self._count(self._ground_truth_tiles, labels, self._scene_ground_truth)
            self.hints = self._hints_by(counts["truth"])
        return {part: count.figures(self._names) for part, count in counts.items() if count.tiles}

    def _hints_by(self, count: Count) -> list[str]:
        """Return what seems to be wrong with the classes of the ground truth, as ``fctl evaluate`` does."""
        if self._ground_truth is None:
            return []
        compared = sum((y1 - y0) * (x1 - x0) for y0, x0, y1, x1 in self._ground_truth_tiles.values())
        hints = hints_on(
            self._ground_truth,
            count.matrix,
            self._names,
            predicted=self._names,
            dropped=compared - int(count.matrix.sum()),
            advice=(SAVE_VALUES, SAVE_ORDER),
        )
        return [f"{self._ground_truth.path}: {hint}." for hint in hints]

    def _held_out(self, network: TileNetwork, parent: bool) -> Generator[None, None, Count]:
        """Count pixels of the held-out corrections, and sum up the probability of what is painted."""
        held_out = self._sets.held_out
        probability = ClassProbability()
        count = Count(np.zeros((len(self._names), len(self._names)), np.int64), probability=probability)

        def probabilities(tile: Tile) -> NDArray[np.float32]:
            return network.probabilities(tile, parent=parent)

        for group in self._side_by_side.groups(held_out):
            yield
            for tile, p in zip(group, self._side_by_side.map(probabilities, group), strict=True):
                count.tiles += 1
                ground_truth = held_out[tile] - np.uint8(1)
                count.matrix += confusion_matrix(ground_truth, p.argmax(0).astype(np.uint8), len(self._names))
                probability.add(tile.source, (tile.window[0], tile.window[1]), held_out[tile], p)
        return count

    def _uncertainty(self, network: TileNetwork) -> Generator[None, None, float]:
        """Sum up 1 less the parent's confidence over the pixels away from corrections."""

        def uncertainty(tile: Tile) -> float:
            inside = Window(*tile.window).clip(self._sets.images[tile.source].shape).slices_in(tile.window)
            valid = self._sets.valid(tile)
            confidence = network.probabilities(tile, parent=True).max(0)[inside if valid is None else valid]
            return float((1 - confidence).sum())

        total = 0.0
        for group in self._side_by_side.groups(self._sets.check_scene):
            yield
            total += sum(self._side_by_side.map(uncertainty, group))
        return total

    def _count(
        self,
        tiles: Iterable[Tile],
        labels: Labels,
        ground_truth: Labels | None,
        network: TileNetwork | None = None,
    ) -> Generator[None, None, Count]:
        """Count pixels against ground truth (255 is not scored), and against the parent if the network is given."""
        count = Count(np.zeros((len(self._names), len(self._names)), np.int64))
        for group in self._side_by_side.groups(tiles):
            yield
            for tile, predicted in zip(group, self._side_by_side.map(labels, group), strict=True):
                count.tiles += 1
                if ground_truth is not None:
                    count.matrix += confusion_matrix(ground_truth(tile), predicted, len(self._names))
                if network is not None:
                    inside = Window(*tile.window).clip(self._sets.images[tile.source].shape).slices_in(tile.window)
                    valid = self._sets.valid(tile)
                    same = (predicted == network.parents_labels(tile))[inside if valid is None else valid]
                    count.same += int(same.sum())
                    count.pixels += same.size
        return count

    def _training_ground_truth(self, tile: Tile) -> NDArray[np.uint8]:
        y0, x0, y1, x1 = tile.window
        return self._sets.scene_of(tile).ground_truth[y0:y1, x0:x1]

    def _scene_ground_truth(self, tile: Tile) -> NDArray[np.uint8]:
        assert self._ground_truth is not None
        values = self._ground_truth.read(tile.window)
        strange = values[(values >= len(self._table)) & (values != IGNORE)]
        if strange.size:
            raise InputError(
                f"{self._ground_truth.path}: holds class {strange.max()}, the checkpoint's classes end at "
                f"{len(self._table) - 1}; save class indices, with {IGNORE} for no class."
            )
        values = np.where(values < len(self._names), values, IGNORE).astype(np.uint8)  # ignored classes are not scored
        valid = self._sets.valid(tile)
        if valid is not None:
            values[~valid] = IGNORE
        return only(values + np.uint8(1), tile.window, [self._ground_truth_tiles[tile]]) - np.uint8(1)
