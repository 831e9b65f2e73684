"""The notebooks run from beginning to end, and what is kept of them is of this text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from _pytest.mark import ParameterSet
from jupyter_client.manager import start_new_kernel
from run_notebooks import Kernel, read_text, run, texts

LEND_ENGINE = """
from fctl_napari.segmentation.jobs import engine, worker
worker.usable_cores = lambda: 1
lent = engine.Engine(threads=1)
lent.close = lambda: None
engine.Engine = lambda lent=lent: lent
"""
"""One worker process for all notebooks of a kernel, and one thread in each: two wait for each other on a busy core."""


def sources(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells]


@pytest.mark.parametrize("text", texts(), ids=lambda text: text.stem)
def test_the_kept_notebook_is_of_its_text_and_shows_something(text: Path) -> None:
    kept = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    assert sources(kept) == sources(read_text(text)), f"run scripts/run_notebooks.py {text.stem}"
    shown = [kind for cell in kept.cells for out in cell.get("outputs", []) for kind in out.get("data", {})]
    assert any(kind.startswith("image/") for kind in shown)


def check(notebook: nbformat.NotebookNode) -> None:
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


TRAIN_LONG = ("03_contexts_and_gpe", "04_fusion_and_ale")
"""Their short versions too take a minute each: nightly."""


def short_versions() -> list[ParameterSet]:
    marks = {name: [pytest.mark.nightly] for name in TRAIN_LONG}
    return [pytest.param(text, marks=marks.get(text.stem, []), id=text.stem) for text in texts()]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel for all notebooks: its imports and its worker process take longer than what most of them do."""
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
    reply = client.execute_interactive(LEND_ENGINE, timeout=120)
    assert reply["content"]["status"] == "ok", reply
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.parametrize("text", short_versions())
def test_the_short_version_runs(text: Path, kernel: Kernel, tmp_path: Path) -> None:
    check(run(text, tmp_path, short=True, kernel=kernel))


@pytest.mark.gui
@pytest.mark.nightly  # minutes each, and half an hour for those that train
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.stem)
def test_a_notebook_runs(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By day the short versions stand in, all in one kernel."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check(run(text, tmp_path))


def test_the_short_version_takes_its_own_values(tmp_path: Path) -> None:
    text = tmp_path / "one.py"
    text.write_text("# %%\nsteps = 50 * 2  # short: 5\nseeds = 3  # how often\n")
    assert [cell.source for cell in read_text(text, short=True).cells] == ["steps = 5\nseeds = 3  # how often"]
    assert "50 * 2" in read_text(text).cells[0].source
