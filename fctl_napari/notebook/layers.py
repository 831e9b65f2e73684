"""Layers of the viewer in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fctl_napari.notebook.tiles import TileSource


@dataclass
class ViewerLayer:
    """A layer, and how it is shown at first.

    Attributes
    ----------
    id : str
        Name for programs, which no other layer has.
    name : str
        Name for people.
    kind : {"image", "classes", "values"}
        An image hides what is below it; the others are transparent where they have no value.
    source : TileSource
        Its tiles.
    shape : tuple of 2 int
        (height, width), px.
    visible : bool
        If True, it is shown.
    opacity : float
        Opacity, 0..1.
    """

    id: str
    name: str
    kind: str
    source: TileSource
    shape: tuple[int, int]
    visible: bool = True
    opacity: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Return what the page knows of it."""
        return {
            "id": self.id,
            "name": self.name,
            "kind": self.kind,
            "height": self.shape[0],
            "width": self.shape[1],
            "visible": self.visible,
            "opacity": self.opacity,
        }
