"""What the network is fed with for one tile: the tile and its contexts as pixels, and where they lie (no torch)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.windows import context_window
from fctl_napari.windows import FloatWindow


@dataclass(frozen=True)
class TileInputs:
    """One tile as the network sees it.

    Attributes
    ----------
    tile
        The tile's pixels, uint8 RGB ``[3, T, T]`` with ``T`` the config's ``tile_size``.
    contexts
        The pixels of the outer contexts by name, resampled to uint8 ``[3, T, T]``.
    windows
        Where ``"tile"`` and each context lie: float64 ``(y0, x0, y1, x1)``, full-resolution px.
    """

    tile: NDArray[np.uint8]
    contexts: dict[str, NDArray[np.uint8]]
    windows: dict[str, NDArray[np.float64]]


def stream_windows(tile: FloatWindow, config: FCtLConfig, image_shape: tuple[int, int]) -> dict[str, FloatWindow]:
    """Windows of a tile's streams: ``"tile"`` and each outer context of the config.

    Parameters
    ----------
    tile
        The tile's window, full-resolution px.
    config
        The network's settings.
    image_shape
        ``(height, width)``, px.
    """
    windows: dict[str, FloatWindow] = {"tile": tile}
    for context in config.outer_contexts:
        windows[context.name] = context_window(tile, context.scale, image_shape, config.context_border)
    return windows


def read_stream(pyramid: Pyramid, window: FloatWindow, size: int, *, exact: bool = False) -> NDArray[np.uint8]:
    """Read a window resampled to the network's input: uint8 RGB ``[3, size, size]``.

    Raises
    ------
    InputError
        The image is damaged there.
    """
    pixels = pyramid.read_resized(window, size, exact=exact)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_inputs(pyramid: Pyramid, window: FloatWindow, config: FCtLConfig, *, exact: bool = False) -> TileInputs:
    """Read a tile and its contexts.

    Parameters
    ----------
    pyramid
        The image.
    window
        The tile's window, full-resolution px; what lies outside the image is black.
    config
        The network's settings: tile size, contexts and what is beyond the border.
    exact
        Resample contexts from full resolution rather than from the nearest finer level.

    Raises
    ------
    InputError
        The image is damaged there.
    """
    windows = stream_windows(window, config, pyramid.shape)
    pixels = {name: read_stream(pyramid, window, config.tile_size, exact=exact) for name, window in windows.items()}
    tile = pixels.pop("tile")
    return TileInputs(tile, pixels, {name: np.array(window, np.float64) for name, window in windows.items()})
