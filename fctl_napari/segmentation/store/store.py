"""Segmentation on disk: labels, confidence, done cells, and the checkpoint that computed it (no torch)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.files import output_error
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.pyramid import Georeference, Pyramid
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.store.identity import image_facts
from fctl_napari.segmentation.store.map_names import MAPS, map_names
from fctl_napari.segmentation.tiling.grid import Cell, Grid, TileGrid, merge_windows
from fctl_napari.segmentation.tiling.released_grid import ReleasedGrid
from fctl_napari.windows import IntWindow

ATTRIBUTE = "fctl"
LOGITS = "logits"
INHERITED = "inherited"
UNKNOWN_IMAGE = {"path": None, "name": None, "fingerprint": None}
SCRATCH = ".scratch"
"""Folder in a store for temporary files of a run."""


class Segmentation:
    """Segmentation, open for reading or writing.

    It is made by ``create`` or ``open``.

    On disk it is an OME-Zarr label image whose chunks are the grid's cells, with ``confidence`` (the same levels; 0 =
    not computed, 1..255 = probability of the chosen class times 255) and ``done`` (uint8 [rows, cols]) beside its
    levels. A segmentation that takes over a parent's predictions (see ``inheritance``) also has ``inherited``, like
    ``done``.

    Parameters
    ----------
    labels : LabelPyramid
        Label pyramid: 0 = not computed, k + 1 = class k. Its attributes hold the facts of the segmentation.
    confidence : LabelPyramid
        Label pyramid of the confidence.
    done : zarr.Array of uint8 [rows, cols]
        Bitmap of the cells that are done.
    maps : mapping of str to LabelPyramid or None, optional
        Label pyramids of the maps, by name.

    Attributes
    ----------
    path : Path
        Folder of the segmentation.
    labels, confidence : LabelPyramid
        Labels (0 = not computed, k + 1 = class k), and confidence.
    facts : dict of str to object
        Description of the segmentation, as it is stored (JSON).
    grid : Grid
        Grid of the cells that are computed.
    class_table : ClassTable
        Classes of the checkpoint.
    logits : zarr.Array of float32 [C, H, W] or None
        Summed logits, if the run keeps them.
    maps : dict of str to LabelPyramid
        Label pyramids by name (``map_names``), if the run keeps them, like the confidence: 0 = not computed, 1..255 =
        value times 255. On disk they lie under ``maps``.

    Notes
    -----
    Level 0 may be written cell by cell from many processes, each cell by one. ``finish``, which writes the coarser
    levels and the bitmap, belongs to the one process that holds the lock (``lock_store``).
    """

    def __init__(
        self,
        labels: LabelPyramid,
        confidence: LabelPyramid,
        done: zarr.Array[Any],
        maps: Mapping[str, LabelPyramid] | None = None,
    ) -> None:
        self.path = labels.path
        self.labels = labels
        self.confidence = confidence
        self.maps = dict(maps or {})
        self.facts: dict[str, Any] = labels.attributes[ATTRIBUTE]
        grid = self.facts["grid"]
        self.grid: Grid = (
            ReleasedGrid(labels.shape, grid["tile_size"], grid["augmented"])
            if "released" in grid
            else TileGrid(labels.shape, grid["tile_size"], grid["overlap"])
        )
        self.class_table = ClassTable.model_validate({"classes": self.facts["classes"]})
        self._done_array = done
        logits = labels.group.get(LOGITS)
        self.logits: zarr.Array[Any] | None = logits if isinstance(logits, zarr.Array) else None

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        image: Pyramid | tuple[int, int],
        grid: Grid,
        card: Card,
        checkpoint_hash: str,
        settings: Mapping[str, Any],
    ) -> Segmentation:
        """Create an empty segmentation.

        Parameters
        ----------
        path : Path or str
            Folder of the segmentation; nothing may be there yet.
        image : Pyramid or tuple of 2 int
            The image, or its (height, width).
        grid : Grid
            Grid of the cells; its step becomes the chunk size.
        card : Card
            Model card of the checkpoint.
        checkpoint_hash : str
            SHA-256 of the checkpoint.
        settings : mapping of str to object
            Everything else on which the result depends (JSON). ``kept_output`` may be ``"logits"`` or ``"maps"``.

        Returns
        -------
        Segmentation
            The segmentation, open for writing.

        Raises
        ------
        OutputError
            The name is taken, the disk is full, or the folder is not writable.
        InputError
            The image cannot be read.
        """
        path = Path(path)
        pyramid = image if isinstance(image, Pyramid) else None
        shape = pyramid.shape if pyramid is not None else (int(image[0]), int(image[1]))  # type: ignore[index]
        spatial: dict[str, Any] = (
            {"pixel_size": pyramid.pixel_size, "translation": pyramid.translation, "unit": pyramid.unit}
            if pyramid is not None
            else {}
        )
        facts: dict[str, Any] = {
            "kind": "segmentation",
            "checkpoint": {"name": card.name, "hash": checkpoint_hash},
            "classes": [info.model_dump(mode="json") for info in card.classes],
            "grid": grid.facts(),
            "settings": dict(settings),
            "image": UNKNOWN_IMAGE if pyramid is None else image_facts(pyramid),
            "georeference": asdict(pyramid.georeference) if pyramid is not None and pyramid.georeference else None,
        }
        kept = settings.get("kept_output")
        if kept == MAPS:
            facts[MAPS] = map_names(card.config)
        labels = LabelPyramid.create(
            path,
            shape,
            chunk=grid.step,
            classes=[info.model_dump(mode="json") for info in card.classes.scored],
            attributes={ATTRIBUTE: {"kind": "segmentation"}},
            **spatial,
        )
        LabelPyramid.create(path / "confidence", shape, chunk=grid.step, **spatial)
        try:
            labels.group.create_array("done", shape=(grid.rows, grid.cols), chunks=(512, 512), dtype="u1", fill_value=0)
            if kept == MAPS:
                labels.group.create_group(MAPS)
            if kept == LOGITS:
                count = len(card.classes.scored)
                labels.group.create_array(
                    LOGITS, shape=(count, *shape), chunks=(count, grid.step, grid.step), dtype="f4", fill_value=np.nan
                )
        except OSError as error:
            raise output_error(path, error) from error
        for name in facts.get(MAPS, ()):
            LabelPyramid.create(path / MAPS / name, shape, chunk=grid.step, **spatial)
        # Only now the store is complete. A crash before this line leaves a folder that the next run replaces.
        labels.set_attributes({ATTRIBUTE: {**facts, "complete": True}})
        return cls.open(path, mode="r+")

    @classmethod
    def open(cls, path: Path | str, mode: str = "r") -> Segmentation:
        """Open an existing segmentation.

        Parameters
        ----------
        path : Path or str
            Folder of the segmentation.
        mode : str, optional
            ``"r"``, or ``"r+"`` to write.

        Returns
        -------
        Segmentation
            The segmentation.

        Raises
        ------
        InputError
            There is none, it is something else, or parts of it are missing.
        """
        path = Path(path)
        labels = LabelPyramid.open(path, mode)
        facts = labels.attributes.get(ATTRIBUTE, {})
        if facts.get("kind") == "corrections":
            raise InputError(f"{path}: holds corrections; give the segmentation of their image.")
        if not facts.get("complete"):
            raise InputError(f"{path}: is not a segmentation; choose one made by `fctl segment`.")
        try:
            confidence = LabelPyramid.open(path / "confidence", mode)
            maps = {name: LabelPyramid.open(path / MAPS / name, mode) for name in facts.get(MAPS, ())}
            done = labels.group["done"]
        except (InputError, KeyError):
            done, maps = None, {}
        if not isinstance(done, zarr.Array):
            raise InputError(
                f"{path}: parts of this segmentation are missing; make it again with fctl segment --fresh (in "
                "Python: fresh=True)."
            )
        return cls(labels, confidence, done, maps)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.labels.shape

    @property
    def predicted_classes(self) -> ClassTable:
        """Classes of the checkpoint, by whose numbers and colors a mask without names counts."""
        return self.class_table

    @property
    def checkpoint_hash(self) -> str:
        """SHA-256 of the checkpoint that computes the segmentation."""
        return str(self.facts["checkpoint"]["hash"])

    @property
    def settings(self) -> dict[str, Any]:
        """Settings on which the result depends, besides image, grid and checkpoint."""
        return dict(self.facts["settings"])

    @property
    def image_path(self) -> str | None:
        """Path of the image as it was given, or None if it has none."""
        path = self.facts["image"]["path"]
        return None if path is None else str(path)

    @property
    def georeference(self) -> Georeference | None:
        """Georeference of the image, or None if it has none."""
        found = self.facts["georeference"]
        return None if found is None else Georeference.from_json(found)

    @property
    def scratch(self) -> Path:
        """Folder of tiles that wait to be averaged."""
        return self.path / SCRATCH

    def done(self) -> NDArray[np.bool_]:
        """Read which cells are done, bool [rows, cols]."""
        return np.asarray(self._done_array[:]).astype(bool)

    def clear_done(self) -> None:
        """Mark all cells as not done. The caller is writing, see ``ngff_writing.writing``."""
        self._done_array[:] = 0

    def inherited(self) -> NDArray[np.bool_]:
        """Read which of the cells that are not done hold a parent's predictions, bool [rows, cols]."""
        array = self.labels.group.get(INHERITED)
        if not isinstance(array, zarr.Array):
            return np.zeros((self.grid.rows, self.grid.cols), bool)
        return np.asarray(array[:]).astype(bool) & ~self.done()

    def inherited_in(self, region: IntWindow) -> int:
        """Count the cells that hold a parent's predictions and meet a region.

        Parameters
        ----------
        region : IntWindow
            Region in full-resolution px.

        Returns
        -------
        int
            Number of cells.
        """
        inherited = self.inherited()
        return sum(bool(inherited[cell]) for cell in self.grid.cells_in(region)) if inherited.any() else 0

    def uncomputed_in(self, region: IntWindow) -> tuple[int, int]:
        """Count the cells that hold no prediction, neither an own one nor a parent's, and meet a region.

        Parameters
        ----------
        region : IntWindow
            Region in full-resolution px.

        Returns
        -------
        tuple of 2 int
            Number of those cells, and of all that meet the region.
        """
        cells, known = self.grid.cells_in(region), self.done() | self.inherited()
        return sum(not known[cell] for cell in cells), len(cells)

    def remember_checkpoint(self, path: Path) -> None:
        """Keep where the checkpoint lies, so that it is found again.

        Parameters
        ----------
        path : Path
            File of the checkpoint.

        Raises
        ------
        OutputError
            The disk is full or the folder is not writable.
        """
        location = str(path.absolute())
        if self.facts["checkpoint"].get("path") != location:
            self.facts["checkpoint"] = {**self.facts["checkpoint"], "path": location}
            self.labels.set_attributes({ATTRIBUTE: self.facts})

    @property
    def parent_name(self) -> str | None:
        """Name of the checkpoint whose predictions ``inherit`` took over, or None if there are none."""
        parent = self.facts.get("parent")
        return None if parent is None else str(parent["name"])

    def missing(self, region: IntWindow | None = None) -> list[Cell]:
        """List the cells that are not done, row by row.

        Parameters
        ----------
        region : IntWindow or None, optional
            Region in full-resolution px, to which the cells are limited by their cores. None means the whole image.

        Returns
        -------
        list of Cell
            Cells that are not done.
        """
        done = self.done()
        return [cell for cell in self.grid.cells_in(region or (0, 0, *self.shape)) if not done[cell]]

    def write_cell(
        self,
        cell: Cell,
        labels: NDArray[np.uint8],
        confidence: NDArray[np.uint8],
        maps: Iterable[NDArray[np.uint8]] = (),
    ) -> None:
        """Write the core of a cell to level 0.

        Parameters
        ----------
        cell : Cell
            (row, column) of the cell.
        labels, confidence : ndarray of uint8 [y, x]
            Values of the core.
        maps : iterable of ndarray of uint8 [y, x], optional
            Values of the core for each of the store's maps, in their order.

        Raises
        ------
        OutputError
            The disk is full or the folder is not writable.
        """
        y0, x0, _, _ = self.grid.core(cell)
        for pyramid, values in zip(self.maps.values(), maps, strict=True):
            pyramid.write(y0, x0, values)
        self.confidence.write(y0, x0, confidence)
        self.labels.write(y0, x0, labels)

    def write_logits(self, cell: Cell, logits: NDArray[np.float32]) -> None:
        """Write the summed logits of a cell's core, if the store keeps them.

        Parameters
        ----------
        cell : Cell
            (row, column) of the cell.
        logits : ndarray of float32 [C, y, x]
            Summed logits of the core.

        Raises
        ------
        OutputError
            The disk is full or the folder is not writable.
        """
        if self.logits is None:
            return
        y0, x0, y1, x1 = self.grid.core(cell)
        try:
            self.logits[:, y0:y1, x0:x1] = logits
        except OSError as error:
            raise output_error(self.path, error) from error

    def finish(self, cells: Iterable[Cell]) -> tuple[IntWindow, ...]:
        """Mark cells whose level 0 is written as done, the coarser levels first.

        Parameters
        ----------
        cells : iterable of Cell
            Cells that are written.

        Returns
        -------
        tuple of IntWindow
            Windows that are new, px; cells side by side are one window.

        Raises
        ------
        OutputError
            The disk is full or the folder is not writable.
        """
        cells = list(cells)
        windows = merge_windows([self.grid.core(cell) for cell in cells])
        for window in windows:
            for pyramid in (self.labels, self.confidence, *self.maps.values()):
                pyramid.update_levels(window)
        if cells:
            rows, cols = (np.array(axis) for axis in zip(*cells, strict=True))
            top, bottom = int(rows.min()), int(rows.max()) + 1
            try:
                block = np.asarray(self._done_array[top:bottom])
                block[rows - top, cols] = 1
                self._done_array[top:bottom] = block
            except OSError as error:
                raise output_error(self.path, error) from error
        return tuple(windows)
