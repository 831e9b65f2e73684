"""Files of figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fctl_napari.exceptions import OutputError
from fctl_napari.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
"""Formats that a figure can be saved in, by the ending of the file's name."""


def check_figure_path(path: Path | str) -> None:
    """Refuse a name that `save_figure` cannot write.

    Parameters
    ----------
    path : Path or str
        File to write.

    Raises
    ------
    OutputError
        The name ends in none of ``FORMATS``.
    """
    if Path(path).suffix.lower()[1:] not in FORMATS:
        raise OutputError(f"{path}: figures are saved as PNG, SVG or PDF; give a name that ends so.")


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure atomically.

    Parameters
    ----------
    figure : Figure
        The figure.
    path : Path or str
        File to write; its ending gives the format.

    Raises
    ------
    OutputError
        The name ends in none of ``FORMATS``, the disk is full, or the path is not writable.
    """
    path = Path(path)
    check_figure_path(path)
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix.lower()[1:])
