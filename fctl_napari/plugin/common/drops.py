"""Folders that are dropped onto a widget."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtGui import QDropEvent


def dropped_folder(event: QDropEvent) -> Path | None:
    """Return the folder that is dropped, if it is one folder.

    Parameters
    ----------
    event : QDropEvent
        The event.

    Returns
    -------
    Path or None
        The folder.
    """
    paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return paths[0] if len(paths) == 1 and paths[0].is_dir() else None
