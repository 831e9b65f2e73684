"""Measure the facts of the data that the built-in checkpoints were trained on, which their own cards lack.

``python scripts/measure_domains.py --aerial DIR`` writes ``fctl_napari/checkpoints/domains.json``. DIR holds the aerial
scenes of ``fctl_napari/training/configs/aerial.toml``; the Earth scene comes along. Scenes that are not those of a
checkpoint's card are refused. The checkpoints' files stay as they are, since results and lineages name their SHA-256.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fctl_napari.files import write_json
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.domain import Domain
from fctl_napari.model.model_card import (
    BUILTIN_DOMAINS,
    METADATA_KEY,
    builtin_checkpoints,
    card_digest,
    read_header,
)
from fctl_napari.training.config import load_train_config
from fctl_napari.training.data import open_scenes
from fctl_napari.training.domain_facts import confidence_on, measure_domain
from fctl_napari.training.scene_identity import names_of

PIXEL_SIZES = {
    "earth": ((5200.0, 7400.0), "Its file states no px size; it has 15 px per degree from 60 N to 58 S."),
    "aerial": ((0.3, 1.0), "Their files state no px size; they are satellite images of less than a metre."),
}
"""Smallest and largest side of a px, m, and where that is known from."""

CONFIDENCE = {"earth": "val", "aerial": "train"}
"""Regions on which confidence is measured: aerial held no scene out."""

WORDS = {"val": "its validation bands", "train": "the scenes that it was trained on, as none was held out"}


def measure(name: str, folder: Path) -> tuple[str, Domain]:
    """Measure the facts of one checkpoint, and return them with the digest of its card."""
    path = builtin_checkpoints()[name]
    model, card = load_checkpoint(path)
    scenes, _ = open_scenes(load_train_config(name).data, folder)
    for scene in scenes:
        if scene.name.split("/")[-1] not in names_of(scene, card.provenance["data"]):
            raise SystemExit(f"{scene.name}: is not the scene that {name} was trained on")
    part = CONFIDENCE[name]
    parts = [(scene, getattr(scene, part)) for scene in scenes if getattr(scene, part)]
    domain = measure_domain(scenes, model.config, confidence=confidence_on(model, parts, WORDS[part]))
    size, note = PIXEL_SIZES[name]
    domain = domain.model_copy(update={"pixel_size": size, "notes": (note,)})
    return card_digest(read_header(path)["__metadata__"][METADATA_KEY]), domain


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aerial", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    found = dict(measure(name, folder) for name, folder in (("earth", Path()), ("aerial", arguments.aerial)))
    write_json(
        BUILTIN_DOMAINS, {key: json.loads(domain.model_dump_json()) for key, domain in found.items()}, indent=None
    )
    for domain in found.values():
        print([one.name for one in domain.images], domain.pixel_size, domain.confidence, domain.notes)
        if domain.colors is not None:
            print(len(domain.colors.cells), "colors,", domain.colors.usual, "unseen as a rule")


if __name__ == "__main__":
    main()
