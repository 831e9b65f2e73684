"""JupyterLab in a real browser without a display, for the tests, benchmarks and pictures of the viewer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

TOKEN = "of-this-run"
IDLE = {
    "lab/tree": "text=Python 3 (ipykernel) | Idle",
    "notebooks": ".jp-Notebook-ExecutionIndicator[data-status=idle]",
}
"""What a page shows once its kernel is there: of JupyterLab, and of Notebook 7."""


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Start a server whose notebooks lie in a folder, and give its address. Kernels have no display."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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
                if time.monotonic() > end:
                    raise RuntimeError((folder / "lab.log").read_text()) from None
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Debian's Chromium, and give Playwright's browser."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium")
    if found is None:
        raise RuntimeError("there is no chromium; install Debian's: scripts/debian_packages.sh --tests")
    with sync_playwright() as drivers:
        running = drivers.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


def open_notebook(
    page: Any, address: str, folder: Path, name: str, cells: list[str], program: str = "lab/tree"
) -> None:
    """Write a notebook of cells and open it in a page, until its kernel is there."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(made, folder / f"{name}.ipynb")
    page.goto(f"{address}/{program}/{name}.ipynb?token={TOKEN}&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_selector(IDLE[program], timeout=60_000)


def run_all(page: Any) -> None:
    """Begin all cells of a page."""
    page.click("text=Run")
    page.click("text=Run All Cells")
