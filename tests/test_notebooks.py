"""The notebooks run from beginning to end, and what is kept of them is of this text."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from _pytest.mark import ParameterSet
from run_notebooks import read_text, run, texts


def sources(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells]


@pytest.mark.parametrize("text", texts(), ids=lambda text: text.stem)
def test_the_kept_notebook_is_of_its_text_and_shows_something(text: Path) -> None:
    kept = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    assert sources(kept) == sources(read_text(text)), f"run scripts/run_notebooks.py {text.stem}"
    shown = [kind for cell in kept.cells for out in cell.get("outputs", []) for kind in out.get("data", {})]
    assert any(kind.startswith("image/") for kind in shown)


def check(text: Path, folder: Path, short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    notebook = run(text, folder, short=short)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def each(nightly: tuple[str, ...] = ()) -> list[ParameterSet]:
    """Each notebook, in a group of its own: they run side by side."""
    groups = {text: [pytest.mark.xdist_group(f"notebook {text.stem}")] for text in texts()}
    return [
        pytest.param(text, marks=[*marks, pytest.mark.nightly] if text.stem in nightly else marks, id=text.stem)
        for text, marks in groups.items()
    ]


TRAIN_LONG = ("03_contexts_and_gpe", "04_fusion_and_ale")
"""Their short versions too take a minute each: nightly."""


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.parametrize("text", each(nightly=TRAIN_LONG))
def test_the_short_version_runs(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(text, tmp_path, True, monkeypatch)


@pytest.mark.gui
@pytest.mark.nightly  # minutes each, and half an hour for those that train
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("text", each())
def test_a_notebook_runs(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(text, tmp_path, False, monkeypatch)


def test_the_short_version_takes_its_own_values(tmp_path: Path) -> None:
    text = tmp_path / "one.py"
    text.write_text("# %%\nsteps = 50 * 2  # short: 5\nseeds = 3  # how often\n")
    assert [cell.source for cell in read_text(text, short=True).cells] == ["steps = 5\nseeds = 3  # how often"]
    assert "50 * 2" in read_text(text).cells[0].source
