"""Corrections of one image that are open in the window: what is painted, what is shown, what is on its way to disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import napari
import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from fctl_napari.corrections.corrections import Corrections
from fctl_napari.plugin.correct.choices import Opened
from fctl_napari.plugin.correct.edit_window import EditWindow
from fctl_napari.plugin.correct.layer import (
    add_corrections,
    add_outlines,
    correction_style,
    dress,
    outline_style,
)
from fctl_napari.plugin.correct.stroke_writer import Act, Look, PixelEdit, StrokeWriter, Turn
from fctl_napari.plugin.layers.correction_marks import is_copy
from fctl_napari.plugin.layers.segmentation_layers import refresh
from fctl_napari.plugin.layers.styles import only_show
from fctl_napari.plugin.layers.transforms import move, placed_like
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow


class Painting(QObject):
    """Keeps the edit window, the layer of all corrections and the file in step.

    Parameters
    ----------
    viewer
        Where it is shown.
    image
        What is corrected.
    opened
        Its corrections; closed by :meth:`close`.
    author
        Tells who paints.

    Attributes
    ----------
    table
        The classes that are shown; the corrections may have got more since.

    Signals
    -------
    state_changed : object
        The ``State``, at the beginning and after every change.
    listed : object
        The corrected regions, when nothing is on its way any more.
    given
        A stroke, or another change, is on its way to disk.
    failed : object
        An exception.
    beside : object
        Somebody paints at (y, x) px of the image, beside the edit window.
    refused : str
        Something cannot be painted, and was taken back; why.
    shown : object
        The layer to paint on, when it is new.
    changed : object
        A window, (y0, x0, y1, x1) px, where something else is painted now.
    copied : object
        A layer that napari made as a copy of one of ours; nothing of it is kept.
    """

    state_changed = Signal(object)
    listed = Signal(object)
    given = Signal()
    failed = Signal(object)
    beside = Signal(object)
    refused = Signal(str)
    shown = Signal(object)
    changed = Signal(object)
    copied = Signal(object)

    def __init__(
        self,
        viewer: napari.Viewer,
        image: Image,
        opened: Opened,
        author: Callable[[], str],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image = image
        self.corrections: Corrections = opened.corrections
        """Read it only: what is written goes through :meth:`act`."""
        table = self.table = opened.corrections.class_table
        self._writer = StrokeWriter(opened.corrections, opened.levels, self)
        self._writer.changed.connect(self._changed)
        self._writer.state_changed.connect(self.state_changed)
        self._writer.listed.connect(self.listed)
        self._writer.failed.connect(self.failed)
        self._levels = opened.levels
        self._layer = add_corrections(viewer, image, opened.levels, table)
        self._outlines = add_outlines(viewer, image, opened.levels, table)
        self._edit = EditWindow(viewer, image, table, author, self)
        self._edit.edited.connect(self._give)
        self._edit.beside.connect(self.beside)
        self._edit.refused.connect(self.refused)
        self._edit.shown.connect(self._edit_shown)
        viewer.layers.events.inserted.connect(self._inserted)

    @property
    def edit_layer(self) -> Labels | None:
        """The layer to paint on, if it is there."""
        return self._edit.layer

    @property
    def layer(self) -> Labels | None:
        """The layer of all corrections, if it is there."""
        return self._layer if self._layer in self._viewer.layers else None

    @property
    def outlines(self) -> Labels | None:
        """The layer that outlines them, if it is there."""
        return self._outlines if self._outlines in self._viewer.layers else None

    @property
    def unsaved(self) -> int:
        """How many strokes and other changes are on their way to disk."""
        return self._writer.unsaved

    @property
    def stuck(self) -> str:
        """Why the first of them cannot be written; it is tried again."""
        return self._writer.stuck

    @property
    def busy(self) -> bool:
        """Whether something is painted, read or on its way to disk."""
        return self._writer.busy or self._edit.waits

    def move_edit_window(self, middle: tuple[float, float]) -> None:
        """Move the edit window around (y, x) px of the image; layers that were deleted come back."""
        shown = self._viewer, self._image, self._levels, self.table
        if self.layer is None:
            self._layer = add_corrections(*shown)
        if self.outlines is None:
            self._outlines = add_outlines(*shown)
        self._edit.take()
        self._writer.give(Look(self._edit.around(*middle), self._placed))

    def show_classes(self) -> bool:
        """Show the classes that the corrections have now; returns whether there are other ones."""
        if self.corrections.class_table is self.table:
            return False
        table = self.table = self._edit.table = self.corrections.class_table
        for layer in (self.layer, self.edit_layer):
            if layer is not None:
                dress(layer, correction_style(table))
        if self.outlines is not None:
            dress(self.outlines, outline_style(table))
        return True

    def holds(self, window: IntWindow) -> bool:
        """Whether the edit window holds all of another one, px of the image."""
        return self._edit.common(window) == window

    def turn(self, op: Literal["undo", "redo"]) -> None:
        """Undo or redo the last stroke."""
        self._edit.take()
        self._give(Turn(op))

    def act(
        self,
        work: Callable[[Corrections, Progress], tuple[IntWindow | None, Any]],
        then: Callable[[Any], None] = lambda _result: None,
    ) -> None:
        """Change the corrections in the thread, after all that was painted; see ``Act``."""
        self._edit.take()
        self._give(Act(work, then))

    def settle(self, then: Callable[[], object]) -> None:
        """Call ``then`` when all that was painted until now is on disk."""
        self._edit.take()
        self._writer.give(Look((0, 0, 1, 1), lambda _window, _values: then()))

    def follow(self) -> None:
        """Lie where the image lies now."""
        for layer in (self.layer, self.outlines):
            if layer is not None:
                move(layer, placed_like(self._image))
        self._edit.follow()

    def close(self, *, layers: bool) -> list[BaseException]:
        """Write what is painted and close the file; take the layers away if asked to.

        Returns
        -------
        Why strokes were lost, if any were.
        """
        self._viewer.layers.events.inserted.disconnect(self._inserted)
        self._edit.leave()  # its last stroke goes to the writer
        lost = self._writer.finish()
        if layers:
            self._edit.hide()
            for layer in (self.layer, self.outlines):
                if layer is not None:
                    self._viewer.layers.remove(layer)
        return lost

    # ----

    def _inserted(self, event: Any) -> None:
        layer = event.value
        if is_copy(layer):
            if not isinstance(layer.data, np.ndarray) or np.shares_memory(layer.data, self._levels.coarse):
                only_show(layer)  # napari would paint into our files, past the history of strokes
            self.copied.emit(layer)

    def _give(self, task: PixelEdit | Turn | Act) -> None:
        self._writer.give(task)
        self.given.emit()

    def _edit_shown(self, layer: Labels) -> None:
        if self.outlines is not None:  # they lie over the edit window, too
            layers = self._viewer.layers
            layers.move(layers.index(self.outlines), layers.index(layer) + 1)
        self.shown.emit(layer)

    def _placed(self, window: IntWindow, values: np.ndarray) -> None:
        self._edit.take()
        self._writer.put_waiting(values, window)
        self._edit.show(window, values)

    def _changed(self, window: IntWindow, by_stroke: bool) -> None:
        refresh([layer for layer in (self.layer, self.outlines) if layer is not None], self._viewer)
        self.changed.emit(window)
        inner = None if by_stroke else self._edit.common(window)
        if inner is not None:
            self._writer.give(Look(inner, self._others_edited))

    def _others_edited(self, window: IntWindow, values: np.ndarray) -> None:
        self._writer.put_waiting(values, window)
        self._edit.update(window, values)
