"""Scenes of each kind: the same texture on every side, and far away what decides which class it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fctl_napari.datasets.far_labels.record import Decision, Kind, nearest_locations
from fctl_napari.model.classes import IGNORE

LEAST = 3.0
"""Least side of a scene, tiles."""

GRASS = (96, 132, 78)
WATER = (58, 92, 138)
GROUND = (146, 138, 112)
ROOF = (112, 98, 106)
LINE = (60, 46, 36)
RED = (208, 52, 44)
BLUE = (48, 72, 214)

TOLERANCE = 1.05
"""A px is labeled up to this multiple of the distance."""

CLASSES: dict[Kind, tuple[tuple[str, tuple[int, int, int]], ...]] = {
    "markers": (("red field", (208, 52, 44)), ("blue field", (48, 72, 214))),
    "outlines": (("outside", (120, 170, 90)), ("inside", (230, 200, 60))),
    "waters": (("river", (40, 120, 220)), ("lake", (20, 200, 190))),
    "sizes": (("small", (240, 150, 60)), ("large", (130, 60, 160))),
}
"""Name and color of the classes of each kind."""


@dataclass(frozen=True)
class FarScene:
    """A made scene.

    Attributes
    ----------
    image : ndarray of uint8 [S, S, 3]
        RGB.
    mask : ndarray of uint8 [S, S]
        Class indices, 255 where nothing is asked.
    decisions : tuple of Decision
        What decides the labels.
    radius : float
        How far what is seen of a location reaches around it, px.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    decisions: tuple[Decision, ...]
    radius: float


@dataclass(frozen=True)
class _Drawing:
    """Areas of a scene, before their textures are drawn."""

    labels: NDArray[np.uint8]
    areas: list[tuple[NDArray[np.bool_], tuple[int, int, int]]]
    ground: tuple[int, int, int]
    decisions: list[Decision]
    radius: float


def draw_scene(kind: Kind, distance: float, tile: int, seed: int, number: int) -> FarScene:
    """Draw a scene.

    Parameters
    ----------
    kind : {"markers", "outlines", "waters", "sizes"}
        Kind of the scene.
    distance : float
        Largest distance between a labeled px and the location that decides it, tiles.
    tile : int
        Side of a tile, px.
    seed : int
        Seed of the data set.
    number : int
        Number of the scene in it.

    Returns
    -------
    FarScene
        The scene, the same for the same arguments.
    """
    rng = np.random.default_rng([seed, list(_KINDS).index(kind), number])
    drawing = _KINDS[kind](rng, distance * tile, tile)
    labels = drawing.labels
    far = nearest_locations(drawing.decisions, labels.shape)[0] > TOLERANCE * distance * tile
    light = rng.uniform(0.9, 1.1)
    image = _texture(rng, labels.shape, drawing.ground)
    for area, color in drawing.areas:
        image[area] = _texture(rng, labels.shape, color)[area]
    pixels = np.clip(np.rint(image * light), 0, 255).astype(np.uint8)
    return FarScene(pixels, np.where(far, IGNORE, labels).astype(np.uint8), tuple(drawing.decisions), drawing.radius)


def _texture(rng: np.random.Generator, shape: tuple[int, ...], color: tuple[int, int, int]) -> NDArray[np.float32]:
    """Draw the texture of a surface, the same everywhere on the average."""
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), 1.2, mode="wrap")
    return np.asarray(np.array(color, np.float32) + 12 * (noise / noise.std())[..., None])


