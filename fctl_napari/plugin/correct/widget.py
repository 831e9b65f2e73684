"""The tab Correct, with the actions of its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import napari
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut

from fctl_napari.correcting.acceptance import accept
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.regions import CorrectedRegion
from fctl_napari.evaluation.acquisition import Suggestion
from fctl_napari.evaluation.ground_areas import area_words
from fctl_napari.evaluation.selected_region import SelectedRegion
from fctl_napari.exceptions import Cancelled, InputError, OtherImageError
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.base_widget import DockedWidget, resting
from fctl_napari.plugin.common.keys import bind_keys
from fctl_napari.plugin.common.last_choices import remember_choice
from fctl_napari.plugin.common.notify import report, reported, say
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct.brush import Brush, class_names
from fctl_napari.plugin.correct.drawn_area import drawn_here
from fctl_napari.plugin.correct.form import KEYS, CorrectForm
from fctl_napari.plugin.correct.import_export import POLICIES, start_export, take_over
from fctl_napari.plugin.correct.open import Opened, Opening, chosen_classes
from fctl_napari.plugin.correct.other_image import Way, carry_out, open_to_look, show_only
from fctl_napari.plugin.correct.session import Painting
from fctl_napari.plugin.correct.stroke_queue import State
from fctl_napari.plugin.correct.where_next import WhereNext
from fctl_napari.plugin.layers.ground_truth import labels_over
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.mask_combo import MaskChoices
from fctl_napari.plugin.layers.navigation import RegionMarker, fly_to
from fctl_napari.plugin.layers.roi import DRAWN, start_drawing
from fctl_napari.plugin.layers.transforms import moves
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow, Window
from fctl_napari.words import count_of

PRESS = "Press Edit here to paint where you look."
NEXT = "Next: let the network learn from it (Fine-tune)", "Fine-tune"
MARKER_NAME = "FCtL corrected region"


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
        self._image: Image | None = None
        self._painting: Painting | None = None
        self._areas: Mapping[str, int] = {}  # painted px, by class
        self._middle: tuple[float, float] | None = None  # where the edit window goes once all is open
        self._rest = resting(self, self._look)
        self._marker = RegionMarker(napari_viewer, MARKER_NAME)
        self.form = CorrectForm(header)
        self.form.painter.setText(session().painter)
        self._fill(self.form)
        self.form.image.currentIndexChanged.connect(self._image_chosen)
        self.form.exchange.follow(napari_viewer)
        self._masks = MaskChoices(napari_viewer, self.form.mask, lambda: self.form.image.layer)
        self._opening = Opening(self._classes, self)
        self._linking = Jobs(self)
        self._next = WhereNext(self.form.next, lambda: self._masks.store, self)
        self._brush = Brush(napari_viewer, self.form, self._masks, self._actions(), self)
        self._connect()
        self._unbind = bind_keys(napari_viewer, {KEYS["here"]: self.form.here.click, **self._leading()})
        self._image_chosen()

    def _connect(self) -> None:
        """Connect the fields to their actions."""
        form = self.form
        form.checkpoint.currentIndexChanged.connect(self._rest.start)
        self._masks.changed.connect(self._rest.start)
        self._opening.waiting.connect(form.explain)
        self._opening.opened.connect(self._opened)
        self._opening.failed.connect(self._not_opened)
        form.painter.editingFinished.connect(self._painter_changed)
        remember_choice(form.painter, "painter")
        self._painter_changed()
        form.here.clicked.connect(lambda: self.edit_here())
        form.offer.clicked.connect(self._take_offer)
        form.other.chosen.connect(self._choose_other)
        form.undo.clicked.connect(lambda: self._turn("undo"))
        form.redo.clicked.connect(lambda: self._turn("redo"))
        form.draw.clicked.connect(self._draw)
        form.accept.clicked.connect(self.accept)
        form.regions.chosen.connect(lambda region: self._fly(region.window))
        form.next.stepped.connect(self._step)
        form.next.chosen.connect(self._go_to)
        form.exchange.chosen.connect(self._fly)
        form.exchange.wanted.connect(self.take_over)
        form.exchange.export_wanted.connect(self.export)
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
    def image(self) -> Image | None:
        """The image that is corrected."""
        return self._image

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
        opening = self._opening.busy or self._rest.isActive() or self._masks.busy or self._linking.running
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
        if image is not self._image:
            self._close()
            self._follow(image)
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
        wanted = self._wanted()
        if wanted and wanted != painting.table.names and not painting.unsaved and painting.corrections.blank:
            self._add_classes(painting)
        self._explain(self._about_classes(painting))

    def _wanted(self) -> tuple[str, ...]:
        """Return the classes of the segmentation or checkpoint that is chosen, or none if they are not known."""
        if self._masks.mask is not None:
            return class_names(self._masks.mask)
        card = self.form.checkpoint.card()
        return () if card is None else card.classes.names

    def _missing(self, painting: Painting) -> list[str]:
        """Return the classes that are chosen and that the corrections lack."""
        return [name for name in self._wanted() if name not in painting.table.names]

    def _about_classes(self, painting: Painting) -> str:
        """Describe the classes that are chosen and cannot be painted, and those that are painted and not chosen."""
        wanted, missing = self._wanted(), self._missing(painting)
        others = [name for name in _classes_present(self._areas) if name not in (*wanted, "not sure")]
        words = []
        if missing:
            words.append(f"These corrections lack {', '.join(missing)}: press Edit here to paint it, too.")
        if wanted and others:
            chosen = "segmentation" if self._masks.mask is not None else "checkpoint"
            words.append(
                f"Painted, but no class of the {chosen}: {', '.join(others)}; it is kept, and not learned from."
            )
        if self.edit_layer is None and not missing:
            words.append(PRESS)
        return " ".join(words)

    def _explain(self, words: str) -> None:
        """Show what is missing, and the next step once something is painted."""
        self.form.explain(words, *(NEXT if _classes_present(self._areas) else ()))

    def _follow(self, image: Image | None) -> None:
        """Follow the movements and the data of an image layer."""
        for emitter in moves(self._image):
            emitter.disconnect(self._moved)
        if self._image is not None:
            self._image.events.data.disconnect(self._data_changed)
        self._image = image
        for emitter in moves(image):
            emitter.connect(self._moved)
        if image is not None:
            image.events.data.connect(self._data_changed)

    def _data_changed(self) -> None:
        """Close the corrections of a layer that is no file and is given other px: it shows another image."""
        if self._image is not None and image_source(self._image) is None:
            self._close()
            self._rest.start()

    def _moved(self, _event: Any = None) -> None:
        if self._painting is not None:
            self._painting.follow()

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
            if image is not self._image:
                self._look()
            if middle is None:
                y0, x0, y1, x1 = view_region(self._viewer, image)
                middle = (y0 + y1) / 2, (x0 + x1) / 2
            self._middle = middle
            if self._painting is not None:
                if self._missing(self._painting):
                    self._add_classes(self._painting)
                self._move_edit_window(self._painting)
            elif not self._opening.makes:
                self._follow_window()
                self._opening.make(image)

    def _add_classes(self, painting: Painting) -> None:
        """Add the classes that are chosen to the corrections."""
        classes = self._classes()

        def work(into: Corrections, _progress: Progress) -> tuple[IntWindow | None, None]:
            table = chosen_classes(*classes)
            if table is not None:
                into.add_classes(table)
            return None, None

        painting.act(work)

    def _classes(self) -> tuple[ClassTable | None, str | None]:
        """Return the classes of new corrections.

        They are those of a checkpoint, or the location of the segmentation that has them.
        """
        card = None if self._masks.store is not None else self.form.checkpoint.card()
        return (None if card is None else card.classes), self._masks.store

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
        image, form = self._image, self.form
        if image is None or image not in self._viewer.layers:
            opened.corrections.close()
            return
        painting = self._painting = Painting(self._viewer, image, opened, lambda: self.painter, self)
        painting.state_changed.connect(self._show_state)
        painting.listed.connect(self._listed)
        painting.given.connect(self._show_saved)
        painting.failed.connect(self._failed)
        painting.beside.connect(self._beside)
        painting.refused.connect(lambda words: report(InputError(words), self))
        painting.changed.connect(self._next.stroke)
        painting.copied.connect(self._copied)
        self._brush.attach(painting)
        self._next.correct(painting.corrections)
        form.other.ask("")
        form.set_open(True)
        form.file.setText(str(painting.corrections.path))
        self._explain(self._about_classes(painting))
        if self._middle is not None:
            self._move_edit_window(painting)

    def _choose_other(self, way: Way) -> None:
        """Carry out the choice where the corrections at the image's usual location are of another image."""
        image = self._image
        source = None if image is None else image_source(image)
        if image is None or source is None or self._linking.running:
            return
        if way == "new":
            self._opening.make(image, apart=True)
        elif way == "look":

            def show(opened: Any) -> None:
                with reported(self):
                    if image in self._viewer.layers:
                        show_only(self._viewer, image, opened)

            self._linking.begin(lambda _progress: open_to_look(source), show, self._report)
        else:
            self._linking.begin(
                lambda _progress: carry_out(way, source), lambda _none: self._opening.look(source), self._report
            )

    def _move_edit_window(self, painting: Painting) -> None:
        assert self._middle is not None
        painting.move_edit_window(self._middle)
        self._middle = None
        self.form.make_offer("")
        self._explain(self._about_classes(painting).replace(PRESS, "").strip())

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
        before, self._areas = _classes_present(self._areas), state.areas
        self.form.classes.show_areas(state.areas, self._on_ground)
        self.form.undo.setEnabled(state.can_undo)
        self.form.redo.setEnabled(state.can_redo)
        self._show_saved()
        painting = self._painting
        if painting is None:
            return  # the painting is being closed, and with it perhaps the window
        if painting.corrections.class_table is not painting.table or _classes_present(state.areas) != before:
            self._rest.start()

    def _show_saved(self) -> None:
        if self._painting is not None:
            self.form.show_saved(self._painting.unsaved, self._painting.stuck)
            self.form.undo.setEnabled(self.form.undo.isEnabled() or self._painting.unsaved > 0)

    def _failed(self, error: BaseException) -> None:
        self._show_saved()
        report(error, self)

    # ---- acceptance of the prediction

    def _draw(self) -> None:
        start_drawing(self._viewer, self._image)
        self.form.where.setCurrentText(DRAWN)

    def accept(self) -> None:
        """Paint what the segmentation predicts in the drawn shape, or in the error that is selected."""
        with reported(self):
            painting = self._require_open()
            self._masks.require()
            store, painter = self._masks.store, self.painter
            in_shape = self.form.where.currentText() == DRAWN
            where = drawn_here(self._viewer, self._image) if in_shape else session().selected_error(self.window())

            def work(into: Corrections, progress: Progress) -> tuple[IntWindow | None, None]:
                segmentation = (
                    where.segmentation if isinstance(where, SelectedRegion) else Segmentation.open(str(store))
                )
                return accept(into, segmentation, where, painter, progress), None

            painting.act(work)

    def _require_open(self) -> Painting:
        if self._painting is None:
            raise InputError("no corrections are open; press Edit here first.")
        return self._painting

    # ---- progress

    def _listed(self, regions: list[CorrectedRegion]) -> None:
        corrections = self.corrections
        if corrections is None:
            return
        self.form.regions.show_regions(regions, corrections.class_table, corrections.georeference)
        pixels = sum(region.pixels for region in regions)
        share = pixels / (corrections.shape[0] * corrections.shape[1])
        covered = f"{pixels:,} px{self._on_ground(pixels)} ({share:.2%} of the image's px)"
        self.form.summary.setText(f"{count_of(len(regions), 'corrected region')}, {covered}" if regions else "")

    def _on_ground(self, pixels: int) -> str:
        """Return what px of the image cover on the ground, to follow their number."""
        corrections = self.corrections
        if corrections is None:
            return ""
        return area_words(pixels, corrections.georeference, Window.of_image(corrections.shape))

    def _fly(self, window: IntWindow) -> None:
        if self._image is not None and self._image in self._viewer.layers:
            fly_to(self._viewer, self._image, window)
            self._marker.show(self._image, window)

    def _step(self, by: int) -> None:
        self.form.tabs.setCurrentWidget(self.form.next)
        self._next.step(by)

    def _go_to(self, suggestion: Suggestion) -> None:
        """Fly to a region, and move the edit window there if it is open and does not reach there."""
        window = suggestion.region.window
        self._fly(window)
        if self.edit_layer is not None and self._painting is not None and not self._painting.holds(window):
            self.edit_here(((window[0] + window[2]) / 2, (window[1] + window[3]) / 2))

    def take_over(self, source: Labels | Path, others: bool = False) -> None:
        """Import a labels layer, a file, or others' corrections, and list the conflicts.

        Parameters
        ----------
        source : Labels or Path
            A layer, or a path.
        others : bool, optional
            If True, the path holds corrections.
        """
        with reported(self):
            policy = POLICIES[self.form.exchange.policy.currentText()]
            painting = self._require_open()
            placed = None
            if isinstance(source, Labels) and self._image is not None:
                placed = labels_over(self._viewer, source, self._image)
            work = partial(take_over, source, placed, others, policy, self.painter)
            self.form.exchange.clear()  # the report of the import before
            painting.act(work, self.form.exchange.show_report)

    def export(self, out: Path) -> None:
        """Export the corrections.

        Parameters
        ----------
        out : Path
            File to write. Its suffix chooses the format.
        """
        with reported(self):
            painting = self._require_open()
            painting.settle(lambda: start_export(painting.corrections.path, out))

    # ---- the end

    def _close(self, *, layers: bool = True) -> None:
        """Write what is painted, close the corrections, and remove their layers if asked to."""
        self._middle = None
        self._opening.cancel()
        painting, self._painting = self._painting, None
        if painting is None:
            return
        self._areas = {}
        self._brush.detach()
        self._next.correct(None)
        lost = painting.close(layers=layers)
        painting.deleteLater()
        if layers:
            self._marker.hide()
        form = self.form
        form.set_open(False)
        form.other.ask("")
        form.make_offer("")
        form.regions.show_regions([], None)
        form.exchange.clear()
        for text in (form.summary, form.saved, form.file):
            text.clear()
        for error in lost:
            report(error, self)

    def _leave(self, *, layers: bool) -> None:
        """Write all, and disconnect from the viewer: the dock or the window is gone."""
        self._rest.stop()
        self._close(layers=layers)
        self._next.leave()
        self._follow(None)
        self._unbind()
        self._masks.leave()
        self.form.exchange.leave()


def _classes_present(areas: Mapping[str, int]) -> list[str]:
    return [name for name, pixels in areas.items() if pixels]
