"""Identity of an image in its results: a fingerprint of its pixels, independent of name, path and file format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.band_names import Bands
from fctl_napari.imagery.fingerprint import SAMPLED, fingerprint
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.old_fingerprint import old_fingerprints
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Georeference, Pyramid

MIXED = f"{SAMPLED}of two pictures"
"""Fingerprint in a store whose image was changed while it was segmented."""


def image_facts(image: Pyramid) -> dict[str, Any]:
    """Describe an image for a store: ``path``, ``name``, and the ``fingerprint`` that identifies it.

    Parameters
    ----------
    image : Pyramid
        The image.

    Returns
    -------
    dict of str to object
        The description (JSON).

    Raises
    ------
    InputError
        The image cannot be read.
    """
    path = image.path if image.path is None or is_url(image.path) else str(Path(image.path).absolute())
    return {"path": path, "name": image.name, "fingerprint": fingerprint(image)}


def is_old(stored: Mapping[str, Any]) -> bool:
    """Return whether a store of an earlier version identifies its image by bytes of the file.

    Parameters
    ----------
    stored : mapping of str to object
        Identity of the image, as the store records it.

    Returns
    -------
    bool
        True for a fingerprint of an earlier version.
    """
    return stored["fingerprint"] is not None and not str(stored["fingerprint"]).startswith(SAMPLED)


def known_as(image: Pyramid) -> frozenset[str]:
    """List every fingerprint that identifies an image, those of earlier versions too.

    Parameters
    ----------
    image : Pyramid
        The image.

    Returns
    -------
    frozenset of str
        Fingerprints.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    return frozenset([fingerprint(image), *old_fingerprints(image)])


def same_image(stored: Mapping[str, Any], image: Pyramid | Mapping[str, Any]) -> bool:
    """Return whether a store belongs to an image.

    Parameters
    ----------
    stored : mapping of str to object
        Identity of the image, as the store records it: ``path`` and ``fingerprint``. A fingerprint of an earlier
        version is recognized as long as the file, or the pyramid that was made of it, is as it was.
    image : Pyramid or mapping of str to object
        An opened image, or the identity that another store records of its own.

    Returns
    -------
    bool
        True if both are the same image.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    if not isinstance(image, Pyramid):
        if stored["fingerprint"] == image["fingerprint"]:
            return True
        if not is_old(stored) and not is_old(image):
            return False
        return not {image["fingerprint"], *_stored_as(image)}.isdisjoint({stored["fingerprint"], *_stored_as(stored)})
    if stored["fingerprint"] is None:
        return False
    if not is_old(stored):
        return bool(stored["fingerprint"] == fingerprint(image))
    names = known_as(image)
    return stored["fingerprint"] in names or not names.isdisjoint(_stored_as(stored))


def refreshed(facts: Mapping[str, Any], image: Pyramid) -> dict[str, Any] | None:
    """Update the facts of a store on its image: its path on disk and its position on Earth.

    Parameters
    ----------
    facts : mapping of str to object
        Facts of a store of this image, with ``image`` and ``georeference``.
    image : Pyramid
        The image, opened.

    Returns
    -------
    dict of str to object or None
        The facts as they are now. None if nothing has changed.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    stored = facts["image"]
    path = stored["path"]
    gone = path is not None and not is_url(path) and _is_elsewhere(stored, image)
    known = facts["georeference"]
    # A copy as PNG has no georeference, and so contradicts nothing.
    mended = image.georeference is not None and (known and Georeference.from_json(known)) != image.georeference
    if not (is_old(stored) or gone or mended):
        return None
    return {
        **facts,
        "image": {**stored, **image_facts(image)} if is_old(stored) or gone else stored,
        "georeference": asdict(image.georeference) if mended and image.georeference else known,
    }


def take_georeference(facts: dict[str, Any], beside: Path) -> None:
    """Update the georeference in the facts of an open store, in memory, if its image is at hand.

    Parameters
    ----------
    facts : dict of str to object
        Facts of the open store; its ``georeference`` is replaced.
    beside : Path
        Path of the store.
    """
    with suppress(InputError):
        now = refreshed(facts, open_image_of(facts["image"], beside))
        if now is not None:
            facts["georeference"] = now["georeference"]


