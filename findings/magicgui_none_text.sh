#!/usr/bin/env bash
# magicgui calls a function with the text 'None' and with 0 where its defaults are None.
#
# Setting: @magicgui on a function with an optional text or number: `name: str | None = None`, `batch: int | None = None`.
# Expected: f() runs with its defaults, as it does undecorated, or the form refuses what its fields cannot hold.
# Seen: name is the text 'None', and batch is 0, without an error or a warning. A path, a choice and a
#   LiteralEvalLineEdit stay None.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check magicgui==0.10.2 pyside6==6.11.3 qtpy==2.4.3
cd "$folder"
export QT_QPA_PLATFORM=offscreen
venv/bin/python -W ignore - <<'PYTHON'
from pathlib import Path
from typing import Literal

import magicgui
import PySide6

print("magicgui", magicgui.__version__, "PySide6", PySide6.__version__)


def run(
    name: str | None = None,
    batch: int | None = None,
    out: Path | None = None,
    kind: Literal["a", "b"] | None = None,
) -> tuple:
    return name, batch, out, kind


seen = magicgui.magicgui(run)()
print("run():", run(), " magicgui(run)():", seen)

assert run() == (None,) * 4 and seen[2:] == (None, None)
assert seen[0] == "None", "changed: a text may be None"
assert seen[1] == 0, "changed: a number may be None"
PYTHON
