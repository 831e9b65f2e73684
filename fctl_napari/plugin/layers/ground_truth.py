"""Choices of ground truth in the window: layers, the image's own labels, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.transforms import Affine

from fctl_napari.api.locations import array_path, cache_folder, digest, stem
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.formats.zipped import zip_file
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.ground_truth_levels import with_levels
from fctl_napari.imagery.labels.ground_truth_over import open_ground_truth_over
from fctl_napari.imagery.labels.label_placement import LabelPlacement, over_image
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.imagery.labels.placed_labels import PlacedLabels
from fctl_napari.imagery.pyramid import LARGE_SIDE
from fctl_napari.plugin.layers.correction_marks import is_copy
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY, image_source
from fctl_napari.plugin.layers.label_groups import LABELS_KEY, PLACED_KEY, label_names
from fctl_napari.plugin.layers.resampled_labels import lies_over, placed_labels
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
from fctl_napari.plugin.layers.viewport import image_shape
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import open_image_of
from fctl_napari.segmentation.store.store import Segmentation

if TYPE_CHECKING:
    from fctl_napari.segmentation.store.store import Segmentation

GROUND_TRUTH_FILES = "Class indices, polygons (*.png *.tif *.tiff *.gpkg *.shp *.zip *.fgb *.geojson *.json)"
"""Filter of file dialogs for a ground truth."""


@dataclass(frozen=True, eq=False)
class GroundTruthChoice:
    """A ground truth that can be chosen.

    Attributes
    ----------
    name : str
        Name for people.
    path : str or None
        Its file or label group; None if it is read from the layer.
    layer : Labels or None
        Layer that shows it, if one does.
    """

    name: str
    path: str | None = None
    layer: Labels | None = None

    @property
    def location(self) -> str | None:
        """Path on disk, or None if it is only in memory."""
        return self.path if self.layer is None else self.layer.metadata.get(LABELS_KEY)

    @property
    def key(self) -> object:
        """Key by which it is recognized when the choices are listed anew."""
        return self.path if self.layer is None else id(self.layer)


def layer_choices(viewer: ViewerModel) -> list[GroundTruthChoice]:
    """Return the labels layers that may hold a ground truth: neither masks of ours nor overlays.

    Copies of layers that show corrections are offered too: what is painted on them is kept only if it is taken over.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.

    Returns
    -------
    list of GroundTruthChoice
        Choices, in the order of the layers.
    """
    choices = []
    for layer in viewer.layers:
        ours = STORE_KEY in layer.metadata or (OVERLAY_KEY in layer.metadata and not is_copy(layer))
        if not isinstance(layer, Labels) or ours:
            continue
        path = layer.metadata.get(LABELS_KEY)
        # Labels in memory may have been painted on since they were read; those elsewhere have no levels to trust.
        readable = layer.multiscale and isinstance(path, str) and not is_url(path)
        choices.append(GroundTruthChoice(layer.name, path if readable else None, layer))
    return choices


def own_labels(image: str | None) -> list[GroundTruthChoice]:
    """Return the label groups under an OME-Zarr image (this reads files).

    Parameters
    ----------
    image : str or None
        Path or address of the image, or None.

    Returns
    -------
    list of GroundTruthChoice
        Choices; empty for a file, an address or None.
    """
    if image is None or is_url(image) or not ngff.is_zarr(Path(image)):
        return []
    path = Path(image)
    return [GroundTruthChoice(f"{name} of {path.name}", str(path / "labels" / name)) for name in label_names(path)]


def labels_of_image(segmentation: Segmentation) -> list[GroundTruthChoice]:
    """Return the label groups of the image that a segmentation is of (this reads files).

    Parameters
    ----------
    segmentation : Segmentation
        An opened store.

    Returns
    -------
    list of GroundTruthChoice
        Choices; empty if the image does not lie there any more.
    """
    own = own_labels(segmentation.image_path)
    if own:
        try:
            open_image_of(segmentation.facts["image"], segmentation.path)
        except InputError:
            return []  # the path holds another picture now, with labels of its own
    return own


def shows(choice: GroundTruthChoice, path: str) -> bool:
    """Return whether a choice is the ground truth at a path.

    Parameters
    ----------
    choice : GroundTruthChoice
        The choice.
    path : str
        Path or address.

    Returns
    -------
    bool
        True if it is.
    """
    shown = choice.path if choice.layer is None else choice.layer.metadata.get(LABELS_KEY)
    return shown is not None and not is_url(shown) and Path(shown).absolute() == Path(path).absolute()


def labels_over(viewer: ViewerModel, layer: Labels, over: Image | Labels) -> Any:
    """Return the labels of a layer in the px of another one, by where both are seen.

    See ``placed_labels``.

    Labels in the image's own file, which nobody has moved, are the image's wherever that was moved.

    Parameters
    ----------
    viewer : ViewerModel
        Viewer that shows both.
    layer : Labels
        The labels layer.
    over : Image or Labels
        The other layer.

    Returns
    -------
    array_like [y, x]
        The labels: the array of the layer, or ``PlacedLabels``.

    Raises
    ------
    InputError
        They cannot be used px for px.
    """
    path, placed = (layer.metadata.get(key) for key in (LABELS_KEY, PLACED_KEY))
    if placed is not None and not is_url(path) and _stays(layer, placed):
        for other in viewer.layers:
            source = image_source(other) if isinstance(other, Image) else None
            own = source is not None and not is_url(source.path) and Path(path).parents[1] == Path(source.path)
            placement = placed[-1]
            if own and placement.image_shape == image_shape(over) and lies_over(viewer, other, over):
                array = _array(layer)
                return array if placement.same_px else over_image(array, "yx", placement, layer.name, fill=0)
    return placed_labels(viewer, layer, over)


def open_choice(
    choice: GroundTruthChoice,
    progress: Progress,
    colors: Sequence[tuple[int, int, int]] | None = None,
    placed: Any = None,
    over: Segmentation | None = None,
) -> LabelSource:
    """Open a ground truth so that it can be looked at whole.

    A large one without levels gets some, in the cache folder. In a thread: this reads, and may write, files.

    Parameters
    ----------
    choice : GroundTruthChoice
        The choice.
    progress : Progress
        Called with the progress of making levels.
    colors : sequence of tuple of 3 int or None, optional
        (red, green, blue) of class 0, 1, ..., for a file of colors.
    placed : object, optional
        For a layer, its labels in the px of the segmentation (``labels_over``). None means that those px are the
        layer's own.
    over : Segmentation or None, optional
        For a file, the segmentation over which it lies by its georeference.

    Returns
    -------
    LabelSource
        The opened ground truth.

    Raises
    ------
    FctlError
        It is missing, damaged, or no ground truth; or it needs levels and the cache folder cannot be written.
    """
    elsewhere = isinstance(placed, PlacedLabels)
    path = None if elsewhere else choice.path
    if path is None and placed is None:
        placed = _plane(choice)
    if path is None:
        source = _layer_source(choice, placed)
    elif over is None:
        source = open_ground_truth(path, colors)
    else:
        source = open_ground_truth_over(path, over.georeference, over.shape, colors, image=over.image_path)
    if max(source.shape) <= LARGE_SIDE or source.native_levels > 1:
        return source
    if path is not None:
        file = Path(path).absolute()
        facts = (zip_file(file) or file).stat()
        where = [] if over is None else [over.georeference, over.shape]
        key = digest(file, facts.st_mtime_ns, facts.st_size, *([colors] if source.by_color else []), *where)
        location = cache_folder() / f"{stem(file)}-{key}.labels.ome.zarr"
        return with_levels(source, location, progress=progress)
    assert choice.layer is not None
    if isinstance(_array(choice.layer), np.ndarray):
        return source
    location = array_path(placed, f"{choice.layer.name} labels")
    return with_levels(source, location, progress=progress)


def held_values(source: LabelSource) -> list[int]:
    """Return values that a ground truth holds, read from a level of about 1000 px (in a thread: this reads files).

    Parameters
    ----------
    source : LabelSource
        The opened ground truth.

    Returns
    -------
    list of int
        Values, in ascending order.
    """
    level = 0
    while max(source.level_shape(level)) > 1024:
        level += 1
    height, width = source.level_shape(level)
    return [int(value) for value in np.unique(source.read_values(slice(0, height), slice(0, width), level))]


def _stays(layer: Labels, placed: tuple[Sequence[float], Sequence[float], Any, LabelPlacement]) -> bool:
    """Return whether a layer lies where it was put when it was opened."""
    scale, translate, affine, _ = placed
    plain = (np.eye(3) if affine is None else affine) @ Affine(scale=scale, translate=translate).affine_matrix
    return np.allclose(layer._data_to_world.affine_matrix, plain)


def _array(layer: Labels) -> Any:
    """Return the finest level of a layer."""
    return layer.data[0] if layer.multiscale else layer.data


def _plane(choice: GroundTruthChoice) -> Any:
    """Return the labels of a choice's layer, which must have two dimensions."""
    layer = choice.layer
    assert layer is not None
    if layer.ndim != 2:
        raise InputError(f"{layer.name}: has {layer.ndim} dimensions; a ground truth is a layer with two.")
    return _array(layer)


def _layer_source(choice: GroundTruthChoice, array: Any) -> LabelSource:
    """Return labels of a layer as a ground truth, with the layer's class names."""
    layer = choice.layer
    assert layer is not None
    names = named_classes(layer)
    height, width = array.shape
    return LabelSource(layer.name, array, (height, width), one_based=True, class_names=names)


def named_classes(layer: Labels) -> tuple[str, ...] | None:
    """Return the names of the classes that a labels layer gives.

    Parameters
    ----------
    layer : Labels
        The labels layer.

    Returns
    -------
    tuple of str or None
        Names of labels 1, 2, ..., which are class 0, 1, ..., with "" for none; None where the layer gives none.
    """
    features = layer.features
    if "class" not in features:
        return None
    labels = features["index"] if "index" in features else range(len(features))
    named = {
        int(label): str(name) for label, name in zip(labels, features["class"], strict=True) if isinstance(name, str)
    }
    last = max((label for label, name in named.items() if label > 0 and name), default=0)
    return tuple(named.get(label, "") for label in range(1, last + 1)) or None
