"""A checkpoint's model card at a glance, and the legend of a segmentation."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QColorDialog,
    QFrame,
    QGridLayout,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.evaluation.ground_areas import area_text, area_unit
from fctl_napari.exceptions import FctlError
from fctl_napari.plugin.common.class_display import class_colors, displayed
from fctl_napari.plugin.common.notify import report

if TYPE_CHECKING:
    from fctl_napari.model.classes import ClassInfo
    from fctl_napari.model.model_card import Card


def set_value(bar: QProgressBar, value: int) -> None:
    """Set the value of a bar, to be drawn with everything else.

    Qt repaints a progress bar at once, and the whole window with it where that holds an OpenGL canvas: 20 ms and more
    under software OpenGL, for each bar.

    Parameters
    ----------
    bar : QProgressBar
        The progress bar.
    value : int
        Its new value.
    """
    bar.setUpdatesEnabled(False)
    bar.setValue(value)
    bar.setUpdatesEnabled(True)


def color_icon(color: tuple[int, int, int], side: int = 14) -> QIcon:
    """Return a small square of a color, with a thin outline so that it is seen on any ground.

    Parameters
    ----------
    color : tuple of 3 int
        (red, green, blue), 0..255.
    side : int, optional
        Side of the square, screen px.

    Returns
    -------
    QIcon
        The square.
    """
    pixmap = QPixmap(side, side)
    pixmap.fill(QColor(128, 128, 128))
    painter = QPainter(pixmap)
    painter.fillRect(1, 1, side - 2, side - 2, QColor(*color))
    painter.end()
    return QIcon(pixmap)


def describe_contexts(card: Card) -> str:
    """Describe the contexts that the network looks at: ``"tile, x3, whole image"``.

    Parameters
    ----------
    card : Card
        Model card of the network.

    Returns
    -------
    str
        The contexts in words.
    """
    words = [
        "whole image" if context.scale == "global" else "tile" if context.scale == 1 else f"x{context.scale:g}"
        for context in card.config.contexts
    ]
    return ", ".join(words) if words else "none (baseline)"


class CardView(QFrame):
    """Description, network, contexts, tile size and figures of a checkpoint.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setToolTip("Model card of the checkpoint: network, contexts, tile size, measured figures.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addWidget(self._text)

    def show_card(self, card: Card | None) -> None:
        """Show a model card, or nothing.

        Parameters
        ----------
        card : Card or None
            The model card. None hides the view.
        """
        self.setVisible(card is not None)
        if card is None:
            self._text.clear()
            return
        rows = {
            "Network": card.config.title,
            "Contexts": describe_contexts(card),
            "Tile": f"{card.config.tile_size} px",
            **({"Bands": ", ".join(card.config.band_names)} if card.config.bands else {}),
        }
        swatches = " ".join(
            f"<span style='color: rgb{info.color}'>\u25a0</span>&nbsp;{html.escape(info.name)}"
            for info in displayed(card.classes).scored
        )
        where, figures = card.headline()
        if figures:
            rows["Figures"] = " · ".join(f"{name} {value:.3f}" for name, value in figures.items())
            rows |= {"Measured on": where} if where else {}
        table = "".join(
            f"<tr><td style='padding-right: 8px; color: gray'>{name}</td><td>{html.escape(value)}</td></tr>"
            for name, value in rows.items()
        )
        table = f"<tr><td style='padding-right: 8px; color: gray'>Classes</td><td>{swatches}</td></tr>{table}"
        description = html.escape(card.description.strip())
        self._text.setText(f"{description}<table>{table}</table>")

    @property
    def text(self) -> str:
        """The text that is shown, as rich text."""
        return self._text.text()


class Legend(QWidget):
    """Classes with their colors, the share of the segmented px that each takes, and its area on the ground.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(2, 1)
        self._bars: list[QProgressBar] = []
        self._swatches: dict[str, QToolButton] = {}
        self._shares: list[QLabel] = []
        self._areas: list[QLabel] = []
        self.setToolTip(
            "Share of each class in the pixels that are segmented so far, and its area where the image says how large "
            "they are on the ground. Both are counted on the coarsest level of the result (every n-th pixel both ways)."
        )
        self.show_classes(())
        class_colors().changed.connect(self._recolor)

    def show_classes(self, classes: tuple[ClassInfo, ...]) -> None:
        """Show classes, all without a share.

        Parameters
        ----------
        classes : tuple of ClassInfo
            The classes.
        """
        while self._grid.count():
            item = self._grid.takeAt(0)
            if item is not None and item.widget() is not None:
                item.widget().deleteLater()
        self._bars, self._shares, self._areas, self._swatches = [], [], [], {}
        self._head, self._unit = _right("of the segmented px"), _right("")
        self._head.hide()
        self._grid.addWidget(self._head, 0, 1, 1, 3)
        self._grid.addWidget(self._unit, 0, 4)
        for row, info in enumerate(classes, 1):
            bar = QProgressBar()
            bar.setRange(0, 1000)
            bar.setTextVisible(False)
            bar.setFixedHeight(8)
            bar.setMinimumWidth(24)  # the dock is narrow, and areas stand beside it
            bar.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            color = self._swatches[info.name] = QToolButton()
            color.setAutoRaise(True)
            color.setToolTip(f"Choose the color of {info.name}. It is remembered for all images.")
            color.clicked.connect(lambda _checked=False, name=info.name: self._ask_color(name))
            share, area = _right("-"), _right("")
            share.setMinimumWidth(48)
            for column, widget in enumerate((color, QLabel(info.name), bar, share, area)):
                self._grid.addWidget(widget, row, column)
            self._bars.append(bar)
            self._shares.append(share)
            self._areas.append(area)
            self._recolor(info.name, info.color)

    def _recolor(self, name: str, color: tuple[int, int, int]) -> None:
        """Show the color of a class."""
        if name in self._swatches:
            self._swatches[name].setIcon(color_icon(color))
            bar = self._bars[list(self._swatches).index(name)]
            bar.setStyleSheet(f"QProgressBar::chunk {{ background: rgb{tuple(color)}; }}")

    def _ask_color(self, name: str) -> None:
        """Ask for the color of a class, and remember it."""
        chosen = QColorDialog.getColor(QColor(), self, f"Color of {name}")
        if chosen.isValid():
            try:
                class_colors().choose(name, (chosen.red(), chosen.green(), chosen.blue()))
            except FctlError as error:
                report(error, self)

    def show_shares(self, shares: list[float], hectares: list[float] | None = None) -> None:
        """Show the shares of the classes, and their areas.

        Parameters
        ----------
        shares : list of float
            Shares, 0..1 by class index. All 0 means that nothing is segmented yet.
        hectares : list of float or None, optional
            Areas, hectares by class index. None where they are unknown.
        """
        known = sum(shares) > 0
        unit, factor = ("", 0.0) if hectares is None or not known else area_unit(sum(hectares))
        self._head.setVisible(known)
        self._unit.setText(unit)
        for label, area in zip(self._areas, hectares or [0.0] * len(shares), strict=True):
            label.setText(area_text(area * factor) if unit else "")
        for bar, label, share in zip(self._bars, self._shares, shares, strict=True):
            set_value(bar, round(share * 1000))
            label.setText(f"{share:.1%}" if known else "-")

    @property
    def shares(self) -> list[str]:
        """The shares as shown, by class index."""
        return [label.text() for label in self._shares]

    @property
    def areas(self) -> list[str]:
        """The areas as shown, by class index, with their unit. Empty where they are unknown."""
        return [f"{label.text()} {self._unit.text()}" for label in self._areas if label.text()]


def _right(text: str) -> QLabel:
    """Return a label of text at its right."""
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return label
