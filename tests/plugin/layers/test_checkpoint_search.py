"""The checkpoint field, searched by typing."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from fctl_napari.plugin.layers.choosers import CheckpointCombo


def test_typing_finds_a_checkpoint_anywhere_in_its_name(qtbot: QtBot, tmp_path: Path) -> None:
    field = CheckpointCombo()
    qtbot.addWidget(field)
    field.show()
    file = tmp_path / "coast-of-my-island.safetensors"
    field.offer([file])
    field.setCurrentIndex(field.findData("earth"))
    line, completer = field.lineEdit(), field.completer()
    chosen: list[int] = []
    field.activated.connect(chosen.append)
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, "ISLAND")
    assert field.name == "earth"  # nothing is chosen yet
    assert completer.completionCount() == 1
    completer.popup().setCurrentIndex(completer.completionModel().index(0, 0))
    qtbot.keyClick(completer.popup(), Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: field.name == str(file))
    assert chosen
    line.selectAll()
    qtbot.keyClicks(line, "no such")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert field.name == str(file)
    assert field.count() == 3
    field.setFocus()
    line.clearFocus()
    line.editingFinished.emit()
    assert line.text() == "coast-of-my-island"
    field.setCurrentText("aerial")
    assert field.name == "aerial"
    field.setCurrentText("nowhere")
    assert field.name == "aerial"
    field.setCurrentText("coast-of-my-island")
    field.drop(str(file))
    assert field.name is None
    assert line.text() == ""
