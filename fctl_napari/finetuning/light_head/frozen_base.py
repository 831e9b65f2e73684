"""The frozen network that a light head stands on, kept for the next head of the same image."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from fctl_napari.exceptions import ConfigError
from fctl_napari.finetuning.light_head.request import HeadRequest
from fctl_napari.finetuning.light_network import light_network
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.checkpoint import load_checkpoint, round_as_stored
from fctl_napari.model.domain import Domain
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.light_decoder import LightDecoder
from fctl_napari.model.model_card import checkpoint_hash, resolve_checkpoint
from fctl_napari.segmentation.inference.light_predictor import LightPredictor
from fctl_napari.training.data import Scene
from fctl_napari.training.domain_facts import measure_domain


@dataclass(frozen=True, eq=False)
class FrozenBase:
    """Network with a light decoder to be learned, and the image that it is learned on.

    Attributes
    ----------
    model : FCtL
        The network in float32, whose decoder is to be replaced.
    predictor : LightPredictor
        Predictor of the same network, which computes the features.
    image : Pyramid
        The image as the network reads it.
    domain : Domain
        What the network knows of the image.
    """

    model: FCtL
    predictor: LightPredictor
    image: Pyramid
    domain: Domain

    @property
    def decoder(self) -> LightDecoder:
        """The decoder of the network."""
        decoder = self.model.decoder
        assert isinstance(decoder, LightDecoder)
        return decoder


_kept: dict[tuple[Hashable, ...], FrozenBase] = {}
"""The last one, while no head is learned on it."""


def take_base(request: HeadRequest, image: Pyramid, classes: int) -> FrozenBase:
    """Take the network that was kept, or load it.

    Whoever takes it gives it back with :func:`keep_base`.

    Parameters
    ----------
    request : HeadRequest
        Settings of the head.
    image : Pyramid
        The image, opened.
    classes : int
        Number of classes.

    Returns
    -------
    FrozenBase
        The network.

    Raises
    ------
    CheckpointError
        The checkpoint cannot be used.
    ConfigError
        The network is no FCtL, or there is no such device.
    InputError
        The image is damaged.
    """
    found = _kept.pop(_key(request, classes), None)
    if found is not None:
        return found
    parent, _ = load_checkpoint(resolve_checkpoint(request.checkpoint))
    try:
        model = light_network(parent, classes, request.decoder, contexts=request.contexts)
    except ConfigError as error:
        raise ConfigError(f"{request.checkpoint}: {error}") from error
    round_as_stored(model)
    options: dict[str, Any] = {
        "device": request.device,
        "precision": request.precision,
        "exact_contexts": request.exact_contexts,
    }
    # a copy, as a predictor may round the weights, and those of the new checkpoint are the parent's
    predictor = LightPredictor(copy.deepcopy(model), **options)
    name = PurePath(image.path or image.name).name
    scene = Scene(name, image, np.zeros((1, 1), np.uint8), ((0, 0, *image.shape),), (), ())
    return FrozenBase(model, predictor, image, measure_domain([scene], model.config))


def keep_base(request: HeadRequest, base: FrozenBase) -> None:
    """Keep a network for the next head, in place of the one that is kept.

    Parameters
    ----------
    request : HeadRequest
        Settings of the head that was learned on it.
    base : FrozenBase
        The network.
    """
    for earlier in _kept.values():
        earlier.predictor.close()
    _kept.clear()
    if is_url(request.image):
        base.predictor.close()  # nobody knows if the image is still the same then
    else:
        _kept[_key(request, base.model.config.classes)] = base


def open_of(request: HeadRequest) -> Pyramid:
    """Open the image of a head, unless it is open already.

    Parameters
    ----------
    request : HeadRequest
        Settings of the head.

    Returns
    -------
    Pyramid
        The image.

    Raises
    ------
    InputError
        It is missing or damaged.
    """
    if not is_url(request.image):
        wanted = _image_key(request)
        for (image, *_), base in _kept.items():
            if image == wanted:
                return base.image
    return open_image(request.image, value_range=request.value_range, bands=request.bands)


def _image_key(request: HeadRequest) -> Hashable:
    file = image_file(Path(request.image))
    modified = file.stat().st_mtime_ns if file.exists() else None
    return request.image, modified, repr(request.value_range), repr(request.bands)


def _key(request: HeadRequest, classes: int) -> tuple[Hashable, ...]:
    """Return all on which the network depends."""
    parent = checkpoint_hash(resolve_checkpoint(request.checkpoint))
    settings = request.decoder, request.contexts, request.device, request.precision, request.exact_contexts
    return _image_key(request), parent, classes, *settings
