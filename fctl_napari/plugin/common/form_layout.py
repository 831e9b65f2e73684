"""What the forms of the widgets are laid out with."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QLabel,
    QLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.plugin.common.card_view import set_value


def labelled(fields: Iterable[tuple[str, QWidget | QLayout] | QWidget]) -> QFormLayout:
    """Return fields below each other, each with its name beside it; those without take the whole width.

    A name has its field's tooltip, of a row that of its first widget.
    """
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    for entry in fields:
        if isinstance(entry, QWidget):
            form.addRow(entry)
            continue
        name, field = entry
        form.addRow(name, field)
        inner = field if isinstance(field, QWidget) else field.itemAt(0).widget()
        label = form.labelForField(field)
        if label is not None:
            label.setToolTip(inner.toolTip())
    return form


def scrolling(panel: QWidget, content: QWidget, width: int) -> QScrollArea:
    """Fill a panel with what scrolls up and down where it is too high.

    Parameters
    ----------
    panel
        Has no layout yet.
    content
        What is in it.
    width
        The panel's least, px.
    """
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QScrollArea.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(content)
    outer = QVBoxLayout(panel)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(scroll)
    panel.setMinimumSize(width, 260)
    return scroll


def wrapped(tooltip: str = "") -> QLabel:
    """Return a label of several lines that long words do not widen."""
    label = QLabel()
    label.setWordWrap(True)
    label.setToolTip(tooltip)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def button(text: str, tooltip: str) -> QPushButton:
    """Return a button."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    return made


def show_done(bar: QProgressBar, done: int, total: int) -> None:
    """Show how far something is; a total of 0 shows that it is under way."""
    if bar.maximum() != total:
        bar.setRange(0, total)
    set_value(bar, done)
