"""Model card of a folder: ``README.md`` with front matter, for people and for sites that share networks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fctl_napari.model.model_card import Card
from fctl_napari.words import count_of

TRANSFORMERS_USE = """With transformers, on an image of {tile} x {tile} px:

```python
import torch
from PIL import Image
from transformers import AutoImageProcessor, SegformerForSemanticSegmentation

network = SegformerForSemanticSegmentation.from_pretrained("FOLDER").eval()
inputs = AutoImageProcessor.from_pretrained("FOLDER")(Image.open("tile.png"), return_tensors="pt")
with torch.no_grad():
    logits = network(**inputs).logits  # a quarter of the tile's side
classes = torch.nn.functional.interpolate(logits, ({tile}, {tile}), mode="bilinear").argmax(1)
```

"""
OWN_USE = """With the package fctl-napari, on images of any size:

```
fctl model import FOLDER --out network.safetensors
"""
OWN_SEGMENT = """fctl segment IMAGE --checkpoint network.safetensors --out result.ome.zarr
```
"""


def readme(card: Card, identity: str, *, transformers: bool) -> str:
    """Write the model card of a folder.

    Parameters
    ----------
    card : Card
        Model card of the checkpoint.
    identity : str
        SHA-256 of the checkpoint, hex.
    transformers : bool
        If True, transformers loads the folder.

    Returns
    -------
    str
        Markdown with a YAML front matter.
    """
    license_name = _license(card)
    front = [
        *([f"license: {json.dumps(license_name)}"] if license_name else []),
        f"library_name: {'transformers' if transformers else 'fctl-napari'}",
        "pipeline_tag: image-segmentation",
        "tags:",
        "- semantic-segmentation",
        "- fctl-napari",
        *(["metrics:", "- mean_iou"] if card.headline()[1] else []),
    ]
    rows = [
        (str(k), info.name, "#{:02x}{:02x}{:02x}".format(*info.color)) for k, info in enumerate(card.classes.scored)
    ]
    parts = [
        "---\n" + "\n".join(front) + "\n---",
        f"# {_line(card.name)}",
        _line(card.description),
        _network(card),
        "## Classes",
        _table(("index", "class", "color"), rows),
        "## Figures",
        *_figures(card),
        "## Training data",
        _data(card),
        "## Lineage",
        _lineage(card, identity),
        f"Its license is {license_name}."
        if license_name
        else "No license is stated: whoever shares it states one here.",
        "## Use",
        (TRANSFORMERS_USE.format(tile=card.config.tile_size) if transformers else "") + OWN_USE + OWN_SEGMENT,
    ]
    return "\n\n".join(part for part in parts if part)


def _line(text: str) -> str:
    return " ".join(text.split())


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _license(card: Card) -> str:
    stated = str(card.provenance.get("imported", {}).get("license", ""))
    return "" if stated == "not stated" else stated


def _network(card: Card) -> str:
    config = card.config
    contexts = [
        f"{c.name} ({'the whole image' if c.scale == 'global' else f'{c.scale:g} times the tile'})"
        for c in config.outer_contexts
    ]
    around = f" It looks at the contexts {', '.join(contexts)} beside the tile." if contexts else ""
    return (
        f"A network ({config.title}) that predicts one of {count_of(config.classes, 'class')} for each px. It takes "
        f"tiles of {config.tile_size} x {config.tile_size} px with the bands {', '.join(config.band_names)}.{around}"
    )


def _figures(card: Card) -> list[str]:
    where, figures = card.headline()
    if not figures:
        return ["None are known."]
    found = [f"Measured on: {_line(where)}."] if where else []
    found.append(_table(("figure", "value"), [(name, f"{value:.4f}") for name, value in figures.items()]))
    iou = {name: value for name, value in card.figures.get("iou", {}).items() if value is not None}
    if iou:
        found.append(_table(("class", "IoU"), [(name, f"{value:.4f}") for name, value in iou.items()]))
    return found


def _data(card: Card) -> str:
    domain = card.domain
    if domain is None:
        return "Its card has no facts of the data that it was trained on."
    sentences = []
    if domain.images:
        names = list(dict.fromkeys(_line(image.name) for image in domain.images))
        sentences.append(f"{count_of(len(names), 'image')}: {', '.join(names)}.")
    if domain.pixel_size is not None:
        low, high = domain.pixel_size
        sentences.append(f"Their px measure {low:g} m." if low == high else f"Their px measure {low:g} to {high:g} m.")
    sentences += [_line(note) for note in domain.notes]
    return " ".join(sentences) or "Its card names no images."


def _lineage(card: Card, identity: str) -> str:
    known: dict[str, Any] = card.provenance
    sentences = [f"Made from a checkpoint of fctl-napari with the SHA-256 `{identity}`."]
    if isinstance(parent := known.get("parent"), dict):
        sentences.append(f"It was made from {_line(str(parent.get('name')))} (SHA-256 `{parent.get('hash')}`).")
    if card.learned_images:
        sentences.append(f"It learned from corrections of {', '.join(image['name'] for image in card.learned_images)}.")
    if imported := known.get("imported"):
        sentences.append(f"It goes back to {_line(str(imported.get('folder')))}.")
    start = known.get("training", {}).get("init_from")
    if start:
        sentences.append(f"Its training started from {_line(str(start))}.")
    return " ".join(sentences)
