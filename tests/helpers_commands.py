"""How the tests of the command line run it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

Fctl = Callable[..., "Outcome"]
"""``fctl("info", path)``: run a command in this process (a fixture of all tests)."""


class Outcome(NamedTuple):
    """Exit code and texts of one command."""

    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one line of a refusal."""
        assert self.code == 2, self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("fctl: ")
        return lines[0]


def fctl_process(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    torch = ("--engine", "torch") if arguments[0] == "segment" else ()  # as in the process of the tests
    command = [sys.executable, "-m", "fctl_napari.cli", *map(str, (*arguments, *torch))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", **options)
