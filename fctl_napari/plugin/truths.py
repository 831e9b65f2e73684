"""Truths to choose from in the window: layers, the image's own labels, files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from fctl_napari.errors import InputError
from fctl_napari.imagery.pyramid import LARGE_SIDE
from fctl_napari.imagery.remote import is_url
from fctl_napari.imagery.truth import LabelSource, open_truth
from fctl_napari.imagery.truth_levels import with_levels
from fctl_napari.plugin.growing import STORE_KEY
from fctl_napari.plugin.label_groups import LABELS_KEY, label_names
from fctl_napari.plugin.layers import OVERLAY_KEY
from fctl_napari.plugin.places import array_path, cache_folder, digest, stem
from fctl_napari.segmentation.identity import open_image_of
from fctl_napari.segmentation.store import Segmentation


@dataclass(frozen=True, eq=False)
class TruthChoice:
    """One truth that can be chosen.

    Attributes
    ----------
    name
        For people.
    path
        Its file or label group; None if it is read from the layer.
    layer
        The layer that shows it, if one does.
    """

    name: str
    path: str | None = None
    layer: Labels | None = None

    @property
    def key(self) -> object:
        """What it is recognised by when the choices are listed anew."""
        return self.path if self.layer is None else id(self.layer)


def layer_choices(viewer: ViewerModel) -> list[TruthChoice]:
    """Return the labels layers that may hold a truth: neither masks of ours nor overlays of errors."""
    choices = []
    for layer in viewer.layers:
        if not isinstance(layer, Labels) or STORE_KEY in layer.metadata or OVERLAY_KEY in layer.metadata:
            continue
        path = layer.metadata.get(LABELS_KEY)
        # what lies in memory may have been painted on since it was read; what lies elsewhere has no levels to trust
        readable = layer.multiscale and isinstance(path, str) and not is_url(path)
        choices.append(TruthChoice(layer.name, path if readable else None, layer))
    return choices


def own_labels(image: str | None) -> list[TruthChoice]:
    """Return the label groups under an OME-Zarr image (this reads files)."""
    if image is None or is_url(image) or not Path(image).is_dir():
        return []
    path = Path(image)
    return [TruthChoice(f"{name} of {path.name}", str(path / "labels" / name)) for name in label_names(path)]


def labels_of_image(segmentation: Segmentation) -> list[TruthChoice]:
    """Return the label groups of the image that a segmentation is of, if it lies there still (this reads files)."""
    own = own_labels(segmentation.image_path)
    if own:
        try:
            open_image_of(segmentation.facts["image"], segmentation.path)
        except InputError:
            return []  # another picture lies there now, with labels of its own
    return own


def shows(choice: TruthChoice, path: str) -> bool:
    """Tell whether a choice is what lies at ``path``."""
    shown = choice.path if choice.layer is None else choice.layer.metadata.get(LABELS_KEY)
    return shown is not None and not is_url(shown) and Path(shown).absolute() == Path(path).absolute()


def open_choice(
    choice: TruthChoice,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
    colours: Sequence[tuple[int, int, int]] | None = None,
) -> LabelSource:
    """Open a truth so that it can be looked at whole; a large one without levels gets some, in the cache folder.

    In a thread: this reads, and may write, files.

    Parameters
    ----------
    choice
        Which.
    progress, cancelled
        Of making levels.
    colours
        (red, green, blue) of class 0, 1, ..., for a file of colours.

    Raises
    ------
    FctlError
        It is missing, damaged, or no truth; or it needs levels and the cache folder cannot be written.
    """
    source = open_truth(choice.path, colours) if choice.path is not None else _layer_source(choice)
    if max(source.shape) <= LARGE_SIDE or source.native_levels > 1:
        return source
    if choice.path is not None:
        path = Path(choice.path).absolute()
        facts = path.stat()
        key = digest(path, facts.st_mtime_ns, facts.st_size, *([colours] if source.by_colour else []))
        place = cache_folder() / f"{stem(path)}-{key}.labels.ome.zarr"
        return with_levels(source, place, progress=progress, cancelled=cancelled)
    if source.in_memory:
        return source
    assert choice.layer is not None
    place = array_path(_array(choice.layer), f"{choice.layer.name} labels")
    return with_levels(source, place, progress=progress, cancelled=cancelled)


def held_values(source: LabelSource) -> list[int]:
    """Return values that a truth holds, looked up on a level of about 1000 px (in a thread: this reads files)."""
    level = 0
    while max(source.level_shape(level)) > 1024:
        level += 1
    height, width = source.level_shape(level)
    return [int(value) for value in np.unique(source.read_values(slice(0, height), slice(0, width), level))]


def _array(layer: Labels) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _layer_source(choice: TruthChoice) -> LabelSource:
    layer = choice.layer
    assert layer is not None
    if layer.ndim != 2:
        raise InputError(f"{layer.name}: has {layer.ndim} dimensions; a truth is a layer with two.")
    array = _array(layer)
    names = _class_names(layer)
    height, width = array.shape
    return LabelSource(layer.name, array, (height, width), one_based=True, class_names=names)


def _class_names(layer: Labels) -> tuple[str, ...] | None:
    """Names of class 0, 1, ..., which are labels 1, 2, ..., where the layer's features name them; "" for none."""
    features = layer.features
    if "class" not in features:
        return None
    labels = features["index"] if "index" in features else range(len(features))
    named = {
        int(label): str(name) for label, name in zip(labels, features["class"], strict=True) if isinstance(name, str)
    }
    last = max((label for label, name in named.items() if label > 0 and name), default=0)
    return tuple(named.get(label, "") for label in range(1, last + 1)) or None
