"""Corrections of one image that are open in the window, with their layers and with the strokes on their way to disk."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

import napari
import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from fctl_napari.correcting.class_edit import EditedTable, apply_edit
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import FctlError
from fctl_napari.plugin.correct.edit_window import EditWindow
from fctl_napari.plugin.correct.layer import (
    add_corrections,
    add_outlines,
    correction_style,
    dress,
    outline_style,
)
from fctl_napari.plugin.correct.open import Opened
from fctl_napari.plugin.correct.stroke_queue import Barrier, Change, PixelEdit, ReadWindow, StrokeWriter, UndoRedo
from fctl_napari.plugin.layers.correction_marks import is_copy
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.segmentation_layers import refresh
from fctl_napari.plugin.layers.styles import only_show
from fctl_napari.plugin.layers.transforms import move, placed_like
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow


class Painting(QObject):
    """Synchronization of the edit window, the layers of all corrections, and the file.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer that shows the layers.
    image : Image
        Layer of the image that is corrected.
    opened : Opened
        Its corrections. They are closed by :meth:`close`.
    author : callable
        Function that returns the name of the person who paints.
    parent : QObject or None, optional
        Qt's parent.

    Attributes
    ----------
    corrections : Corrections
        The corrections, to be read only. What is written goes through :meth:`act`.
    table : ClassTable
        The classes that are shown. The corrections may have more by now.
    state_changed : Signal(object)
        At the beginning and after every change; carries the ``State``.
    listed : Signal(object)
        Nothing is on its way to disk any more; carries the corrected regions.
    given : Signal()
        A stroke, or another change, is on its way to disk.
    failed : Signal(object)
        Something failed; carries the exception.
    beside : Signal(object)
        The user paints beside the edit window; carries the point, (y, x) px of the image.
    refused : Signal(str)
        Something that cannot be painted was reverted; carries the reason.
    shown : Signal(object)
        There is a new layer to paint on; carries the layer.
    changed : Signal(object)
        Something else is painted in a window now; carries it, (y0, x0, y1, x1) px.
    copied : Signal(object)
        napari made a copy of one of our layers, which is not saved; carries the copy.
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
        """The corrections, to be read only. What is written goes through :meth:`act`."""
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
        """The layer that outlines all corrections, if it is there."""
        return self._outlines if self._outlines in self._viewer.layers else None

    @property
    def unsaved(self) -> int:
        """Number of strokes and other changes that are on their way to disk."""
        return self._writer.unsaved

    @property
    def stuck(self) -> str:
        """Reason why the first of them, which is tried again, cannot be written."""
        return self._writer.stuck

    @property
    def busy(self) -> bool:
        """True while something is painted, read or on its way to disk."""
        return self._writer.busy or self._edit.waits

    def move_edit_window(self, middle: tuple[float, float]) -> None:
        """Move the edit window around a point.

        Layers that were deleted are added again.

        Parameters
        ----------
        middle : tuple of 2 float
            The point, (y, x) px of the image.
        """
        shown = self._viewer, self._image, self._levels, self.table
        if self.layer is None:
            self._layer = add_corrections(*shown)
        if self.outlines is None:
            self._outlines = add_outlines(*shown)
        self._edit.take()
        self._writer.give(ReadWindow(self._edit.around(*middle), self._placed))

    def show_classes(self) -> bool:
        """Show the classes that the corrections have now.

        Returns
        -------
        bool
            True if they differ from those that were shown.
        """
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
        """Return whether the edit window contains another one.

        Parameters
        ----------
        window : IntWindow
            The other one, (y0, x0, y1, x1) px of the image.

        Returns
        -------
        bool
            True if it contains all of it.
        """
        return self._edit.common(window) == window

    def turn(self, op: Literal["undo", "redo"]) -> None:
        """Undo or redo the last stroke.

        Parameters
        ----------
        op : {"undo", "redo"}
            ``"undo"`` or ``"redo"``.
        """
        self._edit.take()
        self._give(UndoRedo(op))

    def act(
        self,
        work: Callable[[Corrections, Progress], tuple[IntWindow | None, Any]],
        then: Callable[[Any], None] = lambda _result: None,
    ) -> None:
        """Change the corrections in the thread, after all that was painted.

        Parameters
        ----------
        work : callable
            Function that makes the change, in the thread; see ``Change``.
        then : callable, optional
            Function that is called on the main thread with its result.
        """
        self._edit.take()
        self._give(Change(work, then))

    def change_classes(
        self, edited: EditedTable, lose: Collection[str], then: Callable[[Path | FctlError | None], None]
    ) -> None:
        """Give the corrections classes of the user's own.

        While they are written anew, the edit window is away: what is painted with a class's old label would become
        another class.

        Parameters
        ----------
        edited : EditedTable
            The classes.
        lose : collection of str
            Names of the present classes whose px may become nothing.
        then : callable
            Function that is called on the main thread with the path of the former corrections (None if they were not
            written anew), or with the error.
        """
        self._edit.take()
        window = None if self.edit_layer is None else self._edit.window
        if not edited.keeps_indices:
            self._edit.hide()

        def work(into: Corrections, progress: Progress) -> tuple[IntWindow | None, Path | FctlError | None]:
            try:
                former = apply_edit(into, edited, lose=lose, progress=progress)
            except FctlError as error:
                return None, error
            return None if former is None else (0, 0, *into.shape), former

        def done(result: Path | FctlError | None) -> None:
            then(result)
            if window is not None and self.edit_layer is None:
                self._writer.give(ReadWindow(window, self._placed))

        self._give(Change(work, done))

    def settle(self, then: Callable[[], object]) -> None:
        """Call a function when all that was painted until now is on disk.

        Parameters
        ----------
        then : callable
            Function without arguments.
        """
        self._edit.take()
        self._writer.give(Barrier(then))

    def follow(self) -> None:
        """Move the layers to where the image lies now."""
        for layer in (self.layer, self.outlines):
            if layer is not None:
                move(layer, placed_like(self._image))
        self._edit.follow()

    def close(self, *, layers: bool) -> list[BaseException]:
        """Write what is painted and close the file.

        Parameters
        ----------
        layers : bool
            If True, remove the layers.

        Returns
        -------
        list of BaseException
            Reasons why strokes were lost. Empty if none were.
        """
        self._viewer.layers.events.inserted.disconnect(self._inserted)
        self._edit.leave()  # its last stroke goes to the writer
        lost = self._writer.finish()
        if layers:
            self._edit.hide()
            remove_layers(self._viewer, [layer for layer in (self.layer, self.outlines) if layer is not None])
        return lost

    # ----

    def _inserted(self, event: Any) -> None:
        """Protect our files from a copy of our layers that napari made, and emit ``copied``."""
        layer = event.value
        if is_copy(layer):
            if not isinstance(layer.data, np.ndarray) or np.shares_memory(layer.data, self._levels.coarse):
                only_show(layer)  # napari would paint into our files, bypassing the history of strokes
            self.copied.emit(layer)

    def _give(self, task: PixelEdit | UndoRedo | Change) -> None:
        """Give a task to the writer, and emit ``given``."""
        self._writer.give(task)
        self.given.emit()

    def _edit_shown(self, layer: Labels) -> None:
        """Move the outlines above a new edit layer."""
        if self.outlines is not None:  # they lie over the edit window, too
            layers = self._viewer.layers
            layers.move(layers.index(self.outlines), layers.index(layer) + 1)
        self.shown.emit(layer)

    def _placed(self, window: IntWindow, values: np.ndarray) -> None:
        """Show the edit window with the values that were read for it."""
        self._edit.take()
        self._writer.put_waiting(values, window)
        self._edit.show(window, values)

    def _changed(self, window: IntWindow, by_stroke: bool) -> None:
        """Refresh the layers where the corrections have changed.

        The edit window is updated too, unless a stroke was the reason.
        """
        refresh([layer for layer in (self.layer, self.outlines) if layer is not None], self._viewer)
        self.changed.emit(window)
        inner = None if by_stroke else self._edit.common(window)
        if inner is not None:
            self._writer.give(ReadWindow(inner, self._others_edited))

    def _others_edited(self, window: IntWindow, values: np.ndarray) -> None:
        """Show in the edit window what others changed."""
        self._writer.put_waiting(values, window)
        self._edit.update(window, values)
