"""What makes two images the same one: a short fingerprint, so that a result is never resumed on other pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from fctl_napari.errors import InputError
from fctl_napari.imagery.pyramid import Pyramid

SAMPLED_BYTES = 1 << 16
"""How much of a file's beginning and end is looked at."""

SAMPLED_PX = 1024
"""Largest side of what is looked at of an image's coarsest level, px."""


def image_fingerprint(pyramid: Pyramid) -> str:
    """Fingerprint of an image, hex; it survives copying and moving the file.

    Of a single file: its size, first and last 64 KiB. Of anything else: the pixels of the coarsest level.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    digest = hashlib.sha256(repr((pyramid.shape, pyramid.channels, str(pyramid.dtype))).encode())
    file = Path(pyramid.path) if pyramid.path is not None else None
    if file is not None and file.is_file():
        try:
            with file.open("rb") as stream:
                size = file.stat().st_size
                digest.update(str(size).encode() + stream.read(SAMPLED_BYTES))
                stream.seek(max(0, size - SAMPLED_BYTES))
                digest.update(stream.read(SAMPLED_BYTES))
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror}); check the file.") from error
    else:
        coarsest = pyramid.levels[-1]
        height, width = (min(side, SAMPLED_PX) for side in coarsest.shape[:2])
        try:
            digest.update(np.ascontiguousarray(coarsest[:height, :width]).tobytes())
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise InputError(f"{pyramid.path or pyramid.name}: cannot be read; fetch it again ({error}).") from error
    return digest.hexdigest()[:32]
