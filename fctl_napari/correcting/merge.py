"""Merging of corrections of several people or sessions, by region, with a report of conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.regions import ChunkRegions
from fctl_napari.correcting.strokes import Stroke
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import NOT_SURE, ClassTable, value_names
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.windows import IntWindow

Policy = Literal["mine", "theirs", "not sure"]
BLOCK = 2048
"""Side of the blocks that are merged at once, px: whole chunks."""


class Layer(Protocol):
    """A source that can be merged into corrections."""

    @property
    def name(self) -> str:
        """Name for users."""

    @property
    def authors(self) -> Sequence[str]:
        """Names of author 1, 2, ..."""

    def blocks(self) -> list[IntWindow]:
        """Return the blocks of ``BLOCK`` px of the image that may hold something.

        Returns
        -------
        list of IntWindow
            (y0, x0, y1, x1), px, inside the image.
        """

    def state(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read values as in corrections, and authors.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px.

        Returns
        -------
        ndarray of uint8 [2, y, x]
            Values and authors.
        """


@dataclass(frozen=True)
class Conflict:
    """A 4-connected region that both sides painted, with different classes.

    Attributes
    ----------
    source : str
        Name of the corrections that contradict those that were there.
    window : IntWindow
        Bounding box, (y0, x0, y1, x1), px.
    point : tuple of 2 int
        First px in reading order, (y, x).
    pixels : int
        Number of px.
    mine : dict of str to int
        Number of px of each class that were there, by class name, including ``"not sure"``.
    theirs : dict of str to int
        Number of px of each class in the source, by class name, including ``"not sure"``.
    """

    source: str
    window: IntWindow
    point: tuple[int, int]
    pixels: int
    mine: dict[str, int]
    theirs: dict[str, int]


@dataclass(frozen=True)
class MergeReport:
    """The result of a merge or an import.

    Attributes
    ----------
    stroke : Stroke or None
        Change as one action that can be undone. None if nothing changed.
    added : dict of str to int
        Number of px that were new where nothing had been painted, by class.
    agreed : int
        Number of px that were there already.
    conflicts : tuple of Conflict
        Regions that both had painted, differently.
    policy : Policy
        Policy that was applied to the conflicts.
    notes : tuple of str
        Notes in words on what of the source was left out or decided, with counts.
    """

    stroke: Stroke | None = None
    added: dict[str, int] = field(default_factory=dict)
    agreed: int = 0
    conflicts: tuple[Conflict, ...] = ()
    policy: Policy = "mine"
    notes: tuple[str, ...] = ()


def values_by_name(names: Sequence[str], table: ClassTable) -> NDArray[np.uint8]:
    """Map the values of corrections to those of another table, by the names of their classes.

    Parameters
    ----------
    names : sequence of str
        Names of value 1, 2, ...
    table : ClassTable
        Other table.

    Returns
    -------
    ndarray of uint8 [256]
        Value in the other table. Classes that the table lacks or ignores become not sure (255).
    """
    found = np.full(256, NOT_SURE, np.uint8)
    found[0] = 0
    there = {name: value for value, name in enumerate(table.names, 1)}
    for value, name in enumerate(names, 1):
        found[value] = there.get(name, NOT_SURE)
    return found


