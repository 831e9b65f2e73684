"""Comparison of every pixel of an image with the source of a conversion, a segmentation or corrections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fctl_napari.exceptions import OutputError
from fctl_napari.imagery.fingerprint import whole_fingerprint
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import open_image_of
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.segmentation.store.store_lock import lock_store

WHOLE = "whole"
"""Key of a store's record on all pixels of its image: ``fingerprint``, and ``when`` it was computed."""


@dataclass(frozen=True)
class Verified:
    """Result of a comparison of all pixels.

    Attributes
    ----------
    fingerprint : str
        Fingerprint of all pixels, see ``whole_fingerprint``.
    same : bool or None
        True if the pixels are as they were. None where there was nothing to compare with.
    words : str
        Result as text for people.
    """

    fingerprint: str
    same: bool | None
    words: str


def verify_image(image: Pyramid, *, progress: Progress | None = None) -> Verified:
    """Read every pixel of an image, and compare a conversion with the file that it was made from.

    The comparison is made where that file still exists.

    Parameters
    ----------
    image : Pyramid
        The image.
    progress : callable, optional
        Called as ``progress(done, total)`` in rows.

    Returns
    -------
    Verified
        Result of the comparison.

    Raises
    ------
    InputError
        An image is damaged.
    """
    own = whole_fingerprint(image, progress=progress)
    source = image.origin.path if image.origin is not None else None
    if source is None or is_url(source) or not image_file(Path(source)).exists():
        return Verified(own, None, "every pixel can be read")
    same = whole_fingerprint(open_image(source), progress=progress) == own
    return Verified(own, same, f"{'the same' if same else 'NOT the same'} as {source}, pixel by pixel")


def verify_store(path: Path | str, *, progress: Progress | None = None) -> Verified:
    """Compare every pixel of the image of a segmentation or of corrections with its first fingerprint.

    The first call writes the fingerprint of all pixels into the store, if that can be written. Later ones compare with
    it.

    Parameters
    ----------
    path : Path or str
        The store.
    progress : callable, optional
        Called as ``progress(done, total)`` in rows.

    Returns
    -------
    Verified
        Result of the comparison.

    Raises
    ------
    InputError
        The image is not at hand, is already another one by its sampled pixels, or is damaged.
    """
    path = Path(path)
    facts: Mapping[str, Any] = LabelPyramid.open(path).attributes[ATTRIBUTE]
    stored = facts["image"]
    image = open_image_of(stored, path)
    own = whole_fingerprint(image, progress=progress)
    known = stored.get(WHOLE)
    if known is not None:
        same = bool(known["fingerprint"] == own)
        words = "the same" if same else "NOT the same, outside the pixels that are sampled,"
        return Verified(own, same, f"{words} as on {known['when']}, pixel by pixel: {image.path}")
    words = f"its sampled pixels are those of {image.path}"
    try:
        _keep_whole(path, own)
    except OutputError as error:
        return Verified(own, None, f"{words}; all of them can be read, and were not kept for the next time ({error})")
    return Verified(own, None, f"{words}; all of them are kept for the next time")


def _keep_whole(path: Path, fingerprint: str) -> None:
    """Write the fingerprint of all pixels into a store."""
    lock = lock_store(path)
    try:
        labels = LabelPyramid.open(path, "r+")
        now: dict[str, Any] = labels.attributes[ATTRIBUTE]
        when = datetime.now(UTC).isoformat(timespec="seconds")
        seen = {**now["image"], WHOLE: {"fingerprint": fingerprint, "when": when}}
        labels.set_attributes({ATTRIBUTE: {**now, "image": seen}})
    finally:
        lock.release()
