"""JupyterLab on this machine, in a real browser without a display."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupyter_in_browser
import pytest

SIZE = {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of a running JupyterLab, and its folder."""
    folder = tmp_path_factory.mktemp("lab")
    with jupyter_in_browser.jupyterlab(folder) as address:
        yield address, folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    with jupyter_in_browser.chromium() as running:
        yield running


@pytest.fixture
def open_notebook(lab: tuple[str, Path], browser: Any) -> Iterator[Callable[..., Any]]:
    """``open_notebook(cells)``: the page of a notebook whose cells have all been begun.

    ``program`` is JupyterLab, or ``notebooks`` for Notebook 7.
    """
    pages = []

    def open_it(cells: list[str], name: str = "a", program: str = "lab/tree") -> Any:
        page = browser.new_page(viewport=SIZE)
        pages.append(page)
        jupyter_in_browser.open_notebook(page, *lab, name, cells, program)
        jupyter_in_browser.run_all(page)
        return page

    yield open_it
    for page in pages:
        page.close()
