from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.evaluation.error_regions import Region
from fctl_napari.evaluation.review_marks import Marks, marks_path
from fctl_napari.imagery.georeference import Georeference


@pytest.fixture
def store(tmp_path: Path, make_segmentation: Callable) -> Path:
    """200 x 300 px of class red, with a green part that is not sure of itself."""
    labels = np.ones((200, 300), np.uint8)
    labels[20:40, 30:90] = 2
    sure = np.full(labels.shape, 230, np.uint8)
    sure[20:40, 30:90] = 90
    return Path(make_segmentation(labels, confidence=sure).path)


@pytest.fixture
def ground_truth(tmp_path: Path) -> Path:
    """Red, with a blue part where red was called."""
    ground_truth = np.zeros((200, 300), np.uint8)
    ground_truth[20:40, 30:80] = 1
    ground_truth[100:150, 100:180] = 2
    Image.fromarray(ground_truth).save(tmp_path / "truth.png")
    return tmp_path / "truth.png"


def test_a_ground_truth_in_the_classes_colors_counts_the_same(
    fctl: Fctl, store: Path, ground_truth: Path, tmp_path: Path
) -> None:
    colors = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)[np.asarray(Image.open(ground_truth))]
    Image.fromarray(colors).save(tmp_path / "colours.png")
    said = []
    for path in (ground_truth, tmp_path / "colours.png"):
        assert fctl("evaluate", store, path, "--json", tmp_path / "f.json")[0] == 0
        assert fctl("errors", store, path, "--json", tmp_path / "e.json")[0] == 0
        said.append([json.loads((tmp_path / name).read_text()) for name in ("f.json", "e.json")])
    assert said[0] == said[1]
    colors[0, 0] = (9, 9, 9)
    Image.fromarray(colors).save(tmp_path / "colours.png")
    code, _, err = fctl("evaluate", store, tmp_path / "colours.png")
    assert code == 2
    assert "(9, 9, 9)" in err


def test_a_class_that_may_hide_behind_255_is_pointed_out(
    fctl: Fctl, store: Path, ground_truth: Path, tmp_path: Path
) -> None:
    held = np.asarray(Image.open(ground_truth))
    Image.fromarray(np.where(held == 2, 255, held).astype(np.uint8)).save(tmp_path / "masks.png")
    (tmp_path / "map.json").write_text('{"values": {"0": "red", "1": "green", "255": "blue"}}')
    said = fctl("evaluate", store, tmp_path / "masks.png")[2]
    assert "4000 px were not scored, and nothing in the ground truth is blue" in said
    for words in ((ground_truth,), (tmp_path / "masks.png", "--map", tmp_path / "map.json")):
        assert "were not scored" not in fctl("evaluate", store, *words)[2]


def test_the_mean_without_the_background_is_named(
    fctl: Fctl, make_segmentation: Callable, ground_truth: Path, tmp_path: Path
) -> None:
    labels = np.ones((200, 300), np.uint8)
    labels[20:40, 30:90] = 2
    store = make_segmentation(labels, names=("unknown", "green", "blue"), path=tmp_path / "unknown.fctl.ome.zarr")
    code, out, err = fctl("evaluate", store.path, ground_truth, "--json", tmp_path / "f.json")
    assert code == 0, err
    mean = (1000 / 1200 + 0) / 2
    assert f"mIoU without unknown {mean:.4f}, ignored pixels dropped" in out
    assert json.loads((tmp_path / "f.json").read_text())["miou_without_background"] == pytest.approx(mean)


def test_evaluate(fctl: Fctl, store: Path, ground_truth: Path, tmp_path: Path) -> None:
    table, figures, picture = tmp_path / "t.csv", tmp_path / "f.json", tmp_path / "f.png"
    files = ("--csv", table, "--json", figures, "--figure", picture)
    code, out, err = fctl("evaluate", store, ground_truth, "--boundary", 3, *files)
    assert code == 0, err
    for word in ("precision", "recall", "boundary IoU", "of all 3 classes", "calibration error", "bands of 3 px"):
        assert word in out
    assert "without" not in out  # red is no background
    rows = list(csv.reader(table.read_text().splitlines()))
    assert rows[2][0] == "green"
    assert float(rows[2][1]) == pytest.approx(1000 / 1200)
    document = json.loads(figures.read_text())
    assert "miou_without_background" not in document
    assert document["confusion"] == [[200 * 300 - 5000 - 200, 200, 0], [0, 1000, 0], [4000, 0, 0]]
    assert document["boundary_px"] == 3
    assert "context_reliance" in document
    assert Image.open(picture).width > 500

    code, out, _ = fctl(
        "evaluate", store, ground_truth, "--boundary", 0, "--region", 90, 90, 160, 190, "--json", figures
    )
    assert code == 0
    assert "boundary" not in out
    assert json.loads(figures.read_text())["confusion"] == [[3000, 0, 0], [0, 0, 0], [4000, 0, 0]]


