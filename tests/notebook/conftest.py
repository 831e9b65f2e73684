"""JupyterLab on this machine, in a real browser without a display."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

TOKEN = "a-test"
SIZE = {"width": 1200, "height": 900}

IDLE = {
    "lab/tree": "text=Python 3 (ipykernel) | Idle",
    "notebooks": ".jp-Notebook-ExecutionIndicator[data-status=idle]",
}
"""What a page shows once its kernel is there."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of a running JupyterLab, and its folder."""
    pytest.importorskip("jupyterlab")
    folder = tmp_path_factory.mktemp("lab")
    port = free_port()
    options = {
        "ServerApp.port": port,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.root_dir": folder,
        "IdentityProvider.token": TOKEN,
        "LabApp.news_url": "",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    places = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | places
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < end, (folder / "lab.log").read_text()
                time.sleep(0.2)
        yield address, folder
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    assert chromium is not None, "install Debian's chromium: scripts/debian_packages.sh --tests"
    with playwright.sync_playwright() as drivers:
        running = drivers.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_notebook(lab: tuple[str, Path], browser: Any) -> Iterator[Callable[..., Any]]:
    """``open_notebook(cells)``: the page of a notebook whose cells have all been begun.

    ``program`` is JupyterLab, or ``notebooks`` for Notebook 7.
    """
    address, folder = lab
    pages = []

    def open_it(cells: list[str], name: str = "a", program: str = "lab/tree") -> Any:
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=metadata
        )
        nbformat.write(notebook, folder / f"{name}.ipynb")
        page = browser.new_page(viewport=SIZE)
        pages.append(page)
        page.goto(f"{address}/{program}/{name}.ipynb?token={TOKEN}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_selector(IDLE[program], timeout=60_000)
        page.click("text=Run")
        page.click("text=Run All Cells")
        return page

    yield open_it
    for page in pages:
        page.close()