def blocks_of(windows: Iterator[IntWindow] | Sequence[IntWindow], shape: tuple[int, int]) -> list[IntWindow]:
    """Return the blocks that windows inside an image meet, row by row.

    Parameters
    ----------
    windows : iterator of IntWindow or sequence of IntWindow
        (y0, x0, y1, x1), px.
    shape : tuple of 2 int
        (height, width) of the image, px.

    Returns
    -------
    list of IntWindow
        (y0, x0, y1, x1), px, of each block.
    """
    found = {
        (y, x)
        for y0, x0, y1, x1 in windows
        for y in range(y0 // BLOCK * BLOCK, y1, BLOCK)
        for x in range(x0 // BLOCK * BLOCK, x1, BLOCK)
    }
    return [(y, x, min(y + BLOCK, shape[0]), min(x + BLOCK, shape[1])) for y, x in sorted(found)]


class OtherCorrections:
    """Other corrections as a layer to merge.

    Parameters
    ----------
    other : Corrections
        Opened corrections.
    into : Corrections
        Corrections that they are merged into.

    Attributes
    ----------
    name : str
        Path of the corrections.
    authors : tuple of str
        Names of author 1, 2, ...

    Raises
    ------
    InputError
        They are those of another image.
    """

    def __init__(self, other: Corrections, into: Corrections) -> None:
        if not same_image(other.facts["image"], into.facts["image"]):
            raise InputError(f"{other.path}: holds corrections of another image than {into.path}; merge those of one.")
        self._other, self._into = other, into
        self.name = str(other.path)
        self.authors = other.authors

    def blocks(self) -> list[IntWindow]:
        """Return the blocks of the image that may hold something. See ``Layer``."""
        return blocks_of(self._other.corrected_windows(), self._other.shape)

    def state(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read values and authors of a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px.

        Returns
        -------
        ndarray of uint8 [2, y, x]
            Values of the corrections that are merged into, and authors.
        """
        values = values_by_name(self._other.class_table.names, self._into.class_table)[self._other.read(window)]
        return np.stack([values, self._other.read_authors(window)])


def take(
    corrections: Corrections,
    layers: Sequence[Layer],
    *,
    kind: str,
    policy: Policy = "mine",
    progress: Progress | None = None,
) -> MergeReport:
    """Merge layers into corrections, one after the other, as one action.

    Parameters
    ----------
    corrections : Corrections
        Corrections that are open for writing.
    layers : sequence of Layer
        Layers of the same image, with the values of these corrections.
    kind : str
        Name of the action in the history.
    policy : Policy, optional
        Treatment of px that both painted, differently: ``"mine"`` stay as they are, become ``"theirs"``, or
        become ``"not sure"``.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    MergeReport
        Counts of what was new, and conflicts.

    Raises
    ------
    OutputError
        The disk is full or the location is not writable. What was merged until then is there, and can be undone.
    """
    taking = _Taking(corrections, kind, policy)
    blocks = [(layer, window) for layer in layers for window in layer.blocks()]
    conflicts: list[Conflict] = []
    clashes = ChunkRegions()
    for number, (layer, window) in enumerate(blocks, 1):
        taking.block(window, layer, clashes)
        if number == len(blocks) or blocks[number][0] is not layer:
            conflicts += _conflicts(clashes, layer.name, corrections.class_table)
            clashes = ChunkRegions()
        if progress is not None:
            progress(number, len(blocks))
    names = value_names(corrections.class_table)
    added = {names[value]: pixels for value, pixels in sorted(taking.added.items())}
    return MergeReport(taking.stroke(), added, taking.agreed, tuple(conflicts), policy)


def merge(
    corrections: Corrections,
    others: Sequence[Corrections],
    *,
    policy: Policy = "mine",
    progress: Progress | None = None,
) -> MergeReport:
    """Merge others' corrections, as one action that can be undone.

    Parameters
    ----------
    corrections : Corrections
        Corrections that are open for writing.
    others : sequence of Corrections
        Corrections of the same image, merged one after the other. Classes are matched by their names, and
        those that are painted there and missing here are added.
    policy : Policy, optional
        Treatment of px that both painted, differently: ``"mine"`` stay as they are, become ``"theirs"``, or
        become ``"not sure"``.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks. It may raise ``Cancelled``.

    Returns
    -------
    MergeReport
        Counts of what was new, and conflicts.

    Raises
    ------
    InputError
        One is of another image. Nothing is merged then.
    OutputError
        The disk is full or the location is not writable. What was merged until then is there, and can be undone.
    """
    layers = [OtherCorrections(other, corrections) for other in others]
    for other in others:
        corrections.add_classes(other.class_table, other.unknown_to(corrections.class_table))
    return take(corrections, layers, kind="merge", policy=policy, progress=progress)


class _Taking:
    """A writer of blocks as one action, with counts."""

    def __init__(self, corrections: Corrections, kind: str, policy: Policy) -> None:
        self._corrections = corrections
        self._kind, self._policy = kind, policy
        self._strokes: list[Stroke] = []
        self.added: dict[int, int] = {}
        self.agreed = 0

    def block(self, window: IntWindow, layer: Layer, clashes: ChunkRegions) -> None:
        theirs, authors = layer.state(window)
        if not theirs.any():
            return
        mine = self._corrections.read(window)
        new = (theirs != 0) & (mine == 0)
        clash = (theirs != 0) & (mine != 0) & (theirs != mine)
        self.agreed += int(np.count_nonzero((theirs != 0) & (theirs == mine)))
        for value, pixels in zip(*np.unique(theirs[new], return_counts=True), strict=True):
            self.added[int(value)] = self.added.get(int(value), 0) + int(pixels)
        if clash.any():
            planes = np.where(clash, np.stack([mine, theirs]), np.uint8(0))
            clashes.add((window[0] // BLOCK, window[1] // BLOCK), planes, window)
        result = theirs.copy()
        if self._policy == "mine":
            result[clash] = mine[clash]
        elif self._policy == "not sure":
            result[clash] = NOT_SURE
        changed = (theirs != 0) & (result != mine)
        for author in np.unique(authors[changed]).tolist():
            self._write(window, result, changed & (authors == author), layer.authors[author - 1] if author else "?")

    def _write(self, window: IntWindow, values: NDArray[np.uint8], mask: NDArray[np.bool_], author: str) -> None:
        stroke = self._corrections.write(
            window[0],
            window[1],
            values,
            mask=mask,
            author=author,
            kind=self._kind,
            together=self._strokes[0].action if self._strokes else None,
        )
        if stroke is not None:
            self._strokes.append(stroke)

    def stroke(self) -> Stroke | None:
        return self._strokes[0].joined(self._strokes[1:]) if self._strokes else None


def _conflicts(clashes: ChunkRegions, source: str, table: ClassTable) -> Iterator[Conflict]:
    names = value_names(table)
    for blob in clashes.join():
        mine, theirs = ({names[value]: pixels for value, pixels in counts.items()} for counts in blob.counts)
        yield Conflict(source, blob.window, blob.point, blob.pixels, mine, theirs)
