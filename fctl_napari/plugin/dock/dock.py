"""The FCtL dock: the header, and the tabs Segment, Explore, Errors, Correct, Fine-tune and Export below it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QShortcut
from qtpy.QtWidgets import QDockWidget, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.class_display import class_colors
from fctl_napari.plugin.common.docked import Docked
from fctl_napari.plugin.common.drops import dropped_folder
from fctl_napari.plugin.common.form_layout import WIDTH
from fctl_napari.plugin.common.keys import bind_keys
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.layers.before_after import Mode, before_after
from fctl_napari.plugin.layers.before_after_buttons import KEYS as COMPARE_KEYS
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.hidden_masks import toggle_masks
from fctl_napari.plugin.layers.styles import recolor

if TYPE_CHECKING:
    from fctl_napari.plugin.images.widget import ImagesWidget

NAME = "FCtL"
"""Name of the dock in napari's window."""

COLUMNS, CANVAS = 2 * WIDTH + 20, 700
"""Width of the columns beside the canvas, napari's and ours, and the least width that these leave to it, screen px."""

LIST_HEIGHT = 190
"""Height of the layer list where it shares a column with the dock, screen px."""

MASK_KEY, SHEET_KEY = "Q", "?"
"""Keys that hide the mask or show it, and that show the sheet of keys; napari 0.9 uses neither."""

TABS = {
    "Segment": ("segment", "SegmentWidget", "Compute the mask: in view, of a region, or of the whole image."),
    "Explore": ("explore", "ExploreWidget", "See why a pixel has its class: attention, weights, probabilities."),
    "Errors": ("errors", "ErrorWidget", "Compare with a ground truth: overlays, figures, next error. Check points."),
    "Correct": ("correct", "CorrectWidget", "Paint corrections. Every stroke is on disk within a second."),
    "Fine-tune": ("finetune", "FinetuneWidget", "Let the network learn from the corrections, and keep or roll back."),
    "Export": ("export", "ExportWidget", "Write the map for other programs."),
}
"""Package, class and tooltip of each tab, by its name."""


