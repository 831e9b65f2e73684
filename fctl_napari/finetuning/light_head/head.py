"""Light head of one image: its cells from the corrections, the fit, and the checkpoint."""

from __future__ import annotations

import platform
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari import __version__
from fctl_napari.evaluation.calibration import Calibration
from fctl_napari.evaluation.metrics import Scores
from fctl_napari.evaluation.trained_on import seen_images
from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.finetuning.correction_sources import CorrectionSource, check_size, open_with_classes
from fctl_napari.finetuning.light_head.fit import FittedHead, LabelledCells, calibrate, fit_head
from fctl_napari.finetuning.light_head.frozen_base import keep_base, open_of, take_base
from fctl_napari.finetuning.light_head.importance import context_importance
from fctl_napari.finetuning.light_head.request import HeadRequest
from fctl_napari.finetuning.targets import APART, Split, only, plain_boxes, split, target_of
from fctl_napari.finetuning.tile_sampling import Tile, data_hash
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.checkpoint import check_path, round_as_stored, save_checkpoint
from fctl_napari.model.classes import NOT_SURE, ClassTable
from fctl_napari.model.domain import SeenImage
from fctl_napari.model.model_card import (
    Card,
    checkpoint_hash,
    read_card,
    require_classes,
    resolve_checkpoint,
    without_folders,
)
from fctl_napari.segmentation.inference.light_predictor import KeptTile
from fctl_napari.segmentation.store.identity import image_facts
from fctl_napari.segmentation.tiling.grid import Cell, TileGrid, default_overlap
from fctl_napari.words import count_of

CONTEXT_SCALE = 0.3
"""Scale of the contexts' features beside the tile's. They vary little within a stroke, so that few strokes show few."""

MOST_CELLS = 8000
"""Number of cells that are learned from at most, evenly divided among the classes."""

FEWEST_CELLS = 64
"""Number of cells that are drawn of a tile at least, if it has them. Of few tiles more are."""


@dataclass(frozen=True)
class HeadProgress:
    """Progress of a light head.

    Attributes
    ----------
    done, total : int
        Number of tiles whose features are there, and of all that were painted on.
    """

    done: int
    total: int


@dataclass(frozen=True)
class HeadResult:
    """A light head that was written.

    Attributes
    ----------
    path : Path
        The checkpoint.
    notes : tuple of str
        What is to be known of it.
    figures : dict of str to object
        Figures on held-out cells; empty if nothing was held out.
    cells : int
        Number of cells that were learned from.
    """

    path: Path
    notes: tuple[str, ...]
    figures: dict[str, Any]
    cells: int


