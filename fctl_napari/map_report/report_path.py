"""Paths of reports: earlier reports are known by a mark and may be replaced, other files never."""

from __future__ import annotations

import os
from pathlib import Path

from fctl_napari.exceptions import OutputError
from fctl_napari.exporting.destination import SOFTWARE

HTML_MARK = f'<meta name="generator" content="{SOFTWARE}">'
"""Mark near the beginning of HTML reports."""
PDF_MARK = f"/Creator ({SOFTWARE})"
"""Mark in the document information of PDF reports."""
HEAD = 1000
"""Number of bytes at the beginning of a page among which its mark is."""


def is_report_path(path: Path) -> bool:
    """Return whether the end of a name is that of a report.

    Parameters
    ----------
    path : Path
        File to write.

    Returns
    -------
    bool
        True for .html, .htm and .pdf.
    """
    return path.suffix.lower() in (".html", ".htm", ".pdf")


def check_report_path(path: Path) -> None:
    """Refuse a name that `save_report` cannot write, or where something else than an earlier report lies.

    Parameters
    ----------
    path : Path
        File to write.

    Raises
    ------
    OutputError
        The name ends neither in .html nor in .pdf, or something else lies there.
    """
    if not is_report_path(path):
        raise OutputError(f"{path}: reports are written as HTML or PDF; give a name that ends in .html or .pdf.")
    if os.path.exists(path) and not _is_report(path):
        raise OutputError(f"{path}: exists and is not an earlier report; choose another name.")


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".pdf":
                return PDF_MARK.encode() in file.read()
            return HTML_MARK.encode() in file.read(HEAD)
    except OSError:
        return False
