"""Inputs of a fine-tuning: corrected images, their tiles, and the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fctl_napari.evaluation.trained_on import learned_regions
from fctl_napari.exceptions import InputError
from fctl_napari.finetuning.correction_sources import CorrectionSource, open_corrections
from fctl_napari.finetuning.judging.evaluation import ground_truth_of
from fctl_napari.finetuning.report import domain_of_child
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.tile_sampling import Corrected, TileSets, choose_tiles, data_hash
from fctl_napari.finetuning.unfinished import check_waiting
from fctl_napari.imagery.labels.class_mapping import MappedGroundTruth
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.imagery.old_fingerprint import old_fingerprints
from fctl_napari.imagery.open import open_image
from fctl_napari.model.domain import Domain
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.segmentation.store.identity import image_facts
from fctl_napari.segmentation.store.stored_image import note_on_image


@dataclass(frozen=True)
class Inputs:
    """Opened inputs of a run.

    Attributes
    ----------
    images : list of dict of str to object
        Facts of each corrected image, see ``identity.image_facts``.
    sets : TileSets
        Tiles of the run.
    domain : Domain
        Facts of the data that the new network is trained on.
    data_hash : str
        Hash of the images and of what is learned, see ``tile_sampling.data_hash``.
    old_hashes : list of str
        The same by fingerprints of earlier versions.
    ground_truth : LabelSource, MappedGroundTruth or None
        Ground truth of the first image, if one is named.
    """

    images: list[dict[str, Any]]
    sets: TileSets
    domain: Domain
    data_hash: str
    old_hashes: list[str]
    ground_truth: LabelSource | MappedGroundTruth | None


def open_inputs(request: FinetuneRequest, card: Card, corrections: CorrectionSource | None, out: Path) -> Inputs:
    """Open the corrected images, choose the tiles, and open the ground truth.

    Parameters
    ----------
    request : FinetuneRequest
        All settings of the run.
    card : Card
        Model card of the parent.
    corrections : CorrectionSource or None
        Corrections of the first image in place of those at ``request.corrections``.
    out : Path
        Path of the new checkpoint.

    Returns
    -------
    Inputs
        The opened inputs.

    Raises
    ------
    InputError
        An image, corrections or the ground truth cannot be used, or an image is named twice.
    ConfigError
        The settings do not fit the images.
    OutputError
        A candidate that was trained on another image waits beside ``out``.
    """
    corrected = [
        _open(request, card, *pair, None if number else corrections) for number, pair in enumerate(request.pairs)
    ]
    images = [image_facts(one.image) for one in corrected]
    fingerprints = [facts["fingerprint"] for facts in images]
    _check_distinct(request, fingerprints)
    known = [learned_regions(card, one) for one in fingerprints]
    sets = choose_tiles(request, corrected, card, known)
    if not all(one.complete for one in known):
        sets.notes.append(
            f"It is not known which corrections {card.name} has learned from, so some that it knows may be held out, "
            "and the gate may miss a gain."
        )
    check_waiting(out, *fingerprints)
    child, domain = card, Domain()
    for one, parts in zip(corrected, sets.splits, strict=True):
        domain = domain_of_child(child, one.image, parts)
        child = child.model_copy(update={"domain": domain})
    old = old_fingerprints(corrected[0].image) if len(corrected) == 1 else ()
    ground_truth = None
    if request.truth:
        ground_truth = ground_truth_of(request.truth, corrected[0].image, card.classes)
        notes = ground_truth.note, note_on_image(request.truth, images[0])
        sets.notes += [f"{request.truth}: {note}." for note in notes if note]
    return Inputs(
        images,
        sets,
        domain,
        data_hash(fingerprints, sets.targets, sets.held_out),
        [data_hash([one], sets.targets, sets.held_out) for one in old],
        ground_truth,
    )


def _open(
    request: FinetuneRequest, card: Card, location: str, path: str, corrections: CorrectionSource | None
) -> Corrected:
    """Open an image and its corrections."""
    image = open_image(location, value_range=request.value_range, bands=request.bands)
    image = network_image(image, card.config)
    return Corrected(image, corrections or open_corrections(path, image, card), path)


def _check_distinct(request: FinetuneRequest, fingerprints: Sequence[str]) -> None:
    """Refuse an image that is named twice: what one of them holds out, the other would learn."""
    for number, fingerprint in enumerate(fingerprints):
        first = fingerprints.index(fingerprint)
        if first < number:
            one, other = (request.pairs[i][0] for i in (number, first))
            raise InputError(f"{one}: is the same image as {other}; name it once.")
