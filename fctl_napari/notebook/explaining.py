"""Answers to "why this class here?" for the page of a notebook's viewer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps

from fctl_napari.api.maps import Map
from fctl_napari.api.running import shared_engine
from fctl_napari.exceptions import InputError
from fctl_napari.model.feature_ablation import Without
from fctl_napari.notebook.tiles import picture
from fctl_napari.segmentation.jobs.explanation import ExplainRequest, TileExplanation
from fctl_napari.segmentation.jobs.refining import image_of
from fctl_napari.segmentation.store.store import Segmentation

COLORS = "inferno"
"""matplotlib's map of colors of attention; its opacity grows with the attention, too."""


class PixelExplainer:
    """Explanations of pixels of a map, which its worker computes.

    Parameters
    ----------
    source : Map
        The map.
    """

    def __init__(self, source: Map) -> None:
        self._map = source

    def explain(self, y: float, x: float, without: str = "") -> TileExplanation:
        """Explain a pixel.

        Parameters
        ----------
        y, x : float
            The pixel.
        without : str, optional
            Part of the network that is left out in a second explanation: a context, ``"gpe"`` or ``"ale"``.

        Returns
        -------
        TileExplanation
            Attention, weights and probabilities.

        Raises
        ------
        FctlError
            The network is not at hand, the pixel lies outside, or there is no such part.
        """
        store = self._map.prediction.source
        assert isinstance(store, Segmentation)
        image, value_range, bands = image_of(store)
        height, width = store.shape
        if not (0 <= y < height and 0 <= x < width):
            raise InputError(f"pixel ({y:.0f}, {x:.0f}): lies outside the image; click inside it.")
        request = ExplainRequest(
            image,
            str(self._map.network().path),
            (y, x),
            overlap=store.facts["grid"].get("overlap"),
            exact_contexts=bool(store.settings.get("exact_contexts")),
            value_range=value_range,
            bands=bands,
            without=Without.named([without] if without else ()),
        )
        return shared_engine().explain(request).result()


def to_page(explained: TileExplanation) -> tuple[dict[str, Any], list[bytes]]:
    """Return what the page shows of an explanation.

    Parameters
    ----------
    explained : TileExplanation
        The explanation.

    Returns
    -------
    facts : dict of str to object
        Pixel, classes with their probabilities, contexts with weight and place of their attention.
    pictures : list of bytes
        The attention over each context, as PNG.
    """
    names, other = explained.class_table.names, explained.without
    classes = [
        {
            "name": name,
            "probability": float(explained.probabilities[k]),
            "without": None if other is None else float(other.probabilities[k]),
        }
        for k, name in enumerate(names)
    ]
    contexts, pictures = [], []
    for context in explained.contexts:
        strength = context.combined / max(float(context.combined.max()), 1e-12)
        colors = (colormaps[COLORS](strength) * 255).round().astype(np.uint8)
        colors[..., 3] = (255 * np.sqrt(strength)).round()
        pictures.append(picture(colors, "PNG").data)
        contexts.append(
            {
                "name": context.name,
                "weight": float(context.weight.mean()),
                "gate": float(context.gate),
                "window": [float(side) for side in context.footprint],
            }
        )
    facts = {"pixel": list(explained.pixel), "classes": classes, "contexts": contexts, "tile": list(explained.tile)}
    return facts, pictures
