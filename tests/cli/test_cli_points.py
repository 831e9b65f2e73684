"""``fctl points``: draw, fill in, estimate, and refuse what has changed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.segmentation.store.store import Segmentation

TABLE = ClassTable(classes=(ClassInfo(name="kelp", color=(0, 80, 80)),))
LABELS = np.full((90, 120), 2, np.uint8)
LABELS[:30] = 1
LABELS[80:] = 0
FINAL = LABELS.copy()
FINAL[20:40, 30:70] = 4  # kelp
TRUE = FINAL.copy()
TRUE[50:60] = 1


@pytest.fixture
def land(tmp_path: Path, make_rgb: Callable[..., np.ndarray], make_segmentation: Callable[..., Segmentation]) -> Path:
    """A segmentation of scene.png, with kelp painted."""
    Image.fromarray(make_rgb(90, 120)).save(tmp_path / "scene.png")
    image = open_image(tmp_path / "scene.png")
    store = make_segmentation(LABELS, path=tmp_path / "land.ome.zarr", image=image)
    with Corrections.open_or_create(tmp_path / "scene.corrections.ome.zarr", image, TABLE) as corrections:
        corrections.write(20, 30, np.full((20, 40), 1, np.uint8), author="ann")
    return store.path


def test_round_trip_by_a_table(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    code, out, err = fctl("points", "draw", land, "--total", 120, "--least", 20, "--csv", table)
    assert code == 0, err
    assert "with 800 corrected px" in err
    assert "120 points: " in out
    names = ("red", "green", "blue", "kelp")
    rows = list(csv.DictReader(table.open()))
    for row in rows[:-10]:
        row["class"] = names[TRUE[int(row["y"]), int(row["x"])] - 1]
    with table.open("w") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    code, out, err = fctl("points", "set", land, table, "--author", "ann")
    assert code == 0, err
    assert "110 points set, 110 of 120 checked, 10 not yet" in out
    code, out, err = fctl("points", "estimate", land, "--json", tmp_path / "e.json")
    assert code == 0, err
    assert "by 110 checked points, corrected for the errors of the map, with 95 % intervals" in out
    assert "10 points are not checked, and left out." in out
    document = json.loads((tmp_path / "e.json").read_text())
    mapped = np.bincount(FINAL.ravel(), minlength=5)[1:]
    assert [one["mapped_px"] for one in document["classes"].values()] == mapped.tolist()
    for k, one in enumerate(document["classes"].values()):
        true = np.count_nonzero((k + 1 == TRUE) & (FINAL > 0))
        assert abs(one["px"] - true) <= 2 * one["px_half_width"]
    entry = json.loads((tmp_path / "land.ome.zarr.points.json").read_text())["points"][0]
    assert entry["by"] == "ann"


def test_classes_of_a_ground_truth(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    assert fctl("points", "draw", land, "--raw", "--total", 100).code == 0
    Image.fromarray(LABELS - np.uint8(1)).save(tmp_path / "truth.png")
    code, out, err = fctl("points", "set", land, "--truth", tmp_path / "truth.png")
    assert code == 0, err
    assert "100 points set, 100 of 100 checked" in out
    code, out, err = fctl("points", "estimate", land)
    assert code == 0, err
    assert "accuracy 1.0000 ± 0.0000" in out
    assert "corrected" not in err


def test_a_map_that_was_corrected_since_is_refused(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    assert fctl("points", "draw", land).code == 0
    image = open_image(tmp_path / "scene.png")
    with Corrections.open_or_create(tmp_path / "scene.corrections.ome.zarr", image, TABLE) as corrections:
        corrections.write(0, 0, np.full((2, 5), 1, np.uint8), author="ann")
    sentence = fctl("points", "estimate", land).sentence()
    assert "drawn on this map before it was changed (red had" in sentence
    assert "draw new ones with fctl points draw --fresh" in sentence
    code, _, err = fctl("points", "draw", land, "--fresh", "--total", 70, "--least", 50)
    assert code == 0
    assert "there are more than 70 points, so that each class has 50 of them; --least takes fewer" in err
    code, out, err = fctl("points", "draw", land, "--fresh", "--total", 70)
    assert code == 0
    assert " 70 points: " in out
    assert "some classes have only 23 points; 50 or more are advised, which 150 points in all give" in err


def test_refusals(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    for call in (("set", land, tmp_path / "x.csv"), ("estimate", land)):
        assert "there are no points yet; draw some with fctl points draw" in fctl("points", *call).sentence()
    assert fctl("points", "draw", land).code == 0
    before = (tmp_path / "land.ome.zarr.points.json").read_bytes()
    assert "give one of them" in fctl("points", "set", land).sentence()
    corrections = fctl("points", "set", land, "--truth", tmp_path / "scene.corrections.ome.zarr")
    assert "is part of the map, and says nothing of its errors; give another truth" in corrections.sentence()
    (tmp_path / "map.json").write_text('{"values": {"0": "red"}}')
    without = fctl("points", "set", land, tmp_path / "x.csv", "--map", tmp_path / "map.json")
    assert "map.json: maps the values of a ground truth; name that with --truth too" in without.sentence()
    assert "x.csv: there is no such file" in fctl("points", "set", land, tmp_path / "x.csv").sentence()
    (tmp_path / "x.csv").write_text("id,class\n1,kelp\n2,sand\n")
    assert "line 3: sand is no class of the map" in fctl("points", "set", land, tmp_path / "x.csv").sentence()
    assert (tmp_path / "land.ome.zarr.points.json").read_bytes() == before
    assert "class red has 0 checked points" in fctl("points", "estimate", land).sentence()


def test_a_table_that_is_filled_in_and_other_files_are_not_overwritten(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    assert fctl("points", "draw", land, "--total", 20, "--csv", table).code == 0
    assert fctl("points", "draw", land, "--total", 20, "--csv", table).code == 0  # nothing is filled in yet
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], lines[1] + "red", *lines[2:]]))
    filled, scene = table.read_bytes(), (tmp_path / "scene.png").read_bytes()
    assert "is filled in" in fctl("points", "draw", land, "--csv", table).sentence()
    assert "is no table of points" in fctl("points", "draw", land, "--csv", tmp_path / "scene.png").sentence()
    assert "not to addresses" in fctl("points", "draw", land, "--csv", "http://x/p.csv").sentence()
    assert (table.read_bytes(), (tmp_path / "scene.png").read_bytes()) == (filled, scene)


def test_points_of_renamed_classes_are_refused(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    assert fctl("points", "draw", land, "--raw", "--total", 20).code == 0
    Image.fromarray(LABELS - np.uint8(1)).save(tmp_path / "truth.png")
    assert fctl("points", "set", land, "--truth", tmp_path / "truth.png").code == 0
    facts = land / "zarr.json"
    facts.write_text(facts.read_text().replace('"green"', '"woods"'))
    assert "green had" in fctl("points", "estimate", land).sentence()
    done = fctl("report", land, "--raw", "--out", tmp_path / "r.html")
    assert done.code == 0, done.err
    assert "green had" in (tmp_path / "r.html").read_text()
