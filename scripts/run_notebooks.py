"""Run notebooks from their text, and keep them with their outputs: ``python scripts/run_notebooks.py [NAME ...]``.

``notebooks/NAME.py`` is written and reviewed (jupytext's percent format); ``notebooks/NAME.ipynb`` is made from
it and shows what it printed and drew. Without names all are run. A line ``steps = 50  # short: 5`` names a smaller
value for the short version, which the test suite runs. Needs ``pip install -e ".[notebooks]"``. Cells on napari show
something only where there is a display (``xvfb-run``, say).
"""

from __future__ import annotations

import base64
import io
import re
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"

SHORT = re.compile(r"^(\w+ = ).*  # short: (.*)$", re.MULTILINE)
"""A value and its smaller one."""

TIMEOUT = 3600
"""Longest time for one cell, s."""

FOLDERS = re.compile(rf"{re.escape(str(FOLDER.parent))}/|{re.escape(tempfile.gettempdir())}/\w+/")
"""Folders of this machine: that of the checkout, and temporary ones."""

WIDGET = "application/vnd.jupyter.widget-view+json"

PICTURE_WIDTH = 1200
"""Pictures are kept at most this wide, px, as JPEG: a repository keeps every version of them."""


def texts() -> list[Path]:
    """List the notebooks' texts."""
    return sorted(FOLDER.glob("*.py"))


def read_text(text: Path, *, short: bool = False) -> nbformat.NotebookNode:
    """Read a notebook from its text, without outputs.

    Cells get names that stay the same from run to run. ``short`` takes the values of the short version.
    """
    notebook = jupytext.read(text)
    if short:
        for cell in notebook.cells:
            cell.source = SHORT.sub(r"\1\2", cell.source)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "jupytext": {"formats": "ipynb,py:percent"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


def run(text: Path, folder: Path, *, short: bool = False) -> nbformat.NotebookNode:
    """Run a notebook, or its short version, in ``folder``.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell failed.
    """
    notebook = read_text(text, short=short)
    where = {"metadata": {"path": folder}}
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", store_widget_state=False, resources=where)
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # they hold the time of the run
        if cell.cell_type == "code":
            cell.outputs = kept_outputs(cell.outputs)
    return notebook


def kept_outputs(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Choose what is kept of a cell's outputs.

    Progress bars and warnings are left out, folders of this machine, and sliders that nothing moves any more. Of a
    widget that has a picture for pages on which widgets cannot run the picture is kept.
    """
    kept = []
    for out in outputs:
        data = out.get("data", {})
        if out.get("name") == "stderr" or (data.pop(WIDGET, None) is not None and "image/png" not in data):
            continue
        _shrink_picture(data)
        for texts_of, kinds in ((out, ("text",)), (data, ("text/plain", "text/html"))):
            for kind in kinds:
                if kind in texts_of:
                    texts_of[kind] = FOLDERS.sub("", texts_of[kind])
        kept.append(out)
    return kept


def _shrink_picture(data: dict[str, str]) -> None:
    """Replace the PNG in a cell's output by a small JPEG."""
    if "image/png" not in data:
        return
    picture = Image.open(io.BytesIO(base64.b64decode(data.pop("image/png")))).convert("RGB")
    picture.thumbnail((PICTURE_WIDTH, 10 * PICTURE_WIDTH))
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=80, optimize=True)
    data["image/jpeg"] = base64.b64encode(file.getvalue()).decode()


def main() -> None:
    """Run the notebooks that are named, or all."""
    chosen = sys.argv[1:] or [text.stem for text in texts()]
    with tempfile.TemporaryDirectory() as folder:  # for all: one goes on with what another has trained
        for name in chosen:
            notebook = run(FOLDER / f"{name}.py", Path(folder))
            out = FOLDER / f"{name}.ipynb"
            nbformat.write(notebook, out)
            print(f"{out.relative_to(FOLDER.parent)}: {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
