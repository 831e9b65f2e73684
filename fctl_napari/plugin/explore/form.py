"""The fields of the Explore widget, and nothing of what they do."""

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
from fctl_napari.plugin.explore.legend import ProbabilityBars, ScaleBars
from fctl_napari.plugin.explore.maps import (
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
from fctl_napari.plugin.layers.choosers import CheckpointCombo, ImageCombo, combo, devices, row, tool
from fctl_napari.plugin.layers.roi import DRAW_TIP, DRAWN, VIEW, WHOLE
from fctl_napari.segmentation.jobs.parameters import DEVICE

if TYPE_CHECKING:
    from fctl_napari.model.model_card import Card

TOOLTIPS = {
    "image": "The image layer to explore.",
    "device": DEVICE.tooltip,
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
    """Image, checkpoint, Pick; which map; its scale; probabilities; what-if; maps of a region."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = ImageCombo(TOOLTIPS["image"])
        self.checkpoint = CheckpointCombo()
        self.lacks = _text()
        self.device = combo(TOOLTIPS["device"])
        self.device.addItems(devices())
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
        self.scales = ScaleBars()
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
        top = labelled(
            [
                ("Image", self.image),
                ("Checkpoint", row(self.checkpoint, self.checkpoint.open_file)),
                self.lacks,
                ("Device", self.device),
            ]
        )
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
        column.addLayout(top)
        column.addLayout(row(self.pick, self.save))
        column.addWidget(self.status)
        column.addWidget(self.probabilities)
        column.addLayout(fields)
        column.addWidget(self.scales)
        column.addWidget(self.meaning)
        column.addWidget(what_if)
        column.addWidget(region)
        column.addStretch()
        scrolling(self, content, 330)
        self.setMinimumHeight(300)

    def look(self) -> Look:
        """Return what the fields ask to see."""
        return Look(
            view=self.view.currentText(),
            item=self.item.currentText(),
            part=self.part.currentText(),
            shared=self.shared.isChecked(),
        )

    def what_if(self) -> Without:
        """Return what is ticked to be left out."""
        return Without.named(name for name, box in self.without.items() if box.isEnabled() and box.isChecked())

    def show_card(self, card: Card | None) -> None:
        """Offer what the network has, and say what it lacks."""
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
        """Offer these maps of the view; the one that was last chosen in it, else the first, is shown."""
        chosen = self._items.get(self.view.currentText())
        self.item.blockSignals(True)
        self.item.clear()
        self.item.addItems(names)
        if chosen in names:
            self.item.setCurrentText(chosen)
        self.item.blockSignals(False)

    def show_progress(self, done: int, total: int, text: str) -> None:
        """Show how far a run over a region is; a total of 0 shows that something is under way."""
        show_done(self.progress, done, total)
        self.region_status.setText(text)

    def set_busy(self, busy: bool) -> None:
        """Lock what must not change while maps of a region are computed."""
        for widget in (self.compute, self.where):
            widget.setEnabled(not busy)
        self.cancel.setEnabled(busy)

    def _item_chosen(self, name: str) -> None:
        self._items[self.view.currentText()] = name

    def _shared_chosen(self, on: bool) -> None:
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
    """Let an entry of a combo box be chosen or not."""
    item = box.model().item(index)
    item.setEnabled(enabled)


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
