"""The choice of the parts of a network that are trained, with their share of its weights."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from fctl_napari.exceptions import ConfigError
from fctl_napari.finetuning.request import HEADS, PARTS
from fctl_napari.finetuning.trainable_parts import trainable_share
from fctl_napari.plugin.layers.choosers import combo

USUAL, ALL, SOME = "Decoder and fusion", "Everything", "Chosen parts"

WORDS = {
    "decoder": ("Decoder", "Train the layers from fused features to classes."),
    "lcc": (
        "Attention",
        "Train the locality-aware contextual correlation: what of a context matters to a location of the tile.",
    ),
    "gpe": ("Positions", "Train the attention by position alone, and its weight (GPE)."),
    "mcf": ("Fusion", "Train the weights of the contexts (MCF)."),
    "ale": ("Enhancement", "Train the adaptive local enhancement of the tile and its contexts (ALE)."),
    "tile_encoder": ("Encoder: tile", "Train the encoder of the tile. Slow: its features cannot be kept."),
    "medium_encoder": (
        "Encoder: medium",
        "Train the encoder of the medium context. Slow: its features cannot be kept.",
    ),
    "large_encoder": ("Encoder: large", "Train the encoder of the large context. Slow: its features cannot be kept."),
}

TIP = (
    "The parts of the network that learn. Decoder and fusion learn fast and forget little, as features of the "
    "encoders are computed once. Everything learns more from many corrections, and takes longer."
)


class PartsField(QWidget):
    """Choice of the usual parts, of all, or of single ones by check boxes.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    changed : Signal()
        Other parts are chosen.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.choice = combo(TIP)
        self.choice.addItems([USUAL, ALL, SOME])
        self.share = QLabel()
        self.share.setToolTip("Share of the network's weights that learns. The rest stays as it is.")
        self.boxes: dict[str, QCheckBox] = {}
        self._grid = QWidget()
        grid = QGridLayout(self._grid)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        for index, part in enumerate(PARTS):
            name, tip = WORDS[part]
            box = self.boxes[part] = QCheckBox(name)
            box.setToolTip(tip)
            box.setChecked(part in HEADS)
            box.toggled.connect(self._changed)
            grid.addWidget(box, index // 2, index % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.choice, self._grid, self.share):
            layout.addWidget(widget)
        self._sizes: dict[frozenset[str], int] = {}
        self.choice.currentIndexChanged.connect(self._changed)
        self._changed()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are trained, from ``PARTS``."""
        if self.choice.currentText() == SOME:
            return tuple(part for part, box in self.boxes.items() if box.isChecked())
        return PARTS if self.choice.currentText() == ALL else HEADS

    def show_sizes(self, sizes: dict[frozenset[str], int]) -> None:
        """Show the share of a network's weights that is trained.

        Parameters
        ----------
        sizes : dict of frozenset of str to int
            Numbers of parameters by the parts that share them. Empty if there is no network.
        """
        self._sizes = sizes
        there = {part for key in sizes for part in key}
        for part, box in self.boxes.items():
            box.setEnabled(part in there)
        self._changed()

    def _changed(self) -> None:
        """Show the share of the chosen parts, and emit ``changed``."""
        self._grid.setVisible(self.choice.currentText() == SOME)
        total = sum(self._sizes.values())
        text = ""
        if total:
            try:
                share = trainable_share(self._sizes, self.parts)
                text = f"{share:.1%} of {_count(total)} weights learn"
            except ConfigError:
                text = "nothing learns: choose a part"
        self.share.setText(text)
        self.changed.emit()


def _count(number: int) -> str:
    """Return a large number in short."""
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k" if number >= 1e3 else str(number)
