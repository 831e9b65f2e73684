"""What the tests of corrections share: an image, classes, and a plain model of what strokes leave behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import ClassInfo, ClassTable

SHAPE = (1060, 540)
"""(height, width) px: 3 x 2 chunks and two levels."""
TABLE = ClassTable(
    classes=tuple(
        ClassInfo(name=name, color=(40 * k, 90, 0), ignored=name == "cloud")
        for k, name in enumerate(("sea", "wood", "town", "cloud"))
    )
)
VALUES = (0, 1, 2, 3, 255)
AUTHORS = ("ann", "bob", "cem")


def blank(shape: tuple[int, int] = SHAPE, seed: int = 0) -> Pyramid:
    return pyramid_from_array(np.full((*shape, 3), seed, np.uint8), name="blank")


def state(corrections: Corrections) -> np.ndarray:
    """Values and authors, uint8 [2, y, x]; the coarser levels are seen to be in step."""
    window = (0, 0, *corrections.shape)
    values = corrections.read(window)
    for level in range(1, len(corrections.labels.levels)):
        array = corrections.labels.levels[level]
        np.testing.assert_array_equal(array[:], values[:: 2**level, :: 2**level], f"level {level} is not in step")
    return np.stack([values, corrections.read_authors(window)])


def with_author(corrections: Corrections) -> np.ndarray:
    """Values, and the names of authors, as objects [2, y, x]: numbers of authors differ from file to file."""
    values, authors = state(corrections)
    return np.stack([values.astype(object), np.array(["", *corrections.authors], object)[authors]])


def chunk_files(path: Path) -> set[str]:
    """Names of the chunk files of all arrays."""
    return {str(file.relative_to(path)) for file in path.rglob("c/*/*")}


@dataclass
class Action:
    number: int
    author: int
    strokes: list[tuple[int, int, np.ndarray, np.ndarray]]  # y, x, mask, values
    undone: bool = False
    gone: bool = False


@dataclass
class Model:
    """Corrections as arrays: what is painted is all strokes that count, painted again in their order."""

    shape: tuple[int, int] = SHAPE
    actions: list[Action] = field(default_factory=list)
    undone: list[Action] = field(default_factory=list)

    def state(self) -> np.ndarray:
        found = np.zeros((2, *self.shape), np.uint8)
        for action in self.actions:
            if action.undone or action.gone:
                continue
            for y, x, mask, values in action.strokes:
                part = found[:, y : y + mask.shape[0], x : x + mask.shape[1]]
                part[0][mask] = values[mask]
                part[1][mask] = np.where(values[mask] > 0, action.author, 0)
        return found

    def paint(self, number: int, author: int, y: int, x: int, mask: np.ndarray, values: np.ndarray) -> None:
        for action in self.undone:
            action.gone = True
        self.undone.clear()
        if not self.actions or self.actions[-1].number != number:
            self.actions.append(Action(number, author, []))
        self.actions[-1].strokes.append((y, x, mask, values))

    def to_undo(self, author: int | None) -> list[Action]:
        """Actions that may be undone, the one whose turn it is first."""
        return [a for a in reversed(self.actions) if not (a.undone or a.gone) and author in (None, a.author)]

    def to_redo(self, author: int | None) -> list[Action]:
        return [a for a in reversed(self.undone) if not a.gone and author in (None, a.author)]

    def age(self, action: Action) -> int:
        """How many actions that are not given up are newer."""
        kept = [a for a in self.actions if not a.gone or a is action]
        return len(kept) - 1 - kept.index(action)
