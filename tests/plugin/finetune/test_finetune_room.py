"""What of the tab Fine-tune is in sight in windows of usual sizes."""

from __future__ import annotations

import pytest
from helpers_finetune import OpenFinetune, Until, learn
from qtpy.QtCore import QPoint
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import QLabel, QScrollArea, QWidget

from fctl_napari.plugin.finetune.widget import FinetuneWidget

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine", "corrected", "layer_controls")]


def scroll_area(widget: FinetuneWidget) -> QScrollArea:
    """What scrolls in the form, not in its pages."""
    return next(a for a in widget.form.findChildren(QScrollArea) if a.isAncestorOf(widget.form.tabs))


def rows_of(part: QWidget, area: QScrollArea) -> tuple[int, int]:
    """Its first and last row in the part in sight, which begins at 0."""
    top = part.mapTo(area.viewport(), QPoint(0, 0)).y()
    return top, top + part.height()


def width_of(label: QLabel) -> float:
    """The width that its text needs, px."""
    document = QTextDocument()
    document.setDefaultFont(label.font())
    document.setHtml(label.text())
    return document.idealWidth()


def test_nothing_scrolls_before_a_run(open_finetune: OpenFinetune, until: Until) -> None:
    viewer, widget = open_finetune()
    viewer.window._qt_window.resize(1500, 900)
    area = scroll_area(widget)
    until(lambda: area.verticalScrollBar().maximum() == 0)
    assert rows_of(widget.form.tabs, area)[1] <= area.viewport().height()
    widget.form.tabs.setCurrentIndex(1)
    until(lambda: widget.form.lineage.height() >= widget.form.lineage.minimumSizeHint().height())
    widget.form.tabs.setCurrentIndex(0)
    until(lambda: area.verticalScrollBar().maximum() == 0)


def test_the_verdict_is_in_sight(open_finetune: OpenFinetune, until: Until) -> None:
    viewer, widget = open_finetune()
    viewer.window._qt_window.resize(1500, 900)
    learn(widget, until)
    area, report = scroll_area(widget), widget.form.gate_report
    until(lambda: 0 <= rows_of(report.title, area)[0] < 20)
    assert rows_of(report.figures, area)[1] <= area.viewport().height()
    assert width_of(report.figures) <= report.figures.width()
    assert report.decision.isVisible()
    viewer.window._qt_window.resize(1500, 1130)  # the dock is about 720 px high then
    widget.form.show_report()
    until(lambda: rows_of(report, area)[1] <= area.viewport().height())
    assert rows_of(report.title, area)[0] >= 0
