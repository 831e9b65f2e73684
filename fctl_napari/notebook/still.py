"""Still picture of what a viewer shows, for pages on which widgets cannot run."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fctl_napari.notebook.layers import ViewerLayer
from fctl_napari.notebook.tiles import SIDE

LONGEST = 768
"""Longest side of the picture, px."""


def still_picture(layers: Sequence[ViewerLayer]) -> bytes:
    """Draw the layers that are visible at first, over each other.

    Parameters
    ----------
    layers : sequence of ViewerLayer
        Layers, the lowest first, all of the same size.

    Returns
    -------
    bytes
        The picture of the whole image, as PNG.
    """
    height, width = layers[0].shape
    scale = 1
    while max(height, width) > LONGEST * scale:
        scale *= 2
    picture = Image.new("RGBA", (-(-width // scale), -(-height // scale)), "black")
    for layer in layers:
        if not layer.visible:
            continue
        for y in range(-(-height // (SIDE * scale))):
            for x in range(-(-width // (SIDE * scale))):
                tile = Image.open(io.BytesIO(layer.source.tile(scale, x, y).data)).convert("RGBA")
                values = np.array(tile)
                values[..., 3] = (values[..., 3] * layer.opacity).round()
                picture.alpha_composite(Image.fromarray(values), (x * SIDE, y * SIDE))
    file = io.BytesIO()
    picture.convert("RGB").save(file, "PNG")
    return file.getvalue()
