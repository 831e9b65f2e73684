"""Choices that last from one window to the next, in the settings that napari shows in its preferences."""

from __future__ import annotations

from pathlib import Path

import pytest
from napari import settings
from napari.settings import get_plugin_settings
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLineEdit, QSpinBox

from fctl_napari.plugin.common.last_choices import MOST, note_checkpoint, recent_checkpoints, remember_choice

pytestmark = pytest.mark.gui


def restart() -> None:
    """Forget what napari holds in memory."""
    settings._clear_plugin_settings_cache()


def test_fields_have_the_choices_of_last_time(qtbot: QtBot, last_choices: Path) -> None:
    def fields() -> tuple[QComboBox, QSpinBox, QDoubleSpinBox, QLineEdit]:
        kind, steps, simplify, painter = QComboBox(), QSpinBox(), QDoubleSpinBox(), QLineEdit()
        kind.addItems(["a", "b", "c"])
        steps.setRange(0, 1000)
        steps.setValue(7)
        painter.setText("user")
        names = ("export_kind", "finetune_steps", "export_simplify", "painter")
        for field, name in zip((kind, steps, simplify, painter), names, strict=True):
            qtbot.addWidget(field)
            remember_choice(field, name)
        return kind, steps, simplify, painter

    kind, steps, simplify, painter = fields()
    assert (kind.currentText(), steps.value(), simplify.value(), painter.text()) == ("a", 7, 0, "user")
    kind.setCurrentText("b")  # a program's choice is not kept
    restart()
    kind, steps, simplify, painter = fields()
    assert kind.currentText() == "a"
    QTest.keyClick(kind, Qt.Key.Key_Down)
    steps.setValue(0)
    simplify.setValue(1.5)
    painter.setText("ann")
    QTest.keyClick(painter, Qt.Key.Key_Return)
    assert last_choices.is_file()
    restart()
    kind, steps, simplify, painter = fields()
    assert (kind.currentText(), steps.value(), simplify.value(), painter.text()) == ("b", 0, 1.5, "ann")


DAMAGES = ("last_choices: [1, 2]", "- a", "{{{", "recent:\n  checkpoints: 'not a list'\n", "")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_settings_are_as_none(qtbot: QtBot, last_choices: Path, damage: str) -> None:
    last_choices.write_text(damage)
    steps = QSpinBox()
    qtbot.addWidget(steps)
    steps.setValue(7)
    remember_choice(steps, "finetune_steps")
    assert steps.value() == 7
    assert recent_checkpoints() == []


def test_a_choice_that_is_not_there_is_left_aside(qtbot: QtBot) -> None:
    get_plugin_settings("fctl-napari").last_choices.device = "cuda"
    device = QComboBox()
    qtbot.addWidget(device)
    device.addItems(["auto", "cpu"])
    remember_choice(device, "device")
    assert device.currentText() == "auto"


def test_the_last_checkpoints_are_known(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.safetensors" for number in range(MOST + 2)]
    for path in paths:
        path.touch()
        note_checkpoint(path)
    restart()
    assert recent_checkpoints() == [str(path) for path in reversed(paths[2:])]
    note_checkpoint(paths[4])
    assert recent_checkpoints()[0] == str(paths[4])
    paths[4].unlink()
    renamed = paths[5].rename(tmp_path / "renamed.safetensors")
    note_checkpoint(renamed, former=paths[5])
    restart()
    found = recent_checkpoints()
    assert found[0] == str(renamed)
    assert str(paths[4]) not in found
    assert str(paths[5]) not in found
    note_checkpoint("", former=renamed)
    assert str(renamed) not in recent_checkpoints()


def test_numbers_that_are_too_large_are_cut(qtbot: QtBot, last_choices: Path) -> None:
    last_choices.write_text("last_choices:\n  finetune_steps: 99999999999999999999\n")
    steps = QSpinBox()
    qtbot.addWidget(steps)
    steps.setRange(0, 500)
    remember_choice(steps, "finetune_steps")
    assert steps.value() <= 500
