"""Parts of an image that a network was trained on, by the pixels of the images that its card knows (no torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fctl_napari.imagery.fingerprint import SAMPLED, fingerprint
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.domain import SeenImage
from fctl_napari.model.model_card import Card
from fctl_napari.windows import IntWindow, Window
from fctl_napari.words import percent_of


@dataclass(frozen=True)
class Trained:
    """Part of an image that a network was trained on.

    Attributes
    ----------
    share : float or None
        Share of the image, or of a region of it, that it was trained on, 0..1. None if that is not known.
    corrected : bool
        If True, it was fine-tuned on corrections of the image.
    """

    share: float | None
    corrected: bool

    def words(self, name: str, part: str = "this image") -> str:
        """Return it as a sentence to be said beside figures.

        Parameters
        ----------
        name : str
            Name of the network.
        part : str, optional
            What was measured: ``"this image"``, ``"this region"``.

        Returns
        -------
        str
            The sentence.
        """
        said = []
        if self.share:
            said.append(f"trained on {part}" if self.share >= 1 else f"trained on {percent_of(self.share)} of {part}")
        if self.corrected:
            said.append("fine-tuned on corrections of this image")
        elif self.share is None:
            said.append("trained on parts of this image that are not known")
        if not said:
            return f"{name} was trained on other parts of this image, not on {part}."
        return f"{name} was {' and '.join(said)}: figures here flatter it."


def seen_images(card: Card) -> tuple[SeenImage, ...]:
    """List the images that a network was trained or fine-tuned on, as far as its card knows them by their pixels.

    Parameters
    ----------
    card : Card
        Model card.

    Returns
    -------
    tuple of SeenImage
        Images: of the card's facts, or else of its provenance.
    """
    if card.domain is not None:
        return card.domain.images
    found = []
    identities = {key: str(value) for key, value in card.provenance.get("data", {}).items()}
    regions = card.provenance.get("trained_on")
    for name, identity in identities.items():
        if identity.startswith(SAMPLED) and (regions is None or name in regions):
            own = None if regions is None else tuple(tuple(region) for region in regions[name])
            found.append(SeenImage(name=name, fingerprint=identity.rsplit("-", 1)[0], regions=own))
    learned = card.provenance.get("finetuning", {}).get("image")
    if learned is not None:
        found.append(SeenImage(name=learned["name"], fingerprint=learned["fingerprint"], corrected=True))
    return tuple(found)


@dataclass(frozen=True)
class LearnedRegions:
    """Corrected regions of an image that a network knows.

    Attributes
    ----------
    learned, held_out : tuple of IntWindow
        Boxes (y0, x0, y1, x1), px, that it learned from, and those that were held out from it.
    complete : bool
        False if it has learned from others that its card does not name, as cards of earlier versions do not.
    """

    learned: tuple[IntWindow, ...] = ()
    held_out: tuple[IntWindow, ...] = ()
    complete: bool = True


def learned_regions(card: Card, fingerprint: str) -> LearnedRegions:
    """List the corrected regions of an image that a network knows.

    Parameters
    ----------
    card : Card
        Model card of the network.
    fingerprint : str
        Fingerprint of the image.

    Returns
    -------
    LearnedRegions
        The regions.
    """
    own = [one for one in seen_images(card) if one.corrected and one.fingerprint == fingerprint]
    learned = dict.fromkeys(box for one in own for box in one.regions or ())
    held_out = dict.fromkeys(box for one in own for box in one.held_out if box not in learned)
    return LearnedRegions(tuple(learned), tuple(held_out), all(one.regions is not None for one in own))


def trained_on(
    card: Card, image: Pyramid | str, shape: tuple[int, int], region: IntWindow | None = None
) -> Trained | None:
    """Return what a network was trained on of an image.

    Parameters
    ----------
    card : Card
        Model card of the network.
    image : Pyramid or str
        Image, or its fingerprint.
    shape : tuple of 2 int
        (height, width) of the image, px.
    region : IntWindow or None, optional
        (y0, x0, y1, x1), px, that is measured. None takes the whole image.

    Returns
    -------
    Trained or None
        What is known. None if the card does not know the image.
    """
    known = image if isinstance(image, str) else fingerprint(image)
    own = [one for one in seen_images(card) if one.fingerprint == known]
    if not own:
        return None
    whole = Window(*(region or (0, 0, *shape)))
    regions = [one.regions for one in own if not one.corrected]
    share: float | None = None
    if regions and None not in regions:
        windows = dict.fromkeys(window for some in regions if some is not None for window in some)
        share = min(1.0, sum(_area(whole.intersect(one)) for one in windows) / max(1, _area(whole)))
    return Trained(share, any(one.corrected for one in own))


def _area(window: Window) -> int:
    return 0 if window.empty else math.prod(window.shape)
