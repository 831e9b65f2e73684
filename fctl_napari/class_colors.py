"""Display colors of classes: map-like, told apart by eye, and readable on a dark and on a light window.

They say how a class is shown: in the window, in figures and reports, and in files for other programs. A mask of colors
is read by the colors of its own class table, which stay as they are.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
"""(red, green, blue), 0..255."""

Classes = Sequence[tuple[str, Color]]
"""Names and colors of classes, in order."""

APART = 12.0
"""Least CIEDE2000 between classes that are told apart at a glance."""

MASK_OPACITY = 0.55
"""Opacity with which masks are shown at first."""

CONTRAST = 3.0
"""Least contrast (WCAG 2) of a legend's square with the window behind it."""

BACKGROUNDS: dict[str, Color] = {"dark": (38, 41, 48), "light": (235, 231, 230)}
"""Backgrounds of napari's themes; of its versions the one that leaves fewer colors."""

NOT_SURE: Color = (128, 128, 128)
"""Color of px that people marked as not sure, and of no class."""

NAMED: dict[str, Color] = {
    "water": (0, 136, 232),
    "building": (232, 0, 96),
    "rangeland": (112, 136, 8),
    "barren": (184, 88, 48),
    "shadow": (136, 104, 184),
    "wetland": (0, 144, 144),
    "rock": (184, 96, 128),
    "road": (96, 120, 160),
    "urban": (232, 40, 48),
    "agriculture": (160, 112, 0),
    "forest": (0, 144, 56),
    "ocean": (88, 96, 248),
    "vehicle": (192, 80, 176),
    "snow": (0, 144, 184),
    "desert": (152, 128, 88),
    "cloud": (80, 120, 128),
    "unknown": (136, 104, 136),
    "shrubland": (104, 120, 72),
    "vegetation": (80, 144, 112),
    "land": (168, 120, 104),
}
"""Map-like colors, each as different as can be from those before it where it is seen through the mask. Any two are
``APART``, from ``NOT_SURE`` too, and each has the ``CONTRAST`` on both themes. At ``MASK_OPACITY`` over gray, plants
and soil the first eleven are ``APART`` too, and those of common tables of land cover; of all, the least difference is
7.9."""

_ALIASES = {
    "water": "river, lake, stream, canal, reservoir, pond, water body, waterbody, open water, inland water",
    "ocean": "sea, deep water, coastal water",
    "forest": "tree, woodland, wood, canopy, forest land, deciduous forest, coniferous forest",
    "vegetation": "plant, low vegetation, green vegetation, green, park",
    "rangeland": "range, grassland, grass, meadow, pasture, savanna, savannah, lawn",
    "shrubland": "shrub, scrub, bush, shrub and scrub, heath",
    "wetland": "marsh, swamp, mangrove, bog, flooded vegetation",
    "agriculture": "cropland, crop, farmland, farm, field, agricultural land, agriculture land, arable land, orchard",
    "barren": "bare, bare soil, bare ground, bare land, bareland, barren land, barrenland, soil, open soil",
    "desert": "sand, beach, dune, bare dune, sediment",
    "land": "ground, terrain, unpaved",
    "urban": "city, built, built up, built-up, builtup, built area, urban land, developed, settlement, town",
    "building": "house, roof, rooftop, residential",
    "road": "street, pavement, path, asphalt, impervious, impervious surface, parking, runway, highway, railway",
    "vehicle": "car, truck, boat, ship, airplane",
    "snow": "ice, snow and ice, snow/ice, glacier, permanent snow and ice",
    "cloud": "haze, fog",
    "shadow": "cloud shadow, shade",
    "rock": "rock outcrop, cliff, stone",
    "unknown": "unlabeled, unlabelled, background, other, clutter, void, no data, nodata, ignore, undefined, nothing",
}
"""Other names of classes in the singular, by those of ``NAMED``."""

DEEPGLOBE: Classes = (
    ("unknown", (0, 0, 0)),
    ("urban", (0, 255, 255)),
    ("agriculture", (255, 255, 0)),
    ("rangeland", (255, 0, 255)),
    ("forest", (0, 255, 0)),
    ("water", (0, 0, 255)),
    ("barren", (255, 255, 255)),
)
INRIA: Classes = (("background", (0, 0, 0)), ("building", (255, 255, 255)))
"""Class tables of data sets. Their colors are those of the masks, and were not chosen to be looked at."""

