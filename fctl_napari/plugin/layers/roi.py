"""Region of an image that a widget works on: the part in view, a drawn rectangle, or the whole image."""

from __future__ import annotations

import napari
from napari.layers import Image, Shapes

from fctl_napari.exceptions import InputError
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY
from fctl_napari.plugin.layers.viewport import drawn_region, view_region
from fctl_napari.windows import IntWindow

VIEW, DRAWN, WHOLE = "View", "Drawn region", "Whole image"

REGION_NAME = "FCtL region"

DRAW_TIP = "Draw a rectangle over the image. The selected one counts, else the last."


def start_drawing(viewer: napari.Viewer, image: Image | None) -> None:
    """Let the user draw a rectangle, in the shapes layer that counts or in a new one over the image.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image or None
        Image layer over which a new layer is placed, or None.
    """
    shapes = region_layer(viewer)
    if shapes is None:
        scale = image.scale[-2:] if image is not None else (1.0, 1.0)
        placement = {} if image is None else {"scale": scale, "units": image.units[-2:]}
        shapes = viewer.add_shapes(
            ndim=2,
            name=REGION_NAME,
            edge_color="yellow",
            face_color=[1, 1, 0, 0.05],
            edge_width=3 / (viewer.scene.camera.zoom * max(scale)),  # three px on the screen at the present zoom
            **placement,
        )
    viewer.layers.selection.active = shapes
    shapes.mode = "add_rectangle"


def region_layer(viewer: napari.Viewer) -> Shapes | None:
    """Return the shapes layer that counts: the active one, else ours, else the topmost.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.

    Returns
    -------
    Shapes or None
        The layer, or None if there is none.
    """
    active = viewer.layers.selection.active
    found = [layer for layer in viewer.layers if isinstance(layer, Shapes) and OVERLAY_KEY not in layer.metadata]
    ours = [layer for layer in found if layer.name == REGION_NAME]
    if isinstance(active, Shapes) and active in found:
        return active
    return (ours or found or [None])[-1]


def chosen_region(viewer: napari.Viewer, image: Image, where: str) -> IntWindow | None:
    """Return the region of an image that a choice means.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image
        The image layer.
    where : str
        The choice: ``VIEW``, ``DRAWN`` or ``WHOLE``.

    Returns
    -------
    IntWindow or None
        (y0, x0, y1, x1), px of level 0; None means the whole image.

    Raises
    ------
    InputError
        Nothing of it is in view, or nothing is drawn over it.
    """
    if where == VIEW:
        return view_region(viewer, image)
    if where == DRAWN:
        shapes = region_layer(viewer)
        if shapes is None:
            raise InputError(f"{image.name}: no region is drawn; press Draw and drag a rectangle over the image.")
        return drawn_region(shapes, image)
    return None
