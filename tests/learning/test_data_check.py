"""Looking a data set through: what it holds, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from layouts import NAMES, SIDE, blocks, inria, make, omezarr, pairs
from PIL import Image

from fctl_napari.learning.data_check import check_data_set
from fctl_napari.learning.datasets import find_data_set


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
        truths = [
            blocks(NAMES[layout].index(pair.short), 7 if layout == "deepglobe" else 2) for pair in data.split.part(part)
        ]
        counts = np.bincount(np.ravel(truths).astype(int), minlength=7)
        assert report.counts(part).tolist() == [*counts[: len(names)], counts[len(names)]]
        shares = report.shares(part)
        if not truths:
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
        "masks/b.png": "is no truth that can be read",
        "masks/c.png": f"is 40 x 30 px where its image is {SIDE} x {SIDE}",
        "masks/d.png": "holds class 7, the class table ends at 1",
        "masks/e.png": "holds the colour (0, 0, 0)",
        "images/f.png": "without its truth",
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
