"""Network as a folder or a file from elsewhere states it."""

from __future__ import annotations

from typing import NamedTuple

from fctl_napari.model.classes import ClassTable
from fctl_napari.model.config import FCtLConfig


class Stated(NamedTuple):
    """Network of a folder or a file.

    Attributes
    ----------
    config : FCtLConfig
        Our settings.
    classes : ClassTable
        Its classes.
    title : str
        Name for people: ``"SegFormer-B0"``.
    """

    config: FCtLConfig
    classes: ClassTable
    title: str
