"""The label to paint with in the tab Correct, set by button, by key or from the prediction under the cursor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import napari
import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject

from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.keys import bind_keys
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.correct.edit_window import PAINTING
from fctl_napari.plugin.correct.form import KEYS, CorrectForm
from fctl_napari.plugin.correct.session import Painting
from fctl_napari.plugin.layers.mask_combo import MaskChoices
from fctl_napari.plugin.layers.pixel_picker import Picker
from fctl_napari.plugin.layers.segmentation_layers import levels_of
from fctl_napari.plugin.layers.transforms import seen_pixels


class Brush(QObject):
    """Synchronization of the class buttons, the keys and the label of the edit layer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer in which one paints.
    form : CorrectForm
        Fields of the widget, with the class buttons.
    masks : MaskChoices
        Choice of the segmentation to pick from.
    actions : mapping of str to callable
        Further functions without arguments that keys of the edit layer call, by key.
    parent : QObject or None, optional
        Qt's parent.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        form: CorrectForm,
        masks: MaskChoices,
        actions: Mapping[str, Callable[[], Any]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._form = form
        self._masks = masks
        self._actions = dict(actions)
        self._painting: Painting | None = None
        self._label = 1
        self._tool = "paint"  # mode of the layer that the picker interrupts
        self._picker = Picker(viewer, self)
        self._unbind: Callable[[], None] = lambda: None
        form.classes.chosen.connect(self.choose)
        form.pick.toggled.connect(self._pick_toggled)
        self._picker.picked.connect(self._picked)
        self._picker.released.connect(self._pick_released)
        self._picker.switched.connect(form.pick.setChecked)

    def attach(self, painting: Painting) -> None:
        """Set the label of a painting's edit layer from now on.

        Parameters
        ----------
        painting : Painting
            The open corrections.
        """
        self._painting = painting
        self.show_classes()
        painting.shown.connect(self._dress)

    def show_classes(self) -> None:
        """Offer the classes that can be painted now."""
        if self._painting is None:
            return
        self._form.classes.show_classes(self._painting.table)
        self._set(self._label if self._label in self._form.classes.buttons else 1)
        if self._layer is not None:
            self._bind(self._layer)

    def detach(self) -> None:
        """Let go of the painting, and offer no classes."""
        self._picker.switch(False)
        self._unbind()
        self._form.classes.show_classes(None)
        self._painting = None

    def choose(self, label: int) -> None:
        """Choose the label to paint with from now on.

        Parameters
        ----------
        label : int
            k + 1 is class k, 255 is not sure.
        """
        self._set(label)
        layer = self._layer
        if layer is not None:
            if str(layer.mode) not in PAINTING or str(layer.mode) == "erase":
                layer.mode = "paint"
            self._viewer.layers.selection.active = layer

    @property
    def _layer(self) -> Labels | None:
        return None if self._painting is None else self._painting.edit_layer

    def _set(self, label: int) -> None:
        """Show a label as the one to paint with, on the buttons and on the edit layer."""
        self._label = label
        self._form.classes.show_chosen(label)
        if self._layer is not None:
            self._layer.selected_label = label

    def _dress(self, layer: Labels) -> None:
        """Connect a new edit layer to the buttons and the keys."""
        layer.selected_label = self._label
        layer.events.selected_label.connect(self._label_chosen)
        self._bind(layer)

    def _bind(self, layer: Labels) -> None:
        """Bind the keys of the edit layer: labels, actions and picking."""
        labels = {key: partial(self.choose, label) for key, label in self._form.classes.keys().items()}
        self._unbind()
        self._unbind = bind_keys(
            layer, {**self._actions, KEYS["pick"]: self._pick_under_cursor, **labels}, self._viewer
        )

    def _label_chosen(self, _event: Any = None) -> None:
        """Show the label that was chosen in napari's own controls."""
        layer = self._layer
        if layer is not None:
            if layer.selected_label:
                self._label = int(layer.selected_label)
            self._form.classes.show_chosen(int(layer.selected_label))

    # ---- from the prediction

    def _pick_toggled(self, on: bool) -> None:
        layer = self._layer
        if on and layer is not None and str(layer.mode) in PAINTING:
            self._tool = str(layer.mode)
        self._picker.switch(on)

    def _picked(self, world: np.ndarray) -> None:
        label = self._class_at(world)
        if label is not None:
            self._set(label)  # the tool is restored when the button is released: it would paint now

    def _pick_released(self) -> None:
        self._picker.switch(False)
        layer = self._layer
        if layer is not None:
            self._viewer.layers.selection.active = layer
            layer.mode = self._tool

    def _pick_under_cursor(self) -> None:
        """Choose the class that the segmentation has under the cursor."""
        label = self._class_at(np.asarray(self._viewer.cursor.position, float))
        if label is not None:
            self.choose(label)

    def _class_at(self, world: np.ndarray) -> int | None:
        """Return the label of the class at world coordinates, or report why there is none."""
        with reported(self):
            if self._painting is not None:
                own = self._painting.corrections.own_classes
                return class_under(self._viewer, self._masks.require(), world, self._painting.table, own=own)
        return None


def class_names(mask: Labels) -> tuple[str, ...]:
    """Return the names of the classes that a segmentation's layer shows.

    Parameters
    ----------
    mask : Labels
        Layer of the segmentation.

    Returns
    -------
    tuple of str
        Names of the values 1, 2, ... Empty if the layer names no classes.
    """
    return tuple(mask.features["class"][1:]) if "class" in mask.features else ()


def class_under(viewer: napari.Viewer, mask: Labels, world: Any, table: ClassTable, *, own: bool = False) -> int:
    """Return the corrections' label of the class that a segmentation has at world coordinates.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    mask : Labels
        Layer of the segmentation.
    world : array_like of float
        World coordinates of the viewer.
    table : ClassTable
        Classes of the corrections.
    own : bool, optional
        True if they are the user's own.

    Returns
    -------
    int
        The label, k + 1 for class k of the table.

    Raises
    ------
    InputError
        The viewer shows three dimensions, the location lies beside the segmentation, nothing is computed there, or the
        table lacks the class.
    """
    if viewer.dims.ndisplay != 2:
        raise InputError(f"{mask.name}: the viewer shows three dimensions; switch it to two to point at a class.")
    level = levels_of(mask)[0]
    y, x = (int(location // 1) for location in seen_pixels(viewer, mask, world))
    if not (0 <= y < level.shape[0] and 0 <= x < level.shape[1]):
        raise InputError(f"{mask.name}: does not reach that pixel; point at the image.")
    value = int(level[y, x])
    if value == 0:
        raise InputError(f"{mask.name}: nothing is computed at that pixel yet; segment that part first.")
    name = dict(enumerate(class_names(mask), 1)).get(value, f"of value {value}")
    if name not in table.names:
        raise InputError(
            f"{mask.name}: has the class {name} there, which the corrections lack ({', '.join(table.names)}); press "
            + ("New classes to add it." if own else "Edit here to add its classes.")
        )
    return table.names.index(name) + 1
