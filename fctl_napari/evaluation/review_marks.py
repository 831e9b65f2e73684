"""Marks of reviewed regions (done, or the ground truth is wrong there), kept in a file beside the segmentation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from fctl_napari.exceptions import InputError, reason_of
from fctl_napari.files import output_error, write_json
from fctl_napari.segmentation.store.identity import is_old
from fctl_napari.windows import Window

if TYPE_CHECKING:
    from fctl_napari.evaluation.error_regions import Region
    from fctl_napari.segmentation.store.store import Segmentation
    from fctl_napari.windows import IntWindow

Mark = Literal["done", "truth is wrong"]

VERSION = 2
"""Version of the file; version 1 held classes by their indices, and no image."""

OVERLAP = 0.5
"""Share of the union of two bounding boxes that must be common for two regions to be the same."""
GROWTH = 2
"""Largest ratio of the numbers of pixels of two regions that are the same."""


def marks_path(segmentation: Path | str) -> Path:
    """Return the path of the marks of a segmentation.

    They lie beside it, so that they survive its being made afresh.

    Parameters
    ----------
    segmentation : Path or str
        Path of the segmentation.

    Returns
    -------
    Path
        Path of the file of marks; it need not exist.
    """
    path = Path(segmentation)
    return path.with_name(f"{path.name}.marks.json")


@dataclass(frozen=True)
class _Marked:
    """A region as it was when it was marked."""

    truth: int | None
    called: int
    point: tuple[int, int]
    window: IntWindow
    pixels: int
    mark: Mark

    def likeness(self, region: Region) -> float:
        """Compute the common share of the bounding boxes with a region of the same true and predicted class.

        It is 0..1, and 0 if the two are not the same region.
        """
        if not 1 / GROWTH <= self.pixels / region.pixels <= GROWTH:
            return 0.0
        common = _area(Window(*self.window).intersect(region.window))
        share = common / (_area(self.window) + _area(region.window) - common)
        return share if share >= OVERLAP else 0.0


class Marks:
    """Marks of regions, read from a file and written to it at each change.

    A region is recognized after the list was computed anew, also where the segmentation was made afresh and the region
    changed a little. It is recognized by ground truth, predicted class and first pixel. Else, of the marks of the same
    two classes, the one is taken whose bounding box has the largest share in common (at least half of the union of
    both), if the region has grown or shrunk at most twofold. A region that changed more is a new one.

    Marks belong to an image and to classes by their names. Those of another image in the same file are left alone, and
    moved aside before the first mark of this one is written. Those of classes that are not there now are kept.

    Parameters
    ----------
    path : Path or str
        Path of the file, which need not exist. See :func:`marks_path`.
    image : str or None, optional
        Fingerprint of the image.
    classes : sequence of str, optional
        Names of class 0, 1, ... Without them classes count by their index.

    Raises
    ------
    InputError
        The file is damaged.
    """

    def __init__(self, path: Path | str, *, image: str | None = None, classes: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self._image = image
        self._classes = list(classes)
        self._unknown: list[dict[str, Any]] = []  # entries of classes that are not there now
        self._another: str | None = None  # another image whose marks lie in the file
        self._take(self._read())

    @classmethod
    def of_segmentation(cls, segmentation: Segmentation, path: Path | None = None) -> Marks:
        """Open the marks of a segmentation.

        Parameters
        ----------
        segmentation : Segmentation
            An opened store.
        path : Path or None, optional
            Path of the file. None takes that of :func:`marks_path`.

        Returns
        -------
        Marks
            The marks; there are none if there is no file.

        Raises
        ------
        InputError
            The file is damaged.
        """
        stored = segmentation.facts["image"]
        image = None if is_old(stored) else stored["fingerprint"]  # an old fingerprint changes once it is written anew
        return cls(path or marks_path(segmentation.path), image=image, classes=segmentation.class_table.names)

    def __len__(self) -> int:
        """Return the number of marked regions."""
        return len(self._marked)

    def of(self, region: Region) -> Mark | None:
        """Return the mark of a region.

        Parameters
        ----------
        region : Region
            A region of the list.

        Returns
        -------
        Mark or None
            The mark, or None if it has none.
        """
        found = self._find(region)
        return None if found is None else found.mark

    def set(self, region: Region, mark: Mark | None) -> None:
        """Mark a region, or remove its mark, and write the file.

        Parameters
        ----------
        region : Region
            A region of the list.
        mark : Mark or None
            The mark; None removes it.

        Raises
        ------
        InputError
            The file was damaged in the meantime; it stays as it is.
        OutputError
            The disk is full or the location is not writable.
        """
        self._take(self._read())  # another window may have written
        known = self._find(region)
        marked = [entry for entry in self._marked if entry is not known]
        if mark is not None:
            marked.append(
                _Marked(region.ground_truth, region.predicted, region.point, region.window, region.pixels, mark)
            )
        if self._another is not None:
            self._move_aside(self._another)
        entries = [self._named(asdict(entry)) for entry in marked] + self._unknown
        write_json(self.path, {"fctl_marks": VERSION, "image": self._image, "marks": entries})
        self._take(marked)

    def _move_aside(self, image: str) -> None:
        """Move the marks of another image to a file of their own."""
        aside = self.path.with_name(f"{self.path.name}.{image.rpartition('-')[2][:8]}")
        try:
            self.path.replace(aside)
        except OSError as error:
            raise output_error(self.path, error) from error
        self._another = None

    def _named(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Give the classes of an entry their names."""
        if not self._classes:
            return fields
        named = {key: None if fields[key] is None else self._classes[fields[key]] for key in ("truth", "called")}
        return fields | named

    def _indexed(self, fields: dict[str, Any]) -> dict[str, Any] | None:
        """Give the classes of an entry their indices, or return None where one is not there now."""
        named = {key: fields[key] for key in ("truth", "called") if isinstance(fields[key], str)}
        if any(name not in self._classes for name in named.values()):
            return None
        return fields | {key: self._classes.index(name) for key, name in named.items()}

    def _find(self, region: Region) -> _Marked | None:
        """Find the mark of a region, exact or alike."""
        alike = self._by_pair.get((region.ground_truth, region.predicted), [])
        exact = next((entry for entry in alike if entry.point == region.point), None)
        if exact is not None or not alike:
            return exact
        best = max(alike, key=lambda entry: entry.likeness(region))
        return best if best.likeness(region) > 0 else None

    def _take(self, marked: list[_Marked]) -> None:
        """Take these marks and index them by true and predicted class."""
        self._marked = marked
        self._by_pair: dict[tuple[int | None, int], list[_Marked]] = {}
        for entry in marked:
            self._by_pair.setdefault((entry.truth, entry.called), []).append(entry)

    def _read(self) -> list[_Marked]:
        """Read the marks of this image from the file."""
        try:
            document = json.loads(self.path.read_text("utf-8"))
            if document["fctl_marks"] not in (1, VERSION):
                raise ValueError("another version")
            image = document.get("image")
            self._another = image if None not in (image, self._image) and image != self._image else None
            if self._another is not None:
                return []
            found = [(fields, self._indexed(fields)) for fields in document["marks"]]
            self._unknown = [fields for fields, indexed in found if indexed is None]
            return [_entry(indexed) for _, indexed in found if indexed is not None]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = reason_of(error)
            raise InputError(
                f"{self.path}: is no file of marks, or is damaged ({reason}); mend it, or move it away to start anew."
            ) from error


def _entry(fields: dict[str, Any]) -> _Marked:
    """Check an entry of the file and convert it."""
    y, x = (int(value) for value in fields["point"])
    y0, x0, y1, x1 = (int(value) for value in fields["window"])
    truth, pixels, mark = fields["truth"], int(fields["pixels"]), fields["mark"]
    if mark not in get_args(Mark) or pixels < 1 or y0 >= y1 or x0 >= x1:
        raise ValueError("an entry makes no sense")
    return _Marked(None if truth is None else int(truth), int(fields["called"]), (y, x), (y0, x0, y1, x1), pixels, mark)


def _area(window: IntWindow) -> int:
    """Return the area of a window, px."""
    y0, x0, y1, x1 = window
    return max(y1 - y0, 0) * max(x1 - x0, 0)
