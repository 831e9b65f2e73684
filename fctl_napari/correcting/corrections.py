"""Corrections on disk: labels painted over a segmentation, each stroke saved at once and kept through crashes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.correction_store import (
    CorrectionStore,
    check,
    half_made,
    make,
    refresh_from_image,
    refresh_image,
)
from fctl_napari.correcting.recoding import recode
from fctl_napari.correcting.regions import CorrectedBox, CorrectedRegion
from fctl_napari.correcting.strokes import Piece, Planes, Stroke, check_block, check_mask, check_text
from fctl_napari.correcting.write_ahead_log import WriteAheadLog
from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.files import sync
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import ClassTable, value_names
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.segmentation.store.store_lock import StoreLock, lock_store, remove_store
from fctl_napari.segmentation.store.store_swap import clear_swap, finish_swap
from fctl_napari.windows import IntWindow, whole_numbers

MOST_AUTHORS = 255
OWN_CLASSES = "own_classes"
"""Key of the metadata that says that the user made the classes."""


class Corrections:
    """Labels painted over an image: 0 = nothing, k + 1 = class k, 255 = not sure.

    On disk it is an OME-Zarr label pyramid, with ``authors`` (uint8 [y, x], the chunks of level 0: 0 = nobody, k + 1 =
    author k of the group's ``fctl.authors``), ``journal`` (the last strokes) and ``painted.json`` (counts of values by
    chunk). There is one writer at a time and any number of readers. Instances are made with :meth:`create`,
    :meth:`open` or :meth:`open_or_create`. A writer is closed with :meth:`close` or a ``with`` block.

    Parameters
    ----------
    path : Path
        Folder of complete corrections.
    lock : StoreLock or None
        Lock of the folder, which this object releases when it is closed. None opens for reading only.

    Attributes
    ----------
    path : Path
        Folder of the corrections.
    labels : LabelPyramid
        Pyramid, to show and to export. It is written with :meth:`write` only.
    class_table : ClassTable
        Classes that can be painted, matched by their names with those of others. See :meth:`add_classes`.
    facts
        Metadata in the file, on its image among others.

    Notes
    -----
    A stroke is first written to the journal and forced to disk, then to level 0, then to the coarser levels. After
    every 16 strokes these are forced to disk too and ``painted.json``, written last, states up to which record they
    hold. Opening repeats the strokes after that, which changes nothing where they are already there. So a stroke is
    there whole at all levels, or (if its journal record is torn) not at all. Where the levels cannot be written, they
    are put back and the record is cut off again. All methods may be called from any thread.
    """

    def __init__(self, path: Path, lock: StoreLock | None) -> None:
        self.path = path
        self._lock = lock
        self._guard = threading.RLock()
        self._load()

    def _load(self) -> None:
        """Read metadata, journal and counts."""
        self._store = CorrectionStore(self.path, writable=self.writable)
        self.labels = self._store.labels
        self.facts: dict[str, Any] = self.labels.attributes[ATTRIBUTE]
        self.class_table = ClassTable.model_validate({"classes": self.facts["classes"]})
        self._authors: list[str] = list(self.facts["authors"])
        self._log = WriteAheadLog(self._store, writable=self.writable)

    @classmethod
    def create(cls, path: Path | str, image: Pyramid, class_table: ClassTable) -> Corrections:
        """Create empty corrections, open for writing.

        Parameters
        ----------
        path : Path or str
            Folder to create. Nothing may be there yet. See ``naming.corrections_path``.
        image : Pyramid
            Image that is corrected.
        class_table : ClassTable
            Class table of the checkpoint.

        Returns
        -------
        Corrections
            Corrections, open for writing.

        Raises
        ------
        OutputError
            The name is taken or in use, the disk is full, or the location is not writable.
        """
        path = Path(path)
        lock = lock_store(path)
        try:
            finish_swap(path, locked=True)
            if half_made(path):
                remove_store(path)
            make(path, image, class_table)
            return cls(path, lock)
        except BaseException:
            with suppress(OutputError):
                if half_made(path):
                    remove_store(path)
            lock.release()
            raise

    @classmethod
    def open(
        cls,
        path: Path | str,
        mode: Literal["r", "r+"] = "r",
        *,
        image: Pyramid | None = None,
        class_table: ClassTable | None = None,
    ) -> Corrections:
        """Open existing corrections. What a crashed process left half done is completed first.

        Parameters
        ----------
        path : Path or str
            Folder of the corrections.
        mode : {"r", "r+"}, optional
            ``"r"``, or ``"r+"`` to write. Others can then only read until it is closed.
        image : Pyramid or None, optional
            Image that the corrections must belong to. None accepts any.
        class_table : ClassTable or None, optional
            Classes to paint, see :meth:`add_classes`. Corrections with classes of the user's own keep these. It is not
            needed for reading.

        Returns
        -------
        Corrections
            Opened corrections.

        Raises
        ------
        InputError
            They are missing, are no corrections, or are those of another image.
        OutputError
            Another process writes them, the disk is full, or the location is not writable.
        """
        path = Path(path)
        check(path, image)
        if mode == "r+":
            lock = lock_store(path)
            try:
                clear_swap(path)
                labels = LabelPyramid.open(path, "r+")
                if image is not None:
                    refresh_image(labels, image)
                else:
                    refresh_from_image(labels)
                opened = cls(path, lock)
                if class_table is not None and not opened.own_classes:
                    opened.add_classes(class_table)
                return opened
            except BaseException:
                lock.release()
                raise
        found = cls(path, None)
        if found._log.behind:
            with suppress(OutputError):  # another process is writing, or the folder is read-only
                lock = lock_store(path, timeout=0)
                try:
                    cls(path, lock).close()
                finally:
                    lock.release()
                found = cls(path, None)
        return found

    @classmethod
    def open_or_create(cls, path: Path | str, image: Pyramid, class_table: ClassTable) -> Corrections:
        """Open corrections for writing, or create them.

        Parameters
        ----------
        path : Path or str
            Folder of the corrections.
        image : Pyramid
            Image that is corrected.
        class_table : ClassTable
            Classes to paint, see :meth:`open`.

        Returns
        -------
        Corrections
            Corrections, open for writing.

        Raises
        ------
        InputError
            See :meth:`open`.
        OutputError
            See :meth:`open` and :meth:`create`.
        """
        path = Path(path)
        finish_swap(path)
        if path.exists() and not half_made(path):
            return cls.open(path, "r+", image=image, class_table=class_table)
        return cls.create(path, image, class_table)

    def close(self) -> None:
        """Make all strokes durable and release the lock. Reads afterwards return the same as before.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable.
        """
        with self._guard:
            if self._lock is None:
                return
            try:
                self._log.settle()
            finally:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> Corrections:
        """Return the corrections."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the corrections."""
        self.close()

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.labels.shape

    @property
    def image_path(self) -> str | None:
        """File of the image, as it was given."""
        path = self.facts["image"]["path"]
        return None if path is None else str(path)

    @property
    def georeference(self) -> Georeference | None:
        """Georeference of the image."""
        found = self.facts["georeference"]
        return None if found is None else Georeference.from_json(found)

    @property
    def authors(self) -> tuple[str, ...]:
        """Names of all who ever painted here."""
        return tuple(self._authors)

    @property
    def blank(self) -> bool:
        """True if nothing was ever painted."""
        with self._guard:
            return not self._log.history.number and not self._log.totals()

    @property
    def own_classes(self) -> bool:
        """True if the user made the classes, so that those of a checkpoint or a map take no part unless asked for."""
        return bool(self.facts.get(OWN_CLASSES, False))

    def add_classes(self, table: ClassTable, only: Collection[str] | None = None) -> None:
        """Add the classes of a table that are missing. What is painted keeps its class, and can be undone.

        Parameters
        ----------
        table : ClassTable
            Where nothing was ever painted it replaces the present table, unless that is the user's own. Otherwise its
            classes are appended.
        only : collection of str, optional
            Names of the classes to add. The present table is then kept in any case.

        Raises
        ------
        InputError
            The classes are too many together.
        OutputError
            The disk is full or the location is not writable.
        """
        self._require_writable()
        with self._guard:
            if only is not None:
                table = self.class_table.extended(table, only)
            replaces = self.blank and not self.own_classes
            wanted = table if replaces else self.class_table.extended(table)
            if wanted != self.class_table:
                self._put_classes(wanted, self.own_classes)

    def set_own_classes(self, table: ClassTable) -> None:
        """Replace the class table by one of the user's own. What is painted keeps its index, and can be undone.

        Parameters
        ----------
        table : ClassTable
            New table. Where something was painted, it has a class at each index of the present one.

        Raises
        ------
        InputError
            Something was painted and the new classes are fewer.
        OutputError
            The disk is full or the location is not writable. The present table stays then.
        """
        self._require_writable()
        with self._guard:
            if not self.blank and len(table.scored) < len(self.class_table.scored):
                raise InputError(
                    f"{self.path}: has {len(self.class_table.scored)} classes that may be painted, and cannot keep "
                    f"them with {len(table.scored)}; say what becomes of the others (class_edit.apply_edit)."
                )
            self._put_classes(table, own=True)

    def recode(self, table: ClassTable, values: NDArray[np.uint8], progress: Progress | None = None) -> Path:
        """Replace the class table by one of the user's own with other indices. Undo begins anew.

        All that is painted is written anew beside the present file and swapped in, so that a crash leaves the former
        corrections or the new ones. The former ones are kept.

        Parameters
        ----------
        table : ClassTable
            New table.
        values : ndarray of uint8 [256]
            New value of each value: 0 is nothing, k + 1 is class k, 255 is not sure.
        progress : Progress or None, optional
            Called as ``progress(done, total)`` with counts of chunks. It may raise ``Cancelled``.

        Returns
        -------
        Path
            Where the former corrections are kept.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable. All is as before then.
        """
        self._require_writable()
        with self._guard:
            self._log.settle()
            former = recode(
                self._store,
                list(self._log.windows()),
                self._with_classes(table, own=True),
                table,
                values,
                self._log.history.number,
                progress,
            )
            self._load()
        return former

    def unknown_to(self, table: ClassTable) -> tuple[str, ...]:
        """List the painted classes that a table lacks, by name.

        Parameters
        ----------
        table : ClassTable
            Table to compare with.

        Returns
        -------
        tuple of str
            Names of the classes.
        """
        areas = self.area_by_class()
        return tuple(name for name in self.class_table.names if areas[name] and name not in table.names)

    @property
    def writable(self) -> bool:
        """True if it is open for writing."""
        return self._lock is not None

    def read(self, window: IntWindow, level: int = 0) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``, half open. It may reach outside.
        level : int, optional
            Index of the level.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            0 = nothing (also outside), k + 1 = class k, 255 = not sure.

        Raises
        ------
        InputError
            The window is none, or there is no such level.
        """
        window = whole_numbers(window)
        if window.y1 < window.y0 or window.x1 < window.x0:
            raise InputError(f"window {tuple(window)} ends before it begins; give (y0, x0, y1, x1).")
        if level not in range(len(self.labels.levels)):
            raise InputError(f"{self.path}: has no level {level}; give 0 to {len(self.labels.levels) - 1}.")
        with self._guard:
            return self.labels.read(window, level)

    def read_authors(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read the authors of a window inside the image.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            0 = nobody, k + 1 = ``authors[k]``.

        Raises
        ------
        InputError
            The window is none, or reaches outside.
        """
        window = whole_numbers(window)
        if window.empty or window.clip(self.shape) != window:
            raise InputError(f"window {tuple(window)} is not inside the image; give (y0, x0, y1, x1) in it.")
        with self._guard:
            return self._store.authors(window)

    def write(
        self,
        y0: int,
        x0: int,
        block: NDArray[np.uint8],
        *,
        author: str,
        mask: NDArray[np.bool_] | None = None,
        kind: str = "paint",
        together: int | None = None,
    ) -> Stroke | None:
        """Save one finished stroke. When this returns, it survives a crash of the machine.

        Parameters
        ----------
        y0, x0 : int
            Position of the block's first px.
        block : ndarray of uint8 [y, x]
            Block inside the image: k + 1 = class k, 255 = not sure, 0 = erased.
        author : str
            Name of the person who painted it.
        mask : ndarray of bool [y, x], optional
            True for painted px. The default is those that differ from what is there.
        kind : str, optional
            Kind of the change, for users.
        together : int or None, optional
            ``action`` of the last stroke, if this one is undone with it.

        Returns
        -------
        Stroke or None
            Saved stroke. None if it paints nothing.

        Raises
        ------
        InputError
            The block reaches outside, is not uint8 [y, x], or holds a value that is no class; another argument cannot
            be; or this is open for reading only.
        OutputError
            The disk is full or the location is not writable. The stroke is not there, also later; or, if the error
            says so, it is in the journal and the next call synchronizes the levels.
        """
        self._require_writable()
        y0, x0 = check_block(block, (y0, x0), self.shape, len(self.class_table.scored))
        check_text("author", author)
        check_text("kind", kind)
        with self._guard:
            self._log.catch_up()
            height, width = block.shape
            before = self._store.state((y0, x0, y0 + height, x0 + width))
            mask = block != before[0] if mask is None else check_mask(mask, block.shape)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if not rows.size:
                return None
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            if together is not None and together != self._log.history.undoable():
                raise InputError(f"together cannot be {together}, which is not the last action; give that, or None.")
            mask = mask[box]
            facts = {
                "by": self._author(author),
                "kind": kind,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "box": [int(y0 + rows[0]), int(x0 + columns[0]), int(y0 + rows[-1] + 1), int(x0 + columns[-1] + 1)],
                "px": int(np.count_nonzero(mask)),
            }
            planes = Planes(mask, before[:, *box][:, mask], block[box][mask])
            return self._stroke([self._log.add(facts, planes, together)])

    def undo(self, author: str | None = None) -> Stroke | None:
        """Undo the last stroke (the last one of an author). Other strokes on top of it stay.

        Parameters
        ----------
        author : str or None, optional
            Name of an author. None undoes the last stroke of anyone.

        Returns
        -------
        Stroke or None
            Stroke that was undone. None if there is nothing more to undo.

        Raises
        ------
        OutputError
            See :meth:`write`.
        """
        return self._turn("undo", author)

    def redo(self, author: str | None = None) -> Stroke | None:
        """Redo the stroke that was undone last (the last one of an author), unless something was painted since.

        Parameters
        ----------
        author : str or None, optional
            Name of an author. None redoes a stroke of anyone.

        Returns
        -------
        Stroke or None
            Stroke that was redone. None if there is nothing to redo.

        Raises
        ------
        OutputError
            See :meth:`write`.
        """
        return self._turn("redo", author)

    def can_undo(self, author: str | None = None) -> bool:
        """Return whether there is something to undo.

        Parameters
        ----------
        author : str or None, optional
            Name of an author. None counts the strokes of all.

        Returns
        -------
        bool
            True if :meth:`undo` would undo a stroke.
        """
        with self._guard:
            return self._next("undo", author) is not None

    def can_redo(self, author: str | None = None) -> bool:
        """Return whether there is something to redo.

        Parameters
        ----------
        author : str or None, optional
            Name of an author. None counts the strokes of all.

        Returns
        -------
        bool
            True if :meth:`redo` would redo a stroke.
        """
        with self._guard:
            return self._next("redo", author) is not None

    def area_by_class(self) -> dict[str, int]:
        """Return the painted area of each class. No pixels are read for it.

        Returns
        -------
        dict of str to int
            Number of px by class name, ``"not sure"`` last.
        """
        with self._guard:
            totals = self._log.totals()
        return {name: totals.get(value, 0) for value, name in value_names(self.class_table).items()}

    def uncomputed_in(self, region: IntWindow) -> tuple[int, int]:
        """Count the cells that are not computed: corrections have none. See ``Segmentation.uncomputed_in``.

        Parameters
        ----------
        region : IntWindow
            Region, px.

        Returns
        -------
        tuple of 2 int
            Zeros.
        """
        return 0, 0

    def regions(self) -> list[CorrectedRegion]:
        """List the 4-connected painted regions from the top. Only painted chunks are read, each once.

        Returns
        -------
        list of CorrectedRegion
            Regions, with their counts by class and author.
        """
        with self._guard:
            return [CorrectedRegion.of(blob, self._authors) for blob in self._log.blobs()]

    def boxes(self) -> list[CorrectedBox]:
        """Return bounding boxes of :meth:`regions`, with the names of their classes.

        Returns
        -------
        list of CorrectedBox
            (y0, x0, y1, x1), px.
        """
        names = self.class_table.names
        return [CorrectedBox(region.window, (names[k] for k in region.by_class)) for region in self.regions()]

    def corrected_windows(self) -> Iterator[IntWindow]:
        """Iterate over the chunks that hold something, row by row. No pixels are read for it.

        Returns
        -------
        iterator of IntWindow
            (y0, x0, y1, x1), px, of each chunk.
        """
        with self._guard:
            return self._log.windows()

    def content_hash(self) -> str:
        """Compute the SHA-256 of all that is painted, hex. Authors and history do not count."""
        with self._guard:
            areas = self.area_by_class()
            names = [(value, name) for value, name in value_names(self.class_table).items() if areas[name]]
            digest = hashlib.sha256(repr((self.shape, names)).encode())
            for window in self.corrected_windows():
                digest.update(repr(window).encode() + self.labels.read(window).tobytes())
        return digest.hexdigest()

    # The methods below are called with the guard held, or take it themselves.

    def _require_writable(self) -> None:
        if self._lock is None:
            raise InputError(f"{self.path}: is not open for writing; open it so (in Python: fctl.corrections).")

    def _with_classes(self, table: ClassTable, own: bool) -> dict[str, Any]:
        """Return the metadata with another class table. The flag is left out where it is False, as it once was."""
        classes = [info.model_dump(mode="json") for info in table]
        return {**self.facts, "classes": classes} | ({OWN_CLASSES: True} if own else {})

    def _put_classes(self, table: ClassTable, own: bool) -> None:
        """Write another class table, durably and all at once."""
        facts = self._with_classes(table, own)
        self.labels.set_attributes({ATTRIBUTE: facts}, facts["classes"][: len(table.scored)])
        sync([self.path / "zarr.json"])
        self.facts, self.class_table = facts, table

    def _next(self, op: Literal["undo", "redo"], author: str | None) -> int | None:
        """Return the action that is undone or redone next."""
        if author is not None and author not in self._authors:
            return None
        find = self._log.history.undoable if op == "undo" else self._log.history.redoable
        return find(None if author is None else self._authors.index(author) + 1)

    def _author(self, name: str) -> int:
        """Return the number of an author, from 1. A new author is saved first."""
        if name not in self._authors:
            if len(self._authors) == MOST_AUTHORS:
                raise OutputError(f"{self.path}: has {MOST_AUTHORS} authors, and no room for more; use one of them.")
            authors = [*self._authors, name]
            self.labels.set_attributes({ATTRIBUTE: {**self.facts, "authors": authors}})
            sync([self.path / "zarr.json"])
            self.facts["authors"] = self._authors = authors
        return self._authors.index(name) + 1

    def _turn(self, op: Literal["undo", "redo"], author: str | None) -> Stroke | None:
        with self._guard:
            self._require_writable()
            self._log.catch_up()
            action = self._next(op, author)
            if action is None:
                return None
            return self._stroke(self._log.turn(op, action))

    def _stroke(self, pieces: list[Piece]) -> Stroke:
        first, *others = (piece.by(self._authors[piece.author - 1]) for piece in pieces)
        return first.joined(others)
