"""What the tests of the dialog *New classes…* do."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit, QPushButton

from fctl_napari.plugin.correct.new_classes import NewClassesDialog
from fctl_napari.plugin.correct.widget import CorrectWidget

Dialog = Callable[[CorrectWidget], NewClassesDialog]


def choose(dialog: NewClassesDialog, *rows: int) -> None:
    """Select rows by clicks with Ctrl held down."""
    dialog.table.clearSelection()
    for row in rows:
        at = dialog.table.visualItemRect(dialog.table.item(row, 2)).center()
        modifier = Qt.KeyboardModifier.ControlModifier
        QTest.mouseClick(dialog.table.viewport(), Qt.MouseButton.LeftButton, modifier, at)
    assert dialog.selected == sorted(rows)


def press(dialog: NewClassesDialog, text: str) -> None:
    button = next(one for one in dialog.findChildren(QPushButton) if one.text().replace("&", "") == text)
    assert button.isEnabled(), text
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def type_name(dialog: NewClassesDialog, name: str, row: int | None = None) -> None:
    """Type a name in the field that is open, or in a row's, and end with Enter."""
    if row is not None:
        dialog.table.editItem(dialog.table.item(row, 1))
    (field,) = (one for one in dialog.table.findChildren(QLineEdit) if one.isVisible())
    field.selectAll()
    QTest.keyClicks(field, name)
    QTest.keyClick(field, Qt.Key.Key_Return)
    QApplication.processEvents()


def names(dialog: NewClassesDialog) -> list[str]:
    return [dialog.table.item(row, 1).text() for row in range(dialog.table.rowCount())]


def can_accept(dialog: NewClassesDialog) -> bool:
    return dialog.buttons.button(dialog.buttons.StandardButton.Ok).isEnabled()
