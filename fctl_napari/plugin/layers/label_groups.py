"""Label groups on disk (OME-Zarr) as labels layers: ground truth beside its image, a segmentation, or other labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from napari.components import ViewerModel

from fctl_napari.class_colors import MASK_OPACITY
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.ngff_axes import axis_unit, level_placements
from fctl_napari.imagery.formats.remote import child, is_url, last_name
from fctl_napari.imagery.formats.slides import SUFFIXES as SLIDES
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.label_placement import label_placement
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.open import open_image
from fctl_napari.plugin.common.class_display import displayed_colors
from fctl_napari.plugin.layers.ground import ground_metadata, placed_on_ground
from fctl_napari.plugin.layers.image_identity import IMAGE_KEY
from fctl_napari.plugin.layers.image_source import LayerData
from fctl_napari.plugin.layers.map_layers import MAP_KEY, color_limits, map_style
from fctl_napari.plugin.layers.own_writer import prefer_own_writer
from fctl_napari.plugin.layers.segmentation_layers import CONFIDENCE, STORE_KEY
from fctl_napari.plugin.layers.shown_levels import COARSE_SIDE, GrayLevel
from fctl_napari.plugin.layers.styles import class_style, confidence_colormap, pixel_scale
from fctl_napari.segmentation.store.map_names import MAPS, map_title
from fctl_napari.segmentation.store.store import ATTRIBUTE

STATE_SIZES = (".tif", ".tiff", *SLIDES)
"""Names of files that may state the size of a px, and open fast."""

LABELS_KEY = "fctl_labels"
"""Key of a labels layer's ``metadata`` that holds its group's path."""

PLACED_KEY = "fctl_placed"
"""Key of the ``metadata`` of labels under an image, for the scale, translation and affine that put them there, and the
``LabelPlacement`` in its px."""


def label_names(image: Path | str) -> list[str]:
    """Return the names of the label groups under an OME-Zarr image.

    Parameters
    ----------
    image : Path or str
        Folder or address of the image.

    Returns
    -------
    list of str
        Names; empty if there are none.
    """
    folder = child(image, "labels")
    if not ngff.is_zarr(folder):
        return []
    names = ngff.ome_attributes(ngff.open_group(folder)).get("labels")
    return [str(name) for name in names] if isinstance(names, list) else []


def labels_layer(
    path: Path | str, *, image: Path | str | None = None, image_arguments: Mapping[str, Any] | None = None
) -> LayerData:
    """Return the layer of one label group, with its colors and names where it has them.

    Parameters
    ----------
    path : Path or str
        The group, or its address.
    image : Path, str or None, optional
        The image that it belongs to, over which the labels are placed. Without it their own metadata counts.
    image_arguments : mapping of str to object or None, optional
        Arguments of that image's layer, of which ``scale``, ``translate``, ``affine`` and ``units`` count.

    Returns
    -------
    LayerData
        Data, arguments and type of the layer.

    Raises
    ------
    InputError
        It is missing, damaged, or has further axes; or it cannot be placed over its image.
    """
    group = ngff.open_group(path)
    data, arguments = _levels(group, path)
    metadata: dict[str, Any] = {LABELS_KEY: str(path)}
    if image is not None:
        placement = label_placement(group, path, ngff.open_group(image), image)
        over = dict(image_arguments or {})
        scale, translate = np.array(over.get("scale", (1.0, 1.0))), np.array(over.get("translate", (0.0, 0.0)))
        arguments["scale"] = tuple((scale * placement.step).tolist())
        arguments["translate"] = tuple((translate + scale * placement.start).tolist())
        arguments |= {key: over[key] for key in ("affine", "units") if key in over}
        metadata[PLACED_KEY] = arguments["scale"], arguments["translate"], over.get("affine"), placement
    dtype = (data[0] if arguments["multiscale"] else data).dtype
    if dtype.kind not in "iu":
        raise InputError(f"{path}: holds {dtype} values; labels are whole numbers, write them as such.")
    arguments |= {"name": last_name(path), "opacity": MASK_OPACITY, "metadata": metadata}
    classes = ngff.label_classes(group)
    if classes:
        arguments |= class_style(displayed_colors([(c["name"], tuple(c["color"])) for c in classes]))
    return data, arguments, "labels"


def segmentation_layers(path: Path | str, viewer: ViewerModel | None = None) -> list[LayerData]:
    """Return the layers of a label group that stands alone: its labels, over its confidence and maps if it has any.

    Parameters
    ----------
    path : Path or str
        The group, or its address.
    viewer : ViewerModel or None, optional
        Viewer among whose layers it lies on the ground.

    Returns
    -------
    list of LayerData
        Data, arguments and type of each layer, the lowest first.

    Raises
    ------
    InputError
        It is missing, damaged, or has further axes; or layers of the viewer are in another CRS.
    """
    hidden: dict[str, Any] = {"rgb": False, "visible": False}
    layers = _map_layers(path, hidden)
    confidence = child(path, CONFIDENCE)
    if ngff.is_zarr(confidence):
        data, arguments = _levels(ngff.open_group(confidence), path)
        arguments |= {
            "name": f"{last_name(path)} confidence",
            "colormap": confidence_colormap(),
            "contrast_limits": (0, 255),
            "metadata": _origin(path),
            **hidden,
        }
        layers.append((data, arguments, "image"))
    data, arguments, kind = labels_layer(path)
    if _facts(path).get("kind") == "segmentation":  # others may be ground truth
        arguments["metadata"] |= _origin(path)
        prefer_own_writer()
    layers.append((data, arguments, kind))
    on_ground = _on_ground(path, layers, viewer)
    if on_ground is not None:
        return on_ground
    if not {"scale", "translate"} <= arguments.keys():
        placed = _image_placement(path, sized="scale" in arguments)
        layers = [(each, {**placed, **of_each}, kind) for each, of_each, kind in layers]
    return layers


def _georeference_by_image(path: Path | str) -> tuple[Georeference, tuple[float, float] | None, str | None] | None:
    """Return georeference, size and unit of the px of labels that lie under an image on the ground."""
    if is_url(path) or Path(path).parent.name != "labels" or not ngff.is_zarr(Path(path).parents[1]):
        return None
    above = Path(path).parents[1]
    try:
        image = open_image(above)
        if image.georeference is None:
            return None
        placement = label_placement(ngff.open_group(path), path, ngff.open_group(above), above)
    except InputError:
        return None  # what does not lie on an image is shown alone
    a, b, c, d, e, f = image.georeference.transform
    rows, columns = placement.step
    y, x = (start + 0.5 - step / 2 for start, step in zip(placement.start, placement.step, strict=True))
    transform = (a * columns, b * rows, a * x + b * y + c, d * columns, e * rows, d * x + e * y + f)
    size = image.pixel_size[0] * rows, image.pixel_size[1] * columns
    return Georeference(image.georeference.crs, transform), size, image.unit


def _on_ground(path: Path | str, layers: list[LayerData], viewer: ViewerModel | None) -> list[LayerData] | None:
    """Return the layers of a label group where its image lies on the ground, or None if that is not known."""
    own = layers[-1][1]
    stored = _facts(path).get("georeference")
    known = _georeference_by_image(path) if stored is None else None
    if stored is not None:
        unit = own["units"][0] if "units" in own else None
        known = Georeference.from_json(stored), own.get("scale"), unit
    if known is None:
        return None
    placement, location = placed_on_ground(viewer, last_name(path), *known)
    if location is None:
        return None
    placed: list[LayerData] = []
    for data, arguments, kind in layers:
        kept = {key: value for key, value in arguments.items() if key not in ("scale", "translate", "units")}
        metadata = arguments["metadata"] | ground_metadata(location)
        placed.append((data, {**kept, **placement, "metadata": metadata}, kind))
    return placed


def _image_placement(path: Path | str, *, sized: bool) -> dict[str, Any]:
    """Return the placement of a stored segmentation's image, which earlier versions left out of the store.

    They wrote no translation, and no size of px where it is that of a slide or of a TIFF's resolution.
    """
    image = _facts(path).get("image", {}).get("path")
    if image is None or is_url(image):
        return {}
    of_tiff = not sized and image_file(Path(image)).suffix.lower() in STATE_SIZES
    if not (Path(image).is_dir() or (of_tiff and image_file(Path(image)).is_file())):
        return {}
    try:
        pyramid = open_image(image)
    except InputError:
        return {}
    return pixel_scale(pyramid.pixel_size, pyramid.unit, pyramid.translation)


def _facts(path: Path | str) -> dict[str, Any]:
    """Return the facts that a segmentation of ours stores.

    They are empty for others.
    """
    facts = ngff.open_group(path).attrs.asdict().get(ATTRIBUTE)
    return facts if isinstance(facts, dict) else {}


def _origin(path: Path | str) -> dict[str, Any]:
    """Return the metadata that identify the segmentation that a layer shows, and its image."""
    return {STORE_KEY: str(path), IMAGE_KEY: _facts(path).get("image", {}).get("fingerprint")}


def _map_layers(path: Path | str, hidden: dict[str, Any]) -> list[LayerData]:
    """Return the layers of a segmentation's maps, if it has any."""
    names = _facts(path).get(MAPS, [])
    layers: list[LayerData] = []
    coarsest: dict[str, np.ndarray] = {}
    for name in map(str, names):
        data, arguments = _levels(ngff.open_group(child(child(path, MAPS), name)), path)
        coarsest[name] = np.asarray((data[-1] if arguments["multiscale"] else data)[:, :])
        arguments |= {
            "name": f"{last_name(path)} {map_title(name)}",
            "metadata": {**_origin(path), MAP_KEY: name},
            **hidden,
        }
        layers.append((data, arguments, "image"))
    for _, arguments, _ in layers:
        name = arguments["metadata"][MAP_KEY]
        arguments |= map_style(name, color_limits(name, coarsest))
    return layers


def _levels(group: zarr.Group, path: Path | str) -> tuple[Any, dict[str, Any]]:
    """Return the levels of a group as napari shows them, and their arguments."""
    arrays, axes, multiscale = ngff.open_levels(group, path)
    try:
        levels: list[Any] = [array if axes == "yx" else GrayLevel(Level(array, axes)) for array in arrays]
    except ValueError as error:
        raise InputError(f"{path}: labels are shown in two dimensions ({error}); choose one plane.") from None
    side = max(levels[-1].shape)
    if side > COARSE_SIDE:
        step = math.ceil(side / COARSE_SIDE)
        levels.append(np.asarray(levels[-1][::step, ::step]))
    # napari takes a list of one level for an image, but not for labels; that level is small
    data = levels if len(levels) > 1 else np.asarray(levels[0][:, :])
    arguments: dict[str, Any] = {"multiscale": len(levels) > 1}
    placements = level_placements(group, multiscale, axes, path)
    if placements is None:
        return data, arguments
    first = placements[0]
    return data, arguments | pixel_scale(first.size, axis_unit(multiscale), first.translation)
