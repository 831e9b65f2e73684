#!/usr/bin/env bash
# magicgui calls a function with other values than its defaults: a learning rate of 0.0015 becomes 0.
#
# Setting: @magicgui on a function with a small float as its default, or a FloatSpinBox with a small value.
# Expected: the widget holds the value that it was given, and f() runs with its defaults, as it does undecorated.
# Seen: 0.0015 becomes 0.0, 0.005 becomes 0.01, 0.123 becomes 0.12, without an error or a warning. The value is rounded to
#   the 2 decimals that Qt's spin box begins with; only an explicit small step adds decimals. A FloatSlider keeps it.
#   (magicgui issue 177 of 2021, closed, was about the same; steps became adaptive later.)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check magicgui==0.10.2 pyside6==6.11.3 qtpy==2.4.3
cd "$folder"
export QT_QPA_PLATFORM=offscreen
venv/bin/python -W ignore - <<'PYTHON'
import magicgui
import PySide6
from magicgui import widgets

print("magicgui", magicgui.__version__, "PySide6", PySide6.__version__)


def train(rate: float = 0.0015) -> float:
    return rate


seen = {value: widgets.FloatSpinBox(value=value, min=0, max=1).value for value in (0.0015, 0.005, 0.123, 0.5)}
print("FloatSpinBox, value given: value held:", seen)
print("FloatSlider with 0.0015:", widgets.FloatSlider(value=0.0015, min=0, max=1).value)
print("train():", train(), " magicgui(train)():", magicgui.magicgui(train)())

assert train() == 0.0015 and seen[0.5] == 0.5
assert widgets.FloatSlider(value=0.0015, min=0, max=1).value == 0.0015
assert magicgui.magicgui(train)() == 0, "changed: the default is kept"
assert seen[0.0015] == 0 and seen[0.005] == 0.01 and seen[0.123] == 0.12, "changed: the spin box holds what it is given"
PYTHON
