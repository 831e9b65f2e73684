"""Looking a data set through: what it holds, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers_layouts import NAMES, SIDE, blocks, inria, make, omezarr, pairs
from PIL import Image

from fctl_napari.datasets.check import check_data_set
from fctl_napari.datasets.layouts import DataSet, find_data_set
from fctl_napari.exceptions import InputError


@pytest.mark.parametrize("layout", list(NAMES))
def test_class_shares_are_counted_by_part(layout: str, tmp_path: Path) -> None:
    data = find_data_set(make(layout, tmp_path))
    progress: list[tuple[int, int]] = []
    report = check_data_set(data, progress=lambda *at: progress.append(at))
    assert progress == [(k, len(data.pairs)) for k in range(1, len(data.pairs) + 1)]
    assert not report.problems
    assert report.sizes == {(SIDE, SIDE): len(data.pairs)}
    assert report.sound == len(data.split.train)
    names = data.table.names
    for part in ("train", "val", "test"):
        ground_truths = [
            blocks(NAMES[layout].index(pair.short), 7 if layout == "deepglobe" else 2) for pair in data.split.part(part)
        ]
        counts = np.bincount(np.ravel(ground_truths).astype(int), minlength=7)
        assert report.counts(part).tolist() == [*counts[: len(names)], counts[len(names)]]
        shares = report.shares(part)
        if not ground_truths:
            assert not shares
            continue
        assert shares == pytest.approx(dict(zip(names, counts / counts[: len(names)].sum(), strict=False)))
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert told["counts"]["pairs"] == len(data.pairs)
    assert told["split"]["train"] == [pair.name for pair in data.split.train]
    assert told["sizes"] == {f"{SIDE} x {SIDE}": len(data.pairs)}


def test_what_is_damaged_or_does_not_match_is_named(tmp_path: Path) -> None:
    names = tuple("abcdefgh")
    pairs(tmp_path, names)
    (tmp_path / "train.txt").write_text("\n".join(names))
    cut = (tmp_path / "images/a.png").read_bytes()
    (tmp_path / "images/a.png").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "masks/b.png").write_bytes(b"no image at all")
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "masks/c.png")
    Image.fromarray(np.full((SIDE, SIDE), 7, np.uint8)).save(tmp_path / "masks/d.png")
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(tmp_path / "masks/e.png")
    (tmp_path / "masks/f.png").unlink()
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint16)).save(tmp_path / "images/g.png")
    report = check_data_set(find_data_set(tmp_path))
    found = {problem.file: problem.what for problem in report.problems}
    assert list(found) == ["images/f.png", "train.txt", "images/a.png", "masks/b.png", "masks/c.png", "masks/d.png",
                           "masks/e.png", "images/g.png"]  # fmt: skip
    for file, words in {
        "images/a.png": "truncated or damaged",
        "masks/b.png": "is no ground truth that can be read",
        "masks/c.png": f"is 40 x 30 px where its image is {SIDE} x {SIDE}",
        "masks/d.png": "holds class 7, the class table ends at 1",
        "masks/e.png": "holds the color (0, 0, 0)",
        "images/f.png": "without its ground truth",
        "images/g.png": "holds uint16 values",
        "train.txt": "names f",
    }.items():
        assert words in found[file]
        assert "\n" not in found[file]
    assert all(problem.do for problem in report.problems)
    # what to do is said once, and the problem is one sentence
    assert all("; " not in problem.what and not problem.what.endswith(".") for problem in report.problems)
    assert next(p.do for p in report.problems if p.file == "images/a.png").endswith(
        ", or take the pair out of the data set"
    )
    assert report.sound == 1
    assert report.counts("train").sum() == SIDE**2
    quick = check_data_set(find_data_set(tmp_path), quick=True)
    assert {p.file for p in quick.problems} == {*found} - {"images/a.png", "masks/d.png", "masks/e.png"}
    assert not quick.shares("train")


def test_a_class_that_no_mask_holds_is_hinted_at(tmp_path: Path) -> None:
    pairs(tmp_path, "a")
    Image.fromarray(blocks(0, 2) * np.uint8(255)).save(tmp_path / "masks/a.png")  # 255 is no class
    (hint,) = check_data_set(find_data_set(tmp_path)).hints()
    assert hint.startswith("no px is bright; if masks hold other values")


def test_a_damaged_tiff_and_a_damaged_omezarr_are_named(tmp_path: Path) -> None:
    inria(tmp_path / "inria", NAMES["inria"])
    path = tmp_path / "inria/AerialImageDataset/train/images/austin2.tif"
    tifffile.imwrite(path, np.asarray(tifffile.imread(path)), photometric="rgb", compression="deflate")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        start, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data[start : start + size] = bytes(size)
    path.write_bytes(data)
    (problem,) = check_data_set(find_data_set(tmp_path / "inria")).problems
    assert problem.file == "AerialImageDataset/train/images/austin2.tif"
    assert "is damaged" in problem.what
    omezarr(tmp_path / "zarr", "abc")
    chunk = next(path for path in (tmp_path / "zarr/b.ome.zarr/0").rglob("*") if path.is_file() and path.name == "0")
    chunk.write_bytes(b"nothing")
    (problem,) = check_data_set(find_data_set(tmp_path / "zarr")).problems
    assert problem.file == "b.ome.zarr"


COLORS = [(10, 80, 200), (30, 140, 40), (200, 60, 60)]


def masked(folder: Path, masks: list[np.ndarray], names: tuple[str, ...], **stated: object) -> DataSet:
    """Pairs s0, s1, ...: the first two to train, then one each to validate and to test."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number, mask in enumerate(masks):
        Image.fromarray(np.zeros((*mask.shape, 3), np.uint8)).save(folder / f"images/s{number}.png")
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"masks/s{number}.png")
    for name, listed in (("train", "s0\ns1"), ("val", "s2"), ("test", "s3")):
        (folder / f"{name}.txt").write_text(listed)
    classes = [{"name": n, "color": c} for n, c in zip(names, COLORS, strict=False)]
    (folder / "classes.json").write_text(json.dumps({"classes": classes, **stated}))
    return find_data_set(folder)


