"""Model card of a fine-tuned checkpoint."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from fctl_napari import __version__
from fctl_napari.evaluation.trained_on import learned_regions, seen_images
from fctl_napari.exceptions import InputError
from fctl_napari.finetuning.founder import founder_entry
from fctl_napari.finetuning.judging.gate import BeforeAfter, GateResult
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.targets import Split, plain_boxes
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.geodesy.ground_size import ground_size
from fctl_napari.imagery.image_colors import color_cells, joined_cells, sample_colors
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.domain import Domain, SeenColors, SeenImage
from fctl_napari.model.model_card import Card, without_folders
from fctl_napari.words import count_of


def card_of_child(
    parent: Card,
    request: FinetuneRequest,
    figures: BeforeAfter,
    gate_result: GateResult,
    *,
    parent_hash: str,
    images: Sequence[Mapping[str, Any]],
    corrections: str,
    steps: int,
    seconds: float,
    where: tuple[torch.device, str],
    domain: Domain,
    notes: Sequence[str] = (),
) -> Card:
    """Create the model card of a fine-tuned network.

    Parameters
    ----------
    parent : Card
        The parent's model card. Its training data are copied, for the next fine-tuning to replay.
    request : FinetuneRequest
        Settings of the run and the new name.
    figures : BeforeAfter
        Figures before and after.
    gate_result : GateResult
        Decision of the gate.
    parent_hash : str
        SHA-256 of the parent's checkpoint.
    images : sequence of mapping of str to object
        Facts of each image that was corrected, see ``identity.image_facts``.
    corrections : str
        Hash of what was learned, see ``data_hash``.
    steps : int
        Number of optimizer steps of the network that was taken.
    seconds : float
        Time of the training steps, s.
    where : tuple of (torch.device, str)
        Device and precision of the training.
    domain : Domain
        Facts of the data that it was trained on, see :func:`domain_of_child`.
    notes : sequence of str, optional
        Notes for the user on the corrections.

    Returns
    -------
    Card
        The model card.
    """
    device, precision = where
    provenance: dict[str, Any] = {
        key: parent.provenance[key] for key in ("training", "data", "imported") if key in parent.provenance
    }
    learned = [{key: image[key] for key in ("name", "fingerprint")} for image in images]
    provenance |= {
        "parent": {"name": parent.name, "hash": parent_hash},
        "founder": founder_entry(parent) or {"name": parent.name, "hash": parent_hash},
        "finetuning": {
            "settings": request.model_dump(mode="json", exclude={"out", "cache_megabytes"}),
            "image": learned[0],
            **({"further_images": learned[1:]} if learned[1:] else {}),
            "corrections": corrections,
            "steps": steps,
            "keep": gate_result.keep,
            "verdict": list(gate_result.reasons),
            **({"notes": list(notes)} if notes else {}),
        },
        "seconds": round(seconds, 1),
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU, {count_of(torch.get_num_threads(), 'thread')}",
        "precision": precision,
        "software": f"fctl-napari {__version__}, torch {torch.__version__}, python {platform.python_version()}",
    }
    scene: dict[str, Any] = {}
    if "truth" in figures.after:
        scene = figures.after["truth"].to_json() | {"measured_on": "the corrected scene"}
    return Card(
        name=request.name,
        description=parent.description,
        config=parent.config,
        classes=parent.classes,
        provenance=without_folders(provenance),
        figures={**scene, "finetuning": figures.to_json()},
        domain=domain,
    )


def domain_of_child(parent: Card, image: Pyramid, parts: Split) -> Domain:
    """Add an image to the facts of the data that a network was trained on.

    Parameters
    ----------
    parent : Card
        The parent's model card.
    image : Pyramid
        The image that was corrected, as the network reads it.
    parts : Split
        Corrected regions that were learned from, and those that were held out.

    Returns
    -------
    Domain
        The parent's facts with the image's. What the parent's card does not say stays unknown.

    Raises
    ------
    InputError
        The image is damaged.
    """
    known = parent.domain or Domain()
    identity = fingerprint(image)
    earlier = learned_regions(parent, identity)
    own = SeenImage(
        name=PurePath(image.path or image.name).name,
        fingerprint=identity,
        regions=tuple(dict.fromkeys([*earlier.learned, *plain_boxes(parts.training)])),
        corrected=True,
        held_out=tuple(dict.fromkeys([*plain_boxes(parts.held_out), *earlier.held_out])),
    )
    size, colors, sizes = ground_size(image), known.colors, known.pixel_size
    if colors is not None:
        with suppress(InputError):  # corrections may be learned from where the image is not damaged
            cells = color_cells(sample_colors(image), colors.side, frequent=True)
            joined = joined_cells([np.array(colors.cells), cells], colors.side)
            colors = SeenColors.of(joined, colors.side, colors.usual)
    if sizes is not None and size is not None:
        sizes = min(sizes[0], size), max(sizes[1], size)
    others = [
        one
        for one in seen_images(parent)
        if not (one.corrected and one.fingerprint == identity and one.regions is not None)  # they are in ``own``
    ]
    images = tuple(dict.fromkeys([*others, own]))
    return known.model_copy(update={"images": images, "colors": colors, "pixel_size": sizes})
