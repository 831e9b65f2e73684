"""Pyramids and class tables as napari layers: data, colours, names, scale."""

from __future__ import annotations

import math
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import pandas as pd
from napari.layers import Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap

from fctl_napari.errors import InputError

if TYPE_CHECKING:
    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.plugin.layers.pyramids import PyramidJob

LayerData = tuple[Any, dict[str, Any], str]
"""What napari's readers return: data, arguments of the layer, its type."""

SOURCE_KEY = "fctl_source"
"""Key of a layer's ``metadata`` that holds its ``ImageSource``."""

EXPLORE = "explore: "
"""Begins the names of the Explore widget's layers."""

OVERLAY_KEY = "fctl_overlay"
"""Key of a layer's ``metadata``: it shows something about an image, and is none to work on."""

_only_shown: WeakSet[Layer] = WeakSet()

COARSE_SIDE = 1024
"""napari reads the coarsest level whole on the main thread: at most this side, px."""


@dataclass
class ImageSource:
    """Which file an image layer shows, and how its values are read.

    Attributes
    ----------
    path
        The image, or its pyramid where one was made.
    original
        The file that the user opened; results are named after it.
    value_range
        (low, high) that become 0 and 255, for data that is not uint8.
    bands
        The channels that are red, green and blue, where there are more than four.
    job
        The pyramid in the making, if the layer still shows a preview.
    names
        Fingerprints that mean the image, once they are known; see ``ImageIdentities``.
    pyramid
        The image as it is shown, opened; None: it was not opened yet.
    state
        Of the file when it was opened; see ``file_state``.
    """

    path: str
    original: str
    value_range: tuple[float, float] | None = None
    bands: tuple[int, int, int] | None = None
    job: PyramidJob | None = field(default=None, repr=False)
    names: frozenset[str] | None = field(default=None, repr=False, compare=False)
    pyramid: Pyramid | None = field(default=None, repr=False, compare=False)
    state: tuple[int, int] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.pyramid is not None:
            self.state = file_state(self.path)

    def open(self) -> Pyramid:
        """Open the image, once (in a thread: this reads files).

        Where the file was written anew since, it is opened again.

        Raises
        ------
        InputError
            It is missing or damaged, or holds another picture than the one that is shown.
        """
        from fctl_napari.imagery.fingerprint import fingerprint
        from fctl_napari.imagery.open import open_image

        state = file_state(self.path)
        if self.pyramid is None or state != self.state:
            opened = open_image(self.path, value_range=self.value_range, bands=self.bands)
            if self.names is not None and fingerprint(opened) not in self.names:
                raise InputError(
                    f"{self.original}: holds another picture than when it was opened here; open it again to go on."
                )
            self.pyramid, self.state = opened, state
        return self.pyramid

    @property
    def touched(self) -> bool:
        """Whether the file was written since it was opened here."""
        return self.pyramid is not None and file_state(self.path) != self.state


def file_state(path: str) -> tuple[int, int] | None:
    """Return what differs when a file was written anew, time and size; None for a folder or an address."""
    try:
        facts = Path(path).stat()
    except OSError:
        return None
    return None if stat.S_ISDIR(facts.st_mode) else (facts.st_mtime_ns, facts.st_size)


def image_source(layer: Layer) -> ImageSource | None:
    """Return the file behind an image layer of ours, or None."""
    source = layer.metadata.get(SOURCE_KEY)
    return source if isinstance(source, ImageSource) else None


