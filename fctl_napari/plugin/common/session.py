"""State that one napari process holds once: the engine, with its worker process (no torch)."""

from __future__ import annotations

import atexit
import getpass
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QApplication, QWidget

from fctl_napari.exceptions import InputError

if TYPE_CHECKING:
    from napari.layers import Image

    from fctl_napari.evaluation.selected_region import SelectedRegion
    from fctl_napari.plugin.common.chosen_ground_truth import ChosenGroundTruth
    from fctl_napari.segmentation.jobs.engine import Engine


class Member(Protocol):
    """A docked widget, as the other widgets of its window know it."""

    def window(self) -> QWidget:
        """Return the top-level window.

        Returns
        -------
        QWidget
            The window.
        """

    @property
    def segmenting(self) -> bool:
        """True while the widget segments."""

    def selected_error(self) -> SelectedRegion | None:
        """Return the region that is selected in a list of errors.

        Returns
        -------
        SelectedRegion or None
            The region. None if none is selected, or if there is no such list.
        """

    def listed_images(self) -> tuple[str, ...]:
        """Return the images of its list.

        Returns
        -------
        tuple of str
            Their paths. Empty if there is no such list.
        """

    def ground_truth_of(self, store: str) -> ChosenGroundTruth | None:
        """Return the ground truth that a segmentation is compared with.

        Parameters
        ----------
        store : str
            Path of the segmentation.

        Returns
        -------
        ChosenGroundTruth or None
            The ground truth, opened. None if none is chosen for it.
        """

    def paints_on(self, image: Image) -> bool:
        """Return whether strokes on an image may be on their way to disk.

        Parameters
        ----------
        image : Image
            The image layer.

        Returns
        -------
        bool
            True if the corrections of the image are open in the widget.
        """

    def settle(self, then: Callable[[], object]) -> None:
        """Call a function when all strokes until now are on disk.

        Parameters
        ----------
        then : callable
            Function without arguments.
        """

    def offer_checkpoint(self, checkpoint: str) -> None:
        """Add a checkpoint to those that can be chosen, and choose it.

        Parameters
        ----------
        checkpoint : str
            A built-in name or a file.
        """


