"""Report as a PDF of A4 pages (matplotlib without a display)."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from typing import IO, NamedTuple

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from fctl_napari.class_colors import Color
from fctl_napari.exporting.destination import SOFTWARE
from fctl_napari.map_report.report import MapReport, Section

SIZE = (8.27, 11.69)
"""Width and height of a page, inches."""
MARGIN = 0.7
"""Margin of a page, inches."""
LINE = 0.165
"""Height of a line, inches."""
COLUMNS = 96
"""Number of characters in a line."""
SQUARE = 0.09
"""Side of the square of a class's color, inches."""
PICTURE = 6.5
"""Largest height of the picture, inches."""


class _Line(NamedTuple):
    """A line of a page: its text, the heading's style, and a color before it."""

    text: str
    heading: bool = False
    color: Color | None = None


def write_pdf(report: MapReport, file: IO[bytes]) -> None:
    """Write a report as a PDF.

    Parameters
    ----------
    report : MapReport
        The report.
    file : IO of bytes
        File to write to.
    """
    blocks = [[_Line(one) for one in textwrap.wrap(report.caption, COLUMNS)], *map(_section, report.sections)]
    with PdfPages(file) as pages:
        page = Figure(figsize=SIZE)
        page.text(MARGIN / SIZE[0], 1 - MARGIN / SIZE[1], report.title, fontsize=16, va="top", parse_math=False)
        top = _draw_picture(page, report.figure)
        for lines in _pages(blocks, top):
            _draw_lines(page, lines, top)
            pages.savefig(page)
            page, top = Figure(figsize=SIZE), SIZE[1] - MARGIN
        pages.infodict().update({"Title": report.title, "Creator": SOFTWARE})


def _pages(blocks: list[list[_Line]], top: float) -> Iterator[list[_Line]]:
    """Yield the lines of each page, the first from ``top`` on. A section that fits on a page is not parted."""
    room, whole = int((top - MARGIN) / LINE), int((SIZE[1] - 2 * MARGIN) / LINE)
    page: list[_Line] = []
    for block in blocks:
        if page and len(block) > room - len(page):
            yield page
            page, room = [], whole
        page = page + block if page else block[not block[0].text :]  # no empty line on top
        while len(page) > room:
            yield page[:room]
            page, room = page[room:], whole
    if page:
        yield page


def _draw_picture(page: Figure, figure: Figure) -> float:
    """Draw the map under the title, and return the height that is left below it, inches."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    stream.seek(0)
    picture = imread(stream)
    width, top = SIZE[0] - 2 * MARGIN, SIZE[1] - MARGIN - 0.45
    height = width * picture.shape[0] / picture.shape[1]
    shrink = min(1.0, PICTURE / height)
    width, height = width * shrink, height * shrink
    axes = page.add_axes((MARGIN / SIZE[0], (top - height) / SIZE[1], width / SIZE[0], height / SIZE[1]))
    axes.imshow(picture, interpolation="none")  # in its own resolution
    axes.set_axis_off()
    return top - height - LINE


def _draw_lines(page: Figure, lines: list[_Line], top: float) -> None:
    for number, line in enumerate(lines):
        y = (top - number * LINE) / SIZE[1]
        x = MARGIN / SIZE[0]
        if line.color is not None:
            color = "#{:02x}{:02x}{:02x}".format(*line.color)
            corner = x, y - 0.115 / SIZE[1]
            page.add_artist(Rectangle(corner, SQUARE / SIZE[0], SQUARE / SIZE[1], fc=color, ec="0.5", lw=0.5))
        page.text(
            x,
            y,
            line.text,
            va="top",
            family="monospace",
            fontsize=8.5,
            weight="bold" if line.heading else "normal",
            parse_math=False,
        )


def _section(section: Section) -> list[_Line]:
    return list(_lines(section))


def _lines(section: Section) -> Iterator[_Line]:
    yield _Line("")
    yield _Line(section.title, heading=True)
    for sentence in section.sentences:
        yield from map(_Line, textwrap.wrap(sentence, COLUMNS))
    if not section.rows:
        return
    if not section.header:
        yield from _facts(section.rows)
        return
    # Columns of figures: those that do not fit beside the first follow below, in a table of their own.
    table = [section.header, *section.rows]
    indent = "  " if section.colors else ""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for columns in _fitting(widths, COLUMNS - len(indent)):
        for number, row in enumerate(table):
            cells = [f"{row[0]:<{widths[0]}}", *(f"{row[k]:>{widths[k]}}" for k in columns)]
            color = section.colors[number - 1] if number and section.colors else None
            yield _Line(indent + "  ".join(cells), heading=not number, color=color)


def _fitting(widths: list[int], room: int) -> Iterator[list[int]]:
    """Yield the columns that fit into a line beside the first one."""
    now: list[int] = []
    used = widths[0]
    for column, width in enumerate(widths[1:], 1):
        if now and used + 2 + width > room:
            yield now
            now, used = [], widths[0]
        now.append(column)
        used += 2 + width
    yield now


def _facts(rows: tuple[tuple[str, ...], ...]) -> Iterator[_Line]:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        first, *more = textwrap.wrap(value, COLUMNS - width - 2) or [""]
        yield _Line(f"{name:<{width}}  {first}")
        yield from (_Line(" " * (width + 2) + one) for one in more)
