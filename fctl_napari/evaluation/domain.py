"""Comparison of an image, and of a result, with the data that a network was trained on (no torch)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.trained_on import Trained, seen_images, trained_on
from fctl_napari.exceptions import CheckpointError, InputError
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.geodesy.ground_size import ground_sides, ground_size, length_words
from fctl_napari.imagery.image_colors import color_cells, sample_colors, unseen_share
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.domain import Domain
from fctl_napari.model.model_card import Card, read_card
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.segmentation.store.identity import open_image_of
from fctl_napari.segmentation.store.made_by import checkpoint_of
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow
from fctl_napari.words import count_of, percent_of

FAR_SIZE = 3.0
"""Factor between px sizes from which on they are far apart."""

STRETCHED = 1.1
"""Factor between height and width of a px above which what an image shows is stretched."""

FAR_COLORS = 0.25
"""Share of an image with other colors than the training data from which on it is far from them."""

FAR_CONFIDENCE = 0.05
"""Distance of a result's mean confidence below that of an unsure tile of the training data, from which on it is far."""

FEWEST_CELLS = 4
"""Least number of cells that are done of a result whose confidence is compared."""

NEAR_COLORS = 0.02
"""Share of an image with other colors than the training data up to which it is like them, if colors alone are known."""

CONFIDENCE_PX = 2**20
"""Largest level of a result's confidence that is read, px."""

MOST_NAMES = 6
"""Largest number of images that are named."""

_cells: WeakKeyDictionary[Pyramid, dict[tuple[object, ...], NDArray[np.float64]]] = WeakKeyDictionary()
# An image is compared with several networks, most of which read the same bands.


def out_of_domain(image: Pyramid, card: Card, result: Segmentation | None = None) -> str | None:
    """Compare an image, and a result if there is one, with the data that a network was trained on.

    A bounded number of px is read: blocks of the image, a coarse level of the result's confidence.

    Parameters
    ----------
    image : Pyramid
        Image.
    card : Card
        Model card of the network.
    result : Segmentation or None, optional
        Result of the network on the image, perhaps not complete.

    Returns
    -------
    str or None
        One sentence with the facts that are far apart. None if there is none, or the card has no facts.
    """
    found = [*image_differences(image, card), *([] if result is None else result_differences(result, card))]
    return _sentence(image.path or image.name, card, found)


def _sentence(path: str, card: Card, found: list[str]) -> str | None:
    if not found:
        return None
    return (
        f"{path}: is unlike the data that {card.name} was trained on: {'; '.join(found)}; expect wrong classes, or "
        "choose a checkpoint that fits, or fine-tune this one."
    )


def image_differences(image: Pyramid, card: Card) -> list[str]:
    """List in words how an image is far from the data that a network was trained on.

    Parameters
    ----------
    image : Pyramid
        Image.
    card : Card
        Model card of the network.

    Returns
    -------
    list of str
        Facts with numbers. Empty if none is far apart, or the card has no facts.
    """
    domain = card.domain
    if domain is None:
        return []
    found = []
    size = ground_size(image)
    if card.config.onnx is not None and domain.pixel_size is not None:  # which images are resampled to
        sides = ground_sides(image)
        if sides is None:
            found.append(f"its px size is not known, so it is not resampled to their {_sizes(domain.pixel_size)}")
        elif max(sides) > STRETCHED * min(sides):
            high, wide = map(length_words, sides)
            found.append(f"its px are {high} high and {wide} wide on the ground, and the network sees them as squares")
    elif size is not None and domain.pixel_size is not None and size_factor(size, domain.pixel_size) >= FAR_SIZE:
        found.append(f"its px are {length_words(size)}, theirs {_sizes(domain.pixel_size)}")
    unseen = unseen_colors(image, card)
    if unseen is not None and unseen >= _far_colors(domain):
        assert domain.colors is not None
        found.append(
            f"{percent_of(unseen)} of it has colors that they lack ({percent_of(domain.colors.usual)} is usual)"
        )
    return found


