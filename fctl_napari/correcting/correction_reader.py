"""Corrections on disk, as far as they are read."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.correction_store import CorrectionStore
from fctl_napari.correcting.regions import CorrectedBox, CorrectedRegion
from fctl_napari.correcting.write_ahead_log import WriteAheadLog
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.classes import ClassTable, value_names
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.segmentation.store.store_lock import StoreLock
from fctl_napari.windows import IntWindow, whole_numbers

OWN_CLASSES = "own_classes"
"""Key of the metadata that says that the user made the classes."""


class CorrectionReader:
    """Corrections that are read. All methods may be called from any thread.

    Parameters
    ----------
    path : Path
        Folder of complete corrections.
    lock : StoreLock or None
        Lock of the folder. None opens for reading only.

    Attributes
    ----------
    path : Path
        Folder of the corrections.
    labels : LabelPyramid
        Pyramid, to show and to export.
    class_table : ClassTable
        Classes that can be painted.
    facts : dict of str to object
        Metadata in the file, on its image among others.
    """

    labels: LabelPyramid

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
