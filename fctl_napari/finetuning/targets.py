"""Corrections as targets of fine-tuning: the held-out split, and what is learned on a tile (no torch)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.regions import CorrectedBox
from fctl_napari.evaluation.trained_on import LearnedRegions
from fctl_napari.finetuning.correction_sources import NOTHING, CorrectionSource
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.windows import IntWindow, Window

ANY = ("",)
"""Classes of a region whose painted classes are not known."""

APART = 32
"""Gap below which regions stay on one side of the split, px, since their pixels are nearly the same."""


KNOWN = (
    "The network has learned from the held-out regions before, so the gate finds a gain there less easily than in new "
    "ones: correct further regions."
)
"""Note where the parent has learned from all that can be held out."""


@dataclass(frozen=True)
class Split:
    """Split of the corrected regions for training and held-out evaluation.

    Attributes
    ----------
    training, held_out : tuple of IntWindow
        Boxes (y0, x0, y1, x1), px. No box of one side overlaps a box of the other.
    note : str
        Note for the user, empty if everything is as asked.
    """

    training: tuple[IntWindow, ...]
    held_out: tuple[IntWindow, ...]
    note: str = ""


def split(boxes: Sequence[IntWindow], share: float, seed: int) -> Split:
    """Hold out a share of the corrected regions, of as many classes as possible.

    Regions near each other stay on one side. The only region of a class is trained on, as is a region that is all not
    sure.

    Parameters
    ----------
    boxes : sequence of IntWindow
        Boxes of the corrected regions, (y0, x0, y1, x1), px. A ``CorrectedBox`` has its painted classes. Others are
        taken for regions of one and the same class.
    share : float
        Share to be held out, 0..1. Of two regions of a class or more, at least one is held out and at least one is not.
    seed : int
        Seed of the choice.

    Returns
    -------
    Split
        The two sides and a note.
    """
    (sides,), note = split_together([boxes], share, seed)
    return Split(sides.training, sides.held_out, note)


def split_together(
    images: Sequence[Sequence[IntWindow]],
    share: float,
    seed: int,
    known: Sequence[LearnedRegions] = (),
) -> tuple[list[Split], str]:
    """Hold out a share of the corrected regions of several images, of as many classes and images as possible.

    A class counts as one class in all images. See ``split``. What the parent has learned from is not held out, as it
    knows that already, and a network that is as good elsewhere would look no better there. What was held out from it
    stays held out. Of the regions that are new to it as many are held out as the share of all asks for, half of them at
    most.

    Parameters
    ----------
    images : sequence of sequence of IntWindow
        Boxes of the corrected regions of each image, (y0, x0, y1, x1), px.
    share : float
        Share to be held out, 0..1.
    seed : int
        Seed of the choice.
    known : sequence of LearnedRegions, optional
        Corrected regions of each image that the parent knows.

    Returns
    -------
    splits : list of Split
        The two sides of each image.
    note : str
        Note for the user on all images, empty if everything is as asked.
    """
    joined = [(number, group) for number, boxes in enumerate(images) for group in join_near(boxes, APART)]
    owners, groups = [number for number, _ in joined], [group for _, group in joined]
    everything = [Split(tuple(boxes), ()) for boxes in images]
    if share == 0:
        return everything, "Nothing is held out, as asked: the gate has no corrections to judge by."
    classes = [
        frozenset[str]().union(*(box.classes if isinstance(box, CorrectedBox) else ANY for box in g)) for g in groups
    ]
    named = [i for i in np.random.default_rng([seed, 10]).permutation(len(groups)).tolist() if classes[i]]
    if len(named) < 2:
        one = "All corrections are one region"
        near = f"All corrections are nearer than {APART} px to others, and count as one region"
        boxes = sum(map(len, images))
        many = (one if boxes < 2 else near) if len(groups) < 2 else "Only one region was given a class"
        return everything, f"{many}, so none are held out: correct a second region, and the gate can judge."
    left = Counter(name for i in named for name in classes[i])
    alone = sorted(name for name, regions in left.items() if regions == 1)
    learned = _meeting(groups, owners, [one.learned for one in known])
    held_out = _meeting(groups, owners, [one.held_out for one in known]) - learned
    kept = [i for i in named if i in held_out]
    new = [i for i in named if i not in learned and i not in kept]
    chosen = _choose(kept, len(kept), classes, owners, left)
    count = _at_least(named, share, owners)
    most = len(new) // 2 if learned else len(new) - 1  # of what is new, some is learned
    chosen |= _choose(new, min(count - len(chosen), most), classes, owners, left, chosen)
    note_on_known = ""
    if not chosen and len(new) < len(named):
        newest_last = sorted(named, key=new.__contains__)
        chosen = _choose(newest_last, min(count, len(named) - 1), classes, owners, left)
        note_on_known = KNOWN if chosen & learned else ""
    judged = {name for i in chosen for name in classes[i]}
    splits = []
    for number in range(len(images)):
        own = [(box, i in chosen) for i, g in enumerate(groups) if owners[i] == number for box in g]
        splits.append(Split(tuple(box for box, out in own if not out), tuple(box for box, out in own if out)))
    others = sorted(name for name in left if name not in judged and name not in alone)
    unjudged = _note_on_unjudged(sorted(judged), others, again=bool(learned))
    notes = _note_of(alone, bool(chosen)), unjudged, note_on_known
    return splits, " ".join(note for note in notes if note)


def _meeting(
    groups: Sequence[Sequence[IntWindow]], owners: Sequence[int], boxes: Sequence[Sequence[IntWindow]]
) -> set[int]:
    """Find the groups of regions that meet boxes of their image."""
    found: set[int] = set()
    for i, (group, owner) in enumerate(zip(groups, owners, strict=True)):
        if boxes and boxes[owner]:
            y0, x0, y1, x1 = np.array(boxes[owner]).T[..., None]  # each against all of the group
            top, left, bottom, right = np.array(group).T
            if ((top < y1) & (y0 < bottom) & (left < x1) & (x0 < right)).any():
                found.add(i)
    return found


def _at_least(candidates: Sequence[int], share: float, owners: Sequence[int]) -> int:
    """Return how many groups are held out: the share, at least one, and one of each image that has several."""
    several = sum(regions > 1 for regions in Counter(owners[i] for i in candidates).values())
    return max(1, several, round(share * len(candidates)))


def _choose(
    candidates: Sequence[int],
    count: int,
    classes: Sequence[frozenset[str]],
    owners: Sequence[int],
    regions: Mapping[str, int],
    before: Collection[int] = (),
) -> set[int]:
    """Choose what is held out among groups of regions, first one of each class, then one of each image, then any.

    What was chosen before counts as well.
    """
    chosen: set[int] = set()
    judged = {name for i in before for name in classes[i]}
    seen = {owners[i] for i in before}
    left = Counter(regions)
    for i in before:
        left.subtract(classes[i])
    for turn in ("class", "image", "any"):
        for i in candidates:
            again = (turn == "class" and classes[i] <= judged) or (turn == "image" and owners[i] in seen)
            if i in chosen or len(chosen) >= count or again:
                continue
            if all(left[name] > 1 for name in classes[i]):
                chosen.add(i)
                left.subtract(classes[i])
                judged |= classes[i]
                seen.add(owners[i])
    return chosen


def plain_boxes(boxes: Iterable[IntWindow]) -> tuple[IntWindow, ...]:
    """Return boxes without their classes, and without those that are all not sure.

    Parameters
    ----------
    boxes : iterable of IntWindow
        Boxes (y0, x0, y1, x1), px.

    Returns
    -------
    tuple of IntWindow
        The boxes.
    """
    named = [box for box in boxes if not isinstance(box, CorrectedBox) or box.classes]
    return tuple((y0, x0, y1, x1) for y0, x0, y1, x1 in named)


def _note_on_unjudged(judged: Sequence[str], others: Sequence[str], *, again: bool) -> str:
    """Describe the classes of which no region is held out, though they have several."""
    if not judged or not others:
        return ""
    if again:
        return (
            f"So few regions are new to the network that only {', '.join(judged)} can be judged, not "
            f"{', '.join(others)}: correct further regions."
        )
    return (
        f"So few regions are held out that only {', '.join(judged)} can be judged, not {', '.join(others)}: hold out a "
        "larger share, or correct further regions."
    )


def _note_of(alone: Sequence[str], some: bool) -> str:
    """Describe the classes that have one region only, and the consequence."""
    names = ", ".join(alone)
    if not alone:
        return ""
    if not some:
        return (
            f"Every region is the only one of a class ({names}), so none are held out: correct a second region of "
            "one, and the gate can judge."
        )
    if len(alone) > 1:
        return (
            f"There is only one region each of {', '.join(alone[:-1])} and {alone[-1]}: they are learned from and not "
            "held out, so the gate cannot judge them; correct further regions."
        )
    return (
        f"There is only one region of {names}: it is learned from and not held out, so the gate cannot judge it; "
        "correct a second region."
    )


def join_near(boxes: Sequence[IntWindow], distance: int) -> list[list[IntWindow]]:
    """Group boxes that are near each other.

    Parameters
    ----------
    boxes : sequence of IntWindow
        Boxes (y0, x0, y1, x1), px.
    distance : int
        Gap below which boxes belong to one group, px.

    Returns
    -------
    list of list of IntWindow
        Groups, whose boxes are linked by such gaps. No box overlaps a box of another group.
    """
    groups: list[list[IntWindow]] = []
    for box in boxes:
        wide = Window(*box).padded(distance)
        near = [group for group in groups if any(meet(wide, other) for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(other for group in near for other in group), box])
    return groups


def meet(a: IntWindow, b: IntWindow) -> bool:
    """Return whether two windows share a pixel.

    Parameters
    ----------
    a : IntWindow
        (y0, x0, y1, x1), px, half open.
    b : IntWindow
        (y0, x0, y1, x1), px, half open.

    Returns
    -------
    bool
        True if they overlap.
    """
    return not Window(*a).intersect(b).empty


def target_of(corrections: CorrectionSource, window: IntWindow, hidden: Iterable[IntWindow] = ()) -> NDArray[np.uint8]:
    """Read the target of a tile.

    Parameters
    ----------
    corrections : CorrectionSource
        The corrections.
    window : IntWindow
        Window of the tile, (y0, x0, y1, x1), px.
    hidden : iterable of IntWindow, optional
        Boxes whose corrected pixels are left out, px.

    Returns
    -------
    ndarray of uint8 [y, x]
        0 where nothing was corrected, k + 1 for class k, 255 for what is left out: not sure, hidden, or outside the
        image.
    """
    values = corrections.read(window).copy()
    height, width = corrections.shape
    y0, x0, y1, x1 = window
    for box in hidden:
        part = Window(*box).intersect(window)
        if not part.empty:
            inside = values[part.slices_in(window)]
            inside[inside != NOTHING] = NOT_SURE
    rows, columns = np.arange(y0, y1), np.arange(x0, x1)
    outside = ((rows < 0) | (rows >= height))[:, None] | ((columns < 0) | (columns >= width))[None, :]
    values[outside] = NOT_SURE
    return values


def only(values: NDArray[np.uint8], window: IntWindow, boxes: Iterable[IntWindow]) -> NDArray[np.uint8]:
    """Clear a tile's values outside of boxes.

    Parameters
    ----------
    values : ndarray of uint8 [y, x]
        Values of the tile.
    window : IntWindow
        Window of the tile, (y0, x0, y1, x1), px.
    boxes : iterable of IntWindow
        Boxes (y0, x0, y1, x1), px.

    Returns
    -------
    ndarray of uint8 [y, x]
        The values in the boxes, 0 elsewhere.
    """
    kept = np.zeros_like(values)
    for box in boxes:
        part = Window(*box).intersect(window)
        if not part.empty:
            inside = part.slices_in(window)
            kept[inside] = values[inside]
    return kept
