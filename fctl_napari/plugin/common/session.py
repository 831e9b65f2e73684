"""What one napari process holds once: the engine, with its worker process (no torch)."""

from __future__ import annotations

import atexit
import getpass
import os
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.engine import Engine


class Session(QObject):
    """The engine shared by every window of this process.

    The engine is made when it is first asked for, and closed, with its worker and the memory that holds, when the
    last window that uses it closes, at the latest when the application ends.

    Attributes
    ----------
    painter
        Who corrects; widgets that are opened later ask no more.
    checkpoints
        Files that were made or taken up in this session; widgets that are opened later offer them, and choose the last.

    Signals
    -------
    window_closed : object
        A window that was followed has closed; its runs should end.
    """

    window_closed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.painter = _user()
        self.checkpoints: list[str] = []
        self._engine: Engine | None = None
        self._windows: set[int] = set()  # their ids: holding them would keep them alive
        self._told = False
        atexit.register(self._end)

    @property
    def running(self) -> bool:
        """Whether an engine exists."""
        return self._engine is not None

    def engine(self) -> Engine:
        """Return the engine; its worker leaves one core to the window."""
        if self._engine is None:
            from fctl_napari.segmentation.jobs.engine import Engine

            self._engine = Engine(threads=max(1, (os.cpu_count() or 2) - 1))
        return self._engine

    def follow(self, window: QWidget) -> None:
        """Keep the engine at least until ``window`` (a top-level window) closes."""
        key = id(window)
        if key in self._windows:
            return
        self._windows.add(key)
        window.installEventFilter(self)
        window.destroyed.connect(lambda: self._drop(key))
        application = QApplication.instance()
        if application is not None and not self._told:
            self._told = True
            application.aboutToQuit.connect(self.close)

    def close(self) -> None:
        """Cancel what runs and end the worker process. What is finished is kept on disk."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _end(self) -> None:
        self._windows.clear()  # Qt is about to delete them, and us
        self.close()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's hook: a window that closed, and stayed closed, no longer needs the engine."""
        # a close may be refused ("really close?"), the hiding that follows may not; spontaneous: it was minimised
        if event.type() == QEvent.Type.Hide and not event.spontaneous() and id(watched) in self._windows:
            watched.removeEventFilter(self)
            self._drop(id(watched), watched)
        return False

    def _drop(self, key: int, window: QObject | None = None) -> None:
        if key not in self._windows:
            return
        self._windows.remove(key)
        if window is not None:
            self.window_closed.emit(window)
        if not self._windows:
            self.close()


def _user() -> str:
    """Name of the user of this machine; ``"me"`` where it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user stands in no list
        return "me"


_session: Session | None = None


def session() -> Session:
    """Return this process's session."""
    global _session
    if _session is None:
        _session = Session()
    return _session
