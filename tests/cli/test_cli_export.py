"""``fctl export``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl

from fctl_napari.imagery.labels.ground_truth import open_ground_truth

pytest.importorskip("pyogrio")


@pytest.fixture
def store(make_segmentation: Callable[..., object]) -> Path:
    labels = np.ones((90, 120), np.uint8)
    labels[20:50, 30:100] = 2
    labels[60:62, 60:62] = 3
    return make_segmentation(labels).path  # type: ignore[attr-defined,no-any-return]


def test_polygons_of_a_region(fctl: Fctl, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = fctl(
        "export", store, out, "--kind", "geojson", "--region", 10, 10, 80, 110, "--min-area", 5, "--simplify", 0.5
    )
    assert run.code == 0, run.err
    assert run.out.strip() == str(out)
    found = json.loads(out.read_text())["features"]
    assert sorted(f["properties"]["area_px"] for f in found) == [2100, 4896]


def test_labels_that_a_comparison_takes(fctl: Fctl, store: Path, tmp_path: Path) -> None:
    assert fctl("export", store, tmp_path / "out.ome.zarr").code == 0
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
    fctl: Fctl, store: Path, tmp_path: Path, arguments: list[object], sentence: str
) -> None:
    run = fctl("export", store, tmp_path / str(arguments[0]), *arguments[1:])
    assert run.code == 2
    assert run.err.strip().startswith("fctl: ")
    assert sentence in run.err
    assert len(run.err.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.ome.zarr"]


def test_what_polygons_leave_out_is_reported(
    fctl: Fctl, make_segmentation: Callable[..., object], tmp_path: Path
) -> None:
    labels = np.ones((120, 200), np.uint8)
    labels[20:60, 20:60] = 2
    labels[40, 60:110] = 2  # an arm of one px
    labels[100, 100] = 3
    store = make_segmentation(labels).path  # type: ignore[attr-defined]
    for name in ("out.gpkg", "out.geojson"):
        run = fctl("export", store, tmp_path / name, "--simplify", 5, "--min-area", 4)
        assert run.code == 0, run.err
        assert "1 region of fewer than 4 px (1 px) left out" in run.err
        told = re.search(r"simplified by 5 px: (\d+) of 24,000 px \((.+)%\) lie in polygons of another class", run.err)
        assert told is not None
        assert 50 <= int(told.group(1)) <= 60  # the arm, and the single px
        assert "arms and gaps narrower than that may have vanished" in run.err
    run = fctl("export", store, tmp_path / "exact.gpkg")
    assert "left out" not in run.err
    assert "simplified" not in run.err
    run = fctl("export", store, tmp_path / "out.coco.json", "--min-area", 2000)
    assert "2 regions of fewer than 2000 px (1,651 px) left out" in run.err
