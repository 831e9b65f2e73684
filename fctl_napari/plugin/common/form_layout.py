"""Building blocks of the widgets' forms."""

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

WIDTH = 314
"""Minimum width of a form, screen px."""


def labelled(fields: Iterable[tuple[str, QWidget | QLayout] | QWidget]) -> QFormLayout:
    """Return fields below each other, each with its name beside it.

    A name has the tooltip of its field, or of the first widget of its row.

    Parameters
    ----------
    fields : iterable of tuple of (str, QWidget or QLayout), or of QWidget
        Names and fields. A field without a name takes the whole width.

    Returns
    -------
    QFormLayout
        The layout.
    """
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
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


def scrolling(panel: QWidget, content: QWidget, foot: QLayout | None = None) -> QScrollArea:
    """Fill a panel with a widget that scrolls up and down where it is too high, above what is always in sight.

    Parameters
    ----------
    panel : QWidget
        Widget to fill, without a layout yet.
    content : QWidget
        Widget that scrolls.
    foot : QLayout or None, optional
        What stays in sight below it.

    Returns
    -------
    QScrollArea
        The scroll area.
    """
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QScrollArea.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(content)
    outer = QVBoxLayout(panel)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(scroll, stretch=1)
    if foot is not None:
        foot.setContentsMargins(9, 4, 9, 6)
        outer.addLayout(foot)
    panel.setMinimumSize(WIDTH, 260)
    return scroll


def wrapped(tooltip: str = "") -> QLabel:
    """Return a label of several lines that long words do not widen.

    Parameters
    ----------
    tooltip : str, optional
        Tooltip of the label.

    Returns
    -------
    QLabel
        The label, empty.
    """
    label = QLabel()
    label.setWordWrap(True)
    label.setToolTip(tooltip)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def button(text: str, tooltip: str) -> QPushButton:
    """Return a button.

    Parameters
    ----------
    text : str
        Text on the button.
    tooltip : str
        Tooltip of the button.

    Returns
    -------
    QPushButton
        The button.
    """
    made = QPushButton(text)
    made.setToolTip(tooltip)
    return made


def show_done(bar: QProgressBar, done: int, total: int) -> None:
    """Show the progress of something.

    Parameters
    ----------
    bar : QProgressBar
        Bar that shows it.
    done : int
        Number of pieces that are done.
    total : int
        Number of all pieces. 0 shows only that something is running.
    """
    if bar.maximum() != total:
        bar.setRange(0, total)
    set_value(bar, done)
