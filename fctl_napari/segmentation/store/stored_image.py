"""Identity of the image to which a segmentation, corrections or exported labels on disk belong."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.store.identity import contradict, same_image
from fctl_napari.segmentation.store.store import ATTRIBUTE


def stored_image(path: Path | str) -> Mapping[str, Any] | None:
    """Read the identity of the image to which a store belongs.

    Parameters
    ----------
    path : Path or str
        Path of the store, or an address.

    Returns
    -------
    mapping of str to object or None
        ``path``, ``name`` and ``fingerprint``, see ``identity.image_facts``. None where there is no complete store of
        this plugin, or it does not name its image.
    """
    if is_url(path) or not Path(path).is_dir():
        return None
    try:
        facts = LabelPyramid.open(path).attributes.get(ATTRIBUTE, {})
    except InputError:
        return None
    image = facts.get("image") if isinstance(facts, Mapping) and facts.get("complete", True) else None
    return image if isinstance(image, Mapping) else None


def note_on_image(path: Path | str | None, image: Mapping[str, Any]) -> str:
    """Return a note for people if labels are of another image.

    Such labels may be used all the same: last year's ground truth, or that of an image whose colors were balanced
    since.

    Parameters
    ----------
    path : Path, str or None
        Labels of any kind: a ground truth, a segmentation, an export, an OME-Zarr image with labels.
    image : mapping of str to object
        Identity of the image, as a store records it.

    Returns
    -------
    str
        The note. It is empty where the labels are of this image, or do not name theirs.
    """
    stored = None if path is None else stored_image(path)
    other = None
    if stored is not None:
        other = str(stored["name"]) if contradict(stored, image) else None
    elif path is not None:
        holder = _holder(path)
        if holder is not None and image["fingerprint"] is not None:
            with suppress(InputError):  # an image that cannot be read is no evidence
                other = None if same_image(image, open_image(holder)) else holder.name
    return "" if other is None else f"these are labels of another image ({other}), whose pixels differ from this one's"


def _holder(path: Path | str) -> Path | None:
    """Find the OME-Zarr image to which labels at a path belong."""
    if is_url(path) or not ngff.is_zarr(Path(path)):
        return None
    path = Path(path).absolute()
    if not ngff.is_label_image(ngff.open_group(path)):
        return path
    image = path.parent.parent
    return image if path.parent.name == "labels" and ngff.is_zarr(image) else None
