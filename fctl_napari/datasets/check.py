"""Checks of a data set before training: counts, sizes, class shares, and problems."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.datasets.files import PARTS, Pair, Part, Problem
from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.datasets.layouts import DataSet
from fctl_napari.datasets.read_ahead import read_ahead
from fctl_napari.datasets.scene_ground_truth import SceneGroundTruth
from fctl_napari.datasets.split import some
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.band_names import band_names_in
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.progress import Progress

SHELF_BYTES = 2**28
"""Size of the image cache, bytes. It is small, since everything is read once."""

STRIP_PX = 2**24
"""Approximate number of px that are read at once."""

MEND = "mend the file"
LEAVE_OUT = "take the pair out of the data set"


@dataclass(frozen=True)
class Look:
    """The findings on one pair.

    Attributes
    ----------
    pair : Pair
        Pair.
    shape : tuple of 2 int or None
        (height, width), px. None if it could not be opened.
    counts : ndarray of int64 [C + 1] or None
        Number of px of each scored class, and at last of no class. None if they could not be read, or were not.
    problem : Problem or None
        Problem of the pair, or None.
    reading : str
        Property by which the classes of its ground truth are recognized, for users. Empty if it could not be read, or
        was not.
    note : str
        Further note on that for users.
    """

    pair: Pair
    shape: tuple[int, int] | None
    counts: NDArray[np.int64] | None
    problem: Problem | None
    reading: str = ""
    note: str = ""


@dataclass(frozen=True)
class DataSetReport:
    """The findings on a data set.

    Attributes
    ----------
    data : DataSet
        Data set.
    looks : tuple of Look
        Findings on each pair.
    quick : bool
        True if pixels were left unread.
    """

    data: DataSet
    looks: tuple[Look, ...]
    quick: bool

    @property
    def problems(self) -> list[Problem]:
        """All problems of the data set and of its pairs."""
        return [*self.data.problems, *(look.problem for look in self.looks if look.problem is not None)]

    @property
    def sizes(self) -> dict[tuple[int, int], int]:
        """Number of images by (height, width), the most frequent first."""
        return dict(Counter(look.shape for look in self.looks if look.shape is not None).most_common())

    def counts(self, part: Part) -> NDArray[np.int64]:
        """Count px of each scored class, and at last of no class, in a part of the split.

        Parameters
        ----------
        part : Part
            Part of the split.

        Returns
        -------
        ndarray of int64 [C + 1]
            Number of px.
        """
        inside = set(self.data.split.part(part))
        total = np.zeros(len(self.data.table.scored) + 1, np.int64)
        for look in self.looks:
            if look.pair in inside and look.counts is not None:
                total += look.counts
        return total

    def shares(self, part: Part) -> dict[str, float]:
        """Compute the share of each class among the labelled px of a part.

        Parameters
        ----------
        part : Part
            Part of the split.

        Returns
        -------
        dict of str to float
            Share by class name. Empty if there are no labelled px.
        """
        counts = self.counts(part)[:-1]
        total = int(counts.sum())
        names = self.data.table.names
        return {name: int(count) / total for name, count in zip(names, counts, strict=True)} if total else {}

    @property
    def sound(self) -> int:
        """Number of pairs that can be trained on."""
        training = set(self.data.split.train)
        return sum(look.problem is None and look.pair in training for look in self.looks)

    @property
    def readings(self) -> dict[str, int]:
        """Number of ground truths by the property that their classes are recognized by, the most frequent first."""
        return dict(Counter(look.reading for look in self.looks if look.reading).most_common())

    def hints(self) -> list[str]:
        """List what is no error, but may be unintended.

        Returns
        -------
        list of str
            Sentences for users.
        """
        names = self.data.table.names
        said = []
        if len(names) == 1:
            said.append(
                f"the class table has one class, {names[0]}, and a network tells two or more apart: give everything "
                f"else a class of its own, and state which value of the masks it is{self._as_mask()}"
            )
        counts = {part: self.counts(part) for part in PARTS}
        total = sum(counts.values(), np.zeros(len(names) + 1, np.int64))
        if not total.any():  # no pixels were read, or none could be
            return said
        missing = [name for name, count in zip(names, total[:-1], strict=True) if not count]
        if missing:
            said.append(
                f"no px is {', '.join(missing)}; if masks hold other values for them (255 is no class), write them "
                'into classes.json as "values": {"0": "background", "255": "building"}'
            )
        untaught = [
            name
            for name, count in zip(names, counts["train"][:-1], strict=True)
            if not count and name not in missing and self.data.split.train
        ]
        if untaught:
            said.append(f"no training px is {', '.join(untaught)}: a network cannot learn it; split otherwise")
        empty = [
            look.pair.ground_truth for look in self.looks if look.counts is not None and not look.counts[:-1].any()
        ]
        if empty:
            files = [file.relative_to(self.data.folder).as_posix() for file in empty]
            said.append(f"no px of {some(files)} has a class: nothing is learned from it, or measured on it")
        measured: tuple[tuple[Part, str], ...] = (("val", "validation"), ("test", "test"))
        for part, words in measured:
            if self.data.split.part(part) and counts[part].any() and not counts[part][:-1].any():
                said.append(f"no {words} px has a class: nothing can be measured there")
        notes = defaultdict[str, list[str]](list)
        for look in self.looks:
            if look.note:
                notes[look.note].append(look.pair.ground_truth.relative_to(self.data.folder).as_posix())
        return [*said, *(f"{some(files)}: {note}" for note, files in notes.items())]

    def _as_mask(self) -> str:
        """Describe how a mask of one class and 255 is read."""
        name = self.data.table.names[0]
        values = f'{{"0": "background", "255": "{name}"}}'
        plain = self.data.values is None and any(look.counts is not None and look.counts.all() for look in self.looks)
        return f" (now value 0 is {name} and 255 no class; of masks of 0 and 255: {values})" if plain else ""

    def to_json(self) -> dict[str, Any]:
        """Convert the report to a JSON document, for ``--json``.

        Returns
        -------
        dict of str to object
            All counts, shares, problems and hints.
        """
        data, split = self.data, self.data.split
        used = len(split.train) + len(split.val) + len(split.test)
        return {
            "folder": str(data.folder),
            "layout": data.layout,
            "classes": [info.model_dump(mode="json") for info in data.table],
            "split_by": split.by,
            "counts": {
                "pairs": len(data.pairs),
                **{part: len(split.part(part)) for part in PARTS},
                "unused": len(data.pairs) - used,
                "without_truth": len(data.without_ground_truth),
                "sound_to_train": self.sound,
            },
            "sizes": {f"{width} x {height}": count for (height, width), count in self.sizes.items()},
            "pixels_read": not self.quick,
            "class_shares": {part: self.shares(part) for part in PARTS},
            "read_by": self.readings,
            "without_class": {part: self._without_class(part) for part in PARTS},
            "split": {part: [pair.name for pair in split.part(part)] for part in PARTS},
            "problems": [{"file": p.file, "what": p.what, "do": p.do} for p in self.problems],
            "hints": self.hints(),
        }

    def _without_class(self, part: Part) -> float | None:
        counts = self.counts(part)
        return int(counts[-1]) / int(counts.sum()) if counts.any() else None


def check_data_set(data: DataSet, *, quick: bool = False, progress: Progress | None = None) -> DataSetReport:
    """Check every pair of a data set, several at once, a strip of px at a time.

    Parameters
    ----------
    data : DataSet
        Data set.
    quick : bool, optional
        If True, the files are opened, but no pixels are read: sizes only.
    progress : callable or None, optional
        Called as ``progress(done, total)`` with counts of pairs.

    Returns
    -------
    DataSetReport
        Findings.
    """
    shelf = Shelf(SHELF_BYTES)
    looks: list[Look] = []
    for look in read_ahead(partial(_look, data, shelf, quick), data.pairs):
        looks.append(look)
        if progress is not None:
            progress(len(looks), len(data.pairs))
    return DataSetReport(data, tuple(looks), quick)


def _look(data: DataSet, shelf: Shelf, quick: bool, pair: Pair) -> Look:
    look = Look(pair, None, None, None)
    file = pair.image
    try:
        image = shelf.image(pair.image, data.value_range, data.bands)
        if band_names_in(data.bands) is None:
            image.require_rgb()
        look = replace(look, shape=image.shape)
        if not quick:
            _read_all(image)
        file = pair.ground_truth
        ground_truth = SceneGroundTruth(pair.ground_truth, data.table, shelf, data.values, image)
        if ground_truth.shape != image.shape:
            (height, width), (rows, columns) = image.shape, ground_truth.shape
            what = f"is {columns} x {rows} px where its image is {width} x {height} (width x height)"
            return replace(look, problem=_problem(data, file, what, "fetch both again; they must be of one size"))
        if quick:
            return look
        reading, note = ground_truth.describe()
        return replace(look, reading=reading, note=note, counts=_count(ground_truth, len(data.table.scored)))
    except InputError as error:
        what, _, advice = str(error).removeprefix(f"{file}: ").removesuffix(".").partition("; ")
        return replace(look, problem=_problem(data, file, what, f"{advice or MEND}, or {LEAVE_OUT}"))


def _problem(data: DataSet, file: Any, what: str, do: str) -> Problem:
    return Problem(file.relative_to(data.folder).as_posix(), what, do)


def _read_all(image: Pyramid) -> None:
    height, width = image.shape
    rows = max(1, STRIP_PX // width)
    for top in range(0, height, rows):
        image.read_native((top, 0, min(top + rows, height), width))


def _count(ground_truth: SceneGroundTruth, classes: int) -> NDArray[np.int64]:
    height, width = ground_truth.shape
    rows = max(1, STRIP_PX // width)
    counts = np.zeros(classes + 1, np.int64)
    for top in range(0, height, rows):
        block = ground_truth[top : min(top + rows, height), 0:width]
        found = [int(np.count_nonzero(block == k)) for k in range(classes)]
        counts += [*found, block.size - sum(found)]
    return counts
