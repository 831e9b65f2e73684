"""Results of public functions, shown where magicgui's forms of them are docked."""

from __future__ import annotations

from typing import Any

from napari.utils._magicgui import find_viewer_ancestor
from qtpy.QtWidgets import QTextEdit

from fctl_napari.api.maps import Map
from fctl_napari.api.measuring import Errors, Figures

FOUND = "found"
"""Name of the text in which a form shows what was measured."""


def show_map(form: Any, found: Map, kind: type) -> None:
    """Open a map that a function returned in the viewer in which its form is docked.

    Parameters
    ----------
    form : FunctionGui
        The form.
    found : Map
        The map.
    kind : type
        What the function says that it returns.
    """
    viewer = find_viewer_ancestor(form.native)
    if viewer is not None:
        viewer.open(str(found.path), plugin="fctl-napari")


def show_figures(form: Any, found: Figures | Errors, kind: type) -> None:
    """Show what a function measured below the fields of its form.

    Parameters
    ----------
    form : FunctionGui
        The form.
    found : Figures or Errors
        What the function returned.
    kind : type
        What the function says that it returns.
    """
    page = form.native.findChild(QTextEdit, FOUND)
    if page is None:
        page = QTextEdit(objectName=FOUND, readOnly=True)
        form.native.layout().addWidget(page)
    page.setHtml(found._repr_html_())