def _halves(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Draw classes 0 and 1, equally many of each, in random order."""
    return rng.permutation(np.arange(count) % 2)


def _markers(rng: np.random.Generator, reach: float, tile: int) -> _Drawing:
    """Draw a meadow with red and blue markers, which is the field of the nearest one."""
    pitch = reach * math.sqrt(2)  # the middle of four markers lies farthest from them
    count = 2 * math.ceil(LEAST * tile / pitch / 2)
    side = round(count * pitch)
    cells = np.moveaxis(np.mgrid[:count, :count], 0, -1).reshape(-1, 2)
    locations = (cells + 0.5 + rng.uniform(-0.12, 0.12, cells.shape)) * pitch
    classes = _halves(rng, len(locations))
    decision = Decision(box=(0, 0, side, side), locations=tuple(map(tuple, locations.tolist())))
    radius = reach / 6
    rows, columns = np.ogrid[:side, :side]
    squares = np.stack([(rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 for y, x in locations])
    red, blue = (np.sqrt(squares[classes == k].min(0)) for k in (0, 1))
    labels = (blue < red).astype(np.uint8)
    near = np.minimum(red, blue) <= radius
    areas = [(near & (labels == 0), RED), (near & (labels == 1), BLUE)]
    labels[np.abs(red - blue) < min(tile, reach) / 4] = IGNORE  # as near to both, within what a context shows
    return _Drawing(labels, areas, GRASS, [decision], radius)


def _outlines(rng: np.random.Generator, reach: float, tile: int) -> _Drawing:
    """Draw a lawn with closed outlines, and the same lawn inside and outside of them.

    Outlines may leave the scene and come in again on its other side, so that no location in it tells by itself.
    """
    pitch = 2.5 * reach  # as much of the lawn lies inside as outside
    count = math.ceil(LEAST * tile / pitch)
    side = round(count * pitch)
    shift = rng.uniform(0, side, 2)
    half = max(1.5, tile / 20)
    rows, columns = np.ogrid[:side, :side]
    inside, line = np.zeros((side, side), bool), np.zeros((side, side), bool)
    locations = []
    for cell in np.ndindex(count, count):
        y, x = (np.array(cell) + 0.5) * pitch + rng.uniform(-0.1, 0.1, 2) * reach + shift
        waves, phase = rng.integers(2, 4), rng.uniform(0, 2 * math.pi)
        dy, dx = ((a + 0.5 - b + side / 2) % side - side / 2 for a, b in ((rows, y), (columns, x)))
        depth = reach * (0.94 + 0.06 * np.cos(waves * np.arctan2(dy, dx) + phase)) - np.hypot(dy, dx)
        inside |= depth > 0
        line |= np.abs(depth) < half
        angles = np.linspace(0, 2 * math.pi, math.ceil(50 * reach / tile) + 8, endpoint=False)
        lengths = reach * (0.94 + 0.06 * np.cos(waves * angles + phase))
        around = np.stack([y + lengths * np.sin(angles), x + lengths * np.cos(angles)], -1)
        locations += (np.round(around, 1) % side).tolist()
    decision = Decision(box=(0, 0, side, side), locations=tuple(map(tuple, locations)))
    labels = np.where(line, IGNORE, inside).astype(np.uint8)
    return _Drawing(labels, [(line, LINE)], GRASS, [decision], half + tile / 12)


def _waters(rng: np.random.Generator, reach: float, tile: int) -> _Drawing:
    """Draw winding waters of one width: rivers cross the scene, lakes end on both sides."""
    side = math.ceil(max(2 * reach + 1.5 * tile, LEAST * tile))
    count = 2 * max(1, int(side / (4 * tile)))
    half = 0.3 * tile
    rows, columns = np.ogrid[:side, :side]
    labels = np.full((side, side), IGNORE, np.uint8)
    decisions = []
    for band, k in enumerate(_halves(rng, count)):
        top, bottom = round(band * side / count), round((band + 1) * side / count)
        middle, length, phase = (top + bottom) / 2, rng.uniform(2.4, 3.6) * tile, rng.uniform(0, 2 * math.pi)

        def center(
            x: NDArray[np.float64] | float, middle: float = middle, length: float = length, phase: float = phase
        ) -> NDArray[np.float64]:
            return np.asarray(middle + tile / 8 * np.sin(2 * math.pi * x / length + phase))

        start = rng.uniform(0.25, 0.75) * (side - 2 * reach)
        ends = (start, start + 2 * reach) if k else (0.0, float(side))
        water = (np.abs(rows + 0.5 - center(columns + 0.5)) <= half) & (columns >= ends[0]) & (columns < ends[1])
        for end in ends:
            water |= (rows + 0.5 - center(end)) ** 2 + (columns + 0.5 - end) ** 2 <= half**2
        labels[water] = k
        decisions.append(
            Decision(box=(top, 0, bottom, side), locations=tuple((float(center(end)), end) for end in ends))
        )
    if rng.random() < 0.5:
        labels = labels.T
        decisions = [
            Decision(box=(d.box[1], d.box[0], d.box[3], d.box[2]), locations=tuple((x, y) for y, x in d.locations))
            for d in decisions
        ]
    return _Drawing(labels, [(labels != IGNORE, WATER)], GRASS, decisions, half)


def _sizes(rng: np.random.Generator, reach: float, tile: int) -> _Drawing:
    """Draw roofs, half of them twice as wide as the others.

    Of the large ones only the corners are labeled, as far as a small one would reach, so that every labeled px lies at
    the same distances from the nearest edges. What decides is whether the far edges of a small one are there.
    """
    small = 2 * max(1, round(reach / 2))
    gap = round(0.65 * tile)
    cell = 2 * small + 2 * gap
    count = 2 * math.ceil(LEAST * tile / cell / 2)
    side = count * cell
    labels = np.full((side, side), IGNORE, np.uint8)
    roofs = np.zeros((side, side), bool)
    decisions = []
    for (row, column), k in zip(np.ndindex(count, count), _halves(rng, count**2), strict=True):
        width = small * (k + 1)
        y, x = (int(v) * cell + gap + int(rng.integers(0, 2 * small - width + 1)) for v in (row, column))
        roofs[y : y + width, x : x + width] = True
        for down in (0, 1):
            for right in (0, 1):
                y0, x0 = y + down * (width - small // 2), x + right * (width - small // 2)
                box = (y0, x0, y0 + small // 2, x0 + small // 2)
                labels[box[0] : box[2], box[1] : box[3]] = k
                far_y = y + width - small if down else y + small
                far_x = x + width - small if right else x + small
                locations = ((y0 + small / 4, float(far_x)), (float(far_y), x0 + small / 4))
                decisions.append(Decision(box=box, locations=locations))
    return _Drawing(labels, [(roofs, ROOF)], GROUND, decisions, 1.0)


_KINDS: dict[Kind, Callable[[np.random.Generator, float, int], _Drawing]] = {
    "markers": _markers,
    "outlines": _outlines,
    "waters": _waters,
    "sizes": _sizes,
}
