"""Bridge from threads to the window: functions that are called on the window's thread."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QCoreApplication, QObject, Qt, Signal, Slot


class _Bridge(QObject):
    """Receiver of calls, which lives on the window's thread as long as the process."""

    _posted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._posted.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def post(self, function: Callable[[], object]) -> None:
        """Queue a function for the window's thread."""
        self._posted.emit(function)

    @Slot(object)
    def _deliver(self, function: Callable[[], object]) -> None:
        """Call a function, on the window's thread."""
        function()


_bridge: _Bridge | None = None


def open_bridge() -> None:
    """Make the bridge.

    Call this on the window's thread, before a thread begins that posts.
    """
    global _bridge
    if _bridge is None:
        _bridge = _Bridge()


def post(function: Callable[[], object]) -> None:
    """Have a function called on the window's thread, after all that was posted before.

    This may be called on any thread, and returns at once. The posted function must check itself if its result is still
    wanted. Nothing is called once the application has ended.

    Parameters
    ----------
    function : callable
        Function without arguments.
    """
    if _bridge is not None and QCoreApplication.instance() is not None:
        _bridge.post(function)
