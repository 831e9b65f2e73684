"""What a person said of regions: looked at, or the truth is wrong there; kept in a file beside the segmentation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from fctl_napari.errors import InputError
from fctl_napari.files import output_error, write_json
from fctl_napari.segmentation.store.identity import is_old
from fctl_napari.windows import Window

if TYPE_CHECKING:
    from fctl_napari.evaluation.error_regions import Region
    from fctl_napari.segmentation.store.store import Segmentation
    from fctl_napari.windows import IntWindow

Mark = Literal["done", "truth is wrong"]

VERSION = 2
"""Of the file; in version 1 classes stood by their indices, and no image."""

OVERLAP = 0.5
"""How much of the union of two bounding boxes must be common for two regions to be the same."""
GROWTH = 2
"""How many times as many pixels the one may have as the other."""


def marks_path(segmentation: Path | str) -> Path:
    """Where the marks of a segmentation are kept: beside it, so that they survive its being made afresh."""
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
        """Common share of the bounding boxes of regions of one truth and class, 0..1; 0 if they are not the same."""
        if not 1 / GROWTH <= self.pixels / region.pixels <= GROWTH:
            return 0.0
        common = _area(Window(*self.window).intersect(region.window))
        share = common / (_area(self.window) + _area(region.window) - common)
        return share if share >= OVERLAP else 0.0


class Marks:
    """Marks of regions, read from a file and written to it at each change.

    A region is known again after the list was computed anew, also where the segmentation was made afresh and the
    region changed a little: by truth, class and first pixel; or else, of the marks of the same truth and class, by
    the one whose bounding box has the largest share in common (at least half of the union of both), if the region
    has grown or shrunk at most twofold. A region that changed more is a new one.

    Marks belong to an image and to classes by their names: those of another image at the same place are left alone, and
    moved aside before the first mark of this one is written; those of classes that are not there now are kept.

    Parameters
    ----------
    path : Path or str
        The file; it need not be there. See :func:`marks_path`.
    image : str, optional
        Fingerprint of the image.
    classes : sequence of str
        Names of class 0, 1, ...; without them classes count by their index.

    Raises
    ------
    InputError
        The file is damaged.
    """

    def __init__(self, path: Path | str, *, image: str | None = None, classes: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self._image = image
        self._classes = list(classes)
        self._unknown: list[dict[str, Any]] = []  # of classes that are not there now
        self._another: str | None = None  # image, whose marks lie there
        self._take(self._read())

    @classmethod
    def of_segmentation(cls, segmentation: Segmentation, path: Path | None = None) -> Marks:
        """Open the marks of a segmentation; see :func:`marks_path` for where they lie by default.

        Raises
        ------
        InputError
            The file is damaged.
        """
        stored = segmentation.facts["image"]
        image = None if is_old(stored) else stored["fingerprint"]  # an old one changes once it is written anew
        return cls(path or marks_path(segmentation.path), image=image, classes=segmentation.class_table.names)

    def __len__(self) -> int:
        """How many regions are marked."""
        return len(self._marked)

    def of(self, region: Region) -> Mark | None:
        """Return the mark of a region; None: it has none."""
        found = self._find(region)
        return None if found is None else found.mark

    def set(self, region: Region, mark: Mark | None) -> None:
        """Mark a region, or take its mark away (None), and write the file.

        Raises
        ------
        InputError
            The file was damaged in the meantime; it stays as it is.
        OutputError
            The disk is full or the place is not writable.
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
        """Give the classes of an entry their indices; None where one is not there now."""
        named = {key: fields[key] for key in ("truth", "called") if isinstance(fields[key], str)}
        if any(name not in self._classes for name in named.values()):
            return None
        return fields | {key: self._classes.index(name) for key, name in named.items()}

    def _find(self, region: Region) -> _Marked | None:
        alike = self._by_pair.get((region.ground_truth, region.predicted), [])
        exact = next((entry for entry in alike if entry.point == region.point), None)
        if exact is not None or not alike:
            return exact
        best = max(alike, key=lambda entry: entry.likeness(region))
        return best if best.likeness(region) > 0 else None

    def _take(self, marked: list[_Marked]) -> None:
        self._marked = marked
        self._by_pair: dict[tuple[int | None, int], list[_Marked]] = {}
        for entry in marked:
            self._by_pair.setdefault((entry.truth, entry.called), []).append(entry)

    def _read(self) -> list[_Marked]:
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
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{self.path}: is no file of marks, or is damaged ({reason}); mend it, or move it away to start anew."
            ) from error


def _entry(fields: dict[str, Any]) -> _Marked:
    y, x = (int(value) for value in fields["point"])
    y0, x0, y1, x1 = (int(value) for value in fields["window"])
    truth, pixels, mark = fields["truth"], int(fields["pixels"]), fields["mark"]
    if mark not in get_args(Mark) or pixels < 1 or y0 >= y1 or x0 >= x1:
        raise ValueError("an entry makes no sense")
    return _Marked(None if truth is None else int(truth), int(fields["called"]), (y, x), (y0, x0, y1, x1), pixels, mark)


def _area(window: IntWindow) -> int:
    y0, x0, y1, x1 = window
    return max(y1 - y0, 0) * max(x1 - x0, 0)
