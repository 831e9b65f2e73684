"""Viewer in a notebook cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fctl_napari.api.checked import AnyWindow, checked
from fctl_napari.api.checkpoints import CheckpointLike, load_checkpoint
from fctl_napari.api.image import Image
from fctl_napari.api.maps import Map
from fctl_napari.api.opening import ImageLike, open
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.geodesy.ground_size import ground_size
from fctl_napari.imagery.geodesy.ground_words import axis_names, crs_name
from fctl_napari.windows import require_region

if TYPE_CHECKING:
    from fctl_napari.notebook.viewer import Viewer

LEAST_HEIGHT, MOST_HEIGHT = 120, 10_000
"""Heights that a viewer may have, screen px."""


@checked
def show(
    image: ImageLike | Map,
    *maps: Map | Path | str,
    ground_truth: Path | str | None = None,
    checkpoint: CheckpointLike | None = None,
    height: int = 520,
    view: AnyWindow | None = None,
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
    checkpoint : Checkpoint, str, Path or None, optional
        Network of the uppermost map. None finds it among the built-in ones and beside the map and its image.
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
        from fctl_napari.notebook.map_layers import (
            changed_layers,
            ground_truth_layers,
            image_layer,
            legend_of,
            map_layers,
        )
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
    layers = [] if below is None else [image_layer(below)]
    shape = below.shape if below is not None else over[0].shape
    for number, each in enumerate(over):
        if each.shape != shape:
            raise InputError(f"{each.path}: is of an image of {each.shape} px, and this one has {shape}; leave it out.")
        layers += map_layers(each, str(number), visible=number == len(over) - 1)
    if len(over) > 1:
        layers += changed_layers(over[-2], over[-1])
    if ground_truth is not None:
        if not over:
            raise InputError(f"{ground_truth}: is the ground truth of a map; give a map, too.")
        layers += ground_truth_layers(over[-1], Path(ground_truth))
    if view is not None:
        require_region(view, shape, "the view")
    viewed, reason = None, "there is no map; show one."
    if over:
        try:
            network = None if checkpoint is None else load_checkpoint(checkpoint)
            viewed = ViewedMap.of(over[-1], below, network)
        except InputError as error:
            reason = str(error)

    return Viewer(
        layers,
        viewed,
        ground_truth=None if ground_truth is None else Path(ground_truth),
        reason="" if viewed is not None else reason,
        legend=legend_of(over[-1]) if over else [],
        height=height,
        view=[int(side) for side in view or ()],
        pixel=_pixel(below),
        location=_location(below),
    )


def _pixel(image: Image | None) -> dict[str, Any] | None:
    """Return the size of a px on the ground, or None if it is not known."""
    size = None if image is None else ground_size(image.pyramid)
    return None if size is None else {"size": size, "unit": "m"}


def _location(image: Image | None) -> dict[str, Any] | None:
    """Return what turns px into coordinates, or None if the image has no place on the ground."""
    found = None if image is None else image.pyramid.georeference
    if found is None:
        return None
    digits = 5 if max(found.pixel_size) < 0.01 else 2
    return {
        "transform": list(found.transform),
        "axes": list(axis_names(found.crs)),
        "crs": crs_name(found.crs),
        "digits": digits,
    }
