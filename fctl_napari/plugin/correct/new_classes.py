"""Dialog in which people make the classes of corrections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QColorDialog,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.class_colors import Color
from fctl_napari.correcting.class_edit import EditedTable, lost_words
from fctl_napari.datasets.class_tables import class_table
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.card_view import color_icon
from fctl_napari.plugin.common.class_display import displayed_colors
from fctl_napari.plugin.common.form_layout import button, labelled, wrapped
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.layers.choosers import row

PRESENT = "the present classes"
NONE = "none"
A_FILE = "a file…"
NAMED = {
    "DeepGlobe": "deepglobe",
    "Inria": "inria",
    "LoveDA": "loveda",
    "OpenEarthMap": "openearthmap",
    "ESA WorldCover": "worldcover",
}
"""Names of class tables that come along, by their words in the dialog."""
FILES = "Class tables (*.json *.qml *.csv *.txt *.clr *.safetensors)"
COLOR, NAME, AREA = range(3)
TOOLTIPS = {
    "start": "Classes to begin with. Choosing again begins again.",
    "add": "Append a class.",
    "remove": "Remove the selected classes.",
    "merge": "Make one class of the selected ones: what is painted as any of them becomes the first.",
    "split": "Append another class beside the selected one, which keeps what is painted.",
    "recolor": "Choose the color of the selected class. A click on a color does so too.",
    "give up": "Without this tick nothing that is painted is lost.",
}


@dataclass(frozen=True)
class PresentClasses:
    """Classes of corrections that are open, and what is painted in them.

    Attributes
    ----------
    table : ClassTable
        Their classes.
    blank : bool
        True if nothing was ever painted.
    former : Path
        Where they are kept if they have to be written anew.
    areas : mapping of str to int, optional
        Painted px by the name of the class.
    """

    table: ClassTable
    blank: bool
    former: Path
    areas: Mapping[str, int] = field(default_factory=dict)


class NewClassesDialog(QDialog):
    """Editor of the classes of corrections.

    Parameters
    ----------
    present : PresentClasses or None
        The corrections. None if there are none yet.
    checkpoint : tuple of (str, ClassTable) or None
        Name and classes of the chosen checkpoint. None if none is chosen.
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    edited : EditedTable
        The classes as they are edited so far.
    start : QComboBox
        Classes to begin with.
    table : QTableWidget
        A row for each class: color, name and painted px.
    problem : QLabel
        What is missing.
    notice : QLabel
        What becomes of that which is painted.
    give_up : QCheckBox
        Confirmation that painted px become nothing.
    buttons : QDialogButtonBox
        OK and Cancel.
    """

    def __init__(
        self,
        present: PresentClasses | None,
        checkpoint: tuple[str, ClassTable] | None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("New classes")
        self._present = present
        self._starts: dict[str, ClassTable | None] = {} if present is None else {PRESENT: present.table}
        self._starts[NONE] = None
        if checkpoint is not None:
            self._starts[f"checkpoint {checkpoint[0]}"] = checkpoint[1]
        self._starts |= {words: class_table(name) for words, name in NAMED.items()}
        self._begun = ""
        self._lost: dict[str, int] = {}
        self.edited = EditedTable(())
        self.start = QComboBox()
        self.start.setToolTip(TOOLTIPS["start"])
        self.start.addItems([*self._starts, A_FILE])
        self.start.textActivated.connect(self.begin)
        self.table = QTableWidget(0, 3)
        self.problem = wrapped("What is missing.")
        self.notice = wrapped("What becomes of that which is painted.")
        self.give_up = QCheckBox("Give these pixels up")
        self.give_up.setToolTip(TOOLTIPS["give up"])
        self.give_up.toggled.connect(self._allow)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._arrange()
        self.begin(PRESENT if present is not None else self.start.itemText(1 if checkpoint is not None else 0))
        self.resize(460, 480)

    def _arrange(self) -> None:
        """Lay out the fields."""
        table = self.table
        table.setHorizontalHeaderLabels(["Color", "Class", "Painted"])
        table.horizontalHeader().setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        table.horizontalHeader().setSectionResizeMode(COLOR, QHeaderView.ResizeMode.ResizeToContents)
        table.verticalHeader().hide()
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.itemChanged.connect(self._renamed)
        table.itemSelectionChanged.connect(self._allow)
        table.cellClicked.connect(lambda index, column: self._ask_color(index) if column == COLOR else None)
        self._add = self._edit_button("Add", "add", self._append)
        self._remove = self._edit_button("Remove", "remove", lambda: self._edit(self.edited.remove(self.selected)))
        self._merge = self._edit_button("Merge", "merge", self._merge_selected)
        self._split = self._edit_button("Split", "split", self._split_selected)
        self._recolor = self._edit_button("Recolor…", "recolor", lambda: self._ask_color(self.selected[0]))
        layout = QVBoxLayout(self)
        layout.addLayout(labelled([("Start from", self.start)]))
        layout.addWidget(table, stretch=1)
        layout.addLayout(row(self._add, self._remove, self._merge, self._split, self._recolor))
        for widget in (self.problem, self.notice, self.give_up, self.buttons):
            layout.addWidget(widget)

    def _edit_button(self, text: str, tip: str, act: Callable[[], object]) -> QPushButton:
        """Return a button below the table."""
        made = button(text, TOOLTIPS[tip])
        made.setAutoDefault(False)  # Enter ends the editing of a name
        made.clicked.connect(lambda: act())
        return made

    @property
    def selected(self) -> list[int]:
        """Indices of the selected classes, in order."""
        return sorted({index.row() for index in self.table.selectedIndexes()})

    @property
    def lose(self) -> tuple[str, ...]:
        """Names of the present classes whose px may become nothing."""
        return tuple(self._lost) if self.give_up.isChecked() else ()

    def begin(self, start: str) -> None:
        """Begin with the classes of a choice, in place of those in the table.

        Parameters
        ----------
        start : str
            An entry of ``start``. ``A_FILE`` asks for one.
        """
        if start == A_FILE:
            file, _ = QFileDialog.getOpenFileName(self, "Class table", "", FILES)
            if file:
                self.read(file)
            self.start.setCurrentText(self._begun)
            return
        self._begun = start
        self.start.setCurrentText(start)
        present = None if self._present is None else self._present.table
        self._edit(EditedTable.begin(self._starts[start], present))

    def read(self, file: str | Path) -> None:
        """Begin with the classes of a file, which is then one of the entries.

        Parameters
        ----------
        file : str or Path
            See ``class_tables.class_table``.
        """
        with reported(self):
            self._starts[Path(file).name] = class_table(str(file))
            if self.start.findText(Path(file).name) < 0:
                self.start.insertItem(self.start.count() - 1, Path(file).name)
            self.begin(Path(file).name)

    def show_problem(self, sentence: str) -> None:
        """Show an error in place of what is missing.

        Parameters
        ----------
        sentence : str
            The error. An empty one shows again what is missing.
        """
        self._show(self.problem, sentence or self.edited.problem)

    # ---- edits

    def recolor(self, index: int, color: Color) -> None:
        """Choose the color of a class.

        Parameters
        ----------
        index : int
            Index of the class.
        color : tuple of 3 int
            (red, green, blue), 0..255.
        """
        self._edit(self.edited.recolor(index, color), select=index)

    def _ask_color(self, index: int) -> None:
        """Ask for the color of a class."""
        now = self._colors()[index]
        chosen = QColorDialog.getColor(QColor(*now), self, f"Color of {self.edited.rows[index].name}")
        if chosen.isValid():
            self.recolor(index, (chosen.red(), chosen.green(), chosen.blue()))

    def _append(self) -> None:
        self._edit(self.edited.add())
        self._type_name()

    def _split_selected(self) -> None:
        self._edit(self.edited.split(self.selected[0]))
        self._type_name()

    def _merge_selected(self) -> None:
        first = self.selected[0]
        self._edit(self.edited.merge(self.selected), select=first)

    def _type_name(self) -> None:
        """Let the user type the name of the last class."""
        item = self.table.item(self.table.rowCount() - 1, NAME)
        self.table.setCurrentItem(item)
        self.table.editItem(item)

    def _renamed(self, item: QTableWidgetItem) -> None:
        if item.column() == NAME:
            self._edit(self.edited.rename(item.row(), item.text()), select=item.row())

    def _edit(self, edited: EditedTable, select: int | None = None) -> None:
        """Show another state of the table."""
        self.edited = edited
        self._fill()
        self.table.clearSelection()
        if select is not None:
            self.table.selectRow(select)
        self._say()
        self._allow()

    # ---- what is shown

    def _colors(self) -> list[Color]:
        """Return the colors in which the classes will be shown."""
        rows = self.edited.rows
        shown = displayed_colors([(one.name, one.color) for one in rows])
        return [one.color if one.recolored else color for one, (_, color) in zip(rows, shown, strict=True)]

    def _fill(self) -> None:
        """Fill the table."""
        self.table.blockSignals(True)
        self.table.setRowCount(len(self.edited.rows))
        areas = {} if self._present is None else self._present.areas
        for index, (one, color) in enumerate(zip(self.edited.rows, self._colors(), strict=True)):
            pixels = sum(areas.get(source, 0) for source in one.sources)
            square, area = (
                QTableWidgetItem(color_icon(color), ""),
                QTableWidgetItem(f"{pixels:,} px" if pixels else "-"),
            )
            square.setToolTip("Click to choose the color.")
            area.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            for item in (square, area):
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            name = QTableWidgetItem(one.name)
            name.setToolTip("Double-click to change the name.")
            for column, item in ((COLOR, square), (NAME, name), (AREA, area)):
                self.table.setItem(index, column, item)
        self.table.blockSignals(False)

    def _say(self) -> None:
        """Show what is missing, and what becomes of that which is painted."""
        self._show(self.problem, self.edited.problem)
        words, lost = "", {}
        if self._present is not None and not self._present.blank:
            lost = self.edited.lost(self._present.areas)
            if lost:
                words = f"{lost_words(lost)} become nothing, as no class takes them. "
            if not self.edited.keeps_indices:
                words += (
                    "Undo begins anew with these classes. The corrections as they are now, with their history, are "
                    f"kept as {self._present.former.name}."
                )
        if lost != self._lost:
            self.give_up.setChecked(False)
        self._lost = lost
        self.give_up.setVisible(bool(lost))
        self._show(self.notice, words)

    @staticmethod
    def _show(label: QLabel, words: str) -> None:
        label.setText(words)
        label.setVisible(bool(words))

    def _allow(self) -> None:
        """Enable the buttons that work now."""
        count = len(self.selected)
        self._remove.setEnabled(count > 0)
        self._merge.setEnabled(count > 1)
        self._split.setEnabled(count == 1)
        self._recolor.setEnabled(count == 1)
        ready = not self.edited.problem and (not self._lost or self.give_up.isChecked())
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(ready)
