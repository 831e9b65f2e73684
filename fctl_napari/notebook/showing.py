"""Viewer in a notebook cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fctl_napari.api.image import Image
from fctl_napari.api.maps import OPACITY, Map
from fctl_napari.api.opening import ImageLike, open
from fctl_napari.correcting.final_map import FinalMap
from fctl_napari.evaluation.open_ground_truth import open_ground_truth_of
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.ground_size import ground_size
from fctl_napari.imagery.ground_words import axis_names, crs_name
from fctl_napari.map_report.picture import coarse_labels
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import require_region

if TYPE_CHECKING:
    from fctl_napari.notebook.layers import ViewerLayer
    from fctl_napari.notebook.viewer import Viewer

LEAST_HEIGHT, MOST_HEIGHT = 120, 10_000
"""Heights that a viewer may have, screen px."""

LEGEND_SIDE = 1024
"""Longest side of the picture in which the shares of the legend are counted, px."""


def show(
    image: ImageLike | Map,
    *maps: Map | Path | str,
    ground_truth: Path | str | None = None,
    height: int = 520,
    view: tuple[int, int, int, int] | None = None,
) -> Viewer:
    """Show an image with its maps in a notebook cell, to be looked at by panning and zooming.

    Tiles of what is in view are read when they are wanted, so that images of any size do. What was clicked and what is
    in view stand in the traits ``clicked`` and ``view`` of the viewer.

    Parameters
    ----------
    image : Image, Map, str, Path or array
        The image; or a map, which is shown over its image.
    *maps : Map, Path or str
        Maps of the image, the lowest first. The uppermost one is corrected, asked about, reviewed and learned from.
        Where it differs from the one below it is a layer, too.
    ground_truth : Path, str or None, optional
        Ground truth: it and the errors of the uppermost map are layers, too.
    height : int, optional
        Height of the viewer, screen px.
    view : tuple of 4 int or None, optional
        (y0, x0, y1, x1) px in view at first. None is the whole image.

    Returns
    -------
    Viewer
        The viewer, which a cell shows whose last value it is.

    Raises
    ------
    InputError
        The image is missing, a map is of another size, height or view are no such, or the notebook's widgets are not
        installed.
    """
    try:
        from fctl_napari.notebook.viewed_map import ViewedMap
        from fctl_napari.notebook.viewer import Viewer
    except ImportError as error:
        raise InputError(
            f"{error.name}: is not installed, and the viewer needs it; pip install 'fctl-napari[notebook]'."
        ) from None
    if not LEAST_HEIGHT <= height <= MOST_HEIGHT:
        raise InputError(f"the height {height}: is not {LEAST_HEIGHT} to {MOST_HEIGHT} px; choose one of these.")
    found = image if isinstance(image, Map) else open(image)
    over = [each if isinstance(each, Map) else Map(each) for each in maps]
    if isinstance(found, Map):
        over = [found, *over]
    elif not isinstance(found, Image):
        raise InputError(f"{found.path}: is no image; give the image that it is of.")
    below = over[0].image if isinstance(found, Map) else found
    layers = [] if below is None else [_image_layer(below)]
    shape = below.shape if below is not None else over[0].shape
    for number, each in enumerate(over):
        if each.shape != shape:
            raise InputError(f"{each.path}: is of an image of {each.shape} px, and this one has {shape}; leave it out.")
        layers += _map_layers(each, str(number), visible=number == len(over) - 1)
    if len(over) > 1:
        layers += _changed_layers(over[-2], over[-1].source, "")
    if ground_truth is not None:
        if not over:
            raise InputError(f"{ground_truth}: is the ground truth of a map; give a map, too.")
        layers += _ground_truth_layers(over[-1], Path(ground_truth))
    if view is not None:
        require_region(view, shape, "the view")
    viewed, reason = None, "there is no map; show one."
    if over:
        try:
            viewed = ViewedMap.of(over[-1], below)
        except InputError as error:
            reason = str(error)

    def layers_after(result: Segmentation) -> list[ViewerLayer]:
        after = Map(result.path, raw=True)
        found = _map_layers(after, "after", visible=True)[-1:]
        return [*found, *_changed_layers(over[-1].prediction, after.source, "-after")]

    return Viewer(
        layers,
        viewed,
        ground_truth=None if ground_truth is None else Path(ground_truth),
        layers_after=layers_after,
        reason="" if viewed is not None else reason,
        legend=_legend(over[-1]) if over else [],
        height=height,
        view=[int(side) for side in view or ()],
        pixel=_pixel(below),
        location=_location(below),
    )


def _image_layer(image: Image) -> ViewerLayer:
    from fctl_napari.notebook.layers import ViewerLayer
    from fctl_napari.notebook.tiles import ImageTiles

    image.pyramid.require_rgb()
    return ViewerLayer("image", image.name, "image", ImageTiles(image.pyramid), image.shape)


def _map_layers(each: Map, number: str, *, visible: bool) -> list[ViewerLayer]:
    """Return the layers of a map: its maps of values, which are hidden at first, and above them its classes."""
    from fctl_napari.notebook.layers import ViewerLayer
    from fctl_napari.notebook.map_tiles import MapTiles, levels_of
    from fctl_napari.notebook.tiles import LabelTiles, shade_palette

    store = each.source.segmentation if isinstance(each.source, FinalMap) else each.source
    levels = levels_of(store)
    name = f"{each.path.name.removesuffix('.ome.zarr').removesuffix('.fctl')}"
    found = []
    for key, values in {"confidence": store.confidence, **store.maps}.items():
        shades = LabelTiles(values, levels, shade_palette("viridis" if key == "confidence" else "magma"))
        found.append(ViewerLayer(f"{key}-{number}", f"{key} of {name}", "values", shades, each.shape, visible=False))
    tiles = MapTiles(each)
    found.append(ViewerLayer(f"map-{number}", name, "classes", tiles, each.shape, visible=visible, opacity=OPACITY))
    return found


def _changed_layers(before: Map, after: Segmentation | FinalMap, ending: str) -> list[ViewerLayer]:
    """Return the layer of the px that two maps call otherwise, if their classes are the same."""
    from fctl_napari.notebook.changed_tiles import ChangedTiles
    from fctl_napari.notebook.layers import ViewerLayer
    from fctl_napari.notebook.map_tiles import levels_of

    if before.classes.names != after.class_table.names:
        return []
    pairs = [(each.labels, levels_of(each)) for each in (before.source, after)]
    tiles = ChangedTiles(pairs[0], pairs[1], [info.color for info in before.classes.scored])
    return [ViewerLayer(f"changed{ending}", "changed px", "classes", tiles, before.shape, visible=False)]


def _ground_truth_layers(each: Map, path: Path) -> list[ViewerLayer]:
    """Return the layers of a ground truth and of the px that a map gets wrong, in the color of what is true there."""
    from fctl_napari.notebook.ground_truth_tiles import ErrorTiles, GroundTruthTiles
    from fctl_napari.notebook.layers import ViewerLayer
    from fctl_napari.notebook.map_tiles import levels_of

    opened, _ = open_ground_truth_of(each.source, path, None)
    colors = [info.color for info in each.classes.scored]
    there = GroundTruthTiles(opened, each.source, colors)
    wrong = ErrorTiles(opened, each.source, colors, levels_of(each.source))
    return [
        ViewerLayer("truth", path.name, "classes", there, each.shape, visible=False, opacity=OPACITY),
        ViewerLayer("errors", "errors: what is true there", "classes", wrong, each.shape, visible=False),
    ]


def _legend(each: Map) -> list[dict[str, Any]]:
    """Return the classes of a map with their shares of what is classified."""
    counts = np.bincount(coarse_labels(each.source, LEGEND_SIDE).ravel(), minlength=256)
    classes = list(each.classes.scored)
    total = max(1, int(counts[1 : len(classes) + 1].sum()))
    return [
        {"name": info.name, "color": list(info.color), "note": f"{100 * counts[k] / total:.1f} %"}
        for k, info in enumerate(classes, 1)
    ]


def _pixel(image: Image | None) -> dict[str, Any] | None:
    """Return the size of a px on the ground, or None if it is not known."""
    size = None if image is None else ground_size(image.pyramid)
    return None if size is None else {"size": size, "unit": "m"}


def _location(image: Image | None) -> dict[str, Any] | None:
    """Return what turns px into coordinates, or None if the image has no place on the ground."""
    found = None if image is None else image.pyramid.georeference
    axes = None if found is None else axis_names(found.crs)
    if found is None or axes is None:
        return None
    digits = 5 if max(found.pixel_size) < 0.01 else 2
    return {"transform": list(found.transform), "axes": list(axes), "crs": crs_name(found.crs), "digits": digits}
