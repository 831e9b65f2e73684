"""Neither the package of the plugin nor its reader loads torch."""

from __future__ import annotations

import subprocess
import sys


def test_the_plugin_package_and_the_reader_need_no_torch() -> None:
    modules = ("segment", "explore", "errors", "correct", "finetune")
    names = [
        *(f"plugin.{name}.widget" for name in modules),
        "plugin.io.reader",
        "plugin.io.export",
        "figures.explanation",
        "figures.evaluation",
    ]
    code = f"import sys, {', '.join(f'fctl_napari.{name}' for name in names)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