def contradict(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two stores name their images, and these differ.

    Parameters
    ----------
    one, other : mapping of str to object
        Identities of the images, as the stores record them. One without a fingerprint fits any image.

    Returns
    -------
    bool
        True if the images are known to differ.
    """
    return None not in (one["fingerprint"], other["fingerprint"]) and not same_image(one, other)


def difference(stored: Mapping[str, Any], shape: tuple[int, int], image: Pyramid) -> str:
    """Describe how an image differs from the one to which a store belongs.

    Parameters
    ----------
    stored : mapping of str to object
        Identity of the image, as the store records it.
    shape : tuple of 2 int
        (height, width) of the store, px.
    image : Pyramid
        Another image, see ``same_image``.

    Returns
    -------
    str
        Text for people, such as ``"scene.tif, 200 x 300 px where this image has 200 x 260 (height x width)"``.
    """
    name = Path(str(stored["path"])).name if stored["path"] else stored["name"] or "an unknown image"
    if tuple(shape) != image.shape:
        (height, width), (own_height, own_width) = shape, image.shape
        return f"{name}, {height} x {width} px where this image has {own_height} x {own_width} (height x width)"
    if is_old(stored):
        return f"{name}, by an earlier version, and its file has changed since"
    here = image.path is not None and Path(image.path).name == name
    return f"{name} with other pixels" + (" than this file has now" if here else "")


def open_image_of(
    stored: Mapping[str, Any],
    beside: Path,
    *,
    value_range: tuple[float, float] | None = None,
    bands: Bands | None = None,
) -> Pyramid:
    """Open the image to which a store belongs, at its recorded path or by its name beside the store.

    Parameters
    ----------
    stored : mapping of str to object
        Identity of the image, as the store records it.
    beside : Path
        Path of the store.
    value_range : tuple of 2 float or None, optional
        Range of values, as for ``open_image``.
    bands : Bands or None, optional
        Bands, as for ``open_image``.

    Returns
    -------
    Pyramid
        The image.

    Raises
    ------
    InputError
        The image is not there, or is another one now.
    """
    path = stored["path"]
    if path is None:
        raise InputError(f"{beside}: does not say where its image lies; make it again from a file.")
    beside_it = beside.absolute().parent / Path(path).name
    locations = (
        [path] if is_url(path) else [str(one) for one in (Path(path), beside_it) if image_file(one).exists()] or [path]
    )
    for location in dict.fromkeys(locations):
        for image in _images_at(location, value_range, bands):
            if same_image(stored, image):
                return image
    raise InputError(
        f"{locations[0]}: is not the image that {beside} is of, but one with other pixels; put that one back."
    )


def _images_at(location: str, value_range: tuple[float, float] | None, bands: Bands | None) -> Iterator[Pyramid]:
    """Open the image at a location, then the others of its file: earlier versions opened the first, not the largest."""
    image = open_image(location, value_range=value_range, bands=bands)
    yield image
    for other in image.images:
        if other.location != image.path:
            with suppress(InputError):  # one that is no plane, say, is not the image of a store
                yield open_image(other.location, value_range=value_range, bands=bands)


def _is_elsewhere(stored: Mapping[str, Any], image: Pyramid) -> bool:
    """Return whether the image of a store, opened already, no longer lies at its recorded path."""
    path = Path(stored["path"])
    if not image_file(path).exists():
        return True
    if image.path is None or is_url(image.path) or path.resolve() == Path(image.path).resolve():
        return False
    try:
        return not same_image(stored, open_image(path))
    except InputError:
        return True


def _stored_as(stored: Mapping[str, Any]) -> frozenset[str]:
    """List the fingerprints that identify the image of a store, as far as the file at its path shows them."""
    if stored["fingerprint"] is None or stored["path"] is None:
        return frozenset()
    try:
        names = known_as(open_image(stored["path"]))
    except InputError:
        return frozenset()
    return names if stored["fingerprint"] in names else frozenset()
