"""The image that a segmentation, corrections or exported labels on disk are of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fctl_napari.errors import InputError
from fctl_napari.imagery import ngff
from fctl_napari.imagery.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.remote import is_url
from fctl_napari.segmentation.store.identity import contradict, same_image
from fctl_napari.segmentation.store.store import ATTRIBUTE


def stored_image(path: Path | str) -> Mapping[str, Any] | None:
    """Read of which image something of ours is; None where there is nothing whole, or it does not say.

    Returns
    -------
    mapping or None
        ``path``, ``name`` and ``fingerprint``; see ``identity.image_facts``.
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
    """Say that labels are of another image, as far as they tell; empty where they are not, or do not tell.

    They may be used all the same: last year's truth, or that of an image whose colors were balanced since.

    Parameters
    ----------
    path : Path, str or None
        Labels of any kind: a truth, a segmentation, an export, an OME-Zarr image with labels.
    image : mapping
        What a store says of its image.
    """
    stored = None if path is None else stored_image(path)
    other = None
    if stored is not None:
        other = str(stored["name"]) if contradict(stored, image) else None
    elif path is not None:
        holder = _holder(path)
        if holder is not None and image["fingerprint"] is not None:
            with suppress(InputError):  # one that cannot be read tells nothing
                other = None if same_image(image, open_image(holder)) else holder.name
    return "" if other is None else f"these are labels of another image ({other}), whose pixels differ from this one's"


def _holder(path: Path | str) -> Path | None:
    """Find the OME-Zarr image among whose labels something lies."""
    if is_url(path) or not ngff.is_zarr(Path(path)):
        return None
    path = Path(path).absolute()
    if not ngff.is_label_image(ngff.open_group(path)):
        return path
    image = path.parent.parent
    return image if path.parent.name == "labels" and ngff.is_zarr(image) else None
