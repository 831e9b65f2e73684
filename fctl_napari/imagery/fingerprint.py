"""Identity of images: a digest of their decoded pixels, sampled or whole."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fctl_napari.progress import Progress, no_progress

if TYPE_CHECKING:
    from fctl_napari.imagery.level import Level
    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.windows import IntWindow

SAMPLED = "px1-"
"""Prefix of fingerprints of sampled pixels. Another sampling gets another number."""

WHOLE = "all1-"
"""Prefix of fingerprints of all pixels."""

WHOLE_PX = 2**21
"""Largest image that is sampled whole, px."""

SIDE = 64
"""Side of a sampled block, px."""

BLOCKS = 16
"""Number of sampled blocks that are not of one value, since an empty border does not identify an image."""

MOST_BLOCKS = 128
"""Largest number of blocks that are sampled, whatever they hold."""

STEP = 0.7548776662466927, 0.5698402909980532
"""Steps (y, x) of a sequence that covers a square evenly (R2, the plastic number's powers)."""

STRIP_BYTES = 2**26
"""Approximate amount that is read at once of a whole image, bytes."""


_known: WeakKeyDictionary[Level, str] = WeakKeyDictionary()
# By level 0, which images in other bands share. An image is opened once, and its fingerprint is used often.


def fingerprint(pyramid: Pyramid) -> str:
    """Compute the fingerprint of an image's decoded pixels from blocks spread over its level 0.

    It stays the same after a copy, a move, a conversion, lossless compression, a change of georeference or of
    overviews. It differs for another size, type, or change of the sampled blocks. Images of at most ``WHOLE_PX`` are
    sampled whole. Otherwise ``BLOCKS`` blocks of ``SIDE`` px are read, and up to ``MOST_BLOCKS`` where some hold one
    value only.

    Parameters
    ----------
    pyramid : Pyramid
        Image.

    Returns
    -------
    str
        ``SAMPLED`` and 32 hex digits.

    Raises
    ------
    InputError
        The image is damaged in a sampled block.
    """
    known = _known.get(pyramid.levels[0])
    if known is None:
        known = _known[pyramid.levels[0]] = _sample(pyramid)
    return known


def share_fingerprint(pyramid: Pyramid, copied: Pyramid) -> None:
    """Note that an image is a copy of another one, so that it is not read for its fingerprint.

    Parameters
    ----------
    pyramid : Pyramid
        The copy.
    copied : Pyramid
        The image that it holds the px of.
    """
    _known[pyramid.levels[0]] = fingerprint(copied)


def _sample(pyramid: Pyramid) -> str:
    height, width = pyramid.shape
    digest = _begin(pyramid)
    if height * width <= WHOLE_PX:
        digest.update(_bytes(pyramid.read_native((0, 0, height, width))))
        return SAMPLED + digest.hexdigest()[:32]
    reported = 0
    for begin in range(0, MOST_BLOCKS, BLOCKS):
        windows = [_block(number, pyramid.shape) for number in range(begin, begin + BLOCKS)]
        for block in _read_blocks(pyramid, windows):
            digest.update(_bytes(block))
            reported += bool((block != block[:1, :1]).any())
        if reported >= BLOCKS:
            break
    return SAMPLED + digest.hexdigest()[:32]


def whole_fingerprint(
    pyramid: Pyramid,
    *,
    progress: Progress | None = None,
) -> str:
    """Compute the fingerprint of all decoded pixels of an image's level 0. This reads the whole image.

    Parameters
    ----------
    pyramid : Pyramid
        Image.
    progress : callable, optional
        Called as ``progress(done, total)`` in rows. It may raise ``Cancelled``.

    Returns
    -------
    str
        ``WHOLE`` and 32 hex digits.

    Raises
    ------
    InputError
        The image is damaged.
    Cancelled
        ``progress`` raised it.
    """
    height, width = pyramid.shape
    digest = _begin(pyramid)
    chunk = pyramid.levels[0].chunks[0]
    rows = chunk * max(1, STRIP_BYTES // max(1, chunk * width * pyramid.channels * pyramid.dtype.itemsize))
    report = progress or no_progress
    report(0, height)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        digest.update(_bytes(pyramid.read_native((top, 0, bottom, width))))
        report(bottom, height)
    return WHOLE + digest.hexdigest()[:32]


def same_pixels(one: Pyramid, other: Pyramid) -> bool:
    """Return whether two images hold the same pixels, and data at the same ones. This reads both whole.

    Parameters
    ----------
    one, other : Pyramid
        The images.

    Returns
    -------
    bool
        True if all pixels of level 0 are the same.

    Raises
    ------
    InputError
        An image is damaged.
    """
    if whole_fingerprint(one) != whole_fingerprint(other):
        return False
    height, width = one.shape
    rows = max(1, STRIP_BYTES // width)
    windows = [(top, 0, min(top + rows, height), width) for top in range(0, height, rows)]
    return all(np.array_equal(one.read_valid(window), other.read_valid(window)) for window in windows)


def _begin(pyramid: Pyramid) -> hashlib._Hash:
    facts = (*pyramid.shape, pyramid.channels, pyramid.dtype.newbyteorder("<").str)
    return hashlib.sha256(repr(facts).encode())


def _bytes(block: NDArray[Any]) -> memoryview:
    """Return pixels as bytes that do not depend on the machine, row by row."""
    return np.ascontiguousarray(block, block.dtype.newbyteorder("<")).data.cast("B")


def _block(number: int, shape: tuple[int, int]) -> IntWindow:
    """Return the window of a sampled block, which depends on its number and the image's size alone."""
    sides = tuple(min(SIDE, size) for size in shape)
    y, x = (
        int(math.modf(0.5 + (number + 1) * step)[0] * (size - side + 1))
        for step, size, side in zip(STEP, shape, sides, strict=True)
    )
    return y, x, y + sides[0], x + sides[1]


def _read_blocks(pyramid: Pyramid, windows: list[IntWindow]) -> Iterator[NDArray[Any]]:
    """Read blocks from the top. Those in one chunk as wide as the image (a strip) are read together."""
    level = pyramid.levels[0]
    tall = level.chunks[0] if level.chunks[1] >= level.shape[1] else 0

    def strips(window: IntWindow) -> object:
        return (window[0] // tall, (window[2] - 1) // tall) if tall else window

    for _, group in groupby(sorted(windows), strips):
        together = list(group)
        top, bottom = together[0][0], together[-1][2]
        left, right = min(w[1] for w in together), max(w[3] for w in together)
        block = pyramid.read_native((top, left, bottom, right))
        for y0, x0, y1, x1 in together:
            yield block[y0 - top : y1 - top, x0 - left : x1 - left]
