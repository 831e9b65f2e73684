"""Files that fine-tuning finds beside an image: corrections, ground truths, unfinished runs (read in a thread)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fctl_napari.api.locations import (
    cache_folder,
    checkpoint_folder,
    checkpoint_path,
    new_checkpoint,
    result_path,
)
from fctl_napari.correcting.correction_store import corrections_state, half_made
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import FctlError, InputError, OutputError
from fctl_napari.finetuning.candidates import traces
from fctl_napari.finetuning.request import FinetuneRequest, finetune_request
from fctl_napari.finetuning.trainable_parts import sizes_of_parts
from fctl_napari.finetuning.unfinished import Cut, Waiting, find_cut, find_waiting
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.free_path import check_free
from fctl_napari.model.model_card import checkpoint_hash, resolve_checkpoint
from fctl_napari.plugin.images.states import corrections_of, named_after
from fctl_napari.plugin.layers.ground_truth import GroundTruthChoice, own_labels
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.segmentation.store.result_paths import own_corrections, own_path
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import default_overlap


@dataclass(frozen=True, eq=False)
class Beside:
    """Files that lie beside an image.

    Attributes
    ----------
    corrections : Path
        Location of the corrections, which need not exist.
    corrections_state : tuple of object
        Their state just before they were read.
    areas : dict of str to int
        Painted px by the name of the class, ``"not sure"`` last. Empty if there are no corrections.
    classes : ClassTable or None
        Classes of the corrections. None if there are none.
    ground_truths : list of GroundTruthChoice
        Ground truths that belong to the image itself.
    waiting : list of Waiting
        Candidates of earlier runs that wait to be decided on.
    cut : list of Cut
        Earlier runs that were interrupted.
    sizes : dict of frozenset of str to int
        Numbers of the parent's parameters by the parts that share them. Empty if it cannot be read.
    out : Path or None
        Free path for a new checkpoint. None without a parent.
    """

    corrections: Path
    corrections_state: tuple[object, ...]
    areas: dict[str, int]
    classes: ClassTable | None
    ground_truths: list[GroundTruthChoice]
    waiting: list[Waiting]
    cut: list[Cut]
    sizes: dict[frozenset[str], int]
    out: Path | None


def image_path(source: ImageSource) -> str:
    """Return the path of an image's file as requests name it.

    Parameters
    ----------
    source : ImageSource
        The image.

    Returns
    -------
    str
        A URL, or an absolute path.
    """
    return source.path if is_url(source.path) else str(Path(source.path).absolute())


def look_beside(source: ImageSource, checkpoint: str | None) -> Beside:
    """Find the files beside an image, for a parent.

    Parameters
    ----------
    source : ImageSource
        The image.
    checkpoint : str or None
        The parent: a built-in name or a file. None if none is chosen.

    Returns
    -------
    Beside
        What was found.

    Raises
    ------
    FctlError
        The corrections are damaged, or a folder cannot be made.
    """
    image = source.open()
    corrections = own_corrections(corrections_path(source.original, cache_folder), image)
    areas: dict[str, int] = {}
    classes = None
    state = corrections_state(corrections)  # first: what is painted from now on is seen by the next look
    if corrections.exists() and not half_made(corrections):
        found = Corrections.open(corrections, image=image)
        areas, classes = found.area_by_class(), found.class_table
    folders = [checkpoint_path(source.original), checkpoint_folder()]
    names = {Path(location).name for location in (source.path, source.original)}
    try:
        sizes = {} if checkpoint is None else sizes_of_parts(resolve_checkpoint(checkpoint))
    except FctlError:
        sizes = {}  # the run reports the error
    return Beside(
        corrections,
        state,
        areas,
        classes,
        own_labels(source.path),
        find_waiting(folders, fingerprint(image), names),
        find_cut(folders, image_path(source)),
        sizes,
        None if checkpoint is None else new_checkpoint(source.original, checkpoint),
    )


def make_request(source: ImageSource, out: str, fields: dict[str, Any], others: Sequence[str] = ()) -> FinetuneRequest:
    """Make the request to fine-tune on the corrections of an image.

    Parameters
    ----------
    source : ImageSource
        The image.
    out : str
        Path of the new checkpoint. Empty for a free path.
    fields : dict of str to object
        Other fields of the request.
    others : sequence of str, optional
        Further images. Those of them that are corrected are learned from, too.

    Returns
    -------
    FinetuneRequest
        The request.

    Raises
    ------
    InputError
        There are no corrections.
    OutputError
        The path of the new checkpoint is taken.
    ConfigError
        The fields do not fit.
    """
    corrections = own_corrections(corrections_path(source.original, cache_folder), source.open())
    if not corrections.exists():
        raise InputError(f"{corrections}: there are no corrections yet; paint some in the tab Correct.")
    location = check_free(Path(out).absolute() if out else new_checkpoint(source.original, fields["checkpoint"]))
    if any(trace.exists() for trace in traces(location)):
        raise OutputError(
            f"{location}: an earlier run of this name is not decided; resume or decide it, or choose another name."
        )
    result = result_path(source.original, location)
    if result.exists():
        raise OutputError(
            f"{result}: exists already, and would be taken for the new checkpoint's result; choose another name."
        )
    return finetune_request(
        image=image_path(source),
        corrections=str(corrections),
        further=further_pairs(source, others),
        out=str(location),
        value_range=source.value_range,
        bands=source.bands,
        **fields,
    )


def further_pairs(source: ImageSource, others: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Find the corrected ones among further images.

    Parameters
    ----------
    source : ImageSource
        The image that they are learned from together with; it is left out, and so are copies of it.
    others : sequence of str
        Paths of the images.

    Returns
    -------
    tuple of (str, str)
        Images with their corrections.

    Raises
    ------
    FctlError
        A folder cannot be made.
    """
    found, known = [], {fingerprint(source.open())} if others else set()
    for location in others:
        try:
            image = open_image(location)
            if fingerprint(image) in known:
                continue
            path, corrected = corrections_of(named_after(location, image), image)
        except InputError:
            continue  # the list of images says what is wrong with it
        if corrected:
            known.add(fingerprint(image))
            found.append((image.path or location, str(path)))
    return tuple(found)