def result_differences(result: Segmentation, card: Card) -> list[str]:
    """List in words how the confidence of a result is far from that on data that the network knows.

    Parameters
    ----------
    result : Segmentation
        Result of the network, perhaps not complete.
    card : Card
        Model card of the network.

    Returns
    -------
    list of str
        A fact with numbers. Empty if it is not far, hardly anything is done yet, or the card has no such fact.
    """
    known = None if card.domain is None else card.domain.confidence
    if result.done().sum() < FEWEST_CELLS:
        return []
    mean = None if known is None else mean_confidence(result)
    if known is None or mean is None or mean > known.low - FAR_CONFIDENCE:
        return []
    return [f"the mean confidence is {mean:.2f}, on {known.where} {known.mean:.2f}"]


def size_factor(size: float, known: tuple[float, float]) -> float:
    """Compare a px size with those of training data.

    Parameters
    ----------
    size : float
        Side of a px, m.
    known : tuple of 2 float
        (smallest, largest) of the training data, m.

    Returns
    -------
    float
        How many times larger or smaller it is than the nearest known size, 1 and more.
    """
    low, high = known
    return max(low / size, size / high, 1.0)


def unseen_colors(image: Pyramid, card: Card) -> float | None:
    """Measure the share of an image whose colors are not among those of a network's training data.

    Parameters
    ----------
    image : Pyramid
        Image.
    card : Card
        Model card of the network.

    Returns
    -------
    float or None
        Share of its px, 0..1, as far as a sample shows. None if the card does not state colors, or the network cannot
        read the image.
    """
    if card.domain is None or card.domain.colors is None:
        return None
    side = card.domain.colors.side
    cells = image_cells(image, card.config, side)
    known = np.array(card.domain.colors.cells, np.float64)
    if cells is None or not len(cells) or known.ndim != 2 or known.shape[1] != cells.shape[1]:
        return None
    return unseen_share(cells, known, side)


def image_cells(image: Pyramid, config: FCtLConfig, side: int) -> NDArray[np.float64] | None:
    """Measure the colors of an image as a network reads it, once.

    Parameters
    ----------
    image : Pyramid
        Image.
    config : FCtLConfig
        Settings of the network.
    side : int
        Side of a cell of color space, levels.

    Returns
    -------
    ndarray of float64 [cells, channels + 1] or None
        See :func:`color_cells`. None if the image cannot be read as the network does, or not at all.
    """
    known = _cells.setdefault(image, {})
    key = side, *((band.name, band.value_range) for band in config.bands)
    if key not in known:
        try:
            known[key] = color_cells(sample_colors(network_image(image, config)), side)
        except InputError:  # who segments the image is told
            return None
    return known[key]


def mean_confidence(result: Segmentation) -> float | None:
    """Compute the mean confidence of a result, on a level of bounded size.

    Parameters
    ----------
    result : Segmentation
        Result, perhaps not complete.

    Returns
    -------
    float or None
        Mean over the px that are computed, 0..1. None if there are none.
    """
    shapes = [level.shape for level in result.confidence.levels]
    level = next((k for k, shape in enumerate(shapes) if math.prod(shape) <= CONFIDENCE_PX), len(shapes) - 1)
    height, width = shapes[level]
    values = result.confidence.read((0, 0, height, width), level)
    counts = np.bincount(values.ravel(), minlength=256)[1:]
    return float(counts @ np.arange(1, 256) / (255 * counts.sum())) if counts.any() else None