class ShownLevel(ABC):
    """What napari needs of a level beside its slices, which subclasses read.

    Attributes
    ----------
    shape
        (y, x) or (y, x, channel), px.
    dtype
        Of the values.
    chunks
        What is cheap to read together, like ``shape``.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @abstractmethod
    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part by slices."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :], dtype=dtype)


class GreyLevel(ShownLevel):
    """The first channel of a level [y, x, c], as [y, x]; read by slices like the level."""

    def __init__(self, level: Any) -> None:
        self._level = level
        self.shape = (int(level.shape[0]), int(level.shape[1]))
        self.dtype = np.dtype(level.dtype)
        self.chunks = tuple(level.chunks)[:2]

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        return self._level[(*(*key, slice(None))[:2], 0)]


class ColorLevel(ShownLevel):
    """A level of a pyramid as the network sees it: uint8 RGB [y, x, 3], by its bands and its value range."""

    def __init__(self, pyramid: Pyramid, level: int) -> None:
        self.dtype = np.dtype(np.uint8)
        self._pyramid = pyramid
        self._index = level
        stored = pyramid.levels[level]
        self.shape = (*stored.shape[:2], 3)
        self.chunks = (*stored.chunks[:2], 3)

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        rows, columns, *rest = (*key, slice(None))[: max(2, len(key))]
        y0, y1, step_y = rows.indices(self.shape[0])
        x0, x1, step_x = columns.indices(self.shape[1])
        block = self._pyramid.read((y0, x0, max(y0, y1), max(x0, x1)), self._index)[::step_y, ::step_x]
        return block[(slice(None), slice(None), *rest)]


def displayed_level(pyramid: Pyramid, index: int) -> Any:
    """Return one level as napari shows it.

    uint8 RGB and RGBA give the level itself [y, x, 3 or 4]; one channel gives [y, x]; everything else what the
    network sees, [y, x, 3].

    Raises
    ------
    InputError
        The pixels cannot be read as RGB, see ``Pyramid.require_rgb``.
    """
    if pyramid.channels == 1:
        return GreyLevel(pyramid.levels[index])
    if pyramid.channels in (3, 4) and pyramid.dtype == np.uint8 and pyramid.bands is None:
        return pyramid.levels[index]
    pyramid.require_rgb()
    return ColorLevel(pyramid, index)


def displayed_levels(pyramid: Pyramid) -> list[Any]:
    """Return all levels as napari shows them; see ``displayed_level``.

    Where the coarsest is larger than ``COARSE_SIDE`` an in-memory one is added.
    """
    levels = [displayed_level(pyramid, index) for index in range(len(pyramid.levels))]
    side = max(levels[-1].shape[:2])
    if side > COARSE_SIDE:
        step = math.ceil(side / COARSE_SIDE)
        levels.append(np.ascontiguousarray(np.asarray(levels[-1][:, :])[::step, ::step]))
    return levels


def placement(pixel_size: tuple[float, float] | None, unit: str | None) -> dict[str, Any]:
    """Return the ``scale`` and ``units`` of a layer with pixels of that size, (y, x).

    napari does not mix units, so an unknown one counts as pixels.
    """
    if pixel_size is None or unit is None:
        return {}
    import pint

    try:
        pint.get_application_registry().Unit(unit)
    except (pint.UndefinedUnitError, AttributeError, ValueError):
        return {"scale": tuple(pixel_size)}
    return {"scale": tuple(pixel_size), "units": (unit, unit)}


def image_layer(pyramid: Pyramid, levels: list[Any], source: ImageSource) -> LayerData:
    """Return the layer of an image on disk, shown by ``levels``, at its pixel size."""
    rgb = len(levels[0].shape) == 3
    arguments: dict[str, Any] = {
        "name": pyramid.name,
        "multiscale": True,
        "rgb": rgb,
        "metadata": {SOURCE_KEY: source},
        **placement(pyramid.pixel_size, pyramid.unit),
    }
    if not rgb:
        arguments |= {"contrast_limits": pyramid.value_range or (0.0, 255.0), "colormap": "gray"}
    return levels, arguments, "image"


def class_style(classes: Iterable[tuple[str, tuple[int, int, int]]]) -> dict[str, Any]:
    """Return the ``colormap`` and ``features`` of a labels layer.

    Parameters
    ----------
    classes
        (name, (red, green, blue) 0..255) by class index; class k is label k + 1, label 0 is transparent.
    """
    classes = list(classes)
    colors: dict[int | None, np.ndarray] = {None: np.zeros(4, np.float32), 0: np.zeros(4, np.float32)}
    for index, (_, color) in enumerate(classes):
        colors[index + 1] = np.array([*(channel / 255 for channel in color), 1.0], np.float32)
    # row i of the features belongs to label i; napari shows it in the status bar
    features = pd.DataFrame({"class": ["", *(name for name, _ in classes)]})
    return {"colormap": DirectLabelColormap(color_dict=colors), "features": features}


def only_show(layer: Layer) -> None:
    """Let nobody paint on a layer that shows a file: what napari painted there would not be kept."""
    if layer in _only_shown:
        return
    _only_shown.add(layer)

    def refuse(_event: Any = None) -> None:
        if layer.editable:  # as napari sets it with every new data
            layer.editable = False

    refuse()
    layer.events.editable.connect(refuse)


def confidence_colormap() -> Colormap:
    """Return the colours of a confidence layer: 0 (not computed) is clear, 1..255 run from low to high."""
    return byte_colormap("fctl confidence", "viridis")


def byte_colormap(name: str, colors: str, limits: tuple[float, float] = (0.0, 1.0)) -> Colormap:
    """Return colours for a layer of bytes with the contrast limits 0 and 255, where 0 (not computed) is clear.

    Parameters
    ----------
    name
        What napari calls it.
    colors
        napari's name of the colours for 1..255.
    limits
        Where they begin and end, 0..1 for 0..255; beyond, the first and the last one go on.
    """
    from napari.utils.colormaps import ensure_colormap

    low, high = limits
    position = np.clip((np.linspace(0, 1, 256) - low) / max(high - low, 1 / 255), 0, 1)
    table = ensure_colormap(colors).map(position).astype(np.float32)
    table[0] = 0
    return Colormap(table, name=name, interpolation="zero", controls=np.linspace(0, 1, 257))
