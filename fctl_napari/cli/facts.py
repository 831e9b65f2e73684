"""Facts of images, segmentations and checkpoints, printed in lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fctl_napari.cli.output import err, out
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.numbered import listed
from fctl_napari.words import count_of, percent_of

if TYPE_CHECKING:
    from pathlib import Path

    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.model.bands import Band
    from fctl_napari.model.model_card import Card
    from fctl_napari.segmentation.store.store import Segmentation


def show_facts(facts: dict[str, str]) -> None:
    """Print names and values, one pair a line, of those that have a value.

    Lines are never wrapped.
    """
    facts = {name: value for name, value in facts.items() if value}
    width = max(map(len, facts))
    for name, value in facts.items():
        out.print(f"{name:<{width}}  {value}", highlight=False, markup=False, soft_wrap=True)


def image_facts(pyramid: Pyramid) -> dict[str, str]:
    """Return facts of an image by their names."""
    import numpy as np

    from fctl_napari.imagery.fingerprint import fingerprint
    from fctl_napari.imagery.measured import measured_range, share_without_data

    height, width = pyramid.shape
    levels = ", ".join(f"{level.shape[1]} x {level.shape[0]}" for level in pyramid.levels[: pyramid.native_levels])
    facts = {
        "image": pyramid.name,
        "size": f"{width} x {height} px (width x height)",
        "channels": f"{pyramid.channels} x {pyramid.dtype}",
        "levels": levels,
        "chunks": " x ".join(map(str, pyramid.levels[0].chunks[:2])) + " px",
    }
    if any(pyramid.band_names) or pyramid.bands is not None or pyramid.unclear_bands is not None:
        names = [name or str(index) for index, name in enumerate(pyramid.band_names)]
        rgb = pyramid.bands or (None if pyramid.unclear_bands else pyramid.rgb_channels)
        unclear = "unclear; state them where it is used, as in fctl segment --bands R G B"
        shown = unclear if rgb is None else ", ".join(names[band] for band in rgb)
        facts["bands"] = f"{', '.join(names)}; red, green and blue: {shown}"
    if pyramid.value_range is not None:
        facts["range"] = "{:g} .. {:g}".format(*pyramid.value_range)
    elif pyramid.dtype != np.uint8 and pyramid.dtype.kind in "buif":
        low, high = (f"{value:.10g}" for value in measured_range(pyramid))
        facts["values"] = (
            f"0.1 % .. 99.9 %: {low} .. {high}; state them where it is used, as in fctl segment --range {low} {high}"
        )
    if (share := share_without_data(pyramid)) or pyramid.validity is not None:
        facts["no data"] = f"{percent_of(share) if share else 'none found'} ({pyramid.validity_source})"
    if words := listed(pyramid.images, pyramid.path):
        facts["images"] = f"{words}, another with --image N"
    if pyramid.unit is not None:
        facts["pixel"] = f"{pyramid.pixel_size[1]:g} x {pyramid.pixel_size[0]:g} {pyramid.unit}"
    if any(pyramid.translation):
        unit = f" {pyramid.unit}" if pyramid.unit else ""
        facts["first px"] = f"at {pyramid.translation[1]:g}, {pyramid.translation[0]:g}{unit} (x, y)"
    if pyramid.georeference is not None:
        facts["crs"] = pyramid.georeference.crs
        facts["transform"] = ", ".join(f"{value:.10g}" for value in pyramid.georeference.transform)
    if pyramid.notes:
        facts["not used"] = "; ".join(pyramid.notes)
    facts["fingerprint"] = fingerprint(pyramid)
    return facts


def say_images(pyramid: Pyramid) -> None:
    """Print on stderr the images of a file of several, of which one is used."""
    if words := listed(pyramid.images, pyramid.path):
        text = f"{pyramid.path}: holds {words}, another with --image N"
        err.print(text, highlight=False, markup=False, soft_wrap=True)


def say_domain(warning: str | None) -> None:
    """Print on stderr, in one line, that an image is unlike what a network was trained on."""
    if warning is not None:
        err.print(warning, highlight=False, markup=False, soft_wrap=True)


def _band(band: Band) -> str:
    """Return a band of a network in words."""
    return band.name if band.value_range is None else "{} ({:g} .. {:g})".format(band.name, *band.value_range)


def card_facts(card: Card) -> dict[str, str]:
    """Return facts of a checkpoint by their names."""
    from fctl_napari.evaluation.domain import domain_facts

    contexts = ", ".join(
        f"{c.name} ({'whole image' if c.scale == 'global' else f'x {c.scale:g}'})" for c in card.config.contexts
    )
    facts = {
        "checkpoint": card.name,
        "about": card.description,
        "classes": "none yet" if card.pretrained else ", ".join(card.classes.names),
        "network": card.config.title,
        "tile": f"{card.config.tile_size} px",
        "contexts": contexts or "none",
        **({"bands": ", ".join(map(_band, card.config.bands))} if card.config.bands else {}),
    }
    facts |= domain_facts(card)
    if card.learned_images:
        facts["fine-tuned on"] = ", ".join(f"{image['name']} ({image['fingerprint']})" for image in card.learned_images)
    where, figures = card.headline()
    if figures:
        facts["measured on"] = where
        facts |= {name: f"{value:.4f}" for name, value in figures.items()}
    worth = card.figures.get("context_importance", {})
    if worth:
        facts["contexts' worth"] = ", ".join(f"{name} {value:+.4f} of accuracy" for name, value in worth.items())
    for key, name in (("iou", "IoU"), ("baseline_without_contexts", "without contexts")):
        values = card.figures.get(key, {})
        shown = values if key == "iou" else {"mIoU": values.get("miou")}
        words = [f"{label} {value:.4f}" for label, value in shown.items() if value is not None]
        if words:
            facts[name] = ", ".join(words)
    return facts


def image_against_card(image: Pyramid, card: Card) -> dict[str, str]:
    """Return by names how an image compares with the data that a network was trained on."""
    from fctl_napari.evaluation.domain import out_of_domain
    from fctl_napari.evaluation.trained_on import trained_on

    known = trained_on(card, image, image.shape)
    warning = out_of_domain(image, card)
    unknown = "its card has no facts of what it was trained on" if card.domain is None else None
    facts = {f"for {card.name}": warning or unknown or "nothing speaks against it"}
    return facts if known is None else facts | {"trained": known.words(card.name)}


def image_words(stored: Mapping[str, Any], beside: Path) -> str:
    """Describe the image of a segmentation or of corrections.

    If that image is missing or has changed, the description is the error message about it.
    """
    from fctl_napari.segmentation.store.identity import open_image_of

    if stored["path"] is None:
        return "unknown"
    try:
        image = open_image_of(stored, beside)
    except InputError as error:
        return str(error)
    return f"{image.path} ({stored['fingerprint']})"


def segmentation_facts(segmentation: Segmentation) -> dict[str, str]:
    """Return facts of a segmentation by their names."""
    from fctl_napari.correcting.chosen_map import used
    from fctl_napari.correcting.final_map import find_final_map

    height, width = segmentation.shape
    done = segmentation.done()
    facts = {
        "segmentation": str(segmentation.path),
        "size": f"{width} x {height} px (width x height)",
        "image": image_words(segmentation.facts["image"], segmentation.path),
        "checkpoint": segmentation.checkpoint_hash,
        "classes": ", ".join(segmentation.class_table.names),
        "done": f"{done.sum():,} of {count_of(done.size, 'tile')}",
    }
    inherited = segmentation.inherited().sum()
    if inherited:
        facts["inherited"] = f"{count_of(int(inherited), 'tile')} by {segmentation.parent_name}, not computed anew"
    facts |= {name: str(value) for name, value in segmentation.settings.items()}
    if segmentation.maps:
        facts["maps"] = ", ".join(segmentation.maps)
    if segmentation.georeference is not None:
        facts["crs"] = segmentation.georeference.crs
    try:
        final = find_final_map(segmentation)
    except InputError as error:
        facts["corrections"] = str(error)
    else:
        facts |= {} if final is None else {"corrections": f"{used(final)}; fctl export and fctl evaluate take them in"}
    return facts
