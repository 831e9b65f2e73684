"""The engine lives as long as the windows that use it."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QMainWindow

from fctl_napari.plugin.common.session import Session

pytestmark = pytest.mark.gui


class Engine:
    """Stands in for the engine: only its end matters here."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


class Reluctant(QMainWindow):
    """Asks, and is told no."""

    def closeEvent(self, event: QCloseEvent) -> None:
        event.ignore()


def shown(qtbot: QtBot, window: QMainWindow) -> QMainWindow:
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    return window


def test_the_last_window_takes_the_engine_along(qtbot: QtBot) -> None:
    session, engine = Session(), Engine()
    session._engine = engine
    first, second = shown(qtbot, QMainWindow()), shown(qtbot, QMainWindow())
    session.follow(first)
    session.follow(second)
    session.follow(second)
    with qtbot.waitSignal(session.window_closed) as closed:
        first.close()
    assert closed.args == [first]
    assert session.running
    second.close()
    assert not session.running
    assert engine.closed == 1


def test_a_window_that_refuses_keeps_it(qtbot: QtBot) -> None:
    session, engine = Session(), Engine()
    session._engine = engine
    window = shown(qtbot, Reluctant())
    session.follow(window)
    window.close()
    assert session.running
    session.close()
    session.close()
    assert engine.closed == 1


def test_a_window_that_was_never_shown_counts_when_it_is_deleted(qtbot: QtBot) -> None:
    session, engine = Session(), Engine()
    session._engine = engine
    window = QMainWindow()
    session.follow(window)
    window.deleteLater()
    qtbot.waitUntil(lambda: not session.running)
    assert engine.closed == 1
