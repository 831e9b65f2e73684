"""The benchmark of growing images and of more workers, on tiny sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "scaling.py"


def rows(table: str) -> list[dict[str, str]]:
    """Rows of a Markdown table by its head."""
    head, _, *lines = ([part.strip() for part in line.strip("|").split("|")] for line in table.splitlines())
    return [dict(zip(head, line, strict=True)) for line in lines]


@pytest.mark.nightly  # twenty seconds; test_plan.py holds what a plan takes
def test_the_benchmark_prints_cost_memory_and_messages(tmp_path: Path) -> None:
    sizes = ["--sparse", "1", "1000", "--area", "0.3", "--whole", "1", "--workers", "1", "--rounds", "1"]
    call = [sys.executable, str(BENCHMARK), *sizes, "--engine", "torch", "--plot", str(tmp_path / "plot.png")]
    printed = subprocess.run(call, check=True, capture_output=True, text=True).stdout
    small, large, whole, worker = (row for part in printed.split("\n\n") if part.startswith("|") for row in rows(part))
    assert (small["cells"], large["cells"], whole["cells"]) == ("36", "27225", "36")
    assert small["segmented, MP"] == large["segmented, MP"] == "0.1"
    for memory in ("parent, MB", "begun, MB"):
        assert float(large[memory]) < 1.1 * float(small[memory])
    assert worker["px of the same class"] == "100.000 %"
    assert int(worker["deepest queue"]) == 2
    assert float(worker["messages a task"]) < 10
    assert (tmp_path / "plot.png").stat().st_size > 0