def result_of(
    shown: list[str], source: ImageSource, checkpoint: str | None, parent: str, tile_size: int
) -> Segmentation | None:
    """Find a network's segmentation of an image that its child's can be compared with, tile by tile.

    Parameters
    ----------
    shown : list of str
        Results (stores) of the image's size that layers show.
    source : ImageSource
        The image.
    checkpoint : str or None
        The network's name or file. None if it is not known.
    parent : str
        Hash of the network.
    tile_size : int
        Side of its tile, px.

    Returns
    -------
    Segmentation or None
        The segmentation. None if there is none.
    """
    grid = {"tile_size": tile_size, "overlap": default_overlap(tile_size)}
    image = source.open()
    usual = [] if checkpoint is None else [own_path(result_path(source.original, checkpoint), image)]
    for path in [*map(Path, shown), *usual]:
        try:
            store = Segmentation.open(path)
        except FctlError:
            continue
        crop = store.settings.get("merge") == "crop" and store.facts["grid"] == grid
        if store.checkpoint_hash == parent and crop and not store.maps and same_image(store.facts["image"], image):
            return store
    return None


def name_of(parent: str, offered: list[str]) -> str | None:
    """Find the checkpoint with a hash among those that are offered.

    Parameters
    ----------
    parent : str
        The hash.
    offered : list of str
        Built-in names and files.

    Returns
    -------
    str or None
        Its name or file. None if it is not among them.
    """
    for name in offered:
        try:
            if checkpoint_hash(resolve_checkpoint(name)) == parent:
                return name
        except FctlError:
            continue
    return None