_OLD: frozenset[tuple[str, Color]] = frozenset(
    {
        # the built-in checkpoint earth, 17 apart: forest has a contrast of 2.3 on the dark theme, barren of 1.5 on the
        # light one
        ("water", (38, 108, 190)),
        ("forest", (30, 110, 48)),
        ("rangeland", (176, 200, 92)),
        ("agriculture", (240, 168, 48)),
        ("barren", (214, 190, 160)),
        # aerial, 14 apart: water is orange, building has a contrast of 1.2 on the dark theme, vegetation of 1.1 on the
        # light one
        ("water", (226, 169, 41)),
        ("land", (132, 41, 246)),
        ("road", (110, 193, 228)),
        ("building", (60, 16, 152)),
        ("vegetation", (254, 221, 58)),
        ("unlabeled", (155, 155, 155)),
        # numbered classes up to version 0.2
        ("class 0", (40, 40, 40)),
        ("class 1", (240, 228, 66)),
        ("class 2", (0, 114, 178)),
        ("class 3", (213, 94, 0)),
        ("class 4", (0, 158, 115)),
        ("class 5", (204, 121, 167)),
        ("class 6", (86, 180, 233)),
        *((f"class {k}", (k * 97 % 256, k * 57 % 256, k * 151 % 256)) for k in range(7, 250)),
    }
)
"""Colors that this project gave to classes in files that people have. Nobody chose them."""


def display_colors(classes: Classes, chosen: Mapping[str, Color] | None = None) -> list[Color]:
    """Choose the colors in which classes are shown.

    Those that the user chose for a name come first. Colors of the class table itself hold where they are ``APART`` from
    those before them, unless nobody chose them to be looked at: those of data sets' masks and of the built-in
    checkpoints. All others are map-like by the name of the class, or differ from all that are taken.

    Parameters
    ----------
    classes : sequence of tuple of (str, tuple of 3 int)
        Names and colors of the class table, in order.
    chosen : mapping of str to tuple of 3 int or None, optional
        Colors that the user chose, by name.

    Returns
    -------
    list of tuple of 3 int
        A color for each class.
    """
    chosen = chosen or {}
    found: list[Color | None] = [chosen.get(name) for name, _ in classes]
    taken = _Taken([color for color in found if color is not None])
    given = _not_chosen(classes)
    for index, (_, color) in enumerate(classes):
        if found[index] is None and index not in given and taken.leaves(color):
            found[index] = taken.take(color)
    for index, (name, _) in enumerate(classes):
        own = NAMED.get(known_name(name) or "")
        if found[index] is None and own is not None and taken.leaves(own):
            found[index] = taken.take(own)
    return [taken.take(taken.free()) if color is None else color for color in found]


def new_colors(names: Sequence[str]) -> list[Color]:
    """Choose colors for classes that have none.

    Parameters
    ----------
    names : sequence of str
        Names of the classes.

    Returns
    -------
    list of tuple of 3 int
        A color for each, all different: map-like where the name is known.
    """
    taken = _Taken([])
    found: list[Color | None] = []
    for name in names:
        own = NAMED.get(known_name(name) or "")
        found.append(taken.take(own) if own is not None and taken.leaves(own) else None)
    return [taken.take(taken.free()) if color is None else color for color in found]


def another_color(taken: Sequence[Color], name: str) -> Color:
    """Choose the color of one more class.

    Parameters
    ----------
    taken : sequence of tuple of 3 int
        Colors of the other classes.
    name : str
        Name of the class.

    Returns
    -------
    tuple of 3 int
        A color that differs from those taken, map-like if the name is known.
    """
    others = _Taken(taken)
    own = NAMED.get(known_name(name) or "")
    return own if own is not None and others.leaves(own) else others.free()


