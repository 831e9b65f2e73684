"""What an image is known by, and which image a pyramid is a conversion of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fctl_napari.errors import InputError
from fctl_napari.imagery.remote import is_url

if TYPE_CHECKING:
    from fctl_napari.imagery.pyramid import Pyramid

SAMPLED_BYTES = 1 << 16
"""How much of a file's beginning and end is looked at."""

SAMPLED_PX = 1024
"""Largest side of what is looked at of an image's coarsest level, px."""


def fingerprint(pyramid: Pyramid, path: str | None = None) -> str:
    """Fingerprint of what is opened, hex; it survives copying and moving.

    Of a single file: its size, first and last 64 KiB. Of anything else: the pixels of the coarsest level.

    Parameters
    ----------
    pyramid
        The image.
    path
        The file, where it is another than the one that was opened.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    digest = hashlib.sha256(repr((pyramid.shape, pyramid.channels, str(pyramid.dtype))).encode())
    path = pyramid.path if path is None else path
    file = Path(path) if path is not None else None
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


@dataclass(frozen=True)
class Origin:
    """The image that a pyramid was converted from.

    Attributes
    ----------
    path
        Where it lay then.
    modified_ns
        When it had been changed last; None of an address.
    fingerprint
        What it was :func:`known_as` then; None in pyramids of versions that did not write it down.
    """

    path: str
    modified_ns: int | None
    fingerprint: str | None

    @classmethod
    def read(cls, attributes: dict[str, Any]) -> Origin | None:
        """Take it from what a conversion wrote down (``convert``); None if that is no conversion of a file."""
        source = attributes.get("source")
        if not isinstance(source, dict) or not isinstance(source.get("path"), str):
            return None
        return cls(source["path"], source.get("modified_ns"), attributes.get("source_fingerprint"))

    def fingerprint_of(self, converted: Pyramid) -> str | None:
        """Fingerprint of the image; None if that is not known, or if its file has been changed since.

        Parameters
        ----------
        converted
            The pyramid: it has the same size, channels and type.
        """
        file = None if is_url(self.path) else Path(self.path)
        if file is None or not file.is_file():
            return self.fingerprint  # moved away, perhaps together: what was written down holds
        if file.stat().st_mtime_ns != self.modified_ns:
            return None
        return self.fingerprint or fingerprint(converted, self.path)


def known_as(pyramid: Pyramid) -> list[str]:
    """Fingerprints that mean an image; the first is the one to write down.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    own = fingerprint(pyramid)
    of_source = None if pyramid.origin is None else pyramid.origin.fingerprint_of(pyramid)
    return [own] if of_source is None else [of_source, own]