def test_evaluate_refuses(fctl: Fctl, store: Path, ground_truth: Path, tmp_path: Path) -> None:
    code, _, err = fctl("evaluate", store, ground_truth, "--figure", tmp_path / "f.bmp")
    assert (code, err.count("\n")) == (2, 1)
    assert "PNG, SVG or PDF" in err
    code, _, err = fctl("evaluate", store, ground_truth, "--region", 300, 0, 400, 10)
    assert code == 2
    assert "region 300 0 400 10 holds no pixel of the 200 x 300 px image" in err


def test_evaluate_with_a_mapping(fctl: Fctl, store: Path, ground_truth: Path, tmp_path: Path) -> None:
    values = np.asarray(Image.open(ground_truth))
    Image.fromarray(np.array([7, 40, 9], np.uint8)[values]).save(tmp_path / "other.png")
    mapping = tmp_path / "map.json"
    mapping.write_text('{"values": {"7": "red", "40": "green", "9": null}}')
    figures = tmp_path / "f.json"
    code, _, err = fctl("evaluate", store, tmp_path / "other.png", "--map", mapping, "--json", figures)
    assert code == 0, err
    assert json.loads(figures.read_text())["confusion"] == [[200 * 300 - 5000 - 200, 200, 0], [0, 1000, 0], [0, 0, 0]]


def test_errors(fctl: Fctl, store: Path, ground_truth: Path, tmp_path: Path) -> None:
    region = Region((20, 80, 40, 90), (20, 80), 200, 0, 1, 90 / 255)
    Marks(marks_path(store)).set(region, "truth is wrong")
    listed = tmp_path / "e.json"
    code, out, err = fctl("errors", store, ground_truth, "--json", listed)
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["1", "4000", "blue", "red", "0.902", "100", "100", "150", "180"]
    assert lines[2] == ["2", "200", "red", "green", "0.353", "20", "80", "40", "90", "truth", "is", "wrong"]
    assert "regions of errors: 2, and 0 of fewer than 16 px; 4200 px in all" in out
    document = json.loads(listed.read_text())
    assert [(r["truth"], r["called"], r["mark"]) for r in document["regions"]] == [
        ("blue", "red", None),
        ("red", "green", "truth is wrong"),
    ]
    assert (document["found"], document["small"], document["pixels"]) == (2, 0, 4200)
    code, out, _ = fctl("errors", store, ground_truth, "--by", "class", "--most", 1)
    assert out.splitlines()[1].split()[1] == "200"
    assert len(out.splitlines()) == 3


def test_uncertain_regions(fctl: Fctl, store: Path) -> None:
    code, out, err = fctl("errors", store)
    assert code == 0, err
    assert out.splitlines()[1].split() == ["1", "1200", "green", "0.353", "20", "30", "40", "90"]
    assert "regions of doubts: 1, " in out
    assert fctl("errors", store, "--region", 100, 0, 200, 300)[1].startswith("regions of doubts: 0, ")
    code, _, err = fctl("errors", store, "--map", "values.json")
    assert code == 2
    assert "name the ground truth too" in err
    code, _, err = fctl("errors", store, "--measure", "margin")
    assert code == 2
    assert "--maps" in err


def test_errors_with_damaged_marks(fctl: Fctl, store: Path, ground_truth: Path) -> None:
    marks_path(store).write_text("{")
    code, _, err = fctl("errors", store, ground_truth)
    assert code == 2
    assert "marks.json" in err
    assert marks_path(store).read_text() == "{"


def test_compare(fctl: Fctl, store: Path, ground_truth: Path, tmp_path: Path, make_segmentation: Callable) -> None:
    labels = np.ones((200, 300), np.uint8)
    labels[100:150, 100:180] = 3
    other = make_segmentation(labels, path=tmp_path / "other.ome.zarr").path
    figures = tmp_path / "c.json"
    code, out, err = fctl("compare", store, other, ground_truth, "--json", figures)
    assert code == 0, err
    assert f"they agree on {1 - 5200 / 60000:.4f} of 60000 px" in out
    document = json.loads(figures.read_text())
    assert document["truth"]["pixels"] == {
        "both wrong": 0,
        "only the first is right": 1000,
        "only the second is right": 4200,
        "both right": 54800,
    }
    code, out, _ = fctl("compare", store, other)
    assert code == 0
    assert "right" not in out


def test_a_palette_of_the_classes_colors_counts_as_they_do(
    fctl: Fctl, store: Path, ground_truth: Path, tmp_path: Path
) -> None:
    colors = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
    Image.fromarray(colors[np.asarray(Image.open(ground_truth))]).quantize(3).save(tmp_path / "q.png")
    assert Image.open(tmp_path / "q.png").getpalette()[:9] != colors.ravel().tolist()
    said = []
    for path in (ground_truth, tmp_path / "q.png"):
        code, _, err = fctl("evaluate", store, path, "--json", tmp_path / "f.json")
        assert code == 0
        said.append((json.loads((tmp_path / "f.json").read_text()), err))
    assert said[0][0] == said[1][0]
    assert "q.png: is read by the colors of its palette" in said[1][1]
    (tmp_path / "map.json").write_text('{"values": {"0": "red", "1": "red", "2": "red"}}')
    assert fctl("evaluate", store, tmp_path / "q.png", "--map", tmp_path / "map.json")[0] == 0


