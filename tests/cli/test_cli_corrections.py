"""``fctl corrections``: in a process of its own arguments, files and one sentence of complaint."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import numbered_classes
from fctl_napari.segmentation.store.store import Segmentation


@pytest.fixture
def fctl(fctl: Fctl) -> Fctl:
    return partial(fctl, "corrections")


def labels(path: Path, *boxes: tuple[int, int, int, int, int]) -> Path:
    values = np.full((200, 300), 255, np.uint8)
    for y0, x0, y1, x1, index in boxes:
        values[y0:y1, x0:x1] = index
    Image.fromarray(values).save(path)
    return path


def test_import_info_merge_export(fctl: Fctl, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((200, 300, 3), np.uint8)).save(tmp_path / "image.png")
    ann, bob = tmp_path / "ann.ome.zarr", tmp_path / "bob.ome.zarr"
    source = labels(tmp_path / "a.png", (10, 10, 60, 60, 0), (100, 100, 110, 120, 2))
    code, out, err = fctl("import", ann, source, "--image", tmp_path / "image.png", "--author", "ann")
    assert code == 0, err
    assert "conflicts: 0 of 0 px" in out
    source = labels(tmp_path / "b.png", (40, 10, 90, 60, 1))
    assert fctl("import", bob, source, "--image", tmp_path / "image.png", "--author", "bob")[0] == 0
    with Corrections.open(ann) as there:
        first, _, third = there.class_table.names[:3]

    code, out, _ = fctl("info", ann, "--json", tmp_path / "info.json")
    assert code == 0
    assert f"{first}" in out
    assert "10 10 60 60  2500 px" in out
    assert "by ann" in out
    told = json.loads((tmp_path / "info.json").read_text())
    assert told["areas"][first] == 2500
    assert told["areas"][third] == 200
    assert [region["window"] for region in told["regions"]] == [[10, 10, 60, 60], [100, 100, 110, 120]]

    code, out, _ = fctl("merge", ann, bob, "--json", tmp_path / "merge.json")
    assert code == 0
    assert "conflicts: 1 of 1000 px; there, what was here stays" in out
    assert "40 10 60 60  1000 px" in out
    told = json.loads((tmp_path / "merge.json").read_text())
    assert [conflict["window"] for conflict in told["conflicts"]] == [[40, 10, 60, 60]]
    code, out, _ = fctl("merge", ann, bob, "--on-conflict", "not-sure")
    assert code == 0
    assert "there, it is now not sure" in out
    assert Corrections.open(ann).area_by_class()["not sure"] == 1000

    code, out, _ = fctl("export", ann, tmp_path / "out.png")
    assert code == 0
    found = np.asarray(Image.open(tmp_path / "out.png"))
    assert [int((found == k).sum()) for k in (0, 1, 2)] == [1500, 1500, 200]


def test_complaints(fctl: Fctl, tmp_path: Path) -> None:
    missing = tmp_path / "c.ome.zarr"
    source = labels(tmp_path / "a.png")
    for arguments, complaint in (
        (("info", missing), "there is no such file"),
        (("merge", missing, missing), "there is no such file"),
        (("import", missing, source), "there are no such corrections; name the --image to make them"),
        (("export", missing, tmp_path / "out.png"), "there is no such file"),
    ):
        code, _, err = fctl(*arguments)
        assert code == 2, arguments
        assert err.startswith("fctl: ")
        assert complaint in err


def test_a_call_that_was_refused_leaves_nothing_that_blocks_the_mended_one(
    fctl: Fctl, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    Image.fromarray(np.zeros((200, 300, 3), np.uint8)).save(tmp_path / "image.png")
    corners = [[10, 10], [60, 10], [60, 60], [10, 60], [10, 10]]
    square = {"type": "Polygon", "coordinates": [corners]}
    feature = {"type": "Feature", "properties": {"class": "red"}, "geometry": square}
    source = tmp_path / "p.geojson"
    source.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    there, image = tmp_path / "c.ome.zarr", ("--image", tmp_path / "image.png")
    for wrong, complaint in (
        ((source, *image), "none of"),  # the classes are those of earth
        ((source, *image, "--checkpoint", "mars"), "no such checkpoint"),
        ((tmp_path / "gone.geojson", *image, "--checkpoint", tiny_checkpoint), "there is no such file"),
        ((source, *image, "--checkpoint", tiny_checkpoint, "--property", "kind"), "kind"),
        ((source, "--image", tmp_path / "gone.png", "--checkpoint", tiny_checkpoint), "there is no such file"),
    ):
        code, _, err = fctl("import", there, *wrong)
        assert (code, err.strip().count("\n")) == (2, 0), err
        assert complaint in err
        assert not there.exists(), wrong
    Corrections.create(there, open_image(tmp_path / "image.png"), numbered_classes(2)).close()
    mended = ("import", there, source, *image, "--checkpoint", tiny_checkpoint)
    code, out, err = fctl(*mended)  # over empty ones of other classes, too
    assert code == 0, err
    assert "new: red 2500 px" in out
    assert Corrections.open(there).class_table.names == ("red", "green", "blue")
    code, out, _ = fctl("import", there, source, *image)
    assert code == 0
    assert Corrections.open(there).class_table.names == ("red", "green", "blue"), "nobody asked for those of earth"
    code, out, _ = fctl("import", there, source, "--checkpoint", "earth")
    assert code == 0
    assert Corrections.open(there).class_table.names[:3] == ("red", "green", "blue")
    assert Corrections.open(there).area_by_class()["red"] == 2500


def test_next_lists_regions_by_gain_without_what_is_corrected(
    fctl: Fctl,
    tmp_path: Path,
    make_segmentation: Callable[..., Segmentation],
    rgb_png: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fctl_napari.evaluation.acquisition.NEAR", 32)
    mask, sure = np.ones((150, 200), np.uint8), np.full((150, 200), 250, np.uint8)
    mask[100:], sure[10:40, 20:60], sure[110:130, 20:60] = 2, 150, 150
    store = make_segmentation(mask, confidence=sure, image=open_image(rgb_png))
    code, out, err = fctl("next", store.path, "--most", 2, "--json", tmp_path / "next.json")
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()] == ["gain", "1", "2"]
    assert "10 20 40 60" in out
    told = json.loads((tmp_path / "next.json").read_text())["regions"]
    assert [(one["window"], one["pixels"], one["called"]) for one in told] == [
        ([10, 20, 40, 60], 1200, "red"),
        ([110, 20, 130, 60], 800, "green"),
    ]
    for one in told:
        assert one["gain"] == pytest.approx(one["entropy"] * one["rarity"] * one["size"])

    done = tmp_path / "done.ome.zarr"
    with Corrections.create(done, open_image(rgb_png), store.class_table) as corrections:
        corrections.write(10, 20, np.full((30, 40), 2, np.uint8), author="ann")
    code, out, _ = fctl("next", store.path, done)
    assert code == 0
    assert "10 20 40 60" not in out
    assert "110 20 130 60" in out

    Corrections.create(tmp_path / "other.ome.zarr", pyramid_from_array(np.zeros((150, 200))), store.class_table).close()
    code, _, err = fctl("next", store.path, tmp_path / "other.ome.zarr")
    assert code == 2
    assert "corrections of another image" in err
    assert fctl("next", tmp_path / "gone.ome.zarr")[0] == 2


def test_exports_of_a_segmentation_come_back(
    fctl: Fctl, tmp_path: Path, make_segmentation: Callable[..., Segmentation], tiny_checkpoint: Path
) -> None:
    from fctl_napari.exporting.export import export

    Image.fromarray(np.zeros((200, 300, 3), np.uint8)).save(tmp_path / "image.png")
    values = np.random.default_rng(0).integers(1, 4, (20, 30)).repeat(10, 0).repeat(10, 1).astype(np.uint8)
    store = make_segmentation(values, image=open_image(tmp_path / "image.png"))
    for name in ("s.gpkg", "s.geojson", "s.coco.json", "s.tif", "s.png", "s.ome.zarr"):
        export(store, tmp_path / name)
        out = tmp_path / f"{name}.c.ome.zarr"
        image = ("--image", tmp_path / "image.png", "--checkpoint", tiny_checkpoint)
        code, _, err = fctl("import", out, tmp_path / name, *image)
        assert code == 0, err
        np.testing.assert_array_equal(Corrections.open(out).read((0, 0, 200, 300)), values, name)


def test_import_says_what_was_left_out(fctl: Fctl, tmp_path: Path, tiny_checkpoint: Path) -> None:
    Image.fromarray(np.zeros((200, 300, 3), np.uint8)).save(tmp_path / "image.png")

    def feature(name: object, x0: int, y0: int, x1: int, y1: int) -> dict[str, object]:
        ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
        return {
            "type": "Feature",
            "properties": {"class": name},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }

    features = [feature(1, 20, 20, 40, 40), feature(0, 10, 10, 60, 60), feature(0, 1000, 0, 1010, 10)]
    (tmp_path / "p.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    new = (tmp_path / "c.ome.zarr", tmp_path / "p.geojson", "--image", tmp_path / "image.png")
    new = (*new, "--checkpoint", tiny_checkpoint)
    assert "--map FILE" in fctl("import", *new).sentence()
    (tmp_path / "map.json").write_text('{"values": {"0": "red", "1": "green"}}')
    code, out, err = fctl("import", *new, "--map", tmp_path / "map.json", "--json", tmp_path / "out.json")
    assert code == 0, err
    assert "new: red 2100 px, green 400 px" in out
    assert "polygons outside the image: 1" in out
    assert "px in polygons of several classes, where the smallest is seen: 400" in out
    assert len(json.loads((tmp_path / "out.json").read_text())["notes"]) == 2


def test_corrections_are_no_segmentation(
    fctl: Fctl, tmp_path: Path, make_segmentation: Callable[..., Segmentation], rgb_png: Path
) -> None:
    store = make_segmentation(np.ones((150, 200), np.uint8), image=open_image(rgb_png))
    done = tmp_path / "done.ome.zarr"
    Corrections.create(done, open_image(rgb_png), store.class_table).close()
    words = "done.ome.zarr: holds corrections; give the segmentation of their image."
    for call in (("next", done), ("next", done, store.path), ("next", done, done)):
        assert fctl(*call).sentence().endswith(words)


def test_classes_of_one_s_own(fctl: Fctl, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((200, 300, 3), np.uint8)).save(tmp_path / "image.png")
    there, image = tmp_path / "c.ome.zarr", ("--image", tmp_path / "image.png")
    for wrong, complaint in (
        ((there, "loveda"), "there are no such corrections; name the --image"),
        ((there, "mars", *image), "there is no such class table"),
        ((there, "loveda", *image, "--merge", "x=water"), "x is no class of the corrections"),
    ):
        code, _, err = fctl("classes", *wrong)
        assert (code, err.strip().count("\n")) == (2, 0), err
        assert complaint in err
        assert not there.exists()
    code, out, err = fctl("classes", there, "loveda", *image)
    assert code == 0, err
    assert "background, building, road, water" in out
    source = labels(tmp_path / "a.png", (0, 0, 10, 10, 1), (20, 20, 30, 30, 3))
    assert fctl("import", there, source, "--author", "ann")[0] == 0
    table = tmp_path / "own.csv"
    table.write_text("name,color\nwater,#0058ff\nhouse,#ff2200\n")
    code, _, err = fctl("classes", there, table)
    assert code == 2
    assert "100 px of building would be lost; say which class they become (--merge OLD=NEW)" in err
    code, _, err = fctl("classes", there, table, "--merge", "building")
    assert (code, "write the present class and the new one, as OLD=NEW" in err) == (2, True)
    code, out, err = fctl("classes", there, table, "--merge", "building=house")
    assert code == 0, err
    assert f"former corrections: {there}.before-classes-1" in out
    found = Corrections.open(there)
    assert (found.own_classes, found.area_by_class()) == (True, {"water": 100, "house": 100, "not sure": 0})
    assert Corrections.open(tmp_path / "c.ome.zarr.before-classes-1").area_by_class()["building"] == 100
