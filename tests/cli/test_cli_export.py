"""``fctl export`` in processes of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fctl_napari.imagery.labels.ground_truth import open_ground_truth

pytest.importorskip("pyogrio")


def fctl(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fctl_napari.cli", "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def store(make_segmentation: Callable[..., object]) -> Path:
    labels = np.ones((90, 120), np.uint8)
    labels[20:50, 30:100] = 2
    labels[60:62, 60:62] = 3
    return make_segmentation(labels).path  # type: ignore[attr-defined,no-any-return]


def test_polygons_of_a_region(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = fctl(store, out, "--kind", "geojson", "--region", 10, 10, 80, 110, "--min-area", 5, "--simplify", 0.5)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(out)
    found = json.loads(out.read_text())["features"]
    assert sorted(f["properties"]["area_px"] for f in found) == [2100, 4896]


def test_labels_that_a_comparison_takes(store: Path, tmp_path: Path) -> None:
    assert fctl(store, tmp_path / "out.ome.zarr").returncode == 0
    assert (open_ground_truth(tmp_path / "out.ome.zarr").read((20, 30, 50, 100)) == 1).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["out.jpg"], "is no kind of export"),
        (["out.json"], "say --kind coco or --kind geojson"),
        (["out.gpkg", "--region", 90, 0, 95, 10], "holds no pixel of the 90 x 120 px image"),
        (["out.tif", "--simplify", 1], "leave --simplify out"),
        (["out.tif", "--kind", "coco"], "is tiff by its name, not coco"),
    ],
)
def test_what_can_be_mended_is_one_sentence(
    store: Path, tmp_path: Path, arguments: list[object], sentence: str
) -> None:
    run = fctl(store, tmp_path / str(arguments[0]), *arguments[1:])
    assert run.returncode == 2
    assert run.stderr.strip().startswith("fctl: ")
    assert sentence in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.ome.zarr"]


def test_what_polygons_leave_out_is_reported(make_segmentation: Callable[..., object], tmp_path: Path) -> None:
    labels = np.ones((120, 200), np.uint8)
    labels[20:60, 20:60] = 2
    labels[40, 60:110] = 2  # an arm of one px
    labels[100, 100] = 3
    store = make_segmentation(labels).path  # type: ignore[attr-defined]
    for name in ("out.gpkg", "out.geojson"):
        run = fctl(store, tmp_path / name, "--simplify", 5, "--min-area", 4)
        assert run.returncode == 0, run.stderr
        assert "1 region of fewer than 4 px (1 px) left out" in run.stderr
        told = re.search(
            r"simplified by 5 px: (\d+) of 24,000 px \((.+)%\) lie in polygons of another class", run.stderr
        )
        assert told is not None
        assert 50 <= int(told.group(1)) <= 60  # the arm, and the single px
        assert "arms and gaps narrower than that may have vanished" in run.stderr
    run = fctl(store, tmp_path / "exact.gpkg")
    assert "left out" not in run.stderr
    assert "simplified" not in run.stderr
    run = fctl(store, tmp_path / "out.coco.json", "--min-area", 2000)
    assert "2 regions of fewer than 2000 px (1,651 px) left out" in run.stderr
