"""What a person said of regions: looked at, or the truth is wrong there; kept in a file beside the segmentation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from fctl_napari.errors import InputError
from fctl_napari.files import write_json

if TYPE_CHECKING:
    from fctl_napari.analysis.error_regions import Region
    from fctl_napari.imagery.level import IntWindow

Mark = Literal["done", "truth is wrong"]

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
        common = _area(_common(self.window, region.window))
        share = common / (_area(self.window) + _area(region.window) - common)
        return share if share >= OVERLAP else 0.0


class Marks:
    """Marks of regions, read from a file and written to it at each change.

    A region is known again after the list was computed anew, also where the segmentation was made afresh and the
    region changed a little: by truth, class and first pixel; or else, of the marks of the same truth and class, by
    the one whose bounding box has the largest share in common (at least half of the union of both), if the region
    has grown or shrunk at most twofold. A region that changed more is a new one.

    Parameters
    ----------
    path
        The file; it need not be there. See :func:`marks_path`.

    Raises
    ------
    InputError
        The file is damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._take(self._read())

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
            marked.append(_Marked(region.truth, region.called, region.point, region.window, region.pixels, mark))
        write_json(self.path, {"fctl_marks": 1, "marks": [asdict(entry) for entry in marked]})
        self._take(marked)

    def _find(self, region: Region) -> _Marked | None:
        alike = self._by_pair.get((region.truth, region.called), [])
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
            if document["fctl_marks"] != 1:
                raise ValueError("another version")
            return [_entry(fields) for fields in document["marks"]]
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


def _common(first: IntWindow, second: IntWindow) -> IntWindow:
    return max(first[0], second[0]), max(first[1], second[1]), min(first[2], second[2]), min(first[3], second[3])


def _area(window: IntWindow) -> int:
    y0, x0, y1, x1 = window
    return max(y1 - y0, 0) * max(x1 - x0, 0)
