"""Base class of the tabs: a form that fills them, errors below it, and what others of the window ask of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import napari
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout

from fctl_napari.plugin.common.docked import Docked
from fctl_napari.plugin.common.guide import Guide
from fctl_napari.plugin.common.notify import report
from fctl_napari.plugin.common.problem import Problem
from fctl_napari.plugin.common.session import session

if TYPE_CHECKING:
    from napari.layers import Image

    from fctl_napari.evaluation.selected_region import SelectedRegion
    from fctl_napari.plugin.common.chosen_ground_truth import ChosenGroundTruth

REST_MS = 100
"""Delay from the last change until a widget looks at the choices, ms: several layers come and go together."""


class Form(Protocol):
    """Form of a tab."""

    guide: Guide


class DockedWidget(Docked):
    """A tab, or a widget in a dock of its own, as the others of its window know it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that it is docked in.

    Attributes
    ----------
    wanted : Signal(str)
        Another tab is wanted; carries its name.
    """

    wanted = Signal(str)

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._problem = Problem()
        session().join(self)

    # ---- for the other widgets of the window (see ``Member``); most widgets keep these defaults

    @property
    def segmenting(self) -> bool:
        """True while it segments."""
        return False

    def selected_error(self) -> SelectedRegion | None:
        """Return the region that is selected in its list of errors.

        Returns
        -------
        SelectedRegion or None
            The region. None if none is selected, or if there is no such list.
        """
        return None

    def listed_images(self) -> tuple[str, ...]:
        """Return the images of its list.

        Returns
        -------
        tuple of str
            Their paths. Empty if there is no such list.
        """
        return ()

    def ground_truth_of(self, store: str) -> ChosenGroundTruth | None:
        """Return the ground truth that a segmentation is compared with here.

        Parameters
        ----------
        store : str
            Path of the segmentation.

        Returns
        -------
        ChosenGroundTruth or None
            The ground truth, opened. None if none is chosen for it.
        """
        return None

    def paints_on(self, image: Image) -> bool:
        """Return whether strokes on an image may be on their way to disk.

        Parameters
        ----------
        image : Image
            The image layer.

        Returns
        -------
        bool
            True if its corrections are open here.
        """
        return False

    def settle(self, then: Callable[[], object]) -> None:
        """Call a function when all strokes until now are on disk.

        Parameters
        ----------
        then : callable
            Function without arguments.
        """
        then()

    def offer_checkpoint(self, checkpoint: str) -> None:
        """Add a checkpoint to those that can be chosen, and choose it.

        Parameters
        ----------
        checkpoint : str
            A built-in name or a file.
        """

    # ---- its place in the window

    @property
    def left(self) -> bool:
        """True once it has ended."""
        return self._left

    def tab_shown(self, name: str) -> None:
        """Show what belongs to the tab, or remove it as another is shown now.

        Parameters
        ----------
        name : str
            Name of the tab that is shown.
        """

    def _fill(self, form: Form) -> None:
        """Lay out a form so that it fills the widget."""
        form.guide.wanted.connect(self.wanted)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(form)
        layout.addWidget(self._problem)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def show_problem(self, sentence: str) -> None:
        """Show an error below the buttons.

        Parameters
        ----------
        sentence : str
            The error. An empty one removes what is shown.
        """
        self._problem.show_sentence(sentence)

    def _report(self, error: BaseException) -> None:
        """Show an error of work in a thread."""
        report(error, self)

    @property
    def problem(self) -> str:
        """The error that is shown, or an empty text."""
        return self._problem.sentence

    def _follow_window(self) -> None:
        """Keep the engine while the window is there, and end when it closes."""
        # no reference to the window is kept: a child that holds its window is never garbage collected
        session().follow(self.window())

    def leave(self, *, layers: bool) -> None:
        """End the widget, once.

        Parameters
        ----------
        layers : bool
            If True, the viewer stays open, and the layers that this widget shows are removed from it.
        """
        session().leave(self)
        super().leave(layers=layers)


def resting(parent: QObject, look: Callable[[], object]) -> QTimer:
    """Return a timer that calls a function once it was not restarted for ``REST_MS``.

    Parameters
    ----------
    parent : QObject
        Qt's parent of the timer.
    look : callable
        Function without arguments.

    Returns
    -------
    QTimer
        The timer, not started.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(REST_MS)
    timer.timeout.connect(look)
    return timer
