"""Layers on the ground: images of one coordinate reference system lie in a viewer where they lie on Earth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.geodesy.ground_words import crs_name, is_local, same_crs
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.plugin.common.notify import say
from fctl_napari.plugin.layers.styles import pixel_scale

GROUND_KEY = "fctl_ground"
"""Key of a layer's ``metadata`` that holds its ``OnGround``."""

FAR_PX = 2**21
"""Distance from the first image, px, from which the 32 bits of the graphics card are a quarter of a px and more."""


@dataclass(frozen=True)
class GroundView:
    """Location of a viewer's world on the ground: x to the right, y down, from the first px of its first image.

    Near that px its numbers are small, so that the graphics card, which counts in 32 bits, places px exactly.

    Attributes
    ----------
    origin : tuple of 2 float
        Coordinates (x, y) in the CRS of the world's point 0, 0.
    step : tuple of 2 float
        Length of one unit of the world along (y, x), in the unit of the CRS.
    unit : str or None
        Unit of the world; None for px of the first image.
    """

    origin: tuple[float, float]
    step: tuple[float, float]
    unit: str | None


@dataclass(frozen=True)
class OnGround:
    """Location of a layer.

    Attributes
    ----------
    georeference : Georeference
        Georeference of its level 0.
    view : GroundView
        World in which it was placed.
    unit : str or None
        Unit of the coordinates, if it is known.
    """

    georeference: Georeference
    view: GroundView
    unit: str | None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a layer with the px of the image, without those that napari has by default.

        Returns
        -------
        dict of str to object
            ``scale``, and as needed ``translate``, ``affine`` (for px that are turned, sheared or mirrored) and
            ``units``.
        """
        a, b, _, d, e, _ = self.georeference.transform
        step = np.array(self.view.step)
        linear = np.array([[-e, -d], [b, a]]) / step[:, None]
        x, y = _first_px(self.georeference)
        start = np.array([self.view.origin[1] - y, x - self.view.origin[0]]) / step
        scale = np.array(self.georeference.pixel_size) / step
        placement: dict[str, Any] = {"scale": tuple(scale.tolist())}
        if not np.array_equal(linear, np.diag(scale)):
            affine = np.eye(3)
            affine[:2, :2], affine[:2, 2] = linear / scale, start
            placement["affine"] = affine
        elif start.any():
            placement["translate"] = tuple(start.tolist())
        if np.array_equal(scale, (1.0, 1.0)) and self.view.unit is None:
            del placement["scale"]
        return placement if self.view.unit is None else {**placement, "units": (self.view.unit,) * 2}


def on_ground(layer: Layer) -> OnGround | None:
    """Return where a layer lies on the ground.

    Parameters
    ----------
    layer : Layer
        Any layer.

    Returns
    -------
    OnGround or None
        Its location, or None if it has none.
    """
    found = layer.metadata.get(GROUND_KEY)
    return found if isinstance(found, OnGround) else None


def ground_metadata(location: OnGround | None) -> dict[str, Any]:
    """Return the metadata of a layer that lies on the ground.

    Parameters
    ----------
    location : OnGround or None
        Its location, if it has one.

    Returns
    -------
    dict of str to object
        ``GROUND_KEY`` and the location; empty without one.
    """
    return {} if location is None else {GROUND_KEY: location}


def placed_on_ground(
    viewer: ViewerModel | None,
    name: str,
    georeference: Georeference | None,
    pixel_size: tuple[float, float] | None,
    unit: str | None,
    translation: tuple[float, float] = (0.0, 0.0),
) -> tuple[dict[str, Any], OnGround | None]:
    """Return the arguments of a layer that lies on the ground among those of a viewer.

    Parameters
    ----------
    viewer : ViewerModel or None
        The viewer, if there is one.
    name : str
        Name of the file, for messages.
    georeference : Georeference or None
        Georeference of its level 0. Without it the layer has the size of its px, and lies at its translation.
    pixel_size : tuple of 2 float or None
        Size of a px, (y, x), in ``unit``.
    unit : str or None
        Name of the unit.
    translation : tuple of 2 float, optional
        Position of the center of the first px, (y, x), in ``unit``, without a georeference.

    Returns
    -------
    arguments : dict of str to object
        Arguments of the layer.
    location : OnGround or None
        What its ``metadata`` are to hold under ``GROUND_KEY``.

    Raises
    ------
    InputError
        Layers of the viewer are in another CRS.
    """
    if georeference is None or not abs(np.linalg.det(np.reshape(georeference.transform, (2, 3))[:, :2])) > 0:
        return pixel_scale(pixel_size, unit, translation), None
    size = georeference.pixel_size
    sized = pixel_size is not None and np.allclose(pixel_size, size, rtol=1e-6, atol=0)
    own = unit if sized else None
    found = [(layer, on_ground(layer)) for layer in (viewer.layers if viewer else ())]
    others = [(layer, other) for layer, other in found if other is not None]
    _require_same_crs(name, georeference, others)
    if others:
        view = others[0][1].view
    else:
        view = GroundView(_first_px(georeference), size if own is None else (1.0, 1.0), own)
    location = OnGround(georeference, view, own)
    arguments = location.arguments()
    start = np.asarray(arguments["affine"][:2, 2] if "affine" in arguments else arguments.get("translate", 0.0))
    if np.abs(start / np.array(size) * view.step).max() > FAR_PX:
        say(f"{name}: lies so far from {others[0][0].name} that px are not drawn exactly; open it in another window.")
    return arguments, location


def _require_same_crs(name: str, georeference: Georeference, others: Iterable[tuple[Layer, OnGround]]) -> None:
    """Refuse what is in another CRS than layers of a viewer, and say where one of both is not known."""
    crs = georeference.crs
    half_known = None
    for layer, location in others:
        other = location.georeference.crs
        if same_crs(crs, other):
            continue
        if not (is_local(crs) or is_local(other)):
            target = other if other.startswith("EPSG:") else "CRS"
            raise InputError(
                f"{name}: is in {crs_name(crs)}, and {layer.name} of this window in {crs_name(other)}; reproject it "
                f"(gdalwarp -t_srs {target}), remove the layers of the other, or open it in a window of its own."
            )
        half_known = half_known or (
            f"{name}: its coordinates ({crs_name(crs)}) are taken to be in the system of {layer.name} "
            f"({crs_name(other)}); if they are not, state the CRS of both (gdal_edit.py -a_srs, say)."
        )
    if half_known:
        say(half_known)


def _first_px(georeference: Georeference) -> tuple[float, float]:
    """Return the coordinates (x, y) of the center of the first px."""
    a, b, c, d, e, f = georeference.transform
    return c + (a + b) / 2, f + (d + e) / 2
