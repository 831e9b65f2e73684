"""Files of reports."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.files import atomic_write
from fctl_napari.map_report.page import html_page
from fctl_napari.map_report.pdf import write_pdf
from fctl_napari.map_report.report import MapReport
from fctl_napari.map_report.report_path import check_report_path


def save_report(report: MapReport, path: Path) -> None:
    """Write a report atomically.

    Parameters
    ----------
    report : MapReport
        The report.
    path : Path
        File to write; its ending gives the format.

    Raises
    ------
    OutputError
        The name ends neither in .html nor in .pdf, something else lies there, the disk is full, or the path is not
        writable.
    """
    check_report_path(path)
    if path.suffix.lower() == ".pdf":
        with atomic_write(path) as file:
            write_pdf(report, file)
    else:
        page = html_page(report)
        with atomic_write(path, "w") as file:
            file.write(page)
