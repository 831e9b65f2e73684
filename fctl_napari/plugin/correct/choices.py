"""What the Correct widget works on: corrections opened in a thread, and the segmentations of their image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import napari
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from fctl_napari.corrections.correction_store import half_made
from fctl_napari.corrections.corrections import Corrections
from fctl_napari.errors import InputError
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.errors.overlay import levels_of
from fctl_napari.plugin.layers.image_identity import identities, may_be_of
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.paths import cache_folder
from fctl_napari.plugin.layers.resampled_labels import lies_over
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY, StoredLevels
from fctl_napari.plugin.layers.styles import only_show
from fctl_napari.plugin.layers.transforms import seen_pixels
from fctl_napari.plugin.layers.viewport import image_shape
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.result_paths import named_path, own_corrections
from fctl_napari.segmentation.store.store import Segmentation


@dataclass(frozen=True, eq=False)
class Opened:
    """Corrections that are open for writing, and the levels that show them."""

    corrections: Corrections
    levels: StoredLevels


def open_corrections(
    source: ImageSource,
    table: ClassTable | None,
    store: str | None,
    progress: Progress,
    *,
    create: bool,
    apart: bool = False,
) -> Opened | None:
    """Open the corrections of an image at their usual place (in a thread: this reads files).

    They keep their classes; only where nothing was ever painted, or where they are to be made, others are taken.

    Parameters
    ----------
    source
        The image.
    table, store
        Classes to paint: those of the segmentation at ``store``, else these.
    cancelled
        Asked at the end whether they are still wanted.
    create
        Make them if there are none, else the result is None then; and add classes that they lack.
    apart
        Leave those at the usual place alone, which are another image's: take a place named after this image's pixels.

    Raises
    ------
    OtherImageError
        Those at the usual place were painted on another image.
    InputError
        They are to be made, and no classes are known.
    OutputError
        They are open for writing elsewhere, or the place is not writable.
    Cancelled
        ``progress`` raised it.
    """
    image = source.open()
    usual = corrections_path(source.original, cache_folder)
    path = named_path(usual, image) if apart else own_corrections(usual, image)
    if not create and not path.exists():
        return None
    table = chosen_classes(table, store)
    if create or half_made(path):
        if table is None:
            raise InputError("the classes are not known; choose a segmentation or a checkpoint.")
        corrections = Corrections.open_or_create(path, image, table)
    else:
        corrections = Corrections.open(path, "r+", image=image)
    try:
        if table is not None and corrections.blank:
            corrections.add_classes(table)
        levels = StoredLevels(corrections.labels)
        progress(0, 0)
    except BaseException:
        corrections.close()
        raise
    return Opened(corrections, levels)


def chosen_classes(table: ClassTable | None, store: str | None) -> ClassTable | None:
    """Return the classes of the segmentation at ``store`` (this reads files), or else ``table``."""
    return table if store is None else Segmentation.open(store).class_table


def class_names(mask: Labels) -> tuple[str, ...]:
    """Return the names of the classes that a segmentation's layer shows, of value 1, 2, ..."""
    return tuple(mask.features["class"][1:]) if "class" in mask.features else ()


