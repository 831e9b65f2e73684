"""Checks of training data: what cannot be learned or measured."""

from __future__ import annotations

from collections.abc import Sequence

from fctl_napari.datasets.split import some
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import IGNORE
from fctl_napari.training.data import Scene, TileSampler
from fctl_napari.windows import pieces_of


def can_validate(scenes: Sequence[Scene]) -> bool:
    """Return whether any pixel of the validation regions has a class.

    Parameters
    ----------
    scenes : sequence of Scene
        The scenes of the data.

    Returns
    -------
    bool
        True if one has.
    """
    pieces = ((scene, piece) for scene in scenes for region in scene.val for piece in pieces_of(region))
    return any(bool((scene.ground_truth[y0:y1, x0:x1] != IGNORE).any()) for scene, (y0, x0, y1, x1) in pieces)


def unlearnable(sampler: TileSampler, names: Sequence[str]) -> list[str]:
    """Describe what cannot be learned from the training regions.

    Parameters
    ----------
    sampler : TileSampler
        Sampler of the training tiles.
    names : sequence of str
        Names of the classes, in order; empty for images without ground truth.

    Returns
    -------
    list of str
        One sentence on classes without pixels, one on scenes without any class or data, where there are such, and one
        on a color transfer without a second scene.

    Raises
    ------
    InputError
        Nothing at all can be learned.
    """
    said = []
    shares = sampler.class_shares()
    lacks = "has a class" if names else "holds data"
    if not shares.any():
        raise InputError(f"no training px of {some(sampler.unlabelled)} {lacks}, so there is nothing to learn from.")
    missing = [name for name, share in zip(names, shares, strict=bool(names)) if not share]
    if missing:
        said.append(f"no training px is {', '.join(missing)}: the network cannot learn it from these data.")
    if sampler.unlabelled:
        said.append(f"no px of {some(sampler.unlabelled)} {lacks}: nothing is learned there.")
    if sampler.augment.color_transfer and len({scene for scene, _ in sampler.regions}) == 1:
        said.append("there is one training scene: augment.color_transfer finds no colors of others and does nothing.")
    return said
