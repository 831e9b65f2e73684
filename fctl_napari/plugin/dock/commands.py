"""Commands of the dock, for napari's menus, its palette and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari

from fctl_napari.plugin.dock.dock import open_dock, open_images, open_tab, plain_viewer
from fctl_napari.plugin.dock.key_sheet import KeySheet
from fctl_napari.plugin.layers.hidden_masks import toggle_masks

if TYPE_CHECKING:
    from fctl_napari.plugin.correct.widget import CorrectWidget
    from fctl_napari.plugin.errors.widget import ErrorWidget
    from fctl_napari.plugin.segment.widget import SegmentWidget


def run(viewer: napari.Viewer) -> None:
    """Segment as the tab Segment says.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    page: SegmentWidget = open_tab(viewer, "Segment")
    page.form.run.click()


def next_error(viewer: napari.Viewer) -> None:
    """Fly to the next region of the list in the tab Errors.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    _errors(viewer, "next")


def previous_error(viewer: napari.Viewer) -> None:
    """Fly to the region before in the list in the tab Errors.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    _errors(viewer, "previous")


def check_points(viewer: napari.Viewer) -> None:
    """Check the random points of the map.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    page: ErrorWidget = open_tab(viewer, "Errors")
    page.form.tabs.setCurrentWidget(page.form.points)
    page.checks.check()


def edit_here(viewer: napari.Viewer) -> None:
    """Move the edit window to the middle of the view.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    page: CorrectWidget = open_tab(viewer, "Correct")
    page.form.here.click()


def next_image(viewer: napari.Viewer) -> None:
    """Go to the next image of the list.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    open_images(viewer).step(1)


def previous_image(viewer: napari.Viewer) -> None:
    """Go to the image before in the list.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    open_images(viewer).step(-1)


def mark_image(viewer: napari.Viewer) -> None:
    """Mark the image as done in the list, or remove the mark.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    open_images(viewer).toggle_done()


def toggle_mask(viewer: napari.Viewer) -> None:
    """Hide the masks of segmentations, or show the uppermost if none is visible.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    toggle_masks(plain_viewer(viewer))


def swipe(viewer: napari.Viewer) -> None:
    """Compare two maps with a line that is dragged, or end that.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    open_dock(viewer).compare("swipe")


def blink(viewer: napari.Viewer) -> None:
    """Compare two maps by showing them in turn, or end that.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    open_dock(viewer).compare("blink")


def show_keys(viewer: napari.Viewer) -> None:
    """Show the sheet of keys.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    KeySheet(plain_viewer(viewer).window._qt_window).show()


def _errors(viewer: napari.Viewer, which: str) -> None:
    page: ErrorWidget = open_tab(viewer, "Errors")
    page.press(which)