def class_under(viewer: napari.Viewer, mask: Labels, world: Any, table: ClassTable) -> int:
    """Return the label in corrections, with a table, of the class that a segmentation has at a place of the world.

    Raises
    ------
    InputError
        The viewer shows three dimensions, the place lies beside it, nothing is computed there, or the table lacks the
        class.
    """
    if viewer.dims.ndisplay != 2:
        raise InputError(f"{mask.name}: the viewer shows three dimensions; switch it to two to point at a class.")
    level = levels_of(mask)[0]
    y, x = (int(location // 1) for location in seen_pixels(viewer, mask, world))
    if not (0 <= y < level.shape[0] and 0 <= x < level.shape[1]):
        raise InputError(f"{mask.name}: does not reach there; point at the image.")
    value = int(level[y, x])
    if value == 0:
        raise InputError(f"{mask.name}: nothing is computed there yet; segment that part first.")
    name = dict(enumerate(class_names(mask), 1)).get(value, f"of value {value}")
    if name not in table.names:
        raise InputError(
            f"{mask.name}: has the class {name} there, which the corrections lack ({', '.join(table.names)}); press "
            "Edit here to add its classes."
        )
    return table.names.index(name) + 1


class MaskChoices(QObject):
    """Keeps a field in step with the segmentations of an image that the viewer shows.

    Parameters
    ----------
    viewer
        Whose layers are offered.
    field
        The combo box.
    image
        Tells of which image.

    Signals
    -------
    changed
        Another one is chosen.
    """

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, field: Any, image: Callable[[], Image | None]) -> None:
        super().__init__(field)
        self._viewer = viewer
        self._field = field
        self._image = image
        self._known: list[Labels] = []
        field.currentIndexChanged.connect(self.changed)
        identities().known.connect(self.fill)
        for emitter in self._emitters():
            emitter.connect(self.fill)
        self.fill()

    @property
    def mask(self) -> Labels | None:
        """The segmentation's layer, if one is chosen and still there."""
        mask = self._field.currentData()
        return mask if mask is not None and mask in self._viewer.layers else None

    def require(self) -> Labels:
        """Return the segmentation's layer.

        Raises
        ------
        InputError
            There is none.
        """
        image = self._image()
        if self.mask is None:
            self.fill()  # one may lie over the image by now
        mask = self.mask
        if image is None or mask is None:
            raise InputError(self._why_none(image))
        if not is_mask(self._viewer, mask, image):
            raise _elsewhere(mask, image)
        return mask

    def _why_none(self, image: Image | None) -> str:
        if image is not None:
            for layer in self._viewer.layers:
                if (
                    isinstance(layer, Labels)
                    and STORE_KEY in layer.metadata
                    and image_shape(layer) == image_shape(image)
                ):
                    if may_be_of(layer, image):
                        return str(_elsewhere(layer, image))
                    other = f"{layer.name} is of another image of this size"
                    return f"there is no segmentation of this image ({other}); segment it, or open one."
        return "there is no segmentation of this image; segment it (Segment widget), or open one."

    @property
    def store(self) -> str | None:
        """Where it is kept."""
        return None if self.mask is None else str(self.mask.metadata[STORE_KEY])

    def fill(self, _event: Any = None) -> None:
        """List what there is, the topmost first; one that is new is chosen: a result is what is corrected next."""
        image, field = self._image(), self._field
        if image is not None:
            identities().names(image)  # as it is now; its file may be written anew
        layers = [] if image is None else list(reversed(self._viewer.layers))
        masks = [layer for layer in layers if image is not None and is_mask(self._viewer, layer, image)]
        for mask in masks:
            only_show(mask)
        chosen = field.currentData()
        new = [mask for mask in masks if mask not in self._known]
        if new or (chosen is not None and chosen not in masks):
            chosen = (new or masks or [None])[0]
        self._known = masks
        before = field.currentData()
        field.blockSignals(True)
        field.clear()
        for mask in masks:
            field.addItem(mask.name, mask)
        field.addItem("none", None)
        field.setCurrentIndex(masks.index(chosen) if chosen in masks else len(masks))
        field.blockSignals(False)
        if field.currentData() is not before:
            self.changed.emit()

    @property
    def busy(self) -> bool:
        """Whether it is being found out which image is shown."""
        return identities().pending(self._image())

    def leave(self) -> None:
        """Listen to the viewer no more."""
        identities().known.disconnect(self.fill)
        for emitter in self._emitters():
            emitter.disconnect(self.fill)

    def _emitters(self) -> list[Any]:
        events = self._viewer.layers.events
        return [events.inserted, events.removed, events.renamed]


def _elsewhere(mask: Labels, image: Image) -> InputError:
    return InputError(f"{mask.name}: lies elsewhere than {image.name}; put it back over the image.")


def is_mask(viewer: napari.Viewer, layer: Any, image: Image) -> bool:
    """Tell whether a layer shows a segmentation of an image, over it; see ``may_be_of``."""
    if not isinstance(layer, Labels) or STORE_KEY not in layer.metadata:
        return False
    return lies_over(viewer, layer, image) and may_be_of(layer, image)
