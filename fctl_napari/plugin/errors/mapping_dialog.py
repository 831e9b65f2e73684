"""Dialog for the class of each value of a ground truth."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.evaluation.error_types import Color
from fctl_napari.imagery.labels.class_mapping import ClassMapping
from fctl_napari.imagery.labels.color_key import NO_CLASS
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.plugin.common.notify import reported

HELP = (
    "Each value of the ground truth is one of the network's classes, or ignored. Ignored pixels are neither shown "
    "as errors nor counted. A value without a class is refused when figures are computed."
)
TOOLTIPS = {
    "value": "A value that the ground truth holds somewhere, but that is not listed.",
    "add": "Add the value to the list, to give it a class.",
    "propose": "Map values to classes by equal names. Without names a value is the class of that number.",
    "read": "Read a mapping from a JSON file.",
    "save": "Write the mapping as a JSON file, for other images or the command line.",
}


class MappingDialog(QDialog):
    """Editor of a class mapping.

    Parameters
    ----------
    source : LabelSource
        The ground truth.
    held : iterable of int
        Values that it holds.
    mapping : ClassMapping
        Mapping to begin with.
    proposed : ClassMapping
        Mapping that is proposed.
    colors : iterable of Color
        Colors of the network's classes.
    parent : QWidget or None, optional
        Qt parent.

    Attributes
    ----------
    table : QTableWidget
        Table of values, names and classes.
    """

    def __init__(
        self,
        source: LabelSource,
        held: Iterable[int],
        mapping: ClassMapping,
        proposed: ClassMapping,
        colors: Iterable[Color],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Classes of the ground truth")
        self._source = source
        self._held = set(held)
        self._proposed = proposed
        self._classes = mapping.classes
        self._colors = list(colors)
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Value", "Named", "Is class"])
        self.table.horizontalHeader().setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self.table.verticalHeader().hide()
        self._value = QSpinBox()
        self._value.setRange(-(2**31), 2**31 - 1)
        self._value.setToolTip(TOOLTIPS["value"])
        self._arrange()
        self.show_mapping(mapping)
        self.resize(420, 420)

    def _arrange(self) -> None:
        """Lay table and buttons out."""
        help_text = QLabel(HELP)
        help_text.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(help_text)
        layout.addWidget(self.table)
        for words in (
            (("Add value", "add", self._add),),
            (
                ("Propose", "propose", lambda: self.show_mapping(self._proposed)),
                ("Read…", "read", self._ask_read),
                ("Save…", "save", self._ask_save),
            ),
        ):
            line = QHBoxLayout()
            if words[0][1] == "add":
                line.addWidget(self._value)
            for text, tip, action in words:
                button = QPushButton(text)
                button.setToolTip(TOOLTIPS[tip])
                button.setAutoDefault(False)
                button.clicked.connect(action)
                line.addWidget(button)
            layout.addLayout(line)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    @property
    def mapping(self) -> ClassMapping:
        """Mapping in the table, without values that have no class."""
        values = {}
        for row in range(self.table.rowCount()):
            chosen = self.chooser(row).currentData()
            if chosen is not None:
                values[int(self.table.item(row, 0).text())] = int(chosen)
        return ClassMapping(self._classes, values)

    def chooser(self, row: int) -> QComboBox:
        """Return the field of a row that holds the class.

        Parameters
        ----------
        row : int
            Index of the row.

        Returns
        -------
        QComboBox
            The field.
        """
        return self.table.cellWidget(row, 2)

    def show_mapping(self, mapping: ClassMapping) -> None:
        """Show a mapping, with the other values that the ground truth holds.

        Parameters
        ----------
        mapping : ClassMapping
            The mapping.
        """
        self.table.setRowCount(0)
        for value in sorted({*mapping.values, *self._held}):
            self._add_row(value, mapping.values.get(value))

    def _add_row(self, value: int, index: int | None) -> None:
        """Add a row for a value."""
        row = self.table.rowCount()
        self.table.insertRow(row)
        self.table.setItem(row, 0, QTableWidgetItem(str(value)))
        self.table.setItem(row, 1, QTableWidgetItem(self._name(value)))
        field = QComboBox()
        field.addItem("- choose -", None)
        for k, (name, color) in enumerate(zip(self._classes, self._colors, strict=True)):
            pixmap = QPixmap(12, 12)
            pixmap.fill(QColor(*color))
            field.addItem(pixmap, name, k)
        field.addItem("ignored", NO_CLASS)
        field.setCurrentIndex(field.findData(index) if index is not None else 0)
        self.table.setCellWidget(row, 2, field)

    def _name(self, value: int) -> str:
        """Return the name of a value, or a remark on it."""
        names = self._source.class_names or ()
        index = value - int(self._source.one_based)
        if 0 <= index < len(names):
            return names[index]
        if value in self._source.nothing:
            return "(no data)"
        return "" if value in self._held else "(not seen)"

    def _add(self) -> None:
        """Add a row for the typed value."""
        value = self._value.value()
        if value not in {int(self.table.item(row, 0).text()) for row in range(self.table.rowCount())}:
            self._add_row(value, None)
            self.table.scrollToBottom()

    def _ask_read(self) -> None:
        """Ask for a file and show its mapping."""
        path, _ = QFileDialog.getOpenFileName(self, "Read a class mapping", "", "JSON (*.json)")
        if path:
            with reported():
                self.show_mapping(ClassMapping.read(path, self._classes))

    def _ask_save(self) -> None:
        """Ask for a path and save the mapping."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the class mapping", "", "JSON (*.json)")
        if path:
            with reported():
                self.mapping.save(path if path.endswith(".json") else f"{path}.json")
