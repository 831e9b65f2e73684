"""The Correct widget: what its fields do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from fctl_napari.errors import Cancelled, InputError
from fctl_napari.learning.corrected_regions import CorrectedRegion
from fctl_napari.learning.corrections import Corrections
from fctl_napari.plugin.accepting import Blob, Drawn, accept, drawn
from fctl_napari.plugin.background import Job
from fctl_napari.plugin.comparing import ERRORS
from fctl_napari.plugin.correct_form import KEYS, CorrectForm
from fctl_napari.plugin.correcting import MaskChoices, Opened, class_under, open_corrections
from fctl_napari.plugin.corrections_layer import add_corrections
from fctl_napari.plugin.edit_window import PAINTING, EditWindow
from fctl_napari.plugin.error_widget import ErrorWidget
from fctl_napari.plugin.growing import refresh
from fctl_napari.plugin.keys import bind_keys
from fctl_napari.plugin.layers import ImageSource, image_source
from fctl_napari.plugin.notify import report, reported
from fctl_napari.plugin.on_disk import OnDisk
from fctl_napari.plugin.picking import Picker
from fctl_napari.plugin.placement import MOVED, move, placed_like
from fctl_napari.plugin.regions import DRAWN, region_layer, start_drawing
from fctl_napari.plugin.session import session
from fctl_napari.plugin.spot import Spot, fly_to
from fctl_napari.plugin.stroke_writer import Act, Look, Painted, State, StrokeWriter, Turn
from fctl_napari.plugin.view import IntWindow, view_region
from fctl_napari.segmentation.store import Segmentation

REST_MS = 100
"""How long the choices have to rest before they are looked at: several layers come and go together."""

SPOT_NAME = "FCtL corrected region"


class CorrectWidget(QWidget):
    """Paints corrections over an image; every stroke is on disk within a second.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._image: Image | None = None
        self._job: Job | None = None
        self._file: OnDisk | None = None
        self._writer: StrokeWriter | None = None
        self._corrections: Corrections | None = None
        self._edit: EditWindow | None = None
        self._layer: Labels | None = None
        self._middle: tuple[float, float] | None = None  # where the edit window goes once all is open
        self._label = 1
        self._left = False
        self._unbind_layer: Callable[[], None] = lambda: None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._look)
        self._spot = Spot(napari_viewer, SPOT_NAME)
        self._picker = Picker(napari_viewer, self)
        self._tool = "paint"  # what the picker interrupts
        self.form = CorrectForm()
        self.form.painter.setText(session().painter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.form.image.follow(napari_viewer, self._image_chosen)
        self._masks = MaskChoices(napari_viewer, self.form.mask, lambda: self.form.image.layer)
        self._connect()
        self._unbind = bind_keys(napari_viewer, {KEYS["here"]: self.form.here.click})
        self._image_chosen()

    def _connect(self) -> None:
        form = self.form
        form.checkpoint.currentIndexChanged.connect(self._rest.start)
        self._masks.changed.connect(self._rest.start)
        form.painter.editingFinished.connect(self._painter_changed)
        form.here.clicked.connect(lambda: self.edit_here())
        form.offer.clicked.connect(self._take_offer)
        form.undo.clicked.connect(lambda: self._turn("undo"))
        form.redo.clicked.connect(lambda: self._turn("redo"))
        form.classes.chosen.connect(self.choose_label)
        form.pick.toggled.connect(self._pick_toggled)
        self._picker.picked.connect(self._picked)
        self._picker.released.connect(self._pick_released)
        self._picker.switched.connect(form.pick.setChecked)
        form.draw.clicked.connect(self._draw)
        form.accept.clicked.connect(self.accept)
        form.regions.chosen.connect(self._fly)
        for key, act in self._actions().items():
            shortcut = QShortcut(QKeySequence(key.replace("Control", "Ctrl").replace("-", "+")), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)
        session().window_closed.connect(self._window_closed)

    def _actions(self) -> dict[str, Callable[[], Any]]:
        form = self.form
        return {
            KEYS["undo"]: form.undo.click,
            KEYS["redo"]: form.redo.click,
            KEYS["accept"]: form.accept.click,
        }

    # ---- what is corrected

    @property
    def corrections(self) -> Corrections | None:
        """What is painted on, if it is open; read it only."""
        return self._corrections

    @property
    def edit_layer(self) -> Labels | None:
        """The layer to paint on."""
        return None if self._edit is None else self._edit.layer

    @property
    def layer(self) -> Labels | None:
        """The layer that shows all corrections."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    @property
    def busy(self) -> bool:
        """Whether something is being opened, or is on its way to disk."""
        opening = self._job is not None or self._file is not None or self._rest.isActive()
        waits = self._edit is not None and self._edit.waits
        return opening or waits or (self._writer is not None and self._writer.busy)

    @property
    def painter(self) -> str:
        """Who paints."""
        return session().painter

    def _painter_changed(self) -> None:
        session().painter = self.form.painter.text().strip() or session().painter
        self.form.painter.setText(session().painter)

    def _image_chosen(self) -> None:
        self._masks.fill()
        self._rest.start()

    def _look(self) -> None:
        """See whether the image that is chosen has corrections already, and show them."""
        image, form = self.form.image.layer, self.form
        form.checkpoint.setEnabled(self._masks.mask is None)
        form.checkpoint.open_file.setEnabled(self._masks.mask is None)
        if image is not self._image:
            self._close()
            self._follow(image)
        if image is None:
            form.explain("Open an image first.")
        elif self._writer is not None or self._job is not None or self._file is not None:
            return
        else:
            form.explain("Press Edit here to paint where you look.")
            source = image_source(image)
            if source is not None and source.job is None and image.ndim == 2:
                self._open(source, create=False)

    def _follow(self, image: Image | None) -> None:
        if self._image is not None:
            for name in MOVED:
                getattr(self._image.events, name).disconnect(self._moved)
        self._image = image
        if image is not None:
            for name in MOVED:
                getattr(image.events, name).connect(self._moved)

    def _moved(self, _event: Any = None) -> None:
        if self.layer is not None and self._image is not None:
            move(self.layer, placed_like(self._image))
        if self._edit is not None:
            self._edit.follow()

    def edit_here(self, middle: tuple[float, float] | None = None) -> None:
        """Put the edit window where one looks, or around (y, x) px of the image; corrections are made if need be."""
        with reported():
            image = self.form.image.require_layer("correct")
            if image is not self._image:
                self._look()
            y0, x0, y1, x1 = view_region(self._viewer, image)
            self._middle = ((y0 + y1) / 2, (x0 + x1) / 2) if middle is None else middle
            if self._writer is not None:
                self._place()
            elif self._file is None:
                self._file = OnDisk(image, "painting", self)
                self._file.waiting.connect(self.form.explain)
                self._file.ready.connect(self._file_ready)
                self._file.failed.connect(self._not_opened)
                self._file.start()

    def _file_ready(self, source: ImageSource) -> None:
        self._file = None
        self._open(source, create=True)

    def _open(self, source: ImageSource, *, create: bool) -> None:
        session().follow(self.window())  # tells when it closes
        card = None if self._masks.store is not None else self.form.checkpoint.card()
        table, store = None if card is None else card.classes, self._masks.store

        def work(_progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> Opened | None:
            return open_corrections(source, table, store, create, cancelled)

        if self._job is not None:
            self._job.cancel()
        job = self._job = Job(work, label="corrections")

        def opened(result: Opened | None) -> None:
            if self._job is not job:
                if result is not None:
                    result.corrections.close()
                return
            self._job = None
            if result is not None:
                self._show(result)

        def failed(error: BaseException) -> None:
            if self._job is job:
                self._job = None
                self._not_opened(error, loud=create)

        job.finished.connect(opened)
        job.failed.connect(failed)
        job.start()

    def _not_opened(self, error: BaseException | None, *, loud: bool = True) -> None:
        self._file = self._middle = None
        if error is not None:
            self.form.explain("" if isinstance(error, Cancelled) else str(error))
            if loud:
                report(error)

    def _show(self, opened: Opened) -> None:
        image, form = self._image, self.form
        if image is None or image not in self._viewer.layers:
            opened.corrections.close()
            return
        corrections = self._corrections = opened.corrections
        table = corrections.class_table
        writer = self._writer = StrokeWriter(corrections, opened.levels, self.painter, self)
        writer.changed.connect(self._changed)
        writer.told.connect(self._told)
        writer.listed.connect(self._listed)
        writer.failed.connect(self._failed)
        self._layer = add_corrections(self._viewer, image, opened.levels, table)
        edit = self._edit = EditWindow(self._viewer, image, table, lambda: self.painter, self)
        edit.painted.connect(self._painted)
        edit.beside.connect(self._beside)
        edit.refused.connect(lambda words: report(InputError(words)))
        edit.shown.connect(self._dress)
        form.classes.show_classes(table)
        form.classes.show_chosen(self._label)
        form.set_open(True)
        form.file.setText(str(corrections.path))
        form.explain("" if self._middle is not None else "Press Edit here to paint where you look.")
        if self._middle is not None:
            self._place()

    # ---- the edit window

    def _place(self) -> None:
        assert self._writer is not None
        assert self._edit is not None
        assert self._middle is not None
        window = self._edit.around(*self._middle)
        self._middle = None
        self.form.make_offer("")
        self.form.explain("")
        self._edit.take()
        self._writer.give(Look(window, self._placed))

    def _placed(self, window: IntWindow, values: np.ndarray) -> None:
        assert self._writer is not None
        assert self._edit is not None
        self._edit.take()
        self._writer.put_waiting(values, window)
        self._edit.show(window, values)

    def _dress(self, layer: Labels) -> None:
        """Make a new edit layer listen to the buttons and the keys."""
        layer.selected_label = self._label
        layer.events.selected_label.connect(self._label_chosen)
        labels = {key: partial(self.choose_label, label) for key, label in self.form.classes.keys().items()}
        keys: dict[str, Callable[[], Any]] = {**self._actions(), KEYS["pick"]: self._pick_under_cursor, **labels}
        self._unbind_layer()
        self._unbind_layer = bind_keys(layer, keys, self._viewer)

    def _label_chosen(self, _event: Any = None) -> None:
        layer = self.edit_layer
        if layer is not None:
            if layer.selected_label:
                self._label = int(layer.selected_label)
            self.form.classes.show_chosen(int(layer.selected_label))

    def choose_label(self, label: int) -> None:
        """Paint with this label from now on: k + 1 is class k, 255 not sure."""
        self._set_label(label)
        layer = self.edit_layer
        if layer is not None:
            if str(layer.mode) not in PAINTING or str(layer.mode) == "erase":
                layer.mode = "paint"
            self._viewer.layers.selection.active = layer

    def _set_label(self, label: int) -> None:
        self._label = label
        self.form.classes.show_chosen(label)
        if self.edit_layer is not None:
            self.edit_layer.selected_label = label

    def _beside(self, place: tuple[float, float]) -> None:
        self._middle = place
        self.form.make_offer("That was beside the edit window. Move it there?")

    def _take_offer(self) -> None:
        if self._middle is not None:
            self.edit_here(self._middle)

    # ---- strokes

    def _painted(self, stroke: Painted) -> None:
        assert self._writer is not None
        self._writer.give(stroke)
        self._show_saved()

    def _turn(self, op: Any) -> None:
        if self._writer is not None and self._edit is not None:
            self._edit.take()
            self._writer.give(Turn(op, self.painter))
            self._show_saved()

    def _changed(self, window: IntWindow, by_stroke: bool) -> None:
        if self.layer is not None:
            refresh([self.layer], self._viewer)
        edit, writer = self._edit, self._writer
        if by_stroke or edit is None or writer is None or edit.window is None or not edit.overlaps(window):
            return
        (y0, x0, y1, x1), (top, left, bottom, right) = window, edit.window
        writer.give(Look((max(y0, top), max(x0, left), min(y1, bottom), min(x1, right)), self._others_painted))

    def _others_painted(self, window: IntWindow, values: np.ndarray) -> None:
        if self._writer is not None and self._edit is not None:
            self._writer.put_waiting(values, window)
            self._edit.update(window, values)

    def _told(self, state: State) -> None:
        self.form.classes.show_areas(state.areas)
        self.form.undo.setEnabled(state.can_undo)
        self.form.redo.setEnabled(state.can_redo)
        self._show_saved()

    def _show_saved(self) -> None:
        if self._writer is not None:
            self.form.show_saved(self._writer.unsaved, self._writer.stuck)
            self.form.undo.setEnabled(self.form.undo.isEnabled() or self._writer.unsaved > 0)

    def _failed(self, error: BaseException) -> None:
        self._show_saved()
        report(error)

    # ---- what the segmentation says

    def _require_mask(self) -> Labels:
        if self._masks.mask is None:
            raise InputError("there is no segmentation of this image; segment it first (Segment widget), or open one.")
        return self._masks.mask

    def _pick_toggled(self, on: bool) -> None:
        layer = self.edit_layer
        if on and layer is not None and str(layer.mode) in PAINTING:
            self._tool = str(layer.mode)
        self._picker.switch(on)

    def _picked(self, world: np.ndarray) -> None:
        label = self._class_at(world)
        if label is not None:
            self._set_label(label)  # the tool waits for the button: it would paint

    def _pick_released(self) -> None:
        self._picker.switch(False)
        layer = self.edit_layer
        if layer is not None:
            self._viewer.layers.selection.active = layer
            layer.mode = self._tool

    def _pick_under_cursor(self) -> None:
        label = self._class_at(np.asarray(self._viewer.cursor.position, float))
        if label is not None:
            self.choose_label(label)

    def _class_at(self, world: np.ndarray) -> int | None:
        with reported():
            if self._corrections is not None:
                return class_under(self._require_mask(), world, self._corrections.class_table)
        return None

    def _draw(self) -> None:
        start_drawing(self._viewer, self._image)
        self.form.where.setCurrentText(DRAWN)

    def accept(self) -> None:
        """Paint what the segmentation says where the fields say."""
        with reported():
            writer, edit = self._writer, self._edit
            if writer is None or edit is None:
                raise InputError("nothing is open to be corrected; press Edit here first.")
            self._require_mask()
            store, painter = self._masks.store, self.painter
            where = self._drawn() if self.form.where.currentText() == DRAWN else self._blob()

            def work(into: Corrections, stopped: Callable[[], bool]) -> tuple[IntWindow | None, None]:
                segmentation = where.segmentation if isinstance(where, Blob) else Segmentation.open(str(store))
                return accept(into, segmentation, where, painter, stopped), None

            edit.take()
            writer.give(Act(work, lambda _result: None, painter))
            self._show_saved()

    def _drawn(self) -> Drawn:
        shapes = region_layer(self._viewer)
        if shapes is None or self._image is None:
            raise InputError("no region is drawn; press Draw and drag a rectangle over the image.")
        return drawn(shapes, self._image)

    def _blob(self) -> Blob:
        for widget in self.window().findChildren(ErrorWidget):
            region, comparison = widget.region, widget.comparison
            if region is not None and comparison is not None:
                truth = comparison.truth if widget.form.regions.kind == ERRORS else None
                return Blob(region, comparison.segmentation, truth)
        raise InputError("no error is chosen; open the Errors widget and click a region in its list.")

    # ---- progress

    def _listed(self, regions: list[CorrectedRegion]) -> None:
        corrections = self._corrections
        if corrections is None:
            return
        self.form.regions.show_regions(regions, corrections.class_table)
        pixels = sum(region.pixels for region in regions)
        share = pixels / (corrections.shape[0] * corrections.shape[1])
        self.form.summary.setText(
            f"{len(regions):,} corrected regions, {pixels:,} px ({share:.2%} of the image)" if regions else ""
        )

    def _fly(self, region: CorrectedRegion) -> None:
        if self._image is not None and self._image in self._viewer.layers:
            fly_to(self._viewer, self._image, region.window)
            self._spot.show(self._image, region.window)

    # ---- the end

    def _close(self, *, layers: bool = True) -> None:
        """Write what is painted, close the corrections, and show them no more."""
        self._middle = None
        if self._file is not None:
            self._file.cancel()
            self._file = None
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self._edit is None or self._writer is None:
            return
        self._picker.switch(False)
        self._unbind_layer()
        self._edit.leave()  # its last stroke goes to the writer
        lost = self._writer.finish()
        if layers:
            self._edit.hide()
            self._spot.hide()
            if self.layer is not None:
                self._viewer.layers.remove(self.layer)
        self._edit = self._writer = self._corrections = self._layer = None
        form = self.form
        form.set_open(False)
        form.make_offer("")
        form.classes.show_classes(None)
        form.regions.show_regions([], None)
        for text in (form.summary, form.saved, form.file):
            text.clear()
        for error in lost:
            report(error)

    def event(self, event: QEvent) -> bool:
        """Qt's hook: napari takes a closed dock's widget out of its parent."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None and not self._left:
            self._leave(layers=True)
        return super().event(event)

    def _window_closed(self, window: QWidget) -> None:
        if window is self.window() and not self._left:
            self._leave(layers=False)

    def _leave(self, *, layers: bool) -> None:
        """Write all, and listen to nothing any more: the dock or the window is gone."""
        self._left = True
        self._rest.stop()
        self._close(layers=layers)
        self._follow(None)
        self._unbind()
        self._masks.leave()
        self.form.image.leave()
