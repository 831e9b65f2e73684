"""Controls above a figure, in a kernel as a notebook has one."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = (
    "from ipywidgets import IntSlider\n"
    "from fctl_napari.figures.sliders import slide\n"
    "size, other = IntSlider(3, 0, 9), IntSlider(1, 0, 9, description='times')\n"
    "slide(lambda size, other: 'a' * size * other, size=size, other=other)",
    "slide(lambda size: 'b' * size, size=IntSlider(4, 0, 9))",
    "other.value = 2; size.value = 1\nassert not size.continuous_update\n"
    "assert (size.description, other.description) == ('size', 'times')",
)


@pytest.mark.slow  # a kernel starts
def test_the_picture_is_kept_and_drawn_again_when_a_control_moves() -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    done = NotebookClient(book, kernel_name="python3").execute()
    moved, still = ([out["data"]["text/plain"] for out in cell.outputs] for cell in done.cells[:2])
    assert "IntSlider" in moved[0]
    assert moved[1] == "'aa'"
    assert still[1] == "'bbbb'"
