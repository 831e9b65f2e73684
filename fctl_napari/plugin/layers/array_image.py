"""Image layers that no file of ours is behind: arrays that other readers or people added."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

from napari.layers import Image

from fctl_napari.api.locations import copy_path, earlier_path
from fctl_napari.imagery.array_copy import ArrayCopy, array_token, copy_of_array, is_free, is_lazy
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.plugin.layers.image_source import ImageSource, file_state

_images: weakref.WeakKeyDictionary[Image, tuple[Any, Pyramid]] = weakref.WeakKeyDictionary()
# of lazy layers, with the array that each showed then

_copies: weakref.WeakKeyDictionary[Image, ArrayCopy] = weakref.WeakKeyDictionary()
# kept as long as their layers


def layer_levels(layer: Image) -> list[Any]:
    """Return the arrays of an image layer.

    Parameters
    ----------
    layer : Image
        The layer.

    Returns
    -------
    list of array_like
        Its levels, the finest first.
    """
    return list(layer.data) if layer.multiscale else [layer.data]


def lazy_layer(layer: Image) -> bool:
    """Return whether the px of a layer are read or computed when they are asked for.

    Parameters
    ----------
    layer : Image
        The layer.

    Returns
    -------
    bool
        True unless they are in memory.
    """
    return is_lazy(layer_levels(layer)[0])


def array_image(layer: Image) -> Pyramid:
    """Return the image that a layer shows, read from its array.

    Parameters
    ----------
    layer : Image
        The layer.

    Returns
    -------
    Pyramid
        The image, with the coarser levels of the layer where they are halves. That of a lazy layer is the same each
        time.

    Raises
    ------
    InputError
        The array has other axes, or no px.
    """
    levels = layer_levels(layer)
    array, known = levels[0], _images.get(layer)
    if known is not None and known[0] is array:
        return known[1]
    alpha = layer.rgb and array.shape[-1] == 4
    image = pyramid_from_array(array, coarser=levels[1:], name=layer.name, alpha=alpha)
    if is_lazy(array):
        image = with_chunk_cache(image)
        _images[layer] = array, image
    return image


def copied_source(layer: Image, value_range: tuple[float, float] | None) -> tuple[ImageSource, ArrayCopy]:
    """Return the copy of a lazy layer on disk, which is filled where it is read (in a thread: this reads blocks).

    Parameters
    ----------
    layer : Image
        The layer.
    value_range : tuple of 2 float or None
        (low, high) values that become 0 and 255, for data that is not uint8.

    Returns
    -------
    source : ImageSource
        The copy as the source of the layer. Results are named after it, or after that of an earlier version.
    copy : ArrayCopy
        The copy.

    Raises
    ------
    InputError
        The array has other axes, or cannot be read.
    OutputError
        The cache folder is not writable.
    """
    image = array_image(layer)
    identity, opened = fingerprint(image), layer.source.path
    token = array_token(*layer_levels(layer), facts=(opened, None if opened is None else file_state(opened)))
    paths = (copy_path(image.name, identity, number) for number in itertools.count())
    path = next(path for path in paths if is_free(path, token))
    copy = _copies[layer] = copy_of_array(image.with_display(value_range, None), path, token)
    original = earlier_path(image.name, identity) or copy_path(image.name, identity)
    return ImageSource(str(path), str(original), value_range, pyramid=copy.open(value_range=value_range)), copy
