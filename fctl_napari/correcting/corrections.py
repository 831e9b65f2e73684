"""Corrections on disk: labels painted over a segmentation, each stroke saved at once and kept through crashes."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.correction_reader import OWN_CLASSES, CorrectionReader
from fctl_napari.correcting.correction_store import (
    check,
    half_made,
    make,
    refresh_from_image,
    refresh_image,
)
from fctl_napari.correcting.recoding import recode
from fctl_napari.correcting.strokes import Piece, Planes, Stroke, check_block, check_mask, check_text
from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.files import sync
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import ClassTable
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.segmentation.store.store_lock import StoreLock, lock_store, remove_store
from fctl_napari.segmentation.store.store_swap import clear_swap, finish_swap

MOST_AUTHORS = 255


class Corrections(CorrectionReader):
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
        super().__init__(path, lock)

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
