"""The examples in the public functions' docstrings do what they show, on the sample scene."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import fctl_napari
from fctl_napari.api import running

FUNCTIONS = {name: getattr(fctl_napari, name) for name in {*fctl_napari.__all__, "open"}}
EXAMPLES = [
    example
    for name, function in sorted(FUNCTIONS.items())
    if inspect.isfunction(function)
    for example in doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    if example.examples
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that the examples share, as one segmentation does for all of them."""
    yield tmp_path_factory.mktemp("examples")
    for engine in running._engines.values():
        engine.close()
    running._engines.clear()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_shows_what_comes_out(
    example: doctest.DocTest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    outcome = runner.run(example, out=report.append)
    assert outcome.attempted > 1
    assert not outcome.failed, "".join(report)


def test_the_usual_functions_have_examples() -> None:
    shown = {example.name for example in EXAMPLES}
    assert {"open", "sample", "segment", "evaluate", "errors", "explain", "corrections", "export"} <= shown
