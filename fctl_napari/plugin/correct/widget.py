"""The tab Correct: opening of corrections, the edit window, strokes, and what its other parts do together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import napari
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import Cancelled, InputError, OtherImageError
from fctl_napari.plugin.common.base_widget import DockedWidget, resting
from fctl_napari.plugin.common.keys import bind_keys
from fctl_napari.plugin.common.last_choices import remember_choice
from fctl_napari.plugin.common.notify import report, reported, say
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct.acceptance import Acceptance
from fctl_napari.plugin.correct.brush import Brush
from fctl_napari.plugin.correct.class_choice import ClassChoice, corrected_classes
from fctl_napari.plugin.correct.class_editing import ClassEditing
from fctl_napari.plugin.correct.corrected_image import CorrectedImage
from fctl_napari.plugin.correct.exchange import Exchange
from fctl_napari.plugin.correct.form import KEYS, CorrectForm
from fctl_napari.plugin.correct.listed_regions import ListedRegions
from fctl_napari.plugin.correct.open import Opened, Opening
from fctl_napari.plugin.correct.other_image_choice import OtherImageChoice
from fctl_napari.plugin.correct.session import Painting
from fctl_napari.plugin.correct.stroke_queue import State
from fctl_napari.plugin.correct.strokes_live import StrokesLive
from fctl_napari.plugin.correct.where_next import WhereNext
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.mask_combo import MaskChoices
from fctl_napari.plugin.layers.viewport import view_region

PRESS = "Press Edit here to paint where you look."
NEXT = "Next: learn from it (Fine-tune)", "Fine-tune"


class CorrectWidget(DockedWidget):
    """Widget that paints corrections over an image.

    Every stroke is on disk within a second.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that it is docked in.
    header : Header
        Fields for image, checkpoint and device, which the tabs share.
    """

    def __init__(self, napari_viewer: napari.Viewer, header: Header) -> None:
        super().__init__(napari_viewer)
        form = self.form = CorrectForm(header)
        self._areas: Mapping[str, int] = {}  # painted px, by class
        self._middle: tuple[float, float] | None = None  # where the edit window goes once all is open
        self._rest = resting(self, self._look)
        form.painter.setText(session().painter)
        self._fill(form)
        form.image.currentIndexChanged.connect(self._image_chosen)
        self._corrected = CorrectedImage(self)
        self._exchange = Exchange(napari_viewer, form.exchange, self._corrected, self)
        self._masks = MaskChoices(napari_viewer, form.mask, lambda: form.image.layer)
        self._classes = ClassChoice(form, self._masks)
        self._opening = Opening(self._classes.for_new, self)
        self._other = OtherImageChoice(napari_viewer, form.other, self._corrected, self._opening, self)
        self._next = WhereNext(form.next, lambda: self._live.store or self._masks.store, self)
        self._listed = ListedRegions(napari_viewer, form, self._corrected, self._next, self.edit_here, self)
        self._acceptance = Acceptance(napari_viewer, form, self._masks, self._corrected, self)
        self._editing = ClassEditing(form, self._corrected, self._opening, self._compare_classes, self)
        self._live = StrokesLive(napari_viewer, form, self._corrected, self._masks, self)
        self._live.classified.connect(self._next.follow)
        self._live.ended.connect(self._next.look)
        self._brush = Brush(napari_viewer, form, self._masks, self._actions(), self)
        self._connect()
        self._unbind = bind_keys(napari_viewer, {KEYS["here"]: form.here.click, **self._leading()})
        self._image_chosen()

    def _connect(self) -> None:
        """Connect the fields to their actions."""
        form = self.form
        form.checkpoint.currentIndexChanged.connect(self._rest.start)
        self._masks.changed.connect(self._rest.start)
        self._corrected.replaced.connect(self._image_replaced)
        self._opening.waiting.connect(form.explain)
        self._opening.opened.connect(self._opened)
        self._opening.failed.connect(self._not_opened)
        form.painter.editingFinished.connect(self._painter_changed)
        remember_choice(form.painter, "painter")
        self._painter_changed()
        form.here.clicked.connect(lambda: self.edit_here())
        form.offer.clicked.connect(self._take_offer)
        form.undo.clicked.connect(lambda: self._turn("undo"))
        form.redo.clicked.connect(lambda: self._turn("redo"))
        for key, act in (self._actions() | self._leading()).items():
            shortcut = QShortcut(QKeySequence(key.replace("Control", "Ctrl").replace("-", "+")), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    def _actions(self) -> dict[str, Callable[[], Any]]:
        """Return the actions of the edit layer's keys."""
        form = self.form
        return {
            KEYS["undo"]: form.undo.click,
            KEYS["redo"]: form.redo.click,
            KEYS["accept"]: form.accept.click,
        }

    def _leading(self) -> dict[str, Callable[[], Any]]:
        """Return the actions of the keys that step through the list of suggestions."""
        return {key: button.click for key, button in self.form.next.key_buttons().items()}

    # ---- what is corrected

    @property
    def corrections(self) -> Corrections | None:
        """The corrections, to be read only, if they are open."""
        return None if self._painting is None else self._painting.corrections

    @property
    def _painting(self) -> Painting | None:
        """The open corrections with their layers."""
        return self._corrected.painting

    @property
    def image(self) -> Image | None:
        """The image that is corrected."""
        return self._corrected.image

    @property
    def edit_layer(self) -> Labels | None:
        """The layer to paint on."""
        return None if self._painting is None else self._painting.edit_layer

    @property
    def layer(self) -> Labels | None:
        """The layer that shows all corrections."""
        return None if self._painting is None else self._painting.layer

    @property
    def busy(self) -> bool:
        """True while something is being opened, or is on its way to disk."""
        opening = self._opening.busy or self._rest.isActive() or self._masks.busy or self._other.running
        return opening or self._next.busy or (self._painting is not None and self._painting.busy)

    @property
    def painter(self) -> str:
        """Name of the person who paints."""
        return session().painter

    def _painter_changed(self) -> None:
        session().painter = self.form.painter.text().strip() or session().painter
        self.form.painter.setText(session().painter)

    def _image_chosen(self) -> None:
        self._masks.fill()
        self._rest.start()

    def _look(self) -> None:
        """Show the corrections that the chosen image has already, if there are some."""
        image, form = self.form.image.layer, self.form
        if image is not self.image:
            self._close()
            self._corrected.follow(image)
        self._next.look()
        if image is None:
            form.explain("Open an image first.")
        elif self._opening.busy:
            return
        elif self._painting is not None:
            self._compare_classes(self._painting)
        else:
            form.explain(PRESS)
            source = image_source(image)
            if source is not None and source.job is None and image.ndim == 2:
                self._follow_window()
                self._opening.look(source)

    def _compare_classes(self, painting: Painting) -> None:
        """Show new classes, and give blank corrections the classes that are chosen."""
        if painting.show_classes():
            self._brush.show_classes()
        chosen, there = self._classes.names(), painting.corrections
        differ = bool(chosen) and chosen != painting.table.names and not there.own_classes
        if differ and not painting.unsaved and there.blank:
            self._classes.add_to(painting)
        self._explain_classes(painting)

    def _explain_classes(self, painting: Painting, *, moved: bool = False) -> None:
        """Show what is to be known of the classes, and how to paint unless the edit window was moved."""
        words = self._classes.describe(painting, self._areas)
        if not moved and self.edit_layer is None and not self._classes.missing(painting):
            words = f"{words} {PRESS}".strip()
        self._explain(words)

    def _explain(self, words: str) -> None:
        """Show what is missing, and the next step once something is painted."""
        self.form.explain(words, *(NEXT if corrected_classes(self._areas) else ()))

    def _image_replaced(self) -> None:
        """Close the corrections, as the layer shows another image now."""
        self._close()
        self._rest.start()

    def edit_here(self, middle: tuple[float, float] | None = None) -> None:
        """Put the edit window around a point.

        Corrections are made if there are none yet.

        Parameters
        ----------
        middle : tuple of 2 float or None, optional
            The point, (y, x) px of the image. None is the center of the view.
        """
        with reported(self):
            image = self.form.image.require_layer("correct")
            if image is not self.image:
                self._look()
            if middle is None:
                y0, x0, y1, x1 = view_region(self._viewer, image)
                middle = (y0 + y1) / 2, (x0 + x1) / 2
            self._middle = middle
            if self._painting is not None:
                if self._classes.missing(self._painting):
                    self._classes.add_to(self._painting)
                self._move_edit_window(self._painting)
            elif not self._opening.makes:
                self._follow_window()
                self._opening.make(image)

    def _opened(self, result: Opened | None) -> None:
        if result is not None:
            self._show(result)

    def _not_opened(self, error: BaseException | None, loud: bool) -> None:
        self._middle = None
        if isinstance(error, OtherImageError):
            self.form.explain("")
            self.form.other.ask(f"{error.name} holds corrections of another image ({error.what}).")
            if loud:
                report(error, self)
        elif error is not None:
            self.form.explain("" if isinstance(error, Cancelled) else str(error))
            if loud:
                report(error, self)

    def _show(self, opened: Opened) -> None:
        image, form = self.image, self.form
        if image is None or image not in self._viewer.layers:
            opened.corrections.close()
            return
        painting = self._corrected.painting = Painting(self._viewer, image, opened, lambda: self.painter, self)
        painting.state_changed.connect(self._show_state)
        painting.listed.connect(self._listed.show_corrected)
        painting.given.connect(self._show_saved)
        painting.failed.connect(self._failed)
        painting.beside.connect(self._beside)
        painting.refused.connect(lambda words: report(InputError(words), self))
        painting.changed.connect(self._next.stroke)
        painting.copied.connect(self._copied)
        self._brush.attach(painting)
        self._next.correct(painting.corrections)
        self._live.attach(painting)
        form.other.ask("")
        form.set_open(True)
        form.file.setText(str(painting.corrections.path))
        self._explain_classes(painting)
        if self._middle is not None:
            self._move_edit_window(painting)

    def _move_edit_window(self, painting: Painting) -> None:
        assert self._middle is not None
        painting.move_edit_window(self._middle)
        self._middle = None
        self.form.make_offer("")
        self._explain_classes(painting, moved=True)

    def _copied(self, layer: Labels) -> None:
        there = "the edit window" if self.edit_layer is None else self.edit_layer.name
        say(
            f"{layer.name}: is a copy, and strokes on it are not saved. Paint on {there}, or take the copy over in "
            "the end (Take over, export)."
        )

    def _beside(self, move_edit_window: tuple[float, float]) -> None:
        self._middle = move_edit_window
        self.form.make_offer("The stroke was outside the edit window. Move the window there?")

    def _take_offer(self) -> None:
        if self._middle is not None:
            self.edit_here(self._middle)

    # ---- strokes

    def paints_on(self, image: Image) -> bool:
        """Return whether the corrections of an image are open here.

        Parameters
        ----------
        image : Image
            The image layer.

        Returns
        -------
        bool
            True if they are open.
        """
        return self.image is image

    def settle(self, then: Callable[[], object]) -> None:
        """Call a function when all that was painted until now is on disk.

        Parameters
        ----------
        then : callable
            Function without arguments. It is called at once if nothing is open.
        """
        if self._painting is None:
            then()
        else:
            self._painting.settle(then)

    def _turn(self, op: Literal["undo", "redo"]) -> None:
        if self._painting is not None:
            self.form.exchange.clear()  # what it reports may be undone
            self._painting.turn(op)

    def _show_state(self, state: State) -> None:
        before, self._areas = corrected_classes(self._areas), state.areas
        self.form.classes.show_areas(state.areas, self._corrected.on_ground)
        self.form.undo.setEnabled(state.can_undo)
        self.form.redo.setEnabled(state.can_redo)
        self._show_saved()
        painting = self._painting
        if painting is None:
            return  # the painting is being closed, and with it perhaps the window
        if painting.corrections.class_table is not painting.table or corrected_classes(state.areas) != before:
            self._rest.start()

    def _show_saved(self) -> None:
        if self._painting is not None:
            self.form.show_saved(self._painting.unsaved, self._painting.stuck)
            self.form.undo.setEnabled(self.form.undo.isEnabled() or self._painting.unsaved > 0)

    def _failed(self, error: BaseException) -> None:
        self._show_saved()
        report(error, self)

    # ---- the end

    def _close(self, *, layers: bool = True) -> None:
        """Write what is painted, close the corrections, and remove their layers if asked to."""
        self._middle = None
        self._opening.cancel()
        painting, self._corrected.painting = self._painting, None
        if painting is None:
            return
        self._areas = {}
        self._live.detach()
        self._brush.detach()
        self._next.correct(None)
        lost = painting.close(layers=layers)
        painting.deleteLater()
        self._listed.clear(layers=layers)
        form = self.form
        form.set_open(False)
        form.other.ask("")
        form.make_offer("")
        form.exchange.clear()
        for text in (form.saved, form.file):
            text.clear()
        for error in lost:
            report(error, self)

    def _leave(self, *, layers: bool) -> None:
        """Write all, and disconnect from the viewer: the dock or the window is gone."""
        self._rest.stop()
        self._close(layers=layers)
        self._next.leave()
        self._corrected.follow(None)
        self._unbind()
        self._masks.leave()
        self.form.exchange.leave()