def known_name(name: str) -> str | None:
    """Return the name under which a class has a map-like color.

    Parameters
    ----------
    name : str
        Name of a class, in any case, singular or plural: ``"Bare_Soil"``.

    Returns
    -------
    str or None
        Key of ``NAMED``: by the whole name, or else by its last word. None if neither is known.
    """
    words = re.sub(r"[\s_\-]+", " ", name.strip().casefold())
    whole = [words, words.removesuffix("s")]
    last = [words.split(" ")[-1], words.split(" ")[-1].removesuffix("s")] if words else []
    return next((_names()[one] for one in (*whole, *last) if one in _names()), None)


@cache
def _names() -> dict[str, str]:
    found = {alias.replace("-", " "): name for name, text in _ALIASES.items() for alias in text.split(", ")}
    return found | {name: name for name in NAMED}


def _not_chosen(classes: Classes) -> set[int]:
    """Return which classes have a color that nobody chose to be looked at."""
    pairs = [(name, tuple(color)) for name, color in classes]
    given = {index for index, pair in enumerate(pairs) if pair in _OLD}
    for table in (DEEPGLOBE, INRIA):
        if set(table) <= set(pairs):
            given |= {index for index, pair in enumerate(pairs) if pair in table}
    return given


class _Taken:
    """Colors that are taken, and those that are still free. Differences are computed where they are not known.

    Parameters
    ----------
    colors : sequence of tuple of 3 int
        Colors that are taken from the start.
    """

    def __init__(self, colors: Sequence[Color]) -> None:
        self._colors: list[Color] = []
        self._own = set(NAMED.values())
        self._nearest: NDArray[np.float64] | None = None
        for color in colors:
            self.take(color)

    def take(self, color: Color) -> Color:
        """Take a color, and return it."""
        self._colors.append(color)
        if self._nearest is not None:
            self._nearest = np.minimum(self._nearest, _differences(_others_lab(), lab([color])))
        return color

    def leaves(self, color: Color) -> bool:
        """Return whether a color is apart from all that are taken."""
        if color in self._own and self._own.issuperset(self._colors):
            return color not in self._colors
        return not self._colors or float(_differences(lab(self._colors), lab([color])).min()) >= APART

    def free(self) -> Color:
        """Return the first map-like color that is apart from those taken, or else the color that is farthest."""
        if self._nearest is None:
            for color in NAMED.values():
                if self.leaves(color):
                    return color
            self._nearest = _differences(_others_lab()[:, None], lab(self._colors)[None, :]).min(1)
        return _others()[int(np.argmax(self._nearest))]


@cache
def _others() -> list[Color]:
    """Return colors from all over color space, for tables of more classes than there are map-like colors."""
    steps = range(22, 255, 35)
    return list(itertools.product(steps, steps, steps))


@cache
def _others_lab() -> NDArray[np.float64]:
    return lab(_others())


def lab(colors: Sequence[Color]) -> NDArray[np.float64]:
    """Convert colors to CIELAB.

    Parameters
    ----------
    colors : sequence of tuple of 3 int
        (red, green, blue), 0..255.

    Returns
    -------
    ndarray of float64 [n, 3]
        L*, a*, b*.
    """
    from skimage.color import rgb2lab

    found: NDArray[np.float64] = rgb2lab(np.array(colors, np.float64).reshape(-1, 3) / 255)
    return found


def _differences(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    from skimage.color import deltaE_ciede2000

    found: NDArray[np.float64] = deltaE_ciede2000(one, other)  # type: ignore[no-untyped-call]
    return found


def differences(colors: Sequence[Color]) -> NDArray[np.float64]:
    """Compute the differences between colors.

    Parameters
    ----------
    colors : sequence of tuple of 3 int
        (red, green, blue), 0..255.

    Returns
    -------
    ndarray of float64 [n, n]
        CIEDE2000 of each pair.
    """
    values = lab(colors)
    return _differences(values[:, None], values[None, :])


def contrast(one: Color, other: Color) -> float:
    """Compute the contrast of two colors.

    Parameters
    ----------
    one, other : tuple of 3 int
        (red, green, blue), 0..255.

    Returns
    -------
    float
        Contrast ratio of WCAG 2, 1..21.
    """
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    channels = [value / 255 for value in color]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
