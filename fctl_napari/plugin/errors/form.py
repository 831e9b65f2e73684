"""Fields of the tab Errors, without what they do."""

from __future__ import annotations

import html
from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.evaluation.error_types import COLOR_BLIND, PAPER, Color, ErrorColors
from fctl_napari.model.classes import background_of, foreground_of
from fctl_napari.plugin.common.form_layout import button, labelled, scrolling, show_done, wrapped
from fctl_napari.plugin.common.guide import Guide
from fctl_napari.plugin.errors.figures_page import FiguresPage
from fctl_napari.plugin.errors.list import RegionsPage
from fctl_napari.plugin.errors.points_page import PointsPage
from fctl_napari.plugin.errors.showing import CONFUSION, DIFFER, MISSES, WHO, Showing
from fctl_napari.plugin.layers.choosers import combo, row, tool
from fctl_napari.plugin.layers.roi import DRAW_TIP, DRAWN, VIEW, WHOLE

OWN = "My own"
SETS = {"As in the paper": PAPER, "Colour-blind safe": COLOR_BLIND}

TOOLTIPS = {
    "mask": "The segmentation to examine, a mask that FCtL made.",
    "truth": (
        "The ground truth: a labels layer (label 0 is nothing; label 1 the first class, unless it names its "
        "classes), a label of the image's own OME-Zarr, or a file."
    ),
    "open": "Open a ground truth, a PNG or TIFF of class indices (255 is no class) or of the classes' colors.",
    "open_folder": "Open a ground truth, a label group in an OME-Zarr.",
    "mapping": "State the class of each value of the ground truth.",
    "second": (
        "Another segmentation of the same image, by another checkpoint, for example. It shows where the two differ."
    ),
    "shown": "Show where the segmentation is wrong. Only the pixels in view are computed.",
    "mode": (
        "Was x, called y: each error in the color of its predicted class. Missed and false: missed pixels and falsely "
        "found pixels of a class, or of all but the background, where the classes name one. Who is right: pixels "
        "where the two segmentations differ. Where they differ: the same pixels, in the color of this one's class."
    ),
    "of": "The class whose errors are shown.",
    "colors": "Colors of missed pixels, false pixels and those predicted as another class.",
    "own": "Choose this color.",
    "only": "Show all errors again.",
    "where": "The part in which figures are computed and regions are searched.",
    "cancel": "Stop the computation.",
    "progress": "Progress of the figures or of the search.",
}