class FctlDock(Docked):
    """Header and tabs, each of which is made when it is first shown.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that it is docked in.

    Attributes
    ----------
    header : Header
        Fields for image, checkpoint and device, which the tabs share.
    tabs : QTabWidget
        The tabs.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._pages: dict[str, DockedWidget] = {}
        self._images: ImagesWidget | None = None
        self.header = Header(napari_viewer)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setElideMode(Qt.TextElideMode.ElideNone)
        self.tabs.tabBar().setStyleSheet("QTabBar::tab { padding: 3px 2px; }")  # so that all fit into 320 px
        for index, (name, (_, _, tooltip)) in enumerate(TABS.items()):
            frame = QWidget()
            QVBoxLayout(frame).setContentsMargins(0, 0, 0, 0)
            self.tabs.addTab(frame, name)
            self.tabs.setTabToolTip(index, tooltip)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.header)
        column.addWidget(self.tabs, stretch=1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._shown = ""
        self.tabs.currentChanged.connect(self._tab_changed)
        class_colors().changed.connect(self._recolor)
        keys = {MASK_KEY: partial(toggle_masks, napari_viewer)}
        keys |= {key: partial(self.compare, mode) for mode, key in COMPARE_KEYS.items()}
        self._unbind = bind_keys(napari_viewer, keys)
        sheet = QShortcut(QKeySequence(SHEET_KEY), self)
        sheet.activated.connect(self.show_keys)
        self.setAcceptDrops(True)

    def page(self, name: str) -> Any:
        """Return the widget of a tab, which is made if it was not shown yet.

        Parameters
        ----------
        name : str
            Name of the tab.

        Returns
        -------
        DockedWidget
            The widget.
        """
        if name not in self._pages:
            package, kind, _ = TABS[name]
            module = import_module(f"fctl_napari.plugin.{package}.widget")
            page = self._pages[name] = getattr(module, kind)(self._viewer, self.header)
            self.tabs.widget(list(TABS).index(name)).layout().addWidget(page)
            page.wanted.connect(self.show_tab)
        return self._pages[name]

    def _tab_changed(self, index: int) -> None:
        """Tell the tabs which of them is shown."""
        name = self._shown = self.tabs.tabText(index)
        self.page(name)
        for page in self._pages.values():
            page.tab_shown(name)

    def _recolor(self, name: str, color: tuple[int, int, int]) -> None:
        """Show the new color of a class in the layers."""
        if not self._left:
            recolor(self._viewer, name, color)

    def show_keys(self) -> None:
        """Show the sheet of keys."""
        from fctl_napari.plugin.dock.key_sheet import KeySheet

        KeySheet(self.window()).show()

    def show_tab(self, name: str) -> Any:
        """Show a tab.

        Parameters
        ----------
        name : str
            Name of the tab.

        Returns
        -------
        DockedWidget
            Its widget.
        """
        page = self.page(name)
        self.tabs.setCurrentIndex(list(TABS).index(name))
        if not self._shown:  # the first tab, which Qt shows without a signal
            self._tab_changed(self.tabs.currentIndex())
        return page

    def compare(self, mode: Mode) -> None:
        """Compare the uppermost visible map with the next below it, or end that.

        Parameters
        ----------
        mode : {"swipe", "blink"}
            Kind of the comparison.
        """
        with reported(self.page(self.tabs.tabText(self.tabs.currentIndex()))):
            before_after(self._viewer).toggle(mode)

    @property
    def images(self) -> ImagesWidget | None:
        """The list of images, if it is open."""
        return None if self._images is None or self._images.left else self._images

    def show_images(self, folder: str | Path | None = None) -> ImagesWidget:
        """Show the list of images below the dock, or in one stack with napari's layer list where that is below it.

        Parameters
        ----------
        folder : str, Path or None, optional
            Folder whose images are listed. None leaves the list as it is.

        Returns
        -------
        ImagesWidget
            The list.
        """
        from fctl_napari.plugin.images.widget import NAME as IMAGES
        from fctl_napari.plugin.images.widget import ImagesWidget

        images = self.images
        if images is None:
            images = self._images = ImagesWidget(self._viewer, self.header)
            segment, _ = self.page("Segment"), self.page("Correct")  # these show what is there of an image
            segment.finished.connect(images.run_ended)
            images.segmented.connect(segment.look)
            self._dock_images(images, IMAGES)
        images.parent().show()
        images.parent().raise_()
        if folder is not None:
            images.open_folder(folder)
        return images

    def _dock_images(self, images: ImagesWidget, name: str) -> None:
        """Put the list of images into the column of the dock, so that the canvas keeps its width."""
        window, own = self.window(), self.parent()
        left = window.dockWidgetArea(own) == Qt.DockWidgetArea.LeftDockWidgetArea
        holder = self._viewer.window.add_dock_widget(images, name=name, area="left" if left else "right")
        if left:
            window.tabifyDockWidget(self._viewer.window._qt_viewer.dockLayerList, holder)

        def lay_out() -> None:
            holder.raise_()
            if not left:
                heights = [2 * window.height() // 3, window.height() // 3]
                window.resizeDocks([own, holder], heights, Qt.Orientation.Vertical)

        QTimer.singleShot(0, holder, lay_out)  # Qt lays out what was tabified first

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept a folder that is dragged here."""
        if dropped_folder(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """List the images of a folder that is dropped here."""
        folder = dropped_folder(event)
        if folder is not None:
            event.acceptProposedAction()
            self.show_images(folder)

    def _leave(self, *, layers: bool) -> None:
        """End the comparison on the canvas, the tabs, the list of images and the header."""
        self._unbind()
        comparison = before_after(self._viewer)
        if layers:
            comparison.stop()
        else:
            comparison.leave()
        images = self.images
        if layers and images is not None:
            images.leave(layers=True)
            QTimer.singleShot(0, partial(undock, self._viewer, images))
        for page in self._pages.values():
            page.leave(layers=layers)
        self.header.leave()


def open_dock(viewer: napari.Viewer, tab: str = "Segment") -> FctlDock:
    """Open the dock in a viewer's window at a tab, or show that tab of the one that is there.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    tab : str, optional
        Name of the tab.

    Returns
    -------
    FctlDock
        The dock.
    """
    viewer = plain_viewer(viewer)
    dock = viewer.window.dock_widgets.get(NAME)
    if dock is None:
        dock = FctlDock(viewer)
        dock.show_tab(tab)
        narrow = viewer.window._qt_window.width() < COLUMNS + CANVAS
        holder = viewer.window.add_dock_widget(dock, name=NAME, area="left" if narrow else "right")
        if narrow:
            _share_column(viewer, holder)
    else:
        dock.show_tab(tab)
        holder = dock.parent()
        holder.show()
        holder.raise_()
    return dock


def _share_column(viewer: napari.Viewer, holder: QDockWidget) -> None:
    """Put the dock into one stack with napari's layer controls, above the layer list."""
    window, view = viewer.window._qt_window, viewer.window._qt_viewer
    window.tabifyDockWidget(view.dockLayerControls, holder)

    def lay_out() -> None:
        holder.raise_()
        heights = [window.height() - LIST_HEIGHT, LIST_HEIGHT]
        window.resizeDocks([holder, view.dockLayerList], heights, Qt.Orientation.Vertical)

    QTimer.singleShot(0, holder, lay_out)  # Qt lays out what was tabified first


def open_tab(viewer: napari.Viewer, tab: str) -> Any:
    """Open the dock in a viewer's window at a tab.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    tab : str
        Name of the tab.

    Returns
    -------
    DockedWidget
        The widget of the tab.
    """
    return open_dock(viewer, tab).page(tab)


def open_images(viewer: napari.Viewer, folder: str | Path | None = None) -> ImagesWidget:
    """Open the list of images in a viewer's window, and the dock.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    folder : str, Path or None, optional
        Folder whose images are listed. None leaves the list as it is.

    Returns
    -------
    ImagesWidget
        The list.
    """
    viewer = plain_viewer(viewer)
    dock = viewer.window.dock_widgets.get(NAME) or open_dock(viewer)
    return dock.show_images(folder)


def plain_viewer(viewer: napari.Viewer) -> napari.Viewer:
    """Return a viewer itself where napari's menus give a proxy, whose parts Qt does not take for widgets.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer, or a proxy of it.

    Returns
    -------
    napari.Viewer
        The viewer.
    """
    plain: napari.Viewer = getattr(viewer, "__wrapped__", viewer)
    return plain


def undock(viewer: napari.Viewer, widget: QWidget) -> None:
    """Take a docked widget out of a window, if it is still there.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer of the window.
    widget : QWidget
        The widget.
    """
    with suppress(LookupError):
        viewer.window.remove_dock_widget(widget)
