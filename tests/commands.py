"""How the tests of the command line run it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from fctl_napari import cli

Fctl = Callable[..., "Outcome"]


class Outcome:
    """Exit code and texts of one command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def sentence(self) -> str:
        """The one line of a refusal."""
        assert self.code == 2, self.err
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("fctl: ")
        return lines[0]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fctl:
    """``run("info", path)``: run a command in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fctl", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return Outcome(int(stop.value.code or 0), *capsys.readouterr())

    return run


def fctl_process(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    command = [sys.executable, "-m", "fctl_napari.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
