"""The notebooks run from beginning to end, and what is kept of them is of this text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from run_notebooks import read_text, run, texts


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


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsyncKernelManager]:
    """A kernel for one notebook after the other: to start one, and to load torch and napari into it, takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("kernel")
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        manager = AsyncKernelManager(kernel_name="python3")
        run_sync(manager.start_kernel)(cwd=folder)
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


TRAIN_LONG = ("03_contexts_and_gpe", "04_fusion_and_ale")
"""Their short versions too take a minute each: nightly."""
SHORT = [
    pytest.param(text, marks=[pytest.mark.nightly] if text.stem in TRAIN_LONG else [], id=text.stem) for text in texts()
]


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.parametrize("text", SHORT)
def test_the_short_version_runs(text: Path, kernel: AsyncKernelManager) -> None:
    check(run(text, short=True, kernel=kernel))


@pytest.mark.gui
@pytest.mark.nightly  # minutes each, and half an hour for those that train
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.stem)
def test_a_notebook_runs(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check(run(text, folder=tmp_path))


def test_the_short_version_takes_its_own_values(tmp_path: Path) -> None:
    text = tmp_path / "one.py"
    text.write_text("# %%\nsteps = 50 * 2  # short: 5\nseeds = 3  # how often\n")
    assert [cell.source for cell in read_text(text, short=True).cells] == ["steps = 5\nseeds = 3  # how often"]
    assert "50 * 2" in read_text(text).cells[0].source
