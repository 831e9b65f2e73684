"""Fingerprints of versions before 0.2, kept so that their stores are recognized.

They were computed from bytes of the file or from the coarsest level.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.numbered import image_file

if TYPE_CHECKING:
    from fctl_napari.imagery.provenance import Origin
    from fctl_napari.imagery.pyramid import Pyramid

SAMPLED_BYTES = 1 << 16
"""Part of a file's beginning and end that was sampled, bytes."""

SAMPLED_PX = 1024
"""Largest side of the sampled part of an image's coarsest level, px."""


def old_fingerprints(pyramid: Pyramid) -> list[str]:
    """List the fingerprints by which versions before 0.2 identified an image.

    Parameters
    ----------
    pyramid : Pyramid
        Image.

    Returns
    -------
    list of str
        Fingerprints, first the one that these versions wrote.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    own = old_fingerprint(pyramid)
    of_source = None if pyramid.origin is None else _of_origin(pyramid.origin, pyramid)
    return [own] if of_source is None else [of_source, own]


def old_fingerprint(pyramid: Pyramid, path: str | None = None) -> str:
    """Compute the old fingerprint of an opened image.

    For a single file it depends on its size and its first and last 64 KiB. Otherwise it depends on the pixels of the
    coarsest level.

    Parameters
    ----------
    pyramid : Pyramid
        Image.
    path : str, optional
        File, where it is another than the one that was opened.

    Returns
    -------
    str
        32 hex digits.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    digest = hashlib.sha256(repr((pyramid.shape, pyramid.channels, str(pyramid.dtype))).encode())
    path = pyramid.path if path is None else path
    file = image_file(Path(path)) if path is not None else None
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
        block = pyramid.read_native((0, 0, height, width), len(pyramid.levels) - 1)
        digest.update(np.ascontiguousarray(block).tobytes())
    return digest.hexdigest()[:32]


def _of_origin(origin: Origin, converted: Pyramid) -> str | None:
    """Return the old fingerprint of the image that was converted.

    It is None if it is not known, or if the file was changed since.
    """
    file = None if is_url(origin.path) else image_file(Path(origin.path))
    if file is None or not file.is_file():
        return origin.fingerprint  # the file was moved, perhaps together with the pyramid: the stored fingerprint holds
    if file.stat().st_mtime_ns != origin.modified_ns:
        return None
    return origin.fingerprint or old_fingerprint(converted, origin.path)
