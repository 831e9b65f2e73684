"""The notebooks run from beginning to end, and what is kept of them is of this text."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from _pytest.mark import ParameterSet
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image
from run_notebooks import FOLDER, kept_outputs, read_text, run, texts

from fctl_napari.api import running
from fctl_napari.segmentation.jobs import engine as engines

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.engine import Engine


def sources(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells]


@pytest.mark.parametrize("text", texts(), ids=lambda text: text.stem)
def test_the_kept_notebook_is_of_its_text_and_shows_something(text: Path) -> None:
    kept = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    assert sources(kept) == sources(read_text(text)), f"run scripts/run_notebooks.py {text.stem}"
    shown = [kind for cell in kept.cells for out in cell.get("outputs", []) for kind in out.get("data", {})]
    assert any(kind.startswith("image/") for kind in shown)


PUBLIC = ("00_tour", "06_your_own_data")
"""Notebooks that need no more than the public functions."""


def code_of(text: Path) -> list[str]:
    return [cell.source for cell in read_text(text).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", PUBLIC)
def test_who_begins_needs_the_public_functions_alone_and_ends_with_a_file(name: str) -> None:
    cells = code_of(FOLDER / f"{name}.py")
    inner = {line for cell in cells for line in cell.splitlines() if re.match(r"\s*(from|import) fctl_napari", line)}
    assert inner == {"import fctl_napari as fctl"}
    assert "fctl.export(" in cells[-1]


TRAIN_LONG = ("03_contexts_and_gpe", "04_fusion_and_ale")
"""Their short versions too take a minute each: nightly."""


def short_versions() -> list[ParameterSet]:
    return [
        pytest.param(text, marks=[pytest.mark.nightly] if text.stem in TRAIN_LONG else [], id=text.stem)
        for text in texts()
    ]


class Shell(InteractiveShell):
    """IPython whose windows have the event loop of the tests."""

    def enable_gui(self, gui: str | None = None) -> None:
        pass


class Lent:
    """An engine that goes on when a notebook closes it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __enter__(self) -> Lent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """IPython in this process, which has loaded already what a kernel would load anew."""
    import matplotlib as mpl

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with mpl.rc_context({"figure.max_open_warning": 0}):
        mpl.use("agg")
        yield Shell.instance()
        Shell.clear_instance()


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.parametrize("text", short_versions())
def test_the_short_version_runs(
    text: Path, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, command_engine: Engine
) -> None:
    """Each cell runs; that a kernel runs the whole notebook is tested nightly."""
    monkeypatch.setattr(engines, "Engine", lambda: Lent(command_engine))
    monkeypatch.setitem(running._engines, None, command_engine)
    for cell in read_text(text, short=True).cells:
        if cell.cell_type == "code":
            outcome = shell.run_cell(cell.source.replace("%matplotlib inline", ""), store_history=False)
            outcome.raise_error()


@pytest.mark.gui
@pytest.mark.nightly  # minutes each, and half an hour for those that train
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.stem)
def test_a_notebook_runs(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By day the cells of the short versions stand in, `test_the_short_version_runs`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    notebook = run(text, tmp_path)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def short_without_display() -> list[ParameterSet]:
    """One of them by day: it has cells on napari."""
    return [
        pytest.param(text, marks=[] if text.stem == "01_explore" else [pytest.mark.nightly], id=text.stem)
        for text in texts()
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("text", short_without_display())
def test_a_kernel_without_a_display_runs_the_short_version(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    notebook = run(text, tmp_path, short=True)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def test_a_picture_stands_in_for_a_widget_that_has_one() -> None:
    file = io.BytesIO()
    Image.new("RGB", (2400, 100), "red").save(file, "PNG")
    png = base64.b64encode(file.getvalue()).decode()
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "a widget"}
    outputs = [nbformat.v4.new_output("display_data", data) for data in (widget, widget | {"image/png": png})]
    (kept,) = kept_outputs([*outputs, nbformat.v4.new_output("stream", name="stderr", text="9 %")])
    assert kept.data.keys() == {"text/plain", "image/jpeg"}
    assert Image.open(io.BytesIO(base64.b64decode(kept.data["image/jpeg"]))).size == (1200, 50)


def test_kept_outputs_name_no_folder_of_the_machine() -> None:
    text = f"<Map {tempfile.mkdtemp()}/a.ome.zarr, {FOLDER.parent}/fctl_napari/b>"
    outputs = [nbformat.v4.new_output("stream", text=text), nbformat.v4.new_output("display_data", {"text/html": text})]
    stream, shown = kept_outputs(outputs)
    assert stream.text == shown.data["text/html"] == "<Map a.ome.zarr, fctl_napari/b>"


def test_the_short_version_takes_its_own_values(tmp_path: Path) -> None:
    text = tmp_path / "one.py"
    text.write_text("# %%\nsteps = 50 * 2  # short: 5\nseeds = 3  # how often\n")
    assert [cell.source for cell in read_text(text, short=True).cells] == ["steps = 5\nseeds = 3  # how often"]
    assert "50 * 2" in read_text(text).cells[0].source
