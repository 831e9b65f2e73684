"""The script for a machine with a GPU does not rot: it is tried on the CPU, where every line but CUDA's own runs."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import gpu
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def run_quick(out, *options):
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "gpu.py", "--device", "cpu", "--quick", "--out", out, *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def parts_with(text, found):
    return {line.split(" | ")[0][2:] for line in text.splitlines() if found in line}


def test_parts_without_time_are_skipped_and_said_to_be(tmp_path):
    ended = run_quick(tmp_path / "gpu.md", "--seconds", "0")
    assert ended.returncode == 0, ended.stderr
    table = (tmp_path / "gpu.md").read_text()
    assert table == ended.stdout
    assert "CUDA is unmeasured" in table
    assert parts_with(table, "skipped: the time is short") == set(gpu.PARTS)


@pytest.mark.nightly
def test_every_part_has_figures(tmp_path):
    ended = run_quick(tmp_path / "gpu.md", "--seconds", "3600")
    assert ended.returncode == 0, ended.stderr
    table = (tmp_path / "gpu.md").read_text()
    assert "skipped" not in table
    assert parts_with(table, "of px of the same class") >= {"correctness"}
    assert parts_with(table, "only on CUDA") == {"graphs"}
    assert {line.split(" | ")[0][2:] for line in table.splitlines()} >= set(gpu.PARTS)


def test_a_row_that_fails_leaves_the_others(tmp_path, monkeypatch, capsys):
    def fails():
        raise RuntimeError("no such kernel")

    def rows(bench):
        yield gpu.Row("first", fails)
        yield gpu.Row("second", lambda: "1 | 2", "3 s")

    monkeypatch.setattr(gpu, "PARTS", {"one": (0.5, rows), "two": (0.5, rows)})
    bench = gpu.Bench(gpu.torch.device("cpu"), True, tmp_path, None)
    assert gpu.fill(gpu.Table(None), bench, time.monotonic(), 60) == 2
    assert capsys.readouterr().out.splitlines() == [
        line
        for part in ("one", "two")
        for line in (
            f"| {part} | first | failed: RuntimeError: no such kernel |  |",
            f"| {part} | second | 1 / 2 | 3 s |",
        )
    ]


def test_the_packages_that_stay_at_home_are_not_needed():
    left = re.search(r'^NEEDLESS="torch (.*?)"', SCRIPT.read_text(), re.MULTILINE)[1].split()
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({left})); import gpu; gpu.open_image(gpu.sample_files().image)"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(SCRIPT.parent)])},
        check=True,
    )


def test_without_wheels_it_says_how_to_make_them(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    copy = shutil.copy(SCRIPT, tmp_path / "benchmarks")
    ended = subprocess.run([copy], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("make it where there is a package index: benchmarks/gpu.sh wheels\n")