class HeadFitter:
    """Fit of one light head.

    Parameters
    ----------
    request : HeadRequest
        All settings.

    Attributes
    ----------
    table : ClassTable
        Classes of the corrections.
    image : Pyramid
        The image that was painted on.
    model : FCtL
        The network, whose decoder is learned.
    decoder : LightDecoder
        Its decoder.
    predictor : LightPredictor
        The network over tiles.
    split : Split
        Split of the painted regions.
    learned, held_out : LabelledCells
        Cells that are learned from at first, and those that are measured on.

    Raises
    ------
    CheckpointError
        The checkpoint cannot be used.
    InputError
        The image or the corrections cannot be used, or fewer than two classes were painted.
    ConfigError
        The settings do not fit.
    OutputError
        The new checkpoint's name is taken.
    """

    def __init__(self, request: HeadRequest) -> None:
        self.request = request
        self.out = check_path(request.out)
        if self.out.exists() and not (request.replace and _is_head(self.out)):
            raise OutputError(f"{self.out}: exists already; choose another name.")
        path = resolve_checkpoint(request.checkpoint)
        self._parent = read_card(path)
        require_classes(request.checkpoint, self._parent)
        self._parent_hash = checkpoint_hash(path)
        self.image = open_of(request)
        self._source, self.table = _open_strokes(request, self.image, self._parent)
        base = self._base = take_base(request, self.image, len(self.table.scored))
        self.model, self.predictor, self.decoder = base.model, base.predictor, base.decoder
        tile = self.model.config.tile_size
        self._grid = TileGrid(self.image.shape, tile, default_overlap(tile))
        self._generator = torch.Generator().manual_seed(request.seed)
        self._seen: dict[Tile, NDArray[np.uint8]] = {}
        self._labelled: set[int] = set()
        width, classes = sum(self.decoder.widths.values()), len(self.table.scored)
        self.learned = self.held_out = LabelledCells(torch.zeros(0, width), torch.zeros(0, classes))
        self.split = Split((), ())

    def stages(self) -> Generator[list[HeadProgress], None, HeadResult]:
        """Fit the head and write it.

        Returns
        -------
        HeadResult
            The head.

        Yields
        ------
        list of HeadProgress
            Progress since the last stage.

        Raises
        ------
        InputError
            The image or the corrections are damaged, or fewer than two classes were painted.
        OutputError
            The disk is full or the folder is not writable.
        """
        try:
            return (yield from self._stages())
        finally:
            keep_base(self.request, self._base)

    def _stages(self) -> Generator[list[HeadProgress], None, HeadResult]:
        request = self.request
        yield from self.collect()
        learned, held_out = self.learned, self.held_out
        if int((learned.known | held_out.known).sum()) < 2:
            raise InputError(f"{request.corrections}: holds px of fewer than two classes; paint a second one.")
        everything = LabelledCells.joined([learned, held_out])
        measurable = held_out.known & learned.known
        figures: dict[str, Any] = {}
        if int(measurable.sum()) > 1:
            first = self._fit(learned)
            yield []
            measured = held_out.drawn(MOST_CELLS, self._generator)
            temperature = calibrate(first, measured)
            figures = self._figures(first, measured)
            head = self._fit(everything, first)
            head.temperature = temperature
        else:
            head = self._fit(everything)
        yield []
        notes = self._notes(head, measurable)
        head.install(self.decoder)
        round_as_stored(self.decoder)
        card = self._card(head.temperature, figures, notes)
        save_checkpoint(self.out, self.model, card)
        self.predictor.with_decoder(self.decoder).offer(checkpoint_hash(self.out))
        return HeadResult(self.out, tuple(notes), figures, len(everything.features))

    def collect(self) -> Generator[list[HeadProgress], None, None]:
        """Compute the features of all cells that were painted on: ``learned`` and ``held_out``.

        Yields
        ------
        list of HeadProgress
            Progress since the last tile.

        Raises
        ------
        InputError
            The image or the corrections are damaged.
        """
        boxes = self._source.boxes()
        self.split = split(boxes, self.request.held_out, self.request.seed)
        tiles = sorted({cell for box in boxes for cell in self._grid.cells_in(box)})
        windows = [self._grid.window(cell) for cell in tiles]
        most = max(FEWEST_CELLS, 4 * MOST_CELLS // max(1, len(tiles)))
        learned, held_out = [self.learned], [self.held_out]
        features = self.predictor.features(self.image, windows)
        for number, (cell, kept) in enumerate(zip(tiles, features, strict=True)):
            values, window = self._values(cell), windows[number]
            self._seen[Tile(0, window)] = values
            hidden = only(values, window, self.split.held_out)
            for side, part in ((learned, np.where(hidden > 0, 0, values)), (held_out, hidden)):
                side.append(self._cells(kept, part.astype(np.uint8), most))
            yield [HeadProgress(number + 1, len(tiles))]
        self.learned, self.held_out = LabelledCells.joined(learned), LabelledCells.joined(held_out)

    def _fit(self, cells: LabelledCells, like: FittedHead | None = None) -> FittedHead:
        """Fit a head in a thread that computes alone: several would wait for each other after each small step."""
        widths = self.decoder.widths.items()
        scale = torch.cat([torch.full((w,), CONTEXT_SCALE if n in self.decoder.contexts else 1.0) for n, w in widths])
        cells = cells.drawn(MOST_CELLS, self._generator)
        arguments = cells, scale, self.request.decoder == "mlp", self._generator, like
        with ThreadPoolExecutor(1, "fctl-head", torch.set_num_threads, (1,)) as alone:
            return alone.submit(fit_head, *arguments).result()

    def _figures(self, head: FittedHead, cells: LabelledCells) -> dict[str, Any]:
        """Compute the figures of a head on held-out cells, and what the contexts' own features are worth to it."""
        decoder, regions = self.decoder, len(self.split.held_out)
        lost = context_importance(head, cells, decoder.widths, decoder.contexts, self._generator)
        where = f"{count_of(regions, 'held-out region')} of {PurePath(self.request.image).name}"
        return _figures(head.scores(cells.features), cells.pixels, self.table) | {
            "held_out_regions": regions,
            "context_importance": {name: round(value, 4) for name, value in lost.items()},
            "measured_on": f"{where}, of a head that was fitted without them",
        }

    def _notes(self, head: FittedHead, measured: Tensor) -> list[str]:
        """Describe the classes that are not learned, and those that are not measured."""
        names = np.array(self.table.names)
        known, seen = head.known.numpy(), np.isin(np.arange(1, len(names) + 1), list(self._labelled))
        without_data, missing = names[seen & ~known], names[~seen]
        unmeasured = names[known & ~measured.numpy()]
        notes = []
        if len(without_data):
            notes.append(f"Painted only where the image holds no data, and never predicted: {', '.join(without_data)}.")
        if len(missing):
            notes.append(f"Not painted, and never predicted: {', '.join(missing)}.")
        if int(measured.sum()) < 2:
            notes.append(
                "Too few regions are held out to measure the head: paint further regions of at least two classes, "
                f"{APART} px or more from the others."
            )
        elif len(unmeasured):
            notes.append(f"Not measured, as none of their regions is held out: {', '.join(unmeasured)}.")
        return notes

    def _values(self, cell: Cell) -> NDArray[np.uint8]:
        """Read what was painted in the core of a tile, over its window. It is 0 elsewhere, and where it is not sure."""
        window = self._grid.window(cell)
        values = only(target_of(self._source, window), window, [self._grid.core(cell)])
        values[values == NOT_SURE] = 0
        self._labelled.update(np.unique(values).tolist())
        values[~self.predictor.read_valid(self.image, window)] = 0
        return values

    def _cells(self, tile: KeptTile, values: NDArray[np.uint8], most: int) -> LabelledCells:
        """Return cells of a tile that were painted on, at most so many."""
        decoder, classes = self.decoder, len(self.table.scored)
        size = decoder.cells.size
        of_pixels = decoder.cells.cells_of_pixels().numpy()
        rows, columns = np.nonzero(values)
        index_of = (of_pixels[rows] * size + of_pixels[columns]) * classes + values[rows, columns] - 1
        pixels = np.bincount(index_of, minlength=size * size * classes).reshape(-1, classes)
        there = np.flatnonzero(pixels.any(1))
        cells = LabelledCells(torch.from_numpy(there)[:, None].float(), torch.from_numpy(pixels[there]).float())
        cells = cells.drawn(most, self._generator)
        index = cells.features[:, 0].long()
        features = decoder.features_at((index // size, index % size), tile.tile, tile.contexts, tile.windows)
        return LabelledCells(features, cells.pixels)

    def _card(self, temperature: float, figures: dict[str, Any], notes: Sequence[str]) -> Card:
        request, image = self.request, self.image
        facts = image_facts(image)
        provenance: dict[str, Any] = {
            **{key: value for key, value in self._parent.provenance.items() if key == "imported"},
            "parent": {"name": self._parent.name, "hash": self._parent_hash},
            "head": {
                "settings": request.model_dump(mode="json", exclude={"out", "replace"}),
                "image": {key: facts[key] for key in ("name", "fingerprint")},
                "corrections": data_hash([facts["fingerprint"]], self._seen),
                "temperature": round(temperature, 3),
                **({"notes": list(notes)} if notes else {}),
            },
            "precision": self.predictor.precision,
            "software": f"fctl-napari {__version__}, torch {torch.__version__}, python {platform.python_version()}",
        }
        name = PurePath(image.path or image.name).name
        boxes = plain_boxes([*self.split.training, *self.split.held_out])
        of_base = seen_images(self._parent)
        if self._parent.config.light:
            of_base = of_base[:-1]  # the last one is of the strokes of its head, which is left out
        seen = SeenImage(name=name, fingerprint=facts["fingerprint"], regions=boxes, corrected=True)
        return Card(
            name=request.name,
            description=f"A light head on the encoders of {self._parent.name}, learned from strokes on {name}.",
            config=self.model.config,
            classes=self.table,
            provenance=without_folders(provenance),
            figures=figures,
            domain=self._base.domain.model_copy(update={"images": (*of_base, seen)}),
        )


def fit_light_head(request: HeadRequest) -> HeadResult:
    """Fit a light head in this process.

    Parameters
    ----------
    request : HeadRequest
        All settings.

    Returns
    -------
    HeadResult
        The head.

    Raises
    ------
    FctlError
        The run fails, see ``HeadFitter``.
    """
    run = HeadFitter(request).stages()
    while True:
        try:
            next(run)
        except StopIteration as end:
            result: HeadResult = end.value
            return result


def _is_head(path: Path) -> bool:
    """Return whether a checkpoint is a light head."""
    return read_card(path).config.light


def _open_strokes(request: HeadRequest, image: Pyramid, parent: Card) -> tuple[CorrectionSource, ClassTable]:
    """Open what was painted, in its own classes. A label image without names has those of the parent."""
    source, classes = open_with_classes(request.corrections, image)
    check_size(source, image, request.corrections)
    classes = classes or [info.model_dump() for info in parent.classes.scored]
    if len(classes) < 2:
        raise InputError(f"{request.corrections}: has one class; give it a second one.")
    return source, ClassTable.model_validate({"classes": [{k: one[k] for k in ("name", "color")} for one in classes]})


def _figures(scores: Tensor, pixels: Tensor, table: ClassTable) -> dict[str, Any]:
    """Compute the figures of a head on held-out cells."""
    confidence, predicted = scores.softmax(1).max(1)
    classes, counts = pixels.shape[1], pixels.long().numpy()
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix.T, predicted.numpy(), counts)
    levels = (confidence * 255).round().clamp(1, 255).long().numpy()
    right = counts[np.arange(len(counts)), predicted.numpy()]
    by_level = [np.bincount(levels, weights, 256).astype(np.int64) for weights in (counts.sum(1), right)]
    found = Scores.from_confusion(matrix, table.names).to_json()
    return found | {"calibration_error": round(Calibration(*by_level).ece(), 4)}
