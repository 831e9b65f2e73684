"""Tiles and their contexts cut out of an image: the inputs of the network (no torch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.windows import context_window
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.windows import FloatWindow, IntWindow


@dataclass(frozen=True)
class TileInputs:
    """One tile as the network sees it.

    Attributes
    ----------
    tile : ndarray of uint8 [C, T, T]
        Pixels of the tile, RGB or the network's bands; T is the network's ``tile_size``.
    contexts : dict of str to ndarray of uint8 [C, T, T]
        Pixels of the outer contexts by name, resampled.
    windows : dict of str to ndarray of float64 [4]
        Windows (y0, x0, y1, x1) of ``"tile"`` and each context, full-resolution px.
    """

    tile: NDArray[np.uint8]
    contexts: dict[str, NDArray[np.uint8]]
    windows: dict[str, NDArray[np.float64]]


def stream_windows(tile: FloatWindow, config: FCtLConfig, image_shape: tuple[int, int]) -> dict[str, FloatWindow]:
    """Compute the windows of a tile's streams: ``"tile"`` and each outer context of the network.

    Parameters
    ----------
    tile : FloatWindow
        Window of the tile, full-resolution px.
    config : FCtLConfig
        Settings of the network.
    image_shape : tuple of 2 int
        (height, width), px.

    Returns
    -------
    dict of str to FloatWindow
        Windows by the stream's name, full-resolution px.
    """
    windows: dict[str, FloatWindow] = {"tile": tile}
    for context in config.outer_contexts:
        windows[context.name] = context_window(tile, context.scale, image_shape, config.context_border)
    return windows


def read_stream(pyramid: Pyramid, window: FloatWindow, size: int, *, exact: bool = False) -> NDArray[np.uint8]:
    """Read a window resampled to the network's input.

    Parameters
    ----------
    pyramid : Pyramid
        The image as the network reads it, see ``network_image``.
    window : FloatWindow
        Window in full-resolution px.
    size : int
        Side of the input, px.
    exact : bool, optional
        If True, resample from full resolution rather than from the nearest finer level.

    Returns
    -------
    ndarray of uint8 [C, size, size]
        Pixels.

    Raises
    ------
    InputError
        The image is damaged there.
    """
    pixels = pyramid.read_resized(window, size, exact=exact)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_windows(
    pyramid: Pyramid, window: FloatWindow, config: FCtLConfig, *, exact: bool = False
) -> Iterator[tuple[int, IntWindow]]:
    """Yield what is read of an image for a tile and its contexts.

    Parameters
    ----------
    pyramid : Pyramid
        The image.
    window : FloatWindow
        Window of the tile, full-resolution px.
    config : FCtLConfig
        Settings of the network.
    exact : bool, optional
        If True, contexts are resampled from full resolution.

    Yields
    ------
    level : int
        Index of the level.
    window : IntWindow
        Window in its px. It may reach outside.
    """
    for stream in stream_windows(window, config, pyramid.shape).values():
        yield pyramid.resized_from(stream, config.tile_size, exact=exact)


def read_inputs(pyramid: Pyramid, window: FloatWindow, config: FCtLConfig, *, exact: bool = False) -> TileInputs:
    """Read a tile and its contexts.

    Parameters
    ----------
    pyramid : Pyramid
        The image.
    window : FloatWindow
        Window of the tile, full-resolution px. The part outside the image is black.
    config : FCtLConfig
        Settings of the network: tile size, contexts and the handling of borders.
    exact : bool, optional
        If True, resample contexts from full resolution rather than from the nearest finer level.

    Returns
    -------
    TileInputs
        Pixels and windows.

    Raises
    ------
    InputError
        The image is damaged there.
    """
    pyramid = network_image(pyramid, config)
    windows = stream_windows(window, config, pyramid.shape)
    pixels = {name: read_stream(pyramid, window, config.tile_size, exact=exact) for name, window in windows.items()}
    tile = pixels.pop("tile")
    return TileInputs(tile, pixels, {name: np.array(window, np.float64) for name, window in windows.items()})
