"""Figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fctl_napari.errors import OutputError
from fctl_napari.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
"""Kinds of files that a figure is saved as, by their ending."""


def check_figure_place(path: Path | str) -> None:
    """Refuse a name that `save_figure` cannot write.

    Raises
    ------
    OutputError
        It ends in none of ``FORMATS``.
    """
    if Path(path).suffix.lower()[1:] not in FORMATS:
        raise OutputError(f"{path}: figures are saved as PNG, SVG or PDF; give a name that ends so.")


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure, whole or not at all.

    Raises
    ------
    OutputError
        The name ends in none of ``FORMATS``, the disk is full, or the place is not writable.
    """
    path = Path(path)
    check_figure_place(path)
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix.lower()[1:])
