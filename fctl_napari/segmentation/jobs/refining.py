"""Checks of a segmentation to be refined: the same image and classes, complete around the region (no torch)."""

from __future__ import annotations

from typing import Any

from fctl_napari.exceptions import ConfigError, InputError
from fctl_napari.imagery.band_names import Bands, band_names_in, rgb_in
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.inference.image_with_mask import masks_of
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow


def check_refined(path: str | None, card: Card, image: Pyramid, region: IntWindow) -> dict[str, Any] | None:
    """Check a segmentation that is to be refined.

    Parameters
    ----------
    path : str or None
        Folder of the segmentation. None if nothing is to be refined.
    card : Card
        Model card of the network.
    image : Pyramid
        The image.
    region : IntWindow
        Region to refine, px.

    Returns
    -------
    dict of str to object or None
        Facts on which the result depends (JSON): checkpoint, grid and settings of the segmentation. None if nothing is
        to be refined.

    Raises
    ------
    ConfigError
        The network refines and there is nothing to refine, or the other way round.
    InputError
        The segmentation is of another image or of other classes, or not complete.
    """
    if path is None:
        if card.config.refines:
            raise ConfigError(f"{card.name}: refines a segmentation and does not make one; use it with `fctl refine`.")
        return None
    if not card.config.refines:
        raise ConfigError(
            f"{card.name}: is not a refiner; train one with `fctl train refiner` or `fctl train cascadepsp`, or segment"
            " with this one."
        )
    masks = Segmentation.open(path)
    if not same_image(masks.facts["image"], image):
        raise InputError(f"{path}: is of another image; refine it with its own.")
    own, others = card.classes.names, masks.class_table.names
    if masks_of(masks.labels, others, own) is None:
        raise InputError(
            f"{path}: its classes ({', '.join(others)}) are not the refiner's ({', '.join(own)}); train a refiner for "
            "them."
        )
    margin = 2 * card.config.tile_size
    around = region[0] - margin, region[1] - margin, region[2] + margin, region[3] + margin
    done = masks.done()
    if card.config.outer_contexts and not done.all():
        raise InputError(
            f"{path}: is not segmented everywhere, and {card.name} looks at the whole image; run `fctl segment` to its "
            "end first."
        )
    if not all(done[cell] for cell in masks.grid.cells_in(around)):
        raise InputError(
            f"{path}: is not segmented everywhere within {margin} px of what is to be refined; run `fctl segment` "
            "there first, or choose a smaller --region (in Python: region)."
        )
    facts = masks.facts
    made_by = {key: facts["checkpoint"][key] for key in ("name", "hash")}
    return {"checkpoint": made_by, "grid": facts["grid"], "settings": facts["settings"]}


def image_of(segmentation: Segmentation) -> tuple[str, tuple[float, float] | None, Bands | None]:
    """Return the image of a segmentation, with its range of values and its bands.

    Parameters
    ----------
    segmentation : Segmentation
        The segmentation.

    Returns
    -------
    image : str
        Path or address of the image.
    value_range : tuple of 2 float or None
        Range of values, as for ``open_image``.
    bands : Bands or None
        Bands, as for ``open_image``.

    Raises
    ------
    InputError
        The segmentation was not made from a file.
    """
    if segmentation.image_path is None:
        raise InputError(f"{segmentation.path}: was not made from a file, so its image cannot be read again.")
    found, bands = segmentation.settings.get("value_range"), segmentation.settings.get("bands")
    return (
        segmentation.image_path,
        None if found is None else (float(found[0]), float(found[1])),
        None if bands is None else band_names_in(bands) or rgb_in(bands),
    )
