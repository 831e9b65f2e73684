"""Errors over the image in place of the masks, with the legend of their colors."""

from __future__ import annotations

import napari
from napari.layers import Labels
from qtpy.QtCore import QObject

from fctl_napari.plugin.errors.form import ErrorForm
from fctl_napari.plugin.errors.layer import ErrorLayer
from fctl_napari.plugin.errors.opening import Opening
from fctl_napari.plugin.errors.point_checks import PointChecks
from fctl_napari.plugin.layers.hidden_masks import HiddenMasks


class ShownErrors(QObject):
    """Overlay of the opened comparison, which hides the masks while it is there.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer where it is shown.
    form : ErrorForm
        Form with the fields of the overlay.
    opening : Opening
        The comparison.
    checks : PointChecks
        Checks of points, during which no errors are shown.
    parent : QObject
        Qt parent.
    """

    def __init__(
        self, viewer: napari.Viewer, form: ErrorForm, opening: Opening, checks: PointChecks, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._form, self._opening, self._checks = form, opening, checks
        self._errors = ErrorLayer(viewer, self)
        self._masks = HiddenMasks(viewer)
        self._entered = False
        form.shown.toggled.connect(self.show)
        form.showing_changed.connect(self._change)
        self._errors.replaced.connect(opening.reopen)
        checks.checking_changed.connect(self.show)

    @property
    def layer(self) -> Labels | None:
        """Layer of errors, or None."""
        return self._errors.layer

    def set_entered(self, entered: bool) -> None:
        """Show the overlay while a tab is shown that it belongs to, and remove it else.

        Parameters
        ----------
        entered : bool
            True if such a tab is shown.
        """
        before, self._entered = self._entered, entered
        if entered != before:
            self.show()

    def watch(self, mask: Labels | None) -> None:
        """Follow another mask from now on, and remove the overlay of the former one.

        Parameters
        ----------
        mask : Labels or None
            Layer of the segmentation, or None.
        """
        self._errors.watch(mask)
        if self.layer is None:
            self._masks.set_hidden(False)

    def show(self, _checked: bool = True) -> None:
        """Show the overlay if it is wanted now, and hide it else.

        Parameters
        ----------
        _checked : bool, optional
            State of what has changed; ignored.
        """
        comparison, showing = self._opening.comparison, self._form.showing
        wanted = self._entered and self._form.shown.isChecked() and not self._checks.checking
        if comparison is None or comparison.overlay is None or not wanted:
            self.hide()
            self._form.show_legend(())
            return
        legend = showing.legend(comparison.classes)
        self._errors.show(comparison, showing, legend)
        self._masks.set_hidden(True)
        self._form.show_legend(legend)

    def hide(self) -> None:
        """Remove the overlay, and show the masks again."""
        self._errors.hide()
        self._masks.set_hidden(False)

    def leave(self, *, layers: bool) -> None:
        """Stop following the mask.

        Parameters
        ----------
        layers : bool
            If True, the overlay is removed, since nothing would update it any more.
        """
        if layers:
            self.hide()
        self._errors.leave()

    def _change(self) -> None:
        """Show other contents of the overlay."""
        comparison = self._opening.comparison
        if comparison is not None and self.layer is not None:
            legend = self._form.showing.legend(comparison.classes)
            self._errors.change(self._form.showing, legend)
            self._form.show_legend(legend)
