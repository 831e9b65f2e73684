"""``fctl segment`` and what is done with its result."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers_commands import Fctl, fctl_process
from PIL import Image

from fctl_napari.segmentation.store.store import Segmentation


@pytest.fixture(scope="module")
def segmented_once(
    tmp_path_factory: pytest.TempPathFactory, make_rgb: Callable[..., np.ndarray], tiny_checkpoint: Path
) -> Path:
    """A folder with ``image.png`` (200 x 150 px) and its segmentation ``s.ome.zarr``, made by the real command."""
    folder = tmp_path_factory.mktemp("segmented")
    Image.fromarray(make_rgb(150, 200)).save(folder / "image.png")
    arguments = ("--out", folder / "s.ome.zarr", "--checkpoint", tiny_checkpoint, "--device", "cpu")
    process = fctl_process("segment", folder / "image.png", *arguments)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert f"{folder / 's.ome.zarr'}: " in out
    return folder


@pytest.fixture
def segmented(segmented_once: Path, tmp_path: Path) -> Path:
    """A copy of that segmentation."""
    return Path(shutil.copytree(segmented_once / "s.ome.zarr", tmp_path / "s.ome.zarr"))


def test_from_image_to_figures(
    fctl: Fctl, segmented: Path, segmented_once: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    png, tif, figures = tmp_path / "m.png", tmp_path / "m.tif", tmp_path / "scores.json"
    assert fctl("export", segmented, png).code == 0
    assert fctl("export", segmented, tif).code == 0
    mask = np.asarray(Image.open(png))
    assert mask.shape == (150, 200)
    assert set(np.unique(mask)) <= {0, 1, 2}
    np.testing.assert_array_equal(tifffile.imread(tif), mask)
    np.testing.assert_array_equal(Segmentation.open(segmented).labels.read((0, 0, 150, 200)) - np.uint8(1), mask)

    outcome = fctl("evaluate", segmented, png, "--json", figures)
    assert outcome.code == 0, outcome.err
    document = json.loads(figures.read_text())
    assert document["miou"] == document["accuracy"] == document["f1"] == 1
    assert set(document["iou"]) == {"red", "green", "blue"}
    assert "accuracy 1.0000 over 30000 px" in outcome.out
    assert 0 < document["context_reliance"] < 1, "its checkpoint is found where it lay"

    outcome = fctl("evaluate", segmented, png, "--json", figures, "--checkpoint", tiny_checkpoint)
    assert outcome.code == 0, outcome.err
    assert 0 < json.loads(figures.read_text())["context_reliance"] < 1

    facts = fctl("info", segmented)
    assert "200 x 150 px" in facts.out
    assert "red, green, blue" in facts.out
    assert str(segmented_once / "image.png") in facts.out


def test_a_second_run_computes_nothing_and_other_settings_are_refused(
    fctl: Fctl, segmented: Path, segmented_once: Path, tiny_checkpoint: Path
) -> None:
    arguments = (
        "segment",
        segmented_once / "image.png",
        "--out",
        segmented,
        "--checkpoint",
        tiny_checkpoint,
        "--device",
        "cpu",
    )
    cells = {path: path.stat().st_mtime_ns for path in segmented.rglob("c/*/*")}
    assert cells
    assert fctl(*arguments).code == 0
    assert {path: path.stat().st_mtime_ns for path in segmented.rglob("c/*/*")} == cells
    assert "--fresh" in fctl(*arguments, "--merge", "average").sentence()
    assert fctl(*arguments, "--merge", "average", "--fresh").code == 0
    assert Segmentation.open(segmented).settings["merge"] == "average"


def test_a_region_is_the_same_as_that_part_of_the_whole(
    fctl: Fctl, segmented: Path, rgb_png: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    out = tmp_path / "part.ome.zarr"
    region = (10, 20, 60, 90)
    arguments = ("--out", out, "--checkpoint", tiny_checkpoint, "--device", "cpu", "--region", *region)
    assert fctl("segment", rgb_png, *arguments).code == 0
    part, whole = Segmentation.open(out), Segmentation.open(segmented)
    np.testing.assert_array_equal(part.labels.read(region), whole.labels.read(region))
    assert part.labels.read(region).min() > 0
    assert len(part.missing()) > 0


def test_logits_are_kept_beside_the_mask(
    fctl: Fctl, segmented: Path, rgb_png: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    logits, taken = tmp_path / "l.npy", tmp_path / "table.npy"
    np.save(taken, np.arange(3))
    arguments = ("segment", rgb_png, "--out", tmp_path / "kept.ome.zarr", "--checkpoint", tiny_checkpoint)
    arguments += ("--device", "cpu", "--merge", "average")
    assert "end the name in .npy" in fctl(*arguments, "--save-logits", tmp_path / "l.png").sentence()
    assert "is not an array of logits" in fctl(*arguments, "--save-logits", taken).sentence()
    assert not (tmp_path / "kept.ome.zarr").exists(), "refused before the work"
    assert "'crop' sums no logits" in fctl(*arguments, "--merge", "crop", "--save-logits", logits).sentence()
    for _ in range(2):
        outcome = fctl(*arguments, "--save-logits", logits)
        assert outcome.code == 0, outcome.err
        assert str(logits) in outcome.out
        found = np.load(logits)
        assert found.dtype == np.float32
        mask = Segmentation.open(tmp_path / "kept.ome.zarr").labels.read((0, 0, *found.shape[1:]))
        np.testing.assert_array_equal(found.argmax(0) + 1, mask)
    without = ("segment", rgb_png, "--out", segmented, *arguments[4:])
    assert fctl(*without, "--fresh").code == 0
    assert "another kept output" in fctl(*without, "--save-logits", logits).sentence()


def test_maps_are_kept_and_listed(
    fctl: Fctl, segmented: Path, rgb_png: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    out = tmp_path / "maps.ome.zarr"
    arguments = ("segment", rgb_png, "--out", out, "--checkpoint", tiny_checkpoint, "--device", "cpu", "--maps")
    assert "use the merge 'crop'" in fctl(*arguments, "--merge", "average").sentence()
    outcome = fctl(*arguments)
    assert outcome.code == 0, outcome.err
    mapped, plain = Segmentation.open(out), Segmentation.open(segmented)
    whole = (0, 0, *plain.shape)
    np.testing.assert_array_equal(mapped.labels.read(whole), plain.labels.read(whole))
    np.testing.assert_array_equal(mapped.confidence.read(whole), plain.confidence.read(whole))
    names = "entropy, margin, weight_local, weight_medium, weight_large"
    assert names in fctl("info", out).out
    assert "entropy" not in fctl("info", segmented).out
    without = ("segment", rgb_png, "--out", segmented, *arguments[4:])
    assert "another kept output" in fctl(*without).sentence()


def test_a_ground_truth_of_another_size(fctl: Fctl, segmented: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((100, 100), np.uint8)).save(tmp_path / "truth.png")
    assert "100 x 100 px" in fctl("evaluate", segmented, tmp_path / "truth.png").sentence()


def test_a_ground_truth_with_other_classes(fctl: Fctl, segmented: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((150, 200), 7, np.uint8)).save(tmp_path / "truth.png")
    assert "class index 7" in fctl("evaluate", segmented, tmp_path / "truth.png").sentence()


def test_stopped_by_hand_it_resumes_later(tmp_path: Path, make_rgb: Callable, tiny_checkpoint: Path) -> None:
    path, out = tmp_path / "large.png", tmp_path / "s.ome.zarr"
    Image.fromarray(make_rgb(1500, 1500)).save(path)
    arguments = ("segment", path, "--out", out, "--checkpoint", tiny_checkpoint, "--device", "cpu")

    def heed_interrupts() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite run in the background ignores them

    process = fctl_process(*arguments, start_new_session=True, preexec_fn=heed_interrupts)
    while process.poll() is None and not (out.is_dir() and any(out.glob("0/c/*/*"))):
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    done = Segmentation.open(out).done()
    assert 0 < done.sum() < done.size


@pytest.mark.parametrize("name", ["bad.png", "bad.zip", "bad.tif"])
def test_a_folder_is_not_called_as_a_file(
    fctl: Fctl, rgb_png: Path, tiny_checkpoint: Path, tmp_path: Path, name: str
) -> None:
    words = "is the name of a file, and a folder is written; call it bad.ome.zarr, say."
    out = tmp_path / name
    for call in (("segment", rgb_png, "--out", out, "--checkpoint", tiny_checkpoint), ("convert", rgb_png, out)):
        assert fctl(*call).sentence().endswith(f"{name}: {words}")
        assert not out.exists()