def test_a_ground_truth_counts_by_the_names_of_its_classes(
    fctl: Fctl, store: Path, ground_truth: Path, tmp_path: Path, make_segmentation: Callable
) -> None:
    there = np.asarray(Image.open(ground_truth))
    names = ("Blue", "cloud", "red", "green")
    other = make_segmentation(np.array([3, 4, 1], np.uint8)[there], names=names, path=tmp_path / "o.ome.zarr").path
    for name in ("t.png", "t.tif", "t.ome.zarr"):
        assert fctl("export", other, tmp_path / name)[0] == 0
        said = []
        for path in (ground_truth, tmp_path / name):
            code, _, err = fctl("evaluate", store, path, "--json", tmp_path / "f.json")
            assert code == 0
            assert fctl("errors", store, path, "--json", tmp_path / "e.json")[0] == 0
            assert fctl("compare", store, store, path, "--json", tmp_path / "c.json")[0] == 0
            said.append([json.loads((tmp_path / f"{k}.json").read_text()) for k in "fec"])
        assert said[0] == said[1]
        assert "cloud of the ground truth is no class of the segmentation, and is not scored" in err
    code, _, err = fctl(
        "evaluate",
        make_segmentation(there + 1, names=("a", "b", "c"), path=tmp_path / "abc.ome.zarr").path,
        tmp_path / "t.png",
    )
    assert code == 2
    assert "the ground truth's classes are Blue, cloud, red, green and the segmentation's a, b, c" in err


def test_classes_that_seem_mixed_up_are_pointed_out(
    fctl: Fctl, tmp_path: Path, make_segmentation: Callable, store: Path, ground_truth: Path
) -> None:
    values = np.kron(np.random.default_rng(0).integers(0, 3, (5, 7)), np.ones((20, 20), int)).astype(np.uint8)
    made = make_segmentation(values + 1, path=tmp_path / "m.ome.zarr").path
    words = "seem to be mixed up"
    two = make_segmentation(np.minimum(values, 1) + 1, path=tmp_path / "two.ome.zarr").path
    for predicted, shown, wrong in (
        (made, values, False),
        (made, (values + 1) % 3, True),
        (two, np.minimum(values, 1) + 1, True),  # 0 was nothing, and the third class is absent
    ):
        Image.fromarray(shown.astype(np.uint8)).save(tmp_path / "t.png")
        assert (words in fctl("evaluate", predicted, tmp_path / "t.png")[2]) == wrong
    assert words not in fctl("evaluate", store, ground_truth)[2]


@pytest.mark.parametrize("crs", ["EPSG:32640", "EPSG:3031", "EPSG:4326", 'LOCAL_CS["unknown"]'])
def test_the_polygons_of_a_segmentation_are_its_ground_truth(
    fctl: Fctl, tmp_path: Path, make_segmentation: Callable, crs: str
) -> None:
    pytest.importorskip("pyogrio")
    y, x = np.mgrid[:90, :120]
    labels = ((np.hypot(y - 41, x - 57) // 9) % 3 + 1).astype(np.uint8)
    labels[70:, 90:] = 0
    size, left, top = (0.001, 30.0, 50.0) if crs == "EPSG:4326" else (300.0, -16e3, 13e3)
    location = Georeference(crs, (size, 0.0, left, 0.0, -size, top))
    store = make_segmentation(labels, georeference=location).path
    outs = [tmp_path / "out.gpkg", *([] if "LOCAL" in crs else [tmp_path / "out.geojson"])]
    for out in outs:
        assert fctl("export", store, out)[0] == 0
        code, _, err = fctl("evaluate", store, out, "--json", tmp_path / "f.json", "--boundary", "0")
        assert code == 0, err
        figures = json.loads((tmp_path / "f.json").read_text())
        assert (figures["accuracy"], figures["pixels"]) == (1.0, (labels > 0).sum())
    assert fctl("errors", store, outs[0], "--json", tmp_path / "e.json")[0] == 0
    assert json.loads((tmp_path / "e.json").read_text())["found"] == 0
    assert fctl("compare", store, store, outs[0])[0] == 0
    (tmp_path / "map.json").write_text('{"values": {"red": "green", "green": "green", "blue": null}}')
    assert fctl("evaluate", store, outs[0], "--map", tmp_path / "map.json", "--json", tmp_path / "f.json")[0] == 0
    confusion = np.array(json.loads((tmp_path / "f.json").read_text())["confusion"])
    assert confusion[1, :2].tolist() == [(labels == 1).sum(), (labels == 2).sum()]
    assert confusion.sum() == ((labels == 1) | (labels == 2)).sum()