class Session(QObject):
    """The engine shared by every window of this process.

    The engine is made when it is first needed. It is closed, with its worker and the memory that holds, when the last
    window that uses it closes, at the latest when the application ends.

    Attributes
    ----------
    painter : str
        Name of the person who corrects. Widgets that are opened later do not ask for it again.
    checkpoints : list of str
        Files that were made or chosen in this session. Widgets that are opened later offer them, and choose the last.
    window_closed : Signal(object)
        A window that was followed has closed, so that its runs should end; carries the window.
    """

    window_closed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.painter = _user()
        self.checkpoints: list[str] = []
        self._engine: Engine | None = None
        self._members: WeakSet[Member] = WeakSet()
        self._windows: set[int] = set()  # their ids: references would keep them alive
        self._quit_connected = False
        atexit.register(self._end)

    @property
    def running(self) -> bool:
        """True if an engine exists."""
        return self._engine is not None

    def engine(self) -> Engine:
        """Return the engine, which is made on the first call.

        Its worker leaves one core to the window.

        Returns
        -------
        Engine
            The engine.
        """
        if self._engine is None:
            from fctl_napari.segmentation.jobs.engine import Engine

            self._engine = Engine(threads=max(1, (os.cpu_count() or 2) - 1))
        return self._engine

    def follow(self, window: QWidget) -> None:
        """Keep the engine at least until a window closes.

        Parameters
        ----------
        window : QWidget
            The top-level window.
        """
        key = id(window)
        if key in self._windows:
            return
        self._windows.add(key)
        window.installEventFilter(self)
        window.destroyed.connect(lambda: self._drop(key))
        application = QApplication.instance()
        if application is not None and not self._quit_connected:
            self._quit_connected = True
            application.aboutToQuit.connect(self.close)

    # ---- requests between the widgets of a window

    def join(self, member: Member) -> None:
        """Make a docked widget known to the others.

        Parameters
        ----------
        member : Member
            The widget.
        """
        self._members.add(member)

    def leave(self, member: Member) -> None:
        """Forget a docked widget.

        Parameters
        ----------
        member : Member
            The widget.
        """
        self._members.discard(member)

    def _members_of(self, window: QWidget) -> list[Member]:
        """Return the docked widgets of a window."""
        # a widget whose window was deleted may not have left
        return [member for member in self._members if isalive(member) and member.window() is window]

    def selected_error(self, window: QWidget) -> SelectedRegion:
        """Return the region that is selected in the tab Errors of a window.

        Parameters
        ----------
        window : QWidget
            The top-level window.

        Returns
        -------
        SelectedRegion
            The region.

        Raises
        ------
        InputError
            No region is selected.
        """
        for member in self._members_of(window):
            if (selected := member.selected_error()) is not None:
                return selected
        raise InputError("no error is chosen; open the tab Errors and click a region in its list.")

    def listed_images(self, window: QWidget) -> tuple[str, ...]:
        """Return the images of the list that is open in a window.

        Parameters
        ----------
        window : QWidget
            The top-level window.

        Returns
        -------
        tuple of str
            Their paths. Empty if no list is open.
        """
        return next((found for member in self._members_of(window) if (found := member.listed_images())), ())

    def ground_truth_of(self, window: QWidget, store: str) -> ChosenGroundTruth | None:
        """Return the ground truth that a segmentation is compared with in a window.

        Parameters
        ----------
        window : QWidget
            The top-level window.
        store : str
            Path of the segmentation.

        Returns
        -------
        ChosenGroundTruth or None
            The ground truth, opened. None if none is chosen for it.
        """
        return next((found for member in self._members_of(window) if (found := member.ground_truth_of(store))), None)

    def flush_strokes(self, window: QWidget, image: Image, then: Callable[[], object]) -> None:
        """Call a function when all strokes on an image are on disk.

        Parameters
        ----------
        window : QWidget
            The top-level window.
        image : Image
            The image layer.
        then : callable
            Function without arguments; it is called at once if there is nothing to wait for.
        """
        painters = [member for member in self._members_of(window) if member.paints_on(image)]
        left = len(painters)
        if not left:
            then()

        def settled() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                then()

        for painter in painters:
            painter.settle(settled)

    def offer_checkpoint(self, window: QWidget, checkpoint: str) -> None:
        """Have the widgets of a window offer a checkpoint and choose it.

        Parameters
        ----------
        window : QWidget
            The top-level window.
        checkpoint : str
            A built-in name or a file.
        """
        for member in self._members_of(window):
            member.offer_checkpoint(checkpoint)

    def is_segmenting(self, window: QWidget) -> bool:
        """Return whether a widget of a window segments.

        Parameters
        ----------
        window : QWidget
            The top-level window.

        Returns
        -------
        bool
            True while a run is under way.
        """
        return any(member.segmenting for member in self._members_of(window))

    # ---- the end

    def close(self) -> None:
        """Cancel what runs and end the worker process.

        What is finished is kept on disk.
        """
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _end(self) -> None:
        """Close the engine when the process ends."""
        self._windows.clear()  # Qt is about to delete them and this object
        self.close()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Release the engine for a window that closed and stayed closed.

        Parameters
        ----------
        watched : QObject
            The window.
        event : QEvent
            The event.

        Returns
        -------
        bool
            False: the event is handled as usual.
        """
        # a close may be refused ("really close?"), the hiding that follows may not; spontaneous: it was minimized
        if event.type() == QEvent.Type.Hide and not event.spontaneous() and id(watched) in self._windows:
            watched.removeEventFilter(self)
            self._drop(id(watched), watched)
        return False

    def _drop(self, key: int, window: QObject | None = None) -> None:
        """Forget a window, and close the engine after the last one."""
        if key not in self._windows:
            return
        self._windows.remove(key)
        if window is not None:
            self.window_closed.emit(window)
        if not self._windows:
            self.close()


def _user() -> str:
    """Return the name of this machine's user, or ``"me"`` where there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no entry in the system's list
        return "me"


_session: Session | None = None


def session() -> Session:
    """Return this process's session."""
    global _session
    if _session is None:
        _session = Session()
    return _session
