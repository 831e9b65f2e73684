"""Figures of a segmentation in the tab Errors: headline, table by class, confusion matrix, reliability."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QFileDialog, QHeaderView, QTableView, QVBoxLayout, QWidget

from fctl_napari.plugin.common.form_layout import button, wrapped
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.common.tables import Rows
from fctl_napari.plugin.layers.choosers import row

if TYPE_CHECKING:
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

    from fctl_napari.evaluation.agreement import Agreement
    from fctl_napari.evaluation.evaluation import Evaluation

TOOLTIPS = {
    "compute": (
        "Compute the figures in the region chosen above. Memory does not grow with the image, and the computation "
        "can be cancelled."
    ),
    "classes": (
        "Figures by class. IoU = right / (ground truth or predicted); F1 = 2 IoU / (1 + IoU); precision: the share "
        "of the predicted pixels that is right; recall: the share of the class's true pixels that is predicted; "
        "Boundary IoU: the IoU of bands along the class's boundary."
    ),
    "confusion": (
        "Confusion matrix: the share of each true class (row) that is predicted as each class (column). Click a "
        "cell to highlight its pixels."
    ),
    "copy": "Copy table and confusion matrix as comma-separated values.",
    "json": "Save all figures as JSON.",
    "figure": "Save IoU, confusion matrix and reliability as a picture (PNG, SVG or PDF).",
    "plot": (
        "Reliability: the share of right pixels at each confidence. Under the dashed line the network is more "
        "confident than right. ECE is the mean distance from it."
    ),
}
RIGHT, WRONG = QColor(0, 158, 115), QColor(213, 94, 0)


class Cells(Rows[str]):
    """Table model whose cells are formatted when they are drawn.

    Parameters
    ----------
    columns, rows : list of str
        Headings.
    text, shade, tip : callable
        Functions of (row, column) that return the text, background color and tooltip of a cell.
    """

    def __init__(
        self,
        columns: list[str],
        rows: list[str],
        text: Callable[[int, int], str],
        shade: Callable[[int, int], QColor | None] = lambda _row, _column: None,
        tip: Callable[[int, int], str] = lambda _row, _column: "",
    ) -> None:
        super().__init__(columns, range(len(columns)))
        self.rows = rows
        self._text, self._shade, self._tip = text, shade, tip

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text, background color or tooltip of a cell."""
        at = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(*at)
        if role == Qt.ItemDataRole.BackgroundRole:
            return self._shade(*at)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(*at) or None
        return super().data(index, role)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a heading."""
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return (self.columns if orientation == Qt.Orientation.Horizontal else self.rows)[section]
        return None


class FiguresPage(QWidget):
    """Page that shows an evaluation.

    Its other attributes are its fields, see the source.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt parent.

    Attributes
    ----------
    evaluation : Evaluation or None
        Evaluation that is shown.
    title : str
        Its title, for people.
    pair_chosen : Signal(int, int)
        A cell of the confusion matrix was clicked: class indices of the ground truth and of the prediction.
    """

    pair_chosen = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.evaluation: Evaluation | None = None
        self.title = ""
        self.compute = button("Compute", TOOLTIPS["compute"])
        self.headline = wrapped()
        self.headline.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.classes = _table("classes")
        self.confusion = _table("confusion")
        self.confusion.clicked.connect(lambda index: self.pair_chosen.emit(index.row(), index.column()))
        self.agreement = wrapped("Agreement of the two segmentations.")
        self.plot = QWidget()
        self.plot.setToolTip(TOOLTIPS["plot"])
        QVBoxLayout(self.plot).setContentsMargins(0, 0, 0, 0)
        self._canvas: FigureCanvasQTAgg | None = None
        self.copy = button("Copy CSV", TOOLTIPS["copy"])
        self.copy.clicked.connect(self._copy)
        self.save_json = button("Save JSON…", TOOLTIPS["json"])
        self.save_json.clicked.connect(self._ask_json)
        self.save_figure = button("Save figure…", TOOLTIPS["figure"])
        self.save_figure.clicked.connect(self._ask_figure)
        self._found = [self.classes, self.confusion, self.plot, self.copy, self.save_json, self.save_figure]
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        for widget in (self.compute, self.agreement, self.headline, self.classes, self.confusion, self.plot):
            layout.addWidget(widget)
        layout.addLayout(row(self.copy, self.save_json, self.save_figure))
        layout.addStretch()
        self.clear()

    def clear(self) -> None:
        """Remove all figures."""
        self.evaluation = None
        self.headline.clear()
        self.agreement.clear()
        for widget in (self.agreement, *self._found):
            widget.hide()

    def show_evaluation(self, evaluation: Evaluation, title: str, ink: str, on_ground: str = "") -> None:
        """Show an evaluation.

        Parameters
        ----------
        evaluation : Evaluation
            The figures.
        title : str
            Name for people of what was evaluated.
        ink : str
            Color of drawings on the window's background.
        on_ground : str, optional
            What the scored px cover on the ground, to follow their number.
        """
        self.evaluation, self.title = evaluation, title
        scores = evaluation.scores
        inherited = f"<br>{evaluation.inherited} of the tiles are the parent's, not computed anew"
        means = " · ".join(f"{html.escape(what)} <b>{value:.3f}</b>" for what, value in scores.mean_ious().items())
        self.headline.setText(
            f"{means} (ignored pixels dropped)<br>"
            f"<b>accuracy {scores.accuracy:.3f}</b> · <b>ECE {evaluation.calibration.ece():.3f}</b> · "
            f"{scores.pixels:,} px{on_ground} of {title}"
            f"{inherited if evaluation.inherited else ''}"
        )
        titles, *rows = evaluation.table()
        self.classes.setModel(
            Cells(
                [str(word) for word in titles[1:]],
                [str(line[0]) for line in rows],
                lambda r, c: "-" if rows[r][c + 1] is None else f"{rows[r][c + 1]:.3f}",
            )
        )
        self.confusion.setModel(_confusion_cells(evaluation))
        for widget in self._found:
            widget.show()
        for table in (self.classes, self.confusion):
            _fit_height(table)
        self._draw(evaluation, ink)

    def show_agreement(self, agreement: Agreement, first: str, second: str) -> None:
        """Show the agreement of two segmentations.

        Parameters
        ----------
        agreement : Agreement
            The figures.
        first : str
            Name of the first segmentation.
        second : str
            Name of the second one, which is the segmentation of interest.
        """
        words = [f"<b>{agreement.share:.1%} agree</b> with {html.escape(first)} ({agreement.scores.pixels:,} px)"]
        against = agreement.ground_truth
        if against is not None:
            total = sum(against.pixels.values())
            share = {outcome: f"{count / total:.1%}" for outcome, count in against.pixels.items()}
            words.append(
                f"only {html.escape(second)} is right on {share['only the second is right']}, only "
                f"{html.escape(first)} on {share['only the first is right']}, both are wrong on {share['both wrong']}; "
                f"mIoU there {against.second.miou:.3f} and {against.first.miou:.3f}"
            )
        self.agreement.setText("<br>".join(words))
        self.agreement.show()

    def _draw(self, evaluation: Evaluation, ink: str) -> None:
        """Draw the reliability diagram."""
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        from fctl_napari.figures.evaluation import draw_reliability

        if self._canvas is None:
            self._canvas = FigureCanvasQTAgg(Figure(layout="constrained"))
            self._canvas.setFixedHeight(230)
            self._canvas.setStyleSheet("background: transparent")
            self.plot.layout().addWidget(self._canvas)
        figure = self._canvas.figure
        figure.clear()
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw_reliability(axes, evaluation.calibration, ink=ink)
        self._canvas.draw_idle()

    def _copy(self) -> None:
        """Copy the figures as CSV."""
        from qtpy.QtWidgets import QApplication

        if self.evaluation is not None:
            QApplication.clipboard().setText(self.evaluation.to_csv())

    def _ask_json(self) -> None:
        """Ask for a path and save the figures as JSON."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the figures", "", "JSON (*.json)")
        if path and self.evaluation is not None:
            with reported(self):
                self.evaluation.save_json(path if path.endswith(".json") else f"{path}.json")

    def _ask_figure(self) -> None:
        """Ask for a path and save the figure."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the figure", "", "Pictures (*.png *.svg *.pdf)")
        if path:
            with reported(self):
                self.write_figure(path)

    def write_figure(self, path: str) -> None:
        """Draw the figures into a file.

        Parameters
        ----------
        path : str
            Path of the file; its suffix gives the format, PNG without one.

        Raises
        ------
        OutputError
            The disk is full, the location is not writable, or the format is unknown.
        """
        from fctl_napari.figures.evaluation import evaluation_figure
        from fctl_napari.figures.files import save_figure

        assert self.evaluation is not None
        save_figure(evaluation_figure(self.evaluation, self.title), path if Path(path).suffix else f"{path}.png")


def _confusion_cells(evaluation: Evaluation) -> Cells:
    """Return the confusion matrix as a table, with counts as shares of the rows."""
    from fctl_napari.figures.evaluation import row_shares

    counts, shares = evaluation.confusion, row_shares(evaluation.confusion)
    names = list(evaluation.names)

    def text(was: int, predicted: int) -> str:
        if not counts[was, predicted]:
            return ""
        return "<0.1" if shares[was, predicted] < 0.0005 else f"{100 * shares[was, predicted]:.1f}"

    def shade(was: int, predicted: int) -> QColor:
        color = QColor(RIGHT if was == predicted else WRONG)
        color.setAlphaF(float(np.sqrt(shares[was, predicted])) * 0.8)
        return color

    def tip(was: int, predicted: int) -> str:
        return f"{counts[was, predicted]:,} px are {names[was]} and were predicted as {names[predicted]}"

    return Cells(names, [f"{name} %" for name in names], text, shade, tip)


def _table(tooltip: str) -> QTableView:
    """Return an empty table view."""
    table = QTableView()
    table.setToolTip(TOOLTIPS[tooltip])
    table.setSelectionMode(QTableView.SelectionMode.SingleSelection)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    header.setMinimumSectionSize(44)
    header.setTextElideMode(Qt.TextElideMode.ElideRight)
    table.verticalHeader().setDefaultSectionSize(22)
    return table


def _fit_height(table: QTableView) -> None:
    """Fit the height of a table to its rows, up to 12."""
    rows = min(table.model().rowCount(), 12)
    table.setFixedHeight(rows * 22 + table.horizontalHeader().sizeHint().height() + 6)
