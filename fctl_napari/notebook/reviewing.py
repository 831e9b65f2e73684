"""Review of a map in a notebook's viewer, region by region: errors, doubts, and where a correction is worth most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.acquisition import Suggestion, find_next, renewed, whole_cells
from fctl_napari.evaluation.error_regions import Region, find_errors, find_uncertain, order
from fctl_napari.evaluation.ground_truth import GroundTruth
from fctl_napari.evaluation.open_ground_truth import open_ground_truth_of
from fctl_napari.evaluation.review_marks import Mark, Marks
from fctl_napari.evaluation.selected_region import SelectedRegion
from fctl_napari.exceptions import InputError
from fctl_napari.notebook.viewed_map import ViewedMap
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow

What = Literal["errors", "doubts", "next"]

MARGIN = 0.5
"""Margin around a region that is looked at, of its longest side."""
LEAST_SIDE = 128
"""Shortest side of the view of a region that is looked at, px."""

WORDS: dict[What, str] = {
    "errors": "the prediction is right wherever the ground truth is known",
    "doubts": "the network is sure everywhere",
    "next": "there is nothing left that is worth a correction",
}
"""What it means that there are no regions."""


@dataclass
class _List:
    """Regions under review."""

    what: What
    regions: list[Region]
    found: int
    suggestions: list[Suggestion] = field(default_factory=list)  # of "next", in the order of the regions
    at: int = -1


class Reviewing:
    """Regions of a prediction that are looked at one after the other, with their marks on disk.

    The marks are those of napari's window.

    Parameters
    ----------
    viewed : ViewedMap
        The map.
    ground_truth : Path or None
        Ground truth, which errors need.
    corrections : callable
        Function that returns the corrections as they are now, or None.
    """

    def __init__(
        self, viewed: ViewedMap, ground_truth: Path | None, corrections: Callable[[], Corrections | None]
    ) -> None:
        self._store = viewed.store
        self._path = ground_truth
        self._corrections = corrections
        self._ground_truth: GroundTruth | None = None
        self._marks: Marks | None = None
        self._list: _List | None = None
        self._changed: list[IntWindow] = []

    @property
    def kinds(self) -> list[What]:
        """Kinds of regions that can be looked for."""
        return ["doubts", "next"] if self._path is None else ["errors", "doubts", "next"]

    @property
    def current(self) -> Region | None:
        """The region that is looked at."""
        listed = self._list
        return listed.regions[listed.at] if listed is not None and 0 <= listed.at < len(listed.regions) else None

    def find(self, what: What, progress: Progress | None = None) -> dict[str, Any]:
        """Look for regions.

        Parameters
        ----------
        what : {"errors", "doubts", "next"}
            What to look for.
        progress : Progress or None, optional
            Called with counts of blocks.

        Returns
        -------
        dict of str to object
            As for ``step``; nothing is looked at yet.

        Raises
        ------
        InputError
            There is no ground truth, or it does not fit.
        Cancelled
            ``progress`` raised it.
        """
        self._marks = Marks.of_segmentation(self._store)
        self._changed.clear()
        if what == "next":
            suggestions = find_next(self._store, self._corrections(), progress=progress)
            self._list = _List(what, [one.region for one in suggestions], len(suggestions), suggestions)
        else:
            if what == "doubts":
                found = find_uncertain(self._store, progress=progress)
            else:
                found = find_errors(self._store, self._opened(), progress=progress)
            by: Literal["size", "confidence"] = "size" if what == "errors" else "confidence"
            self._list = _List(what, order(found, by), found.found)
        return self.facts()

    def step(self, by: int) -> dict[str, Any]:
        """Go to the next region that is not marked, or to the previous one. At the end it stays.

        Parameters
        ----------
        by : {1, -1}
            1 for the next, -1 for the previous one.

        Returns
        -------
        dict of str to object
            What the page shows: ``what``, ``count``, ``left``, ``note`` and ``region`` (None or its window, size,
            classes, confidence, gain and mark).

        Raises
        ------
        InputError
            Nothing has been looked for.
        """
        listed = self._require()
        self._renew()
        at = listed.at + by
        while 0 <= at < len(listed.regions) and self._mark(listed.regions[at]) is not None:
            at += by
        if 0 <= at < len(listed.regions):
            listed.at = at
            return self.facts()
        end = "That was the last one." if by > 0 else "That was the first one."
        return self.facts() | ({"note": end} if listed.regions else {})

    def mark(self, mark: Mark) -> dict[str, Any]:
        """Mark the region that is looked at, or remove its mark if it is this one.

        Marks are kept beside the map.

        Parameters
        ----------
        mark : {"done", "truth is wrong"}
            The mark.

        Returns
        -------
        dict of str to object
            As for ``step``.

        Raises
        ------
        InputError
            No region is looked at, or the file of marks is damaged.
        OutputError
            The disk is full or the folder is not writable.
        """
        listed = self._require()
        region = self.current
        if region is None or self._marks is None:
            raise InputError("no region is looked at; go to the next one first.")
        if mark == "truth is wrong" and listed.what != "errors":
            raise InputError("there is no ground truth here that could be wrong; mark the region as done.")
        self._marks.set(region, None if self._marks.of(region) == mark else mark)
        return self.facts()

    def area(self) -> SelectedRegion:
        """Return the px of the region that is looked at.

        Returns
        -------
        SelectedRegion
            The px.

        Raises
        ------
        InputError
            No region is looked at.
        """
        region = self.current
        if region is None:
            raise InputError("no region is looked at; go to the next one first.")
        return SelectedRegion(region, self._store, None if region.ground_truth is None else self._opened())

    def edited(self, window: IntWindow) -> None:
        """Note that the corrections have changed, for the list of where a correction is worth most.

        Parameters
        ----------
        window : tuple of 4 int
            (y0, x0, y1, x1) px.
        """
        if self._list is not None and self._list.what == "next":
            self._changed.append(window)

    def facts(self) -> dict[str, Any]:
        """Return what the page shows, as ``step`` does.

        Returns
        -------
        dict of str to object
            See ``step``.
        """
        listed = self._require()
        region, names = self.current, self._store.class_table.names
        left = sum(self._mark(each) is None for each in listed.regions)
        facts: dict[str, Any] = {
            "what": listed.what,
            "count": len(listed.regions),
            "found": listed.found,
            "left": left,
            "note": "" if listed.regions else f"{WORDS[listed.what][0].upper()}{WORDS[listed.what][1:]}.",
            "region": None,
        }
        if region is not None:
            facts["region"] = {
                "number": listed.at + 1,
                "window": list(region.window),
                "pixels": region.pixels,
                "is": None if region.ground_truth is None else names[region.ground_truth],
                "called": names[region.predicted],
                "confidence": region.confidence,
                "gain": listed.suggestions[listed.at].gain if listed.suggestions else None,
                "mark": self._mark(region),
            }
        return facts

    def _require(self) -> _List:
        if self._list is None:
            raise InputError("no regions have been looked for; press Find first.")
        return self._list

    def _mark(self, region: Region) -> Mark | None:
        return None if self._marks is None else self._marks.of(region)

    def _opened(self) -> GroundTruth:
        if self._path is None:
            raise InputError("errors need a ground truth; show the map with ground_truth=FILE, or look for doubts.")
        if self._ground_truth is None:
            self._ground_truth, _ = open_ground_truth_of(self._store, self._path, None)
        return self._ground_truth

    def _renew(self) -> None:
        """Look again where the corrections have changed since the last step."""
        listed, windows = self._require(), self._changed
        if not windows:
            return
        self._changed, current = [], self.current
        for window in windows:
            cells = whole_cells(window, self._store.shape)
            fresh = find_next(self._store, self._corrections(), cells)
            listed.suggestions = renewed(listed.suggestions, fresh, cells)
        listed.regions = [one.region for one in listed.suggestions]
        if current in listed.regions:
            listed.at = listed.regions.index(current)
        elif current is not None:
            listed.at -= 1  # the one after it has taken its place


def view_around(window: IntWindow) -> list[int]:
    """Return a view that holds a region with a margin.

    Parameters
    ----------
    window : tuple of 4 int
        (y0, x0, y1, x1) px of the region.

    Returns
    -------
    list of int
        (y0, x0, y1, x1) px, which may reach outside.
    """
    y0, x0, y1, x1 = window
    half = max(LEAST_SIDE, round((1 + 2 * MARGIN) * max(y1 - y0, x1 - x0))) // 2
    y, x = (y0 + y1) // 2, (x0 + x1) // 2
    return [y - half, x - half, y + half, x + half]
