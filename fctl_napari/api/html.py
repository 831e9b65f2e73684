"""HTML by which objects show themselves in notebooks: pictures, legends and tables."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fctl_napari.model.classes import ClassInfo

SIDE = 480
"""Longest side of a picture, px."""


def picture(pixels: NDArray[np.uint8]) -> str:
    """Return a picture that lies in the page itself.

    Parameters
    ----------
    pixels : ndarray of uint8 [y, x, 3 or 4]
        The picture.

    Returns
    -------
    str
        The element.
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="" style="max-width: 100%; image-rendering: auto" src="data:image/png;base64,{data}">'


def sentence(text: str) -> str:
    """Return a sentence.

    Parameters
    ----------
    text : str
        The sentence, as plain text.

    Returns
    -------
    str
        The element.
    """
    return f"<div>{html.escape(text)}</div>"


def facts(rows: Mapping[str, str]) -> str:
    """Return names with their values as a table.

    Parameters
    ----------
    rows : mapping of str to str
        Values by name, as plain text.

    Returns
    -------
    str
        The element.
    """
    lines = "".join(
        f'<tr><th style="text-align: left">{html.escape(name)}</th>'
        f'<td style="text-align: left">{html.escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>{lines}</table>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table.

    Parameters
    ----------
    header : sequence of str
        Names of the columns, as plain text.
    rows : iterable of sequence of str
        Cells, as plain text.

    Returns
    -------
    str
        The element.
    """
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def legend(classes: Iterable[tuple[ClassInfo, str]]) -> str:
    """Return classes with their colors.

    Parameters
    ----------
    classes : iterable of (ClassInfo, str)
        Classes, and what is said behind the name of each.

    Returns
    -------
    str
        The element.
    """
    return (
        "<div>"
        + " ".join(
            f'<span style="white-space: nowrap; margin-right: 1em"><span style="color: rgb{info.color}">&#9632;</span> '
            f"{html.escape(info.name)} {html.escape(note)}</span>"
            for info, note in classes
        )
        + "</div>"
    )


def block(title: str, *parts: str) -> str:
    """Return parts below a title.

    Parameters
    ----------
    title : str
        The title, as plain text.
    *parts : str
        Elements.

    Returns
    -------
    str
        The element.
    """
    return f"<div><strong>{html.escape(title)}</strong>{''.join(parts)}</div>"
