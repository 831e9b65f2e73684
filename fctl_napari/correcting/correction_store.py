"""Storage of corrections on disk: a label pyramid and the author of each px, written chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.correcting.chunk_counts import Chunk, ChunkCounts
from fctl_napari.exceptions import InputError, OtherImageError
from fctl_napari.files import output_error, sync
from fctl_napari.imagery.formats import ngff, ngff_writing
from fctl_napari.imagery.formats.chunk_files import chunk_files
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import ClassTable
from fctl_napari.segmentation.store.identity import difference, image_facts, open_image_of, refreshed, same_image
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.segmentation.store.store_swap import finish_swap
from fctl_napari.windows import IntWindow

KIND = "corrections"
CHUNK = 512
"""Side of a chunk, px."""
AUTHORS = "authors"
INDEX = "painted.json"
JOURNAL = "journal"


def corrections_state(corrections: Path) -> tuple[object, ...]:
    """Return a state that differs when corrections have changed on disk.

    This takes three quick look-ups of files.

    Parameters
    ----------
    corrections : Path
        Location of the corrections.

    Returns
    -------
    tuple of object
        The state, to be compared with another one.
    """
    found: list[object] = []
    for name in (JOURNAL, INDEX, "zarr.json"):  # the last one has the classes and authors
        try:
            status = (corrections / name).stat()
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


class CorrectionStore:
    """Values of corrections at all levels, and the authors of level 0.

    Parameters
    ----------
    path : Path
        Folder of the corrections, with all its parts.
    writable : bool
        If True, the corrections may be changed.

    Attributes
    ----------
    labels : LabelPyramid
        Pyramid of the values.

    Raises
    ------
    InputError
        A part is missing.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.labels = LabelPyramid.open(path, "r+" if writable else "r")
        authors = self.labels.group.get(AUTHORS)
        if not isinstance(authors, zarr.Array):
            raise InputError(f"{path}: parts of these corrections are missing; restore them from a copy.")
        self._authors = chunk_files(authors) or authors
        self._unsettled: set[Path] = set()

    def chunk_window(self, chunk: Chunk) -> IntWindow:
        """Return the window of a chunk of level 0.

        Parameters
        ----------
        chunk : Chunk
            Row and column of the chunk.

        Returns
        -------
        IntWindow
            (y0, x0, y1, x1), px.
        """
        (height, width), side = self.labels.shape, self.labels.chunk
        y0, x0 = chunk[0] * side, chunk[1] * side
        return y0, x0, min(y0 + side, height), min(x0 + side, width)

    def chunks(self, window: IntWindow) -> list[Chunk]:
        """Return the chunks of level 0 that a window meets.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px.

        Returns
        -------
        list of Chunk
            Row and column of each chunk.
        """
        return _chunks(window, (self.labels.chunk, self.labels.chunk))

    def values(self, chunk: Chunk) -> NDArray[np.uint8]:
        """Read the values of a chunk.

        Parameters
        ----------
        chunk : Chunk
            Row and column of the chunk.

        Returns
        -------
        ndarray of uint8 [y, x]
            Values.
        """
        return self.labels.read(self.chunk_window(chunk))

    def authors(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read the authors' numbers in a window inside the image.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px.

        Returns
        -------
        ndarray of uint8 [y, x]
            Author of each px, 0 for nobody.
        """
        y0, x0, y1, x1 = window
        return np.asarray(self._authors[y0:y1, x0:x1])

    def state(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read values and authors of a window inside the image.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px.

        Returns
        -------
        ndarray of uint8 [2, y, x]
            Values and authors.
        """
        return np.stack([self.labels.read(window), self.authors(window)])

    def put(
        self, window: IntWindow, mask: NDArray[np.bool_], state: NDArray[np.uint8]
    ) -> Iterator[tuple[Chunk, NDArray[np.uint8]]]:
        """Write values and authors at all levels.

        The coarser levels are written after the last chunk was yielded. What is there already is not written.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, inside the image.
        mask : ndarray of bool [y, x]
            True for the px to write.
        state : ndarray of uint8 [2, y, x]
            Values and authors.

        Yields
        ------
        chunk : tuple of 2 int
            Row and column of a chunk that was changed.
        values : ndarray of uint8 [y, x]
            Its values.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable. Writing the same again repairs it.
        """
        top, left = window[:2]
        for chunk in self.chunks(window):
            y0, x0, y1, x1 = self.chunk_window(chunk)
            part = slice(max(y0 - top, 0), max(y1 - top, 0)), slice(max(x0 - left, 0), max(x1 - left, 0))
            where = mask[part]
            if not where.any():
                continue
            there = self.state((y0, x0, y1, x1))
            whole = there.copy()
            y, x = max(top - y0, 0), max(left - x0, 0)
            inside = whole[:, y : y + where.shape[0], x : x + where.shape[1]]
            np.copyto(inside, state[:, *part], where=where)
            if not np.array_equal(whole[1], there[1]):
                with ngff_writing.writing(self.labels.path):
                    self._authors[y0:y1, x0:x1] = whole[1]
            if not np.array_equal(whole[0], there[0]):
                self.labels.write(y0, x0, whole[0])
            yield chunk, whole[0]
        self.labels.update_levels(window)
        self._unsettled.update(self._files(window))

    def _files(self, window: IntWindow) -> Iterator[Path]:
        """Yield the files of the chunks that a window meets, at all levels."""
        path = self.labels.path
        yield from (path / AUTHORS / "c" / str(row) / str(column) for row, column in self.chunks(window))
        y0, x0, y1, x1 = window
        for level, array in enumerate(self.labels.levels):
            for row, column in _chunks((y0, x0, y1, x1), array.chunks):
                yield path / str(level) / "c" / str(row) / str(column)
            y0, x0, y1, x1 = (y0 + 1) // 2, (x0 + 1) // 2, (y1 + 1) // 2, (x1 + 1) // 2

    def settle(self) -> None:
        """Force all that was put to disk, so that it survives a crash of the machine.

        Raises
        ------
        OutputError
            The disk failed.
        """
        sync([*self._unsettled, *{file.parent for file in self._unsettled}])  # and the folders of new folders
        self._unsettled.clear()

    def remove_temporaries(self, windows: list[IntWindow]) -> None:
        """Remove temporary files that a crashed process left: of the whole store's facts, and of some windows.

        Parameters
        ----------
        windows : list of IntWindow
            (y0, x0, y1, x1), px, of each stroke that was being written.
        """
        folders = {self.labels.path, *(file.parent for window in windows for file in self._files(window))}
        for file in [*self.labels.path.glob(".*.*"), *(f for folder in folders for f in folder.glob("*.partial"))]:
            file.unlink(missing_ok=True)


def _chunks(window: IntWindow, chunk: tuple[int, ...]) -> list[Chunk]:
    (y0, x0, y1, x1), (rows, columns) = window, chunk
    return [(r, c) for r in range(y0 // rows, ceil(y1 / rows)) for c in range(x0 // columns, ceil(x1 / columns))]


def _facts(path: Path) -> dict[str, Any]:
    finish_swap(path)
    try:
        facts = LabelPyramid.open(path).attributes.get(ATTRIBUTE)
    except ngff.NoGroupError:
        raise
    except InputError:
        facts = None
    if not isinstance(facts, Mapping) or facts.get("kind") != KIND:
        raise InputError(f"{path}: holds no corrections; give a folder made for them.")
    return dict(facts)


def is_corrections(path: Path) -> bool:
    """Return whether there are corrections at a path.

    Parameters
    ----------
    path : Path
        Folder.

    Returns
    -------
    bool
        True if they are complete.
    """
    try:
        return bool(_facts(path).get("complete"))
    except InputError:
        return False


def half_made(path: Path) -> bool:
    """Return whether a process died while it created corrections at a path.

    Parameters
    ----------
    path : Path
        Folder.

    Returns
    -------
    bool
        True if they exist and are incomplete.
    """
    try:
        finish_swap(path)
        return path.exists() and not _facts(path).get("complete")
    except InputError:
        return False


def check(path: Path, image: Pyramid | None) -> None:
    """Refuse a folder that holds no corrections, or those of another image.

    Parameters
    ----------
    path : Path
        Folder of the corrections.
    image : Pyramid or None
        Image that they must belong to. None accepts any.

    Raises
    ------
    OtherImageError
        They are of another image.
    InputError
        There are none, or they are incomplete.
    """
    facts = _facts(path)
    if not facts.get("complete"):
        raise InputError(f"{path}: holds no corrections yet; paint some first.")
    if image is not None and not same_image(facts["image"], image):
        what = difference(facts["image"], LabelPyramid.open(path).shape, image)
        raise OtherImageError(
            f"{path}: holds corrections of another image ({what}); choose another name, or say that they belong to "
            "this image with `fctl corrections relink`.",
            path.name,
            what,
        )


def make(path: Path, image: Pyramid, class_table: ClassTable) -> None:
    """Create empty corrections.

    They count as half made until the last write. See :func:`half_made`.

    Parameters
    ----------
    path : Path
        Folder to create.
    image : Pyramid
        Image that is corrected.
    class_table : ClassTable
        Classes that can be painted.

    Raises
    ------
    OutputError
        The name is taken, the disk is full, or the location is not writable.
    """
    classes = [info.model_dump(mode="json") for info in class_table]
    facts = {
        "kind": KIND,
        "classes": classes,
        "authors": [],
        "image": image_facts(image),
        "georeference": asdict(image.georeference) if image.georeference else None,
    }
    labels = LabelPyramid.create(
        path,
        image.shape,
        chunk=CHUNK,
        classes=classes[: len(class_table.scored)],
        attributes={ATTRIBUTE: {"kind": KIND}},
        pixel_size=image.pixel_size,
        translation=image.translation,
        unit=image.unit,
    )
    level = labels.levels[0]
    try:
        labels.group.create_array(AUTHORS, shape=level.shape, chunks=level.chunks, dtype="u1", fill_value=0)
    except OSError as error:
        raise output_error(path, error) from error
    ChunkCounts().save(path / INDEX)
    # Only now it is complete. A crash before this line leaves a folder that the next creation replaces.
    labels.set_attributes({ATTRIBUTE: {**facts, "complete": True}})
    sync([path / "zarr.json", path])


def refresh_from_image(labels: LabelPyramid) -> None:
    """Apply :func:`refresh_image` with the image that the corrections name, if it is at hand.

    Parameters
    ----------
    labels : LabelPyramid
        Corrections' pyramid, open for writing.

    Raises
    ------
    OutputError
        The disk is full or the location is not writable.
    """
    with suppress(InputError):
        refresh_image(labels, open_image_of(labels.attributes[ATTRIBUTE]["image"], labels.path))


def refresh_image(labels: LabelPyramid, image: Pyramid) -> None:
    """Update the metadata of corrections on their image. See ``identity.refreshed``.

    Parameters
    ----------
    labels : LabelPyramid
        Corrections' pyramid, open for writing.
    image : Pyramid
        Image that they belong to.

    Raises
    ------
    OutputError
        The disk is full or the location is not writable.
    """
    now = refreshed(labels.attributes[ATTRIBUTE], image)
    if now is not None:
        labels.set_attributes({ATTRIBUTE: now})
