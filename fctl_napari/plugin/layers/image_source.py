"""Image layers and the files behind them."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from fctl_napari.errors import InputError
from fctl_napari.plugin.layers.styles import pixel_scale

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
                    f"{self.original}: holds another picture than when it was opened here; open it again to continue."
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


def image_layer(pyramid: Pyramid, levels: list[Any], source: ImageSource) -> LayerData:
    """Return the layer of an image on disk, shown by ``levels``, at its pixel size."""
    rgb = len(levels[0].shape) == 3
    arguments: dict[str, Any] = {
        "name": pyramid.name,
        "multiscale": True,
        "rgb": rgb,
        "metadata": {SOURCE_KEY: source},
        **pixel_scale(pyramid.pixel_size, pyramid.unit),
    }
    if not rgb:
        arguments |= {"contrast_limits": pyramid.value_range or (0.0, 255.0), "colormap": "gray"}
    return levels, arguments, "image"
