"""Answers to "why this class here?" for the page of a notebook's viewer."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from matplotlib import colormaps

from fctl_napari.api.running import shared_engine
from fctl_napari.exceptions import ConfigError, InputError
from fctl_napari.model.classes import shown_classes
from fctl_napari.model.feature_ablation import Without
from fctl_napari.notebook.tiles import class_palette, picture
from fctl_napari.notebook.viewed_map import ViewedMap
from fctl_napari.segmentation.jobs.explanation import ExplainRequest, TileExplanation

COLORS = "inferno"
"""matplotlib's map of colors of attention; its opacity grows with the attention, too."""


class PixelExplainer:
    """Explanations of pixels of a map, which its worker computes.

    Parameters
    ----------
    viewed : ViewedMap
        The map.
    """

    def __init__(self, viewed: ViewedMap) -> None:
        self._viewed = viewed

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
        height, width = self._viewed.store.shape
        if not (0 <= y < height and 0 <= x < width):
            raise InputError(f"pixel ({y:.0f}, {x:.0f}): lies outside the image; click inside it.")
        left_out = Without.named([without] if without else ())
        request = ExplainRequest(pixel=(y, x), without=left_out, **self._viewed.settings())
        return shared_engine().explain(request).result()

    def parts(self) -> list[str]:
        """List the parts that can be left out.

        Returns
        -------
        list of str
            Contexts, ``"gpe"`` and ``"ale"``, as far as the network has them.

        Raises
        ------
        CheckpointError
            The network is not at hand.
        """
        config = self._viewed.network().card.config
        found = []
        for name in (*(context.name for context in config.contexts), "gpe", "ale"):
            with suppress(ConfigError):
                Without.named([name]).check(config)
                found.append(name)
        return found


def to_page(explained: TileExplanation) -> tuple[dict[str, Any], list[bytes]]:
    """Return what the page shows of an explanation.

    Parameters
    ----------
    explained : TileExplanation
        The explanation.

    Returns
    -------
    facts : dict of str to object
        Pixel, tile, classes with their probabilities, contexts with weight and place of their attention; and the share
        of the tile's px that have another class without the part that is left out, or None.
    pictures : list of bytes
        The attention over each context, as PNG. Then, if a part is left out, the px of the tile that have another class
        without it, in the color of that class.
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
    changed = None
    if other is not None:
        differs = other.labels != explained.labels
        changed = float(differs.mean())
        palette = class_palette([info.color for info in shown_classes(explained.class_table).scored])
        pictures.append(picture(palette[np.where(differs, other.labels, 0)], "PNG").data)
    facts = {
        "pixel": list(explained.pixel),
        "tile": list(explained.tile),
        "classes": classes,
        "contexts": contexts,
        "changed": changed,
    }
    return facts, pictures
