"""The card of a fine-tuned checkpoint."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fctl_napari import __version__
from fctl_napari.finetuning.gate import BeforeAfter, Verdict
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.model.model_card import Card, without_folders


def card_of_child(
    parent: Card,
    request: FinetuneRequest,
    figures: BeforeAfter,
    verdict: Verdict,
    *,
    parent_hash: str,
    image: Mapping[str, Any],
    corrections: str,
    steps: int,
    seconds: float,
    where: tuple[torch.device, str],
    notes: Sequence[str] = (),
) -> Card:
    """Write the card of a fine-tuned network.

    Parameters
    ----------
    parent
        The parent's card; what it was trained on is remembered, for the next fine-tuning to replay.
    request
        Settings and the new name.
    figures, verdict
        Of the gate.
    parent_hash
        The parent's identity.
    image
        Facts of the image that was corrected; see ``identity.image_facts``.
    corrections
        Hash of what was learnt from; see ``data_hash``.
    steps, seconds
        Of the training.
    where
        Device and precision.
    notes
        What was said of the corrections.
    """
    device, precision = where
    provenance: dict[str, Any] = {
        key: parent.provenance[key] for key in ("training", "data") if key in parent.provenance
    }
    provenance |= {
        "parent": {"name": parent.name, "hash": parent_hash},
        "finetuning": {
            "settings": request.model_dump(mode="json", exclude={"out", "cache_megabytes"}),
            "image": {key: image[key] for key in ("name", "fingerprint")},
            "corrections": corrections,
            "steps": steps,
            "keep": verdict.keep,
            "verdict": list(verdict.reasons),
            **({"notes": list(notes)} if notes else {}),
        },
        "seconds": round(seconds, 1),
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU, {torch.get_num_threads()} threads",
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
    )
