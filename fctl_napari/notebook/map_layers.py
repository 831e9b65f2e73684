"""Layers of images, maps and ground truths for the viewer in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fctl_napari.api import html
from fctl_napari.api.image import Image
from fctl_napari.api.maps import OPACITY, Map
from fctl_napari.correcting.final_map import FinalMap
from fctl_napari.evaluation.open_ground_truth import open_ground_truth_of
from fctl_napari.exceptions import InputError
from fctl_napari.map_report.picture import coarse_labels
from fctl_napari.notebook.changed_tiles import ChangedTiles
from fctl_napari.notebook.ground_truth_tiles import ErrorTiles, GroundTruthTiles
from fctl_napari.notebook.layers import ViewerLayer
from fctl_napari.notebook.map_tiles import MapTiles, levels_of
from fctl_napari.notebook.tiles import ImageTiles, LabelTiles, shade_palette


def image_layer(image: Image) -> ViewerLayer:
    """Return the layer of an image.

    Parameters
    ----------
    image : Image
        The image.

    Returns
    -------
    ViewerLayer
        Its layer.

    Raises
    ------
    InputError
        It is not known which of its bands are shown, or which of its values are black and white.
    """
    try:
        image.pyramid.require_rgb()
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; open it so with fctl.open, and show that.") from None
    return ViewerLayer("image", image.name, "image", ImageTiles(image.pyramid), image.shape)


def map_layers(each: Map, ending: str, *, visible: bool) -> list[ViewerLayer]:
    """Return the layers of a map: its maps of values, which are hidden at first, and above them its classes.

    Parameters
    ----------
    each : Map
        The map.
    ending : str
        End of the layers' ids.
    visible : bool
        If True, its classes are shown.

    Returns
    -------
    list of ViewerLayer
        The layers, the lowest first.
    """
    store = each.source.segmentation if isinstance(each.source, FinalMap) else each.source
    levels = levels_of(store)
    name = f"{each.path.name.removesuffix('.ome.zarr').removesuffix('.fctl')}"
    found = []
    for key, values in {"confidence": store.confidence, **store.maps}.items():
        shades = LabelTiles(values, levels, shade_palette("viridis" if key == "confidence" else "magma"))
        found.append(ViewerLayer(f"{key}-{ending}", f"{key} of {name}", "values", shades, each.shape, visible=False))
    tiles = MapTiles(each)
    found.append(ViewerLayer(f"map-{ending}", name, "classes", tiles, each.shape, visible=visible, opacity=OPACITY))
    return found


def changed_layers(before: Map, after: Map, ending: str = "") -> list[ViewerLayer]:
    """Return the layer of the px that two maps call otherwise, which is hidden at first.

    Parameters
    ----------
    before, after : Map
        Both maps.
    ending : str, optional
        End of the layer's id.

    Returns
    -------
    list of ViewerLayer
        The layer, or nothing if their classes are not the same.
    """
    if before.classes.names != after.classes.names:
        return []
    pairs = [(each.labels, levels_of(each)) for each in (before.source, after.source)]
    tiles = ChangedTiles(pairs[0], pairs[1], [info.color for info in before.classes.scored])
    return [ViewerLayer(f"changed{ending}", "changed px", "classes", tiles, before.shape, visible=False)]


def ground_truth_layers(each: Map, path: Path) -> list[ViewerLayer]:
    """Return the layers of a ground truth and of the px that a map gets wrong, in the color of what is true there.

    Parameters
    ----------
    each : Map
        The map.
    path : Path
        The ground truth.

    Returns
    -------
    list of ViewerLayer
        Both layers, which are hidden at first.

    Raises
    ------
    InputError
        The ground truth is missing, damaged, of another size or of other classes.
    """
    opened, _ = open_ground_truth_of(each.source, path, None)
    colors = [info.color for info in each.classes.scored]
    there = GroundTruthTiles(opened, each.source, colors)
    wrong = ErrorTiles(opened, each.source, colors, levels_of(each.source))
    return [
        ViewerLayer("truth", path.name, "classes", there, each.shape, visible=False, opacity=OPACITY),
        ViewerLayer("errors", "errors: what is true there", "classes", wrong, each.shape, visible=False),
    ]


def legend_of(each: Map) -> list[dict[str, Any]]:
    """Return the classes of a map with their shares of what is classified.

    Parameters
    ----------
    each : Map
        The map.

    Returns
    -------
    list of dict of str to object
        ``name``, ``color`` and ``note`` of each class.
    """
    counts = np.bincount(coarse_labels(each.source, html.SIDE).ravel(), minlength=256)
    classes = list(each.classes.scored)
    total = max(1, int(counts[1 : len(classes) + 1].sum()))
    return [
        {"name": info.name, "color": list(info.color), "note": f"{100 * counts[k] / total:.1f} %"}
        for k, info in enumerate(classes, 1)
    ]