def stripes(*values: int) -> np.ndarray:
    return np.repeat(np.array(values), 8)[None].repeat(20, 0)


def test_what_cannot_be_learnt_is_hinted_at(tmp_path: Path) -> None:
    none = stripes(255, 255)
    report = check_data_set(masked(tmp_path, [stripes(0, 1), none, stripes(0, 2), none], ("a", "b", "c")))
    assert report.hints() == [
        "no training px is c: a network cannot learn it; split otherwise",
        "no px of masks/s1.png, masks/s3.png has a class: nothing is learned from it, or measured on it",
        "no test px has a class: nothing can be measured there",
    ]
    assert report.readings == {"values: 0 a, 1 b, 2 c, 255 no class": 4}
    assert report.to_json()["read_by"] == report.readings


def test_a_table_of_one_class_is_pointed_out(tmp_path: Path) -> None:
    mask = stripes(0, 255)
    (hint,) = check_data_set(masked(tmp_path / "a", [mask] * 4, ("building",))).hints()
    assert "one class, building" in hint
    assert (
        'now value 0 is building and 255 no class; of masks of 0 and 255: {"0": "background", "255": "building"}'
        in hint
    )
    values = {"0": "background", "255": "building"}
    report = check_data_set(masked(tmp_path / "b", [mask] * 4, ("background", "building"), values=values))
    assert report.hints() == []
    assert report.shares("train") == {"background": 0.5, "building": 0.5}
    assert report.readings == {"what is stated of its values": 4}


def test_how_palettes_are_read_is_said(tmp_path: Path) -> None:
    data = masked(tmp_path, [stripes(0, 1, 1, 2)] * 4, ("a", "b", "c"))
    right = check_data_set(data).shares("train")
    for number, order in enumerate(([0, 1, 2], [1, 0, 2], [2, 0, 1], [1, 2, 0])):
        image = Image.fromarray(np.argsort(order)[stripes(0, 1, 1, 2)].astype(np.uint8), "P")
        image.putpalette([part for k in order for part in COLORS[k]])
        image.save(tmp_path / f"masks/s{number}.png")
    report = check_data_set(data)
    assert report.problems == []
    assert report.shares("train") == right
    (hint,) = report.hints()
    assert hint.startswith("masks/s1.png, masks/s2.png, masks/s3.png: is read by the colors of its palette")
    # stated values are of the indices
    data = find_data_set(tmp_path, table=None)
    (tmp_path / "classes.json").write_text(
        json.dumps({"classes": [info.model_dump() for info in data.table], "values": {"0": "c", "1": "b", "2": None}})
    )
    assert check_data_set(find_data_set(tmp_path)).shares("test")["a"] == 0


@pytest.mark.parametrize("text", ['{"0": "a", "0": "b"}', '{"0": "a", "00": "b"}', '{"0": true}', '{"0": "d"}'])
def test_values_that_are_not_clear_are_refused(text: str, tmp_path: Path) -> None:
    data = masked(tmp_path, [stripes(0, 1)] * 4, ("a", "b", "c"))
    classes = json.dumps([info.model_dump() for info in data.table])
    (tmp_path / "classes.json").write_text(f'{{"classes": {classes}, "values": {text}}}')
    with pytest.raises(InputError, match=r"classes\.json"):
        find_data_set(tmp_path)
