"""Data sets in the layouts in which they are published: what belongs together, classes, splits."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_layouts import NAMES, TABLE, blocks, deepglobe, inria, make, omezarr, pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.datasets.class_tables import class_table
from fctl_napari.datasets.convert import convert_data_set
from fctl_napari.datasets.files import Pair, find_files
from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.datasets.layouts import find_data_set
from fctl_napari.datasets.split import PUBLISHED, split_pairs
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.classes import ClassTable
from fctl_napari.training.data import Scene, open_scenes
from fctl_napari.training.data_settings import DataSettings
from fctl_napari.training.scene_identity import scene_digest


def scenes_of(folder: Path, layout: str = "auto") -> list[Scene]:
    return open_scenes(DataSettings(layout=layout), folder)[0]


@pytest.mark.parametrize("layout", list(NAMES))
def test_each_layout_is_found_and_its_ground_truths_are_read(layout: str, tmp_path: Path) -> None:
    data = find_data_set(make(layout, tmp_path))
    assert data.layout == layout
    assert [pair.short for pair in data.pairs] == sorted(NAMES[layout])
    assert not data.problems
    assert len(data.without_ground_truth) == (layout in ("deepglobe", "inria"))
    scenes = scenes_of(tmp_path, layout)
    assert len(scenes) == len(NAMES[layout])
    for scene in scenes:
        ground_truth = blocks(NAMES[layout].index(scene.name.rsplit("/", 1)[-1]), 7 if layout == "deepglobe" else 2)
        ground_truth[ground_truth == 6] = 255  # DeepGlobe's unknown class is ignored
        np.testing.assert_array_equal(np.asarray(scene.ground_truth), ground_truth)
        np.testing.assert_array_equal(scene.ground_truth[10:50, 20:90], ground_truth[10:50, 20:90])
        red = scene.pyramid.read((0, 0, *ground_truth.shape))[..., 0].astype(int)
        assert np.abs(red - (ground_truth * 30.0 + 20))[ground_truth != 255].mean() < 4
        assert [len(scene.train), len(scene.val), len(scene.test)].count(1) == 1


def test_the_published_lists_have_the_published_sizes() -> None:
    sizes = {"deepglobe": {"train": 454, "val": 207, "test": 142}, "inria": {"train": 126, "val": 27, "test": 27}}
    for layout, parts in sizes.items():
        lists = {part: (PUBLISHED / layout / f"{part}.txt").read_text().split() for part in parts}
        assert {part: len(names) for part, names in lists.items()} == parts
        assert len(set().union(*lists.values())) == sum(parts.values())
    cities = {f"{city}{k}" for city in ("austin", "chicago", "kitsap", "tyrol-w", "vienna") for k in range(1, 37)}
    assert set().union(*lists.values()) == cities


@pytest.mark.parametrize("layout", ["deepglobe", "inria"])
def test_published_names_are_split_as_published(layout: str, tmp_path: Path) -> None:
    split = find_data_set(make(layout, tmp_path)).split
    assert [[pair.short for pair in part] for part in (split.train, split.val, split.test)] == [
        sorted(NAMES[layout][:2]),
        [NAMES[layout][2]],
        [NAMES[layout][3]],
    ]
    assert "published" in split.by


def _pairs(names: list[str]) -> list[Pair]:
    return [Pair(name, Path(f"{name}.png"), Path(f"{name}_mask.png"), None) for name in names]


@settings(deadline=None)
@given(st.sets(st.text("abc123", min_size=1, max_size=6), min_size=1, max_size=60), st.randoms())
def test_names_decide_alone(names: set[str], random: object) -> None:
    order = sorted(names)
    first = split_pairs(Path("nowhere"), "pairs", _pairs(order))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert split_pairs(Path("nowhere"), "pairs", _pairs(order)) == first
    parts = [{pair.name for pair in part} for part in (first.train, first.val, first.test)]
    assert set().union(*parts) == names
    assert sum(map(len, parts)) == len(names)
    assert parts[0]


def test_as_many_strange_names_as_published_are_split_in_the_published_sizes() -> None:
    for layout, total, sizes in (("deepglobe", 803, [454, 207, 142]), ("inria", 180, [126, 27, 27])):
        split = split_pairs(Path("nowhere"), layout, _pairs([f"x{k}" for k in range(total)]))
        assert [len(split.train), len(split.val), len(split.test)] == sizes
        assert "do not know x0, x1, x2 and" in split.by


def test_list_files_win_and_say_what_does_not_fit(tmp_path: Path) -> None:
    deepglobe(tmp_path, NAMES["deepglobe"])
    (tmp_path / "train.txt").write_text(
        "# mine\n10452\n100694_sat.jpg\ntrain/455374_sat.jpg\ttrain/455374_mask.png\n7\n"
    )
    (tmp_path / "test.txt").write_text("train/10452_sat.jpg\n\n")
    data = find_data_set(tmp_path)
    assert [pair.short for pair in data.split.train] == ["100694", "455374"]
    assert not data.split.val
    assert [pair.short for pair in data.split.test] == ["10452"]  # what is measured on is not trained on
    assert data.split.by == "train.txt and test.txt"
    assert [(p.file, p.what.split(",")[0]) for p in data.problems] == [
        ("train.txt", "names 7"),
        ("train.txt", "names train/10452"),
    ]
    assert data.describe().endswith(f"2 things do not fit: fctl data check {tmp_path} says what.")


def test_folders_split_and_a_list_of_the_others_leaves_the_rest_to_train(tmp_path: Path) -> None:
    pairs(tmp_path / "train", "ab")
    pairs(tmp_path / "crossvali", "a")
    pairs(tmp_path / "offical_crossvali", "c")
    shutil.copy(tmp_path / "train" / "classes.json", tmp_path)
    data = find_data_set(tmp_path)
    parts = [[pair.name for pair in data.split.part(part)] for part in ("train", "val", "test")]
    assert parts == [["train/a", "train/b"], ["crossvali/a"], ["offical_crossvali/c"]]
    (tmp_path / "val.txt").write_text("offical_crossvali/c\n")
    split = find_data_set(tmp_path).split
    assert [pair.name for pair in split.train] == ["crossvali/a", "train/a", "train/b"]


def test_the_layout_of_the_released_code_is_inria_too(tmp_path: Path) -> None:
    for part, names in {"train": ("austin2",), "crossvali": ("austin8",)}.items():
        inria(tmp_path / "source" / part, names)
        for folder in ("Sat", "Label"):
            (tmp_path / "data" / part / folder).mkdir(parents=True)
        for name in names:
            source = tmp_path / "source" / part / "AerialImageDataset/train"
            shutil.copy(source / f"images/{name}.tif", tmp_path / "data" / part / f"Sat/{name}_sat.tif")
            mask = blocks(0, 2)
            Image.fromarray(mask).save(tmp_path / "data" / part / f"Label/{name}_mask.png")  # 0 and 1
    data = find_data_set(tmp_path / "data")
    assert (data.layout, data.split.by) == ("inria", "the names of folders")
    for scene in scenes_of(tmp_path / "data"):
        np.testing.assert_array_equal(np.asarray(scene.ground_truth), blocks(0, 2))


def test_masks_may_be_colors_or_stated_values(tmp_path: Path) -> None:
    pairs(tmp_path / "colours", "ab", colors=True)
    pairs(tmp_path / "values", "ab")
    for name in "ab":
        path = tmp_path / "values" / "masks" / f"{name}.png"
        Image.fromarray(np.asarray(Image.open(path)) * np.uint8(255)).save(path)
    (tmp_path / "values/classes.json").write_text(json.dumps({**TABLE, "values": {"0": "dark", "255": "bright"}}))
    for folder in ("colours", "values"):
        for scene in scenes_of(tmp_path / folder):
            np.testing.assert_array_equal(np.asarray(scene.ground_truth), blocks("ab".index(scene.name), 2))


def test_a_class_table_of_ones_own_counts_the_unknown_class(tmp_path: Path) -> None:
    deepglobe(tmp_path, NAMES["deepglobe"])
    scenes, table = open_scenes(DataSettings(layout="deepglobe", classes=class_table("deepglobe")), tmp_path)
    assert table.names[0] == "unknown"
    for scene in scenes:
        order = np.array([1, 2, 3, 4, 5, 6, 0])  # as in the authors' code: unknown is class 0
        np.testing.assert_array_equal(
            np.asarray(scene.ground_truth), order[blocks(NAMES["deepglobe"].index(scene.name[6:]), 7)]
        )


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    pairs(tmp_path, "abcd")
    (tmp_path / "masks/a.png").unlink()
    (tmp_path / "images/b.png").unlink()
    Image.open(tmp_path / "images/c.png").save(tmp_path / "images/c.jpg")
    (tmp_path / ".hidden.png").write_bytes(b"")
    files = find_files(tmp_path)
    assert [pair.name for pair in files.pairs] == ["d"]
    assert {(p.file, p.what) for p in files.problems} == {
        ("images/a.png", "is an image without its ground truth"),
        ("masks/b.png", "is a ground truth without its image"),
        ("images/c.jpg", "is called like images/c.png; neither is used"),
    }


def test_what_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find_data_set(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no image with a ground truth"):
        find_data_set(tmp_path)
    pairs(tmp_path / "p", "ab")
    with pytest.raises(InputError, match="is laid out as pairs of images and masks, not as DeepGlobe"):
        find_data_set(tmp_path / "p", layout="deepglobe")
    (tmp_path / "p" / "classes.json").unlink()
    with pytest.raises(InputError, match=r"classes are not known; write classes\.json"):
        find_data_set(tmp_path / "p")
    assert find_data_set(tmp_path / "p", table=class_table("2")).table.names == ("class 0", "class 1")


def test_a_strange_color_is_named(tmp_path: Path) -> None:
    deepglobe(tmp_path, NAMES["deepglobe"])
    mask = tmp_path / "train/10233_mask.png"
    pixels = np.asarray(Image.open(mask)).copy()
    pixels[3, 4] = (255, 0, 0)
    Image.fromarray(pixels).save(mask)
    scene = next(scene for scene in scenes_of(tmp_path) if scene.name == "train/10233")
    with pytest.raises(InputError, match=r"10233_mask\.png: holds the color \(255, 0, 0\), .* \(1 px here\)"):
        scene.ground_truth[0:8, 0:8]


@pytest.mark.parametrize("layout", list(NAMES))
def test_a_converted_copy_is_the_same_data_set(layout: str, tmp_path: Path) -> None:
    data = find_data_set(make(layout, tmp_path / "raw"))
    progress: list[tuple[int, int]] = []
    copy = convert_data_set(data, tmp_path / "copy", progress=lambda *at: progress.append(at))
    assert progress[-1] == (len(data.pairs), len(data.pairs))
    again = find_data_set(copy, layout=data.layout)
    assert (again.layout, again.table) == (data.layout, data.table)
    before, after = scenes_of(tmp_path / "raw", layout), scenes_of(copy, layout)
    assert [(s.name, s.train, s.val, s.test) for s in before] == [(s.name, s.train, s.val, s.test) for s in after]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.asarray(one.ground_truth), np.asarray(other.ground_truth))
        assert scene_digest(one) == scene_digest(other)
    written = {path: path.stat().st_mtime_ns for path in copy.rglob("c/*/*/*")}
    convert_data_set(data, copy)
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("c/*/*/*")} == written


def test_a_copy_that_is_made_again_with_other_classes_says_so(tmp_path: Path) -> None:
    data = find_data_set(make("pairs", tmp_path / "raw"))
    convert_data_set(data, tmp_path / "copy")
    names = [f"other {k}" for k in range(len(data.table))]
    classes = [info.model_copy(update={"name": n}) for info, n in zip(data.table, names, strict=True)]
    copy = convert_data_set(replace(data, table=ClassTable(classes=tuple(classes))), tmp_path / "copy")
    for labels in copy.rglob("labels/truth"):
        assert [each["name"] for each in LabelPyramid.open(labels).classes] == names
    assert find_data_set(copy).table.names == tuple(names)


def test_a_copy_follows_the_classes_and_values_that_are_stated(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    pairs(raw, "a")
    mask = np.asarray(Image.open(raw / "masks/a.png"))
    classes = json.loads((raw / "classes.json").read_text())["classes"]
    for order, values in (((0, 1), None), ((1, 0), None), ((1, 0), {"0": 0, "1": None}), ((0, 1), {"0": 1, "1": 0})):
        stated = {"classes": [classes[k] for k in order], **({"values": values} if values else {})}
        (raw / "classes.json").write_text(json.dumps(stated))
        copy = convert_data_set(find_data_set(raw), tmp_path / "copy")
        (own,), (copied,) = scenes_of(raw), scenes_of(copy)
        expected = mask if values is None else np.where(mask == 0, *[255 if v is None else v for v in values.values()])
        assert np.array_equal(np.asarray(own.ground_truth), expected)
        assert np.array_equal(np.asarray(copied.ground_truth), expected)


def test_large_images_have_the_same_digest_when_converted(tmp_path: Path) -> None:
    deepglobe(tmp_path / "raw", ("1",), side=1200)  # two levels
    copy = convert_data_set(find_data_set(tmp_path / "raw"), tmp_path / "copy")
    (raw,), (converted,) = scenes_of(tmp_path / "raw"), scenes_of(copy)
    assert len(raw.pyramid.levels) == 2
    assert scene_digest(raw) == scene_digest(converted)
    window = (-20.5, 30.0, 900.5, 951.0)
    np.testing.assert_array_equal(raw.pyramid.read_resized(window, 64), converted.pyramid.read_resized(window, 64))


def test_a_scene_of_the_whole_folder_may_be_one_omezarr(tmp_path: Path) -> None:
    omezarr(tmp_path, "a")
    (scene,) = scenes_of(tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(np.asarray(scene.ground_truth), blocks(0, 2))


def test_no_more_is_kept_than_the_shelf_holds(tmp_path: Path) -> None:
    deepglobe(tmp_path, [str(k) for k in range(12)], side=320)
    size = 320 * 320 * 4  # an image and its truth, decoded
    shelf = Shelf(3 * size)
    scenes, _ = open_scenes(DataSettings(layout="deepglobe"), tmp_path, shelf=shelf)
    assert shelf.held == 0  # nothing is decoded to begin with
    for scene in scenes + scenes[::-1]:
        scene.pyramid.read((0, 0, 64, 64))
        scene.ground_truth[0:64, 0:64]
        assert 0 < shelf.held <= 3 * size