class ErrorForm(QWidget):
    """Form of the tab Errors.

    It holds segmentation, ground truth, comparison, overlay and region, then figures and list, then progress. Its other
    attributes are its fields, see the source.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt parent.

    Attributes
    ----------
    showing_changed : Signal()
        The fields of the overlay have changed.
    """

    showing_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.mask = combo(TOOLTIPS["mask"])
        self.ground_truth = combo(TOOLTIPS["truth"])
        self.open_ground_truth = tool("…", TOOLTIPS["open"])
        self.open_folder = tool("zarr…", TOOLTIPS["open_folder"])
        self.mapping = QLabel()
        self.mapping.setToolTip(TOOLTIPS["mapping"])
        self.edit_mapping = tool("Classes…", TOOLTIPS["mapping"])
        self.second = combo(TOOLTIPS["second"])
        self.guide = Guide()
        self.shown = QCheckBox()
        self.shown.setToolTip(TOOLTIPS["shown"])
        self.shown.setChecked(True)
        self.mode = combo(TOOLTIPS["mode"])
        self.of = combo(TOOLTIPS["of"])
        self.colors = combo(TOOLTIPS["colors"])
        self.colors.addItems([*SETS, OWN])
        self.own = [tool("", f"{what}: {TOOLTIPS['own'].lower()}") for what in ("Missed", "False", "Another class")]
        self.only = button("", TOOLTIPS["only"])
        self.only.hide()
        self.legend = wrapped("Colors of the overlay.")
        self.where = combo(TOOLTIPS["where"])
        self.where.addItems([WHOLE, VIEW, DRAWN])
        self.draw = tool("Draw", DRAW_TIP)
        self.figures = FiguresPage()
        self.regions = RegionsPage()
        self.points = PointsPage()
        self.cancel = tool("Cancel", TOOLTIPS["cancel"])
        self.cancel.setEnabled(False)
        self.progress = QProgressBar()
        self.progress.setToolTip(TOOLTIPS["progress"])
        self.progress.setTextVisible(False)
        self.progress.setRange(0, 1)
        self.status = wrapped()
        for text in (self.mapping, self.only):  # so that long words do not widen the dock
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._classes: list[str] = []
        self._land_cover = True
        self._pair: tuple[int, int] | None = None
        self._own = PAPER
        self._arrange()
        self._connect()
        self.offer_modes(ground_truth=False, second=False)
        self._show_colors()

    def _arrange(self) -> None:
        """Lay the fields out."""
        self._comparison = QWidget()  # what points have no use for
        fields = labelled(
            [
                ("Truth", row(self.ground_truth, self.open_ground_truth, self.open_folder)),
                ("Its values", row(self.mapping, self.edit_mapping)),
                ("Compare with", self.second),
                self.guide,
                ("Overlay", row(self.shown, self.mode)),
                ("Class", self.of),
                ("Colors", row(self.colors, *self.own)),
                self.only,
                self.legend,
                ("Where", row(self.where, self.draw)),
            ]
        )
        fields.setContentsMargins(0, 0, 0, 0)
        self._comparison.setLayout(fields)
        tabs = QTabWidget()
        tabs.addTab(self.regions, "Next error")
        tabs.addTab(self.figures, "Figures")
        tabs.setTabToolTip(0, "Regions of errors or doubts, one after the other.")
        tabs.addTab(self.points, "Points")
        tabs.setTabToolTip(1, "Figures of the segmentation's quality.")
        tabs.setTabToolTip(2, "Accuracy and areas with intervals, by random points that you check: no ground truth.")
        tabs.currentChanged.connect(self._fit_tab)
        self.tabs = tabs
        self._fit_tab()
        content = QWidget()
        column = QVBoxLayout(content)
        column.addLayout(labelled([("Segmentation", self.mask)]))
        column.addWidget(self._comparison)
        column.addWidget(tabs, stretch=1)
        foot = QVBoxLayout()
        foot.addLayout(row(self.progress, self.cancel))
        foot.addWidget(self.status)
        scrolling(self, content, foot)

    def _fit_tab(self) -> None:
        """Let only the shown page determine the size of the tabs, and hide what points have no use for."""
        self._comparison.setVisible(self.tabs.currentWidget() is not self.points)
        for index in range(self.tabs.count()):
            shown = index == self.tabs.currentIndex()
            policy = QSizePolicy.Policy.Preferred if shown else QSizePolicy.Policy.Ignored
            self.tabs.widget(index).setSizePolicy(policy, policy)

    def _connect(self) -> None:
        """Connect the fields."""
        self.mode.currentIndexChanged.connect(self._changed)
        self.of.currentIndexChanged.connect(self._changed)
        self.colors.currentIndexChanged.connect(self._colors_chosen)
        self.only.clicked.connect(lambda: self.show_pair(None))
        for index, choose in enumerate(self.own):
            choose.clicked.connect(lambda _checked=False, k=index: self._ask_color(k))

    # ---- the overlay

    @property
    def showing(self) -> Showing:
        """Contents of the overlay that the fields ask for."""
        colors = SETS.get(self.colors.currentText(), self._own)
        background = background_of(self._classes)
        return Showing(self.mode.currentText(), self.of.currentData(), self._pair, colors, background)

    def offer_modes(self, *, ground_truth: bool, second: bool) -> None:
        """Offer the modes of the overlay.

        The first one is proposed: misses and false finds where the classes are a background and another, else the
        predicted classes of errors.

        Parameters
        ----------
        ground_truth : bool
            True if there is a ground truth.
        second : bool
            True if there is a second segmentation.
        """
        land_cover = foreground_of(self._classes) is None
        modes = [] if not ground_truth else [CONFUSION, MISSES] if land_cover else [MISSES, CONFUSION]
        modes += [WHO, DIFFER] if second else []
        now = [self.mode.itemText(k) for k in range(self.mode.count())]
        if now == modes:
            return
        kept = land_cover == self._land_cover or self.mode.currentText() in (WHO, DIFFER)
        chosen, self._land_cover = self.mode.currentText() if kept else "", land_cover
        self.mode.blockSignals(True)
        self.mode.clear()
        self.mode.addItems(modes)
        self.mode.setCurrentText(chosen if chosen in modes else (modes or [""])[0])
        self.mode.blockSignals(False)
        self._changed()

    def show_classes(self, names: Sequence[str]) -> None:
        """Offer some classes.

        Parameters
        ----------
        names : sequence of str
            Names of the classes, by index.
        """
        if list(names) == self._classes:
            return
        self._classes = list(names)
        self._pair = None
        self.only.hide()
        self.of.blockSignals(True)
        self.of.clear()
        self.of.addItem("All classes", None)
        for index, name in enumerate(names):
            self.of.addItem(name, index)
        self.of.blockSignals(False)
        self._changed()

    def show_pair(self, pair: tuple[int, int] | None) -> None:
        """Show only the errors of one pair of true and predicted class.

        Parameters
        ----------
        pair : tuple of 2 int or None
            Class indices (true, predicted). None shows all errors again.
        """
        self._pair = pair
        if pair is not None:
            self.only.setText("Only: was {}, called {}  ✕".format(*(self._classes[index] for index in pair)))
        self.only.setVisible(pair is not None)
        self._changed()

    def show_legend(self, entries: Sequence[tuple[str, Color]]) -> None:
        """Show the meaning of the overlay's colors.

        Parameters
        ----------
        entries : sequence of tuple of (str, Color)
            Names and colors; an empty name is left out.
        """
        self.legend.setText(
            " &nbsp; ".join(
                f"<span style='color: rgb{color}'>■</span>&nbsp;{html.escape(name).replace(' ', '&nbsp;')}"
                for name, color in entries
                if name
            )
        )

    def _changed(self) -> None:
        """Enable the fields that matter, and report the change."""
        one_color = self.mode.currentText() == MISSES or self._pair is not None
        self.of.setEnabled(self.mode.currentText() in (MISSES, CONFUSION) and self._pair is None)
        for widget in (self.colors, *self.own):
            widget.setEnabled(one_color and self._pair is None)
        self.showing_changed.emit()

    def _colors_chosen(self) -> None:
        """Show the chosen colors."""
        self._show_colors()
        self._changed()

    def _show_colors(self) -> None:
        """Show the colors in their buttons."""
        colors = self.showing.colors
        for choose, color in zip(
            self.own, (colors.false_negative, colors.false_positive, colors.confused), strict=True
        ):
            pixmap = QPixmap(14, 14)
            pixmap.fill(QColor(*color))
            choose.setIcon(QIcon(pixmap))

    def _ask_color(self, which: int) -> None:
        """Ask for one of the colors."""
        colors = self.showing.colors
        three = [colors.false_negative, colors.false_positive, colors.confused]
        chosen = QColorDialog.getColor(QColor(*three[which]), self)
        if chosen.isValid():
            three[which] = (chosen.red(), chosen.green(), chosen.blue())
            self.set_colors(ErrorColors(*three))

    def set_colors(self, colors: ErrorColors) -> None:
        """Choose colors of one's own.

        Parameters
        ----------
        colors : ErrorColors
            The colors.
        """
        self._own = colors
        self.colors.blockSignals(True)
        self.colors.setCurrentText(OWN)
        self.colors.blockSignals(False)
        self._colors_chosen()

    # ---- progress and messages

    def show_progress(self, done: int, total: int) -> None:
        """Show the progress of a computation.

        Parameters
        ----------
        done : int
            Number of finished pieces.
        total : int
            Number of all pieces; 0 shows that it is under way.
        """
        show_done(self.progress, done, total)

    def say(self, text: str) -> None:
        """Show the outcome of the last action in a line.

        Parameters
        ----------
        text : str
            Sentence for people.
        """
        self.status.setText(text)

    def explain(self, text: str, caption: str = "", tab: str = "") -> None:
        """Show what is missing, or what comes next.

        Parameters
        ----------
        text : str
            The sentence. Empty if nothing is missing.
        caption : str, optional
            Caption of a button that leads to another tab. Empty for none.
        tab : str, optional
            Name of that tab.
        """
        self.guide.say(text, caption, tab)
