"""Image layers and the files behind them."""

from __future__ import annotations

import stat
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from napari.layers import Layer

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.band_names import Bands
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.numbered import FileImage, image_file
from fctl_napari.plugin.layers.ground import OnGround, ground_metadata, placed_on_ground
from fctl_napari.plugin.layers.shown_levels import ShownLevel

if TYPE_CHECKING:
    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.plugin.layers.pyramids import PyramidJob

LayerData = tuple[Any, dict[str, Any], str]
"""Layer as napari's readers return it: data, arguments of the layer, its type."""

SOURCE_KEY = "fctl_source"
"""Key of a layer's ``metadata`` that holds its ``ImageSource``."""

EXPLORE = "explore: "
"""Beginning of the names of the tab Explore's layers."""

OVERLAY_KEY = "fctl_overlay"
"""Key of a layer's ``metadata`` that marks it as showing something about an image, and as none to work on."""

FINAL_KEY = "fctl_final"
"""Key of a layer's ``metadata`` that marks it as a final map: a prediction with corrections."""

_files: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
# of the finest levels that layers show, with the files that were opened for them


@dataclass
class ImageSource:
    """File that an image layer shows, and how its values are read.

    Attributes
    ----------
    path : str
        Absolute path or address of the image, or of its pyramid where one was made.
    original : str
        File that the user opened, absolute; results are named after it.
    value_range : tuple of 2 float or None
        (low, high) that become 0 and 255, for data that is not uint8.
    bands : Bands or None
        Channels that are red, green and blue, where there are more than four.
    job : PyramidJob or None
        Job that makes the pyramid, if the layer still shows a preview.
    names : frozenset of str or None
        Fingerprints that mean the image, once they are known; see ``ImageIdentities``.
    pyramid : Pyramid or None
        The image as it is shown, opened. None means that it was not opened yet.
    images : tuple of FileImage
        All images of the file, where that holds several.
    state : tuple of 2 int or None
        State of the file when it was opened; see ``file_state``.
    """

    path: str
    original: str
    value_range: tuple[float, float] | None = None
    bands: Bands | None = None
    job: PyramidJob | None = field(default=None, repr=False)
    names: frozenset[str] | None = field(default=None, repr=False, compare=False)
    pyramid: Pyramid | None = field(default=None, repr=False, compare=False)
    images: tuple[FileImage, ...] = field(default=(), repr=False, compare=False)
    state: tuple[int, int] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make paths absolute, as answers of the worker are told by them, and note the state of an opened file."""
        self.path, self.original = (
            path if is_url(path) else str(Path(path).absolute()) for path in (self.path, self.original)
        )
        if self.pyramid is not None:
            self.state = file_state(self.path)

    def open(self) -> Pyramid:
        """Open the image, once (in a thread: this reads files).

        Where the file was written anew since, it is opened again.

        Returns
        -------
        Pyramid
            The opened image.

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
        """True if the file was written since it was opened here."""
        return self.pyramid is not None and file_state(self.path) != self.state


def file_state(path: str) -> tuple[int, int] | None:
    """Return the time and size of a file, which differ when it was written anew.

    Parameters
    ----------
    path : str
        Path or address.

    Returns
    -------
    tuple of 2 int or None
        (modification time in ns, size in bytes); None for a folder or an address.
    """
    try:
        facts = image_file(Path(path)).stat()
    except OSError:
        return None
    return None if stat.S_ISDIR(facts.st_mode) else (facts.st_mtime_ns, facts.st_size)


def image_source(layer: Layer) -> ImageSource | None:
    """Return the file behind an image layer of ours.

    Parameters
    ----------
    layer : Layer
        Any layer.

    Returns
    -------
    ImageSource or None
        The source, or None if the layer has none, or shows other px than those of its file.
    """
    source = layer.metadata.get(SOURCE_KEY)
    return source if isinstance(source, ImageSource) and _shows(layer, source) else None


def _shows(layer: Layer, source: ImageSource) -> bool:
    """Return whether the px of a layer are those of its file: a script may have set others, or copied metadata."""
    level = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    return isinstance(level, ShownLevel | Level) and _files.get(level, source.original) == source.original


def show_levels(layer: Layer, levels: list[Any], source: ImageSource) -> None:
    """Show the image of a layer's file otherwise, such as other bands of it.

    Parameters
    ----------
    layer : Layer
        The image layer.
    levels : list of object
        Levels of the image as napari shows them; see ``displayed_levels``.
    source : ImageSource
        File behind the layer.
    """
    _files[levels[0]] = source.original
    layer.data = levels


def image_layer(
    pyramid: Pyramid, levels: list[Any], source: ImageSource, viewer: ViewerModel | None = None
) -> LayerData:
    """Return the layer of an image on disk, where it lies and at its pixel size.

    Parameters
    ----------
    pyramid : Pyramid
        The image.
    levels : list of object
        Its levels as napari shows them; see ``displayed_levels``.
    source : ImageSource
        File behind the layer.
    viewer : ViewerModel or None, optional
        Viewer among whose layers it lies on the ground.

    Returns
    -------
    LayerData
        Data, arguments and type of the layer.

    Raises
    ------
    InputError
        Layers of the viewer are in another CRS.
    """
    placement, location = image_placement(pyramid, source, viewer)
    _files[levels[0]] = source.original
    rgb = len(levels[0].shape) == 3
    arguments: dict[str, Any] = {
        "name": pyramid.name,
        "multiscale": True,
        "rgb": rgb,
        "metadata": {SOURCE_KEY: source, **ground_metadata(location)},
        **placement,
    }
    if not rgb:
        arguments |= {"contrast_limits": pyramid.value_range or (0.0, 255.0), "colormap": "gray"}
    return levels, arguments, "image"


def image_placement(
    pyramid: Pyramid, source: ImageSource, viewer: ViewerModel | None
) -> tuple[dict[str, Any], OnGround | None]:
    """Return the arguments that place an image on disk, and where that is on the ground.

    Parameters
    ----------
    pyramid : Pyramid
        The image.
    source : ImageSource
        File behind its layer.
    viewer : ViewerModel or None
        Viewer among whose layers it lies.

    Returns
    -------
    arguments : dict of str to object
        Arguments of its layer.
    location : OnGround or None
        Where it lies, or None if it has no georeference.

    Raises
    ------
    InputError
        Layers of the viewer are in another CRS.
    """
    placing = pyramid.pixel_size, pyramid.unit, pyramid.translation
    return placed_on_ground(viewer, source.original, pyramid.georeference, *placing)
