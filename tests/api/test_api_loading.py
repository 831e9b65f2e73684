"""Names of the public API, and what importing it loads."""

from __future__ import annotations

import builtins
import subprocess
import sys

import pytest

import fctl_napari as fctl

FUNCTIONS = (
    *("open", "segment", "refine", "evaluate", "errors", "explain"),
    *("corrections", "finetune", "train", "export", "ablate", "load_checkpoint"),
)


def test_the_functions_are_listed_and_can_be_called() -> None:
    assert set(FUNCTIONS) <= set(dir(fctl))
    for name in FUNCTIONS:
        assert callable(getattr(fctl, name)), name
        assert getattr(fctl, name).__doc__


@pytest.mark.parametrize(
    ("use", "heavy"),
    [
        ("", "{'torch', 'qtpy', 'napari', 'zarr', 'dask', 'PIL', 'matplotlib'}"),
        ("; fctl.open; fctl.errors; fctl.load_checkpoint('earth')", "{'torch', 'qtpy', 'napari', 'matplotlib.pyplot'}"),
    ],
)
def test_importing_loads_nothing_heavy(use: str, heavy: str) -> None:
    code = f"import sys, fctl_napari as fctl{use}\nprint(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n", done.stderr


def test_exceptions_are_at_hand_without_an_import_of_their_own() -> None:
    code = "import fctl_napari as fctl\nprint(fctl.exceptions.FctlError.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "FctlError\n", done.stderr


def test_all_names_at_once_leave_those_of_python_as_they_are() -> None:
    code = "import builtins\nfrom fctl_napari import *\nprint(open is builtins.open, callable(segment))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "True True\n", done.stderr
    assert not set(fctl.__all__) & set(dir(builtins))
    assert callable(fctl.open)


def test_modules_of_the_package_take_no_name_of_the_api() -> None:
    """A module of a function's name would stand in its place once it is imported."""
    code = (
        "import pkgutil, importlib, fctl_napari as fctl\n"
        "for one in pkgutil.iter_modules(fctl.__path__):\n"
        "    if one.name not in ('plugin', 'cli'):\n"
        "        importlib.import_module('fctl_napari.' + one.name)\n"
        f"print([name for name in {FUNCTIONS!r} if not callable(getattr(fctl, name))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n", done.stderr
