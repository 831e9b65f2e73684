"""Fields of the tab Explore, without what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGroupBox,
    QLabel,
    QProgressBar,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.model.feature_ablation import Without
from fctl_napari.plugin.common.form_layout import button, labelled, scrolling, show_done
from fctl_napari.plugin.common.guide import Guide
from fctl_napari.plugin.common.scale_bars import ScaleBars
from fctl_napari.plugin.explore.legend import TIP, ProbabilityBars
from fctl_napari.plugin.layers.choosers import combo, row, tool
from fctl_napari.plugin.layers.explanation_maps import (
    ATTENTION,
    CONTEXT_COLORS,
    MEANING,
    PARTS,
    POSITIONAL,
    RECEIVED,
    REGION,
    SHARED,
    VIEWS,
    WEIGHTS,
    WHAT_IF,
    Look,
    correlates,
    lacks,
    views_of,
)
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.roi import DRAW_TIP, DRAWN, VIEW, WHOLE

if TYPE_CHECKING:
    from fctl_napari.model.model_card import Card

TOOLTIPS = {
    "pick": (
        "Explain the class of a pixel: while this is on, click or drag over the image. The tile that owns the pixel "
        "in a segmentation is explained, with its real contexts. Choosing another tool switches this off."
    ),
    "save": "Save the explanation that is shown as a figure like the paper's Figs 10 and 11 (PNG or SVG).",
    "view": "The group of maps that is shown. The others are kept, hidden.",
    "item": "The map of the group that is shown.",
    "part": "Attention by content and position together (as the network uses it), by content alone, by position alone.",
    "shared": (
        "Use one color scale from 0 for all maps of the group, so that they can be compared. Off: each map has its "
        "own scale, from its least to its greatest value; maps of a region, the range of nearly all values."
    ),
    "channel": "Channel of the fusion weights: their mean, or one of the network's feature channels.",
    "what_if": "Leave this out of the network for this tile: mask and probabilities without it appear.",
    "where": "The region that the maps are computed for.",
    "compute": (
        "Compute entropy, margin and fusion weights tile by tile. They are kept on disk; tiles that are there are not "
        "computed again."
    ),
    "cancel": "Stop within a second. Finished tiles are kept.",
    "progress": "Finished tiles of this run.",
}


class ExploreForm(QWidget):
    """Form of the tab Explore.

    It holds Pick, the map and its scale, probabilities, what-if, and maps of a region. Its attributes are its fields,
    see the source.

    Parameters
    ----------
    header : Header
        Fields for image, checkpoint and device, which it shares.
    parent : QWidget or None, optional
        Qt parent.
    """

    def __init__(self, header: Header, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image, self.checkpoint, self.device = header.image, header.checkpoint, header.device
        self.guide = Guide()
        self.lacks = _text()
        self.pick = button("Pick", TOOLTIPS["pick"])
        self.pick.setCheckable(True)
        self.save = button("Save figure…", TOOLTIPS["save"])
        self.save.setEnabled(False)
        self.status = _text()
        self.view = combo(TOOLTIPS["view"])
        self.view.addItems(VIEWS)
        self.item = combo(TOOLTIPS["item"])
        self.part = combo(TOOLTIPS["part"])
        self.part.addItems(PARTS)
        self.shared = QCheckBox("Same color scale for all")
        self.shared.setToolTip(TOOLTIPS["shared"])
        self.channel = QSpinBox()
        self.channel.setToolTip(TOOLTIPS["channel"])
        self.channel.setRange(-1, -1)
        self.channel.setSpecialValueText("mean")
        self.channel.setKeyboardTracking(False)
        self.meaning = _text()
        self.scales = ScaleBars(TIP)
        self.probabilities = ProbabilityBars()
        self.without = {
            name: QCheckBox(label)
            for name, label in (*((name, name) for name in CONTEXT_COLORS), ("gpe", "GPE"), ("ale", "ALE"))
        }
        for box in self.without.values():
            box.setToolTip(TOOLTIPS["what_if"])
        self.changed = _text()
        self.where = combo(TOOLTIPS["where"])
        self.where.addItems([VIEW, DRAWN, WHOLE])
        self.draw = tool("Draw", DRAW_TIP)
        self.compute = button("Compute maps", TOOLTIPS["compute"])
        self.cancel = button("Cancel", TOOLTIPS["cancel"])
        self.cancel.setEnabled(False)
        self.progress = QProgressBar()
        self.progress.setToolTip(TOOLTIPS["progress"])
        self.progress.setRange(0, 1)
        self.progress.setTextVisible(False)
        self.region_status = _text()
        self._items: dict[str, str] = {}
        self._shared = dict(SHARED)
        self._arrange()
        self.view.currentTextChanged.connect(self._show_fields)
        self.item.textActivated.connect(self._item_chosen)
        self.shared.clicked.connect(self._shared_chosen)
        self._show_fields()

    def _arrange(self) -> None:
        """Lay the fields out."""
        fields = self._fields = labelled(
            [
                ("Show", self.view),
                ("Map", self.item),
                ("Part", self.part),
                ("Channel", self.channel),
                self.shared,
            ]
        )
        what_if = QGroupBox("What if: leave out")
        column = QVBoxLayout(what_if)
        boxes = list(self.without.values())
        column.addLayout(row(*boxes[:3]))
        column.addLayout(row(*boxes[3:], QLabel()))
        column.addWidget(self.changed)
        region = QGroupBox("Maps of a region")
        column = QVBoxLayout(region)
        column.addLayout(row(self.where, self.draw))
        column.addLayout(row(self.compute, self.cancel))
        column.addWidget(self.progress)
        column.addWidget(self.region_status)
        content = QWidget()
        column = QVBoxLayout(content)
        column.addWidget(self.guide)
        column.addWidget(self.lacks)
        column.addWidget(self.probabilities)
        column.addLayout(fields)
        column.addWidget(self.scales)
        column.addWidget(self.meaning)
        column.addWidget(what_if)
        column.addWidget(region)
        column.addStretch()
        foot = QVBoxLayout()
        foot.addWidget(self.status)
        foot.addLayout(row(self.pick, self.save))
        scrolling(self, content, foot)

    def look(self) -> Look:
        """Return the view, its item and its options, as the fields choose them."""
        return Look(
            view=self.view.currentText(),
            item=self.item.currentText(),
            part=self.part.currentText(),
            shared=self.shared.isChecked(),
        )

    def what_if(self) -> Without:
        """Return the parts that are ticked to be left out."""
        return Without.named(name for name, box in self.without.items() if box.isEnabled() and box.isChecked())

    def show_card(self, card: Card | None) -> None:
        """Offer the views and parts that the network has, and show what it lacks.

        Parameters
        ----------
        card : Card or None
            Model card of the chosen checkpoint; None offers nothing.
        """
        config = None if card is None else card.config
        views = () if config is None else views_of(config)
        for index, view in enumerate(VIEWS):
            enable_item(self.view, index, view in views)
        if self.view.currentText() not in views and views:
            self.view.setCurrentText(views[0])
        gpe = config is not None and correlates(config) and config.gpe
        for index, part in enumerate(PARTS):
            enable_item(self.part, index, gpe or part != POSITIONAL)
        if not gpe:
            self.part.setCurrentIndex(0)
        has = {"gpe": gpe, "ale": config is not None and config.ale != "none"}
        if config is not None:
            has |= {context.name: True for context in config.contexts}
        for name, box in self.without.items():
            box.setEnabled(has.get(name, False))
            if not box.isEnabled():
                box.setChecked(False)
        self.channel.setRange(-1, -1 if config is None or not correlates(config) else (config.width or 512) - 1)
        self.lacks.setText("" if config is None else lacks(config))
        self.lacks.setVisible(bool(self.lacks.text()))

    def offer_items(self, names: tuple[str, ...]) -> None:
        """Offer the maps of the view, and choose the one that was last chosen in it, else the first.

        Parameters
        ----------
        names : tuple of str
            Names of the maps.
        """
        chosen = self._items.get(self.view.currentText())
        self.item.blockSignals(True)
        self.item.clear()
        self.item.addItems(names)
        if chosen in names:
            self.item.setCurrentText(chosen)
        self.item.blockSignals(False)

    def show_progress(self, done: int, total: int, text: str) -> None:
        """Show the progress of a run over a region.

        Parameters
        ----------
        done : int
            Number of finished tiles.
        total : int
            Number of all tiles; 0 shows that something is under way.
        text : str
            Text below the bar.
        """
        show_done(self.progress, done, total)
        self.region_status.setText(text)

    def set_busy(self, busy: bool) -> None:
        """Lock the fields that must not change while maps of a region are computed.

        Parameters
        ----------
        busy : bool
            True while they are computed.
        """
        for widget in (self.compute, self.where):
            widget.setEnabled(not busy)
        self.cancel.setEnabled(busy)

    def _item_chosen(self, name: str) -> None:
        """Remember the chosen map of the view."""
        self._items[self.view.currentText()] = name

    def _shared_chosen(self, on: bool) -> None:
        """Remember the choice of a common scale for the view."""
        self._shared[self.view.currentText()] = on

    def _show_fields(self) -> None:
        """Show the fields that the view has."""
        view = self.view.currentText()
        self._fields.setRowVisible(self.part, view in (ATTENTION, RECEIVED))
        self._fields.setRowVisible(self.channel, view == WEIGHTS)
        self._fields.setRowVisible(self.shared, view != WHAT_IF)
        self.shared.setText("Colors from 0 to 1" if view == REGION else "Same color scale for all")
        self.shared.setChecked(self._shared.get(view, False))
        self.meaning.setText(MEANING[view])


def enable_item(box: QComboBox, index: int, enabled: bool) -> None:
    """Enable or disable an entry of a combo box.

    Parameters
    ----------
    box : QComboBox
        The combo box.
    index : int
        Index of the entry.
    enabled : bool
        If True, the entry can be chosen.
    """
    item = box.model().item(index)
    item.setEnabled(enabled)


def _text() -> QLabel:
    """Return a label that wraps its text."""
    label = QLabel()
    label.setWordWrap(True)
    return label