def fitting_checkpoint(image: Pyramid, cards: Mapping[str, Card]) -> str | None:
    """Choose the network that fits an image best, by the facts of its training data.

    Parameters
    ----------
    image : Pyramid
        Image.
    cards : mapping of str to Card
        Model cards by any names.

    Returns
    -------
    str or None
        Name of a network that knows data like the image: that was trained on it, else the one whose px are nearest in
        size, else in colors. None if none does.
    """
    fitting = {}
    for name, card in cards.items():
        unseen, seen = unseen_colors(image, card), _is_seen(image, card)
        if card.domain is None or unseen is None or (image_differences(image, card) and not seen):
            continue
        size, known = ground_size(image), card.domain.pixel_size
        factor = None if size is None or known is None else size_factor(size, known)
        usual = card.domain.colors.usual if card.domain.colors is not None else 0.0
        if not seen and factor is None and unseen > max(NEAR_COLORS, 2 * usual):
            continue  # colors alone have to be those of its data, not just not far from them
        fitting[name] = (not seen, factor is None, round(math.log2(factor or 1.0)), unseen)
    return min(fitting, key=lambda name: fitting[name], default=None)


def _is_seen(image: Pyramid, card: Card) -> bool:
    try:
        return any(one.fingerprint == fingerprint(image) for one in seen_images(card))
    except InputError:
        return False


@dataclass(frozen=True)
class ResultDomain:
    """Relation of a result to the data that its network was trained on.

    Attributes
    ----------
    name : str
        Name of the network.
    trained : Trained or None
        What it was trained on of the image. None if it was not, or that is not known.
    warning : str or None
        Sentence of :func:`out_of_domain`.
    """

    name: str
    trained: Trained | None
    warning: str | None


def domain_of_result(
    result: Segmentation, checkpoint: Path | None = None, region: IntWindow | None = None
) -> ResultDomain:
    """Compare a result and its image with the data that its network was trained on, as far as they are at hand.

    Parameters
    ----------
    result : Segmentation
        Result.
    checkpoint : Path or None, optional
        Checkpoint that made it. None looks for it, see :func:`checkpoint_of`.
    region : IntWindow or None, optional
        (y0, x0, y1, x1), px, that is measured. None takes the whole image.

    Returns
    -------
    ResultDomain
        What is known.
    """
    name = str(result.facts["checkpoint"]["name"])
    try:
        path = checkpoint_of(result, checkpoint)
        card = None if path is None else read_card(path)
    except CheckpointError:  # context reliance needs it, and says so
        card = None
    if card is None:
        return ResultDomain(name, None, None)
    settings = result.settings
    try:
        image = open_image_of(
            result.facts["image"], result.path, value_range=settings.get("value_range"), bands=settings.get("bands")
        )
    except InputError:
        known = result.facts["image"]["fingerprint"]
        trained = None if known is None else trained_on(card, known, result.shape, region)
        return ResultDomain(name, trained, _sentence(str(result.path), card, result_differences(result, card)))
    return ResultDomain(name, trained_on(card, image, result.shape, region), out_of_domain(image, card, result))


# -- words -------------------------------------------------------------------------------------------------------------


def domain_facts(card: Card) -> dict[str, str]:
    """Return the facts of a network's training data in words.

    Parameters
    ----------
    card : Card
        Model card.

    Returns
    -------
    dict of str to str
        Words by names. Empty if the card has no facts.
    """
    images, domain = seen_images(card), card.domain or Domain()
    facts = {}
    if images:
        names = list(dict.fromkeys(one.name for one in images))
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        facts["trained on"] = ", ".join(names[:MOST_NAMES]) + more
    if domain.pixel_size is not None:
        facts["their px"] = _sizes(domain.pixel_size)
    if domain.colors is not None:
        usual = percent_of(domain.colors.usual)
        facts["their colors"] = (
            f"{count_of(len(domain.colors.cells), 'color')}; {usual} of an image like those has others"
        )
    if domain.confidence is not None:
        known = domain.confidence
        facts["confidence"] = f"{known.mean:.2f} on {known.where}; below {known.low:.2f} in a tenth of the tiles"
    if domain.notes:
        facts["note"] = " ".join(domain.notes)
    return facts


def _far_colors(domain: Domain) -> float:
    return max(FAR_COLORS, 2 * domain.colors.usual) if domain.colors is not None else 1.0


def _sizes(sizes: tuple[float, float]) -> str:
    low, high = (length_words(size) for size in sizes)
    return low if low == high else f"{low} to {high}"
