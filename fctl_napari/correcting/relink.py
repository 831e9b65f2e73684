"""Linking of corrections to another image, in place or in a copy (no torch)."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.files import output_error
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.segmentation.store.identity import image_facts, same_image
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.segmentation.store.store_lock import lock_store

RELINKED = "relinked"
"""Key of the images that the corrections were linked to before, the oldest first."""


def relink(path: Path | str, image: Pyramid) -> None:
    """Link corrections to an image, whatever they were painted on. Nothing that is painted changes.

    Parameters
    ----------
    path : Path or str
        Corrections.
    image : Pyramid
        Image that they belong to, of their size.

    Raises
    ------
    InputError
        There are no corrections, or the image has another size.
    OutputError
        They are open for writing elsewhere, or the location is not writable.
    """
    path = Path(path)
    _check_size(path, image)
    lock = lock_store(path)
    try:
        _link(path, image)
    finally:
        lock.release()


def copy_for(path: Path | str, target: Path | str, image: Pyramid) -> None:
    """Copy corrections and link the copy to an image. The copy is there whole or not at all.

    Parameters
    ----------
    path : Path or str
        Corrections.
    target : Path or str
        Copy to write.
    image : Pyramid
        Image that the copy belongs to, of their size.

    Raises
    ------
    InputError
        There are no corrections, or the image has another size.
    OutputError
        The target exists, the corrections are open for writing elsewhere, the disk is full, or the location is not
        writable.
    """
    path, target = Path(path), Path(target)
    _check_size(path, image)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    lock = lock_store(path)
    try:
        if target.exists():
            raise OutputError(f"{target}: exists; choose another name.")
        shutil.copytree(path, aside)
        _link(aside, image)
        aside.rename(target)
    except shutil.Error as error:  # lists all files that failed, each with its reason
        reason = error.args[0][0][2]
        raise OutputError(f"{target}: cannot be copied ({reason}); check the disk's space, and try again.") from error
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        lock.release()
        shutil.rmtree(aside, ignore_errors=True)


def _check_size(path: Path, image: Pyramid) -> None:
    shape = Corrections.open(path).shape
    if shape != image.shape:
        (height, width), (own_height, own_width) = shape, image.shape
        raise InputError(
            f"{path}: is {height} x {width} px and the image {own_height} x {own_width} (height x width); corrections "
            "belong to an image of their own size, so begin new ones."
        )


def _link(path: Path, image: Pyramid) -> None:
    labels = LabelPyramid.open(path, "r+")
    facts = labels.attributes[ATTRIBUTE]
    georeference = None if image.georeference is None else asdict(image.georeference)
    if same_image(facts["image"], image):
        if georeference is not None:
            labels.set_attributes({ATTRIBUTE: {**facts, "georeference": georeference}})
        return
    now = datetime.now(UTC).isoformat(timespec="seconds")
    before = [*facts.get(RELINKED, []), {**facts["image"], "until": now}]
    labels.set_attributes(
        {ATTRIBUTE: {**facts, "image": image_facts(image), "georeference": georeference, RELINKED: before}}
    )
