"""Report as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import io
from html import escape

from fctl_napari.map_report.report import MapReport, Section
from fctl_napari.map_report.report_path import HTML_MARK

STYLE = """
body { font: 15px/1.45 sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin: 1.6em 0 0.4em; border-bottom: 1px solid #ccc; }
img { max-width: 100%; } p { margin: 0.3em 0; } .caption { color: #555; }
table { border-collapse: collapse; margin: 0.6em 0; }
th, td { text-align: left; padding: 0.2em 0.9em 0.2em 0; vertical-align: top; overflow-wrap: anywhere; }
.figures th:not(:first-child), .figures td:not(:first-child) { text-align: right; font-variant-numeric: tabular-nums; }
.color { display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.5em; border: 1px solid #888; }
@media print { h2, tr { break-after: avoid; } .color, img { print-color-adjust: exact; } }
"""


def html_page(report: MapReport) -> str:
    """Write a report as an HTML page.

    Parameters
    ----------
    report : MapReport
        The report.

    Returns
    -------
    str
        The page, with its picture in it. It refers to nothing outside.
    """
    picture = io.BytesIO()
    report.figure.savefig(picture, format="png")
    data = base64.b64encode(picture.getvalue()).decode()
    title = escape(report.title)
    parts = "\n".join(map(_section, report.sections))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{HTML_MARK}\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f'<img alt="{title}" src="data:image/png;base64,{data}">\n<p class="caption">{escape(report.caption)}</p>\n'
        f"{parts}\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    lines = [f"<h2>{escape(section.title)}</h2>", *(f"<p>{escape(one)}</p>" for one in section.sentences)]
    if section.rows:
        lines.append('<table class="figures">' if section.header else "<table>")
        if section.header:
            lines.append(f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in section.header)}</tr>")
        for number, (first, *others) in enumerate(section.rows):
            color = ""
            if section.colors:
                color = '<span class="color" style="background: rgb({}, {}, {})"></span>'.format(
                    *section.colors[number]
                )
            cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
            lines.append(f"<tr><td>{color}{escape(first)}</td>{cells}</tr>")
        lines.append("</table>")
    return "\n".join(lines)
