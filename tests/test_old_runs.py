"""What was begun, stopped, killed or finished with commit a1848b4 is opened, gone on with and decided as before.

``data/files_a1848b4.tar.xz`` was made by ``scripts/make_old_files.py``: networks of an encoder of few numbers, on
images of some blocks.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from helpers_commands import Fctl
from safetensors.numpy import load_file

from fctl_napari.ablation.plan import AblationRequest, make_plan
from fctl_napari.ablation.results import read_results
from fctl_napari.ablation.work import Share, train_and_measure
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.finetuning.candidates import keep, roll_back
from fctl_napari.finetuning.finetune import finetune
from fctl_napari.finetuning.unfinished import find_cut, find_waiting
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.training.config import load_train_config
from fctl_napari.training.train import train

ARCHIVE = Path(__file__).parent / "data" / "files_a1848b4.tar.xz"
MADE_IN = "/tmp/old_files"
CPU = ("--device", "cpu", "--precision", "fp32")
IMAGE = "px1-085d240ddcb6917007de430596b529cb"
PARENT = "f525ac761b471dd645c526b1ae257688a1d5c4bd3d6e36dc46e86918a30ae35a"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as file:
        file.extractall(folder, filter="data")
    return folder


@pytest.fixture
def take(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``take("new.png", ...)``: copy some of the files into the folder that the test works in."""
    monkeypatch.chdir(tmp_path)

    def copy(*names: str) -> Path:
        for name in names:
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (archive / name).is_dir():
                shutil.copytree(archive / name, target)
            else:
                shutil.copy(archive / name, target)
            for file in (target, *target.rglob("zarr.json")):
                if file.suffix == ".json":  # images are named by their whole paths
                    file.write_text(file.read_text().replace(MADE_IN, str(tmp_path)))
        return tmp_path

    return copy


@pytest.fixture
def one_core() -> Iterator[None]:
    """Let the processes that this one starts use a core, as side by side with other tests."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


def logged(folder: Path | str) -> dict[int, float]:
    """Losses by step; none stands twice."""
    lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    pairs = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def assert_same_weights(first: Path | str, second: Path | str) -> None:
    one, other = load_file(first), load_file(second)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_allclose(array.astype(float), other[name].astype(float), atol=2e-3, err_msg=name)


def assert_like(found: Any, stored: Any) -> None:
    """The same keys, and the same values but for rounding."""
    if isinstance(stored, dict):
        assert found.keys() == stored.keys()
        for key, value in stored.items():
            assert_like(found[key], value)
    elif isinstance(stored, list):
        assert len(found) == len(stored)
        for one, other in zip(found, stored, strict=True):
            assert_like(one, other)
    else:
        assert found == (pytest.approx(stored, abs=1e-6) if isinstance(stored, float) else stored)


# -- segmentations -----------------------------------------------------------------------------------------------------


def test_a_segmentation_holds_what_it_held(take: Callable[..., Path], archive: Path, fctl: Fctl) -> None:
    take("new.png", "whole.ome.zarr", "child.ome.zarr", "refined.ome.zarr", "expected.json")
    expected = json.loads(Path("expected.json").read_text())
    for name, done in (("whole", 18), ("child", 17), ("refined", 6)):
        store = Segmentation.open(f"{name}.ome.zarr")
        assert store.done().sum() == done
        parts = {"0": store.labels, "confidence/0": store.confidence}
        parts |= {f"maps/{key}/0": value for key, value in store.maps.items()}
        stored = {key for key in expected if key.startswith(f"{name}.ome.zarr/")}
        assert {f"{name}.ome.zarr/{part}" for part in parts} == stored
        for part, pyramid in parts.items():
            values = pyramid.read((0, 0, *store.shape))
            digest, total = expected[f"{name}.ome.zarr/{part}"]
            assert (int(values.sum()), hashlib.sha256(values.tobytes()).hexdigest()) == (total, digest)
        classes = [(info.name, info.ignored) for info in store.class_table]
        assert classes == [("dark", False), ("bright", False), ("cloud", True)]
    assert Segmentation.open("whole.ome.zarr").checkpoint_hash == PARENT
    said = fctl("info", "child.ome.zarr").out
    assert "17 of 18 tiles" in said
    assert "1 tile by parent, not computed anew" in said
    assert fctl("info", "--verify", "whole.ome.zarr").code == 0


@pytest.mark.usefixtures("one_core")
def test_a_killed_segmentation_resumes_and_its_logits_are_those_of_the_network(
    take: Callable[..., Path], fctl: Fctl
) -> None:
    take("new.png", "parent", "half.ome.zarr", "logits.npy")
    store = Segmentation.open("half.ome.zarr")
    assert store.done().sum() == 2
    chunks = {file: file.stat().st_mtime_ns for file in Path("half.ome.zarr/0/c").rglob("*") if file.is_file()}
    call = ("--out", "half.ome.zarr", "--checkpoint", "parent/parent.safetensors", *CPU)
    done = fctl("segment", "new.png", *call, "--merge", "average", "--save-logits", "all.npy")
    assert done.code == 0, done.err
    assert Segmentation.open("half.ome.zarr").done().all()
    np.testing.assert_allclose(np.load("all.npy")[:, ::3, ::3], np.load("logits.npy"), atol=1e-5, rtol=1e-5)
    first = [file for file in chunks if file.parts[-2:] in (("0", "0"), ("0", "1"))]
    assert len(first) == 2
    assert all(file.stat().st_mtime_ns == chunks[file] for file in first)  # not computed again


# -- corrections -------------------------------------------------------------------------------------------------------


def test_strokes_of_two_authors_are_counted_undone_and_redone(take: Callable[..., Path], fctl: Fctl) -> None:
    take("new.png", "new.corrections.ome.zarr", "expected.json")
    done = fctl("corrections", "info", "new.corrections.ome.zarr", "--json", "info.json")
    assert done.code == 0, done.err
    told = json.loads(Path("info.json").read_text())
    assert told["areas"] == {"dark": 2256, "bright": 2304, "not sure": 48}
    assert told["authors"] == ["bob", "ann"]
    assert len(told["regions"]) == 8
    assert {tuple(region["authors"]) for region in told["regions"]} == {("ann",), ("bob",)}
    with Corrections.open("new.corrections.ome.zarr", "r+", image=open_image("new.png")) as painted:
        digest, total = json.loads(Path("expected.json").read_text())["new.corrections.ome.zarr/0"]
        values = painted.read((0, 0, *painted.shape))
        assert (int(values.sum()), hashlib.sha256(values.tobytes()).hexdigest()) == (total, digest)
        stroke = painted.redo("ann")
        assert stroke is not None
        assert (stroke.window, stroke.author, stroke.pixels) == ((40, 100, 60, 120), "ann", 400)
        assert painted.area_by_class()["dark"] == 2656
        assert painted.undo("bob") is not None
        assert painted.area_by_class()["not sure"] == 0


def test_a_stroke_that_is_only_in_the_journal_is_painted_and_a_torn_one_is_not(take: Callable[..., Path]) -> None:
    take("new.png", "died.corrections.ome.zarr")
    path = Path("died.corrections.ome.zarr")
    assert Corrections.open(path).area_by_class()["bright"] == 2404  # counted before it is painted
    torn = (path / "journal").stat().st_size
    with Corrections.open(path, "r+", image=open_image("new.png")) as painted:
        assert painted.authors == ("bob", "ann", "cem")
        assert (painted.read((80, 300, 90, 310)) == 2).all()
        assert painted.area_by_class() == {"dark": 2256, "bright": 2404, "not sure": 48}
        assert painted.undo("cem") is not None
        assert painted.undo("cem") is None
    assert (path / "journal").stat().st_size < torn + 100
    assert json.loads((path / "painted.json").read_text())["number"] == 13  # strokes, undone and redone ones
    assert not list(path.rglob("*.partial"))
    assert not list(path.glob("*.damaged"))
    assert zarr.open_array(path / "0", mode="r")[80:90, 300:310].sum() == 0


# -- training ----------------------------------------------------------------------------------------------------------


def test_a_killed_training_resumes_where_it_was_saved(take: Callable[..., Path]) -> None:
    take("scene.png", "truth.png", "base.safetensors", "parent.toml", "parent", "cut")
    heard: list[int] = []
    written = train(load_train_config("parent.toml"), "cut", device="cpu", progress=lambda step, *_: heard.append(step))
    assert heard == list(range(5, 13))
    assert logged("cut") == pytest.approx(logged("parent"), abs=1e-3)
    assert_same_weights(written, "parent/parent.safetensors")
    card, unbroken = read_card(written), read_card("parent/parent.safetensors")
    assert card.figures.keys() == unbroken.figures.keys()
    assert card.provenance.keys() == unbroken.provenance.keys()
    assert card.provenance["started_from"] == unbroken.provenance["started_from"]


def test_of_a_killed_training_in_stages_the_finished_one_is_not_trained_again(
    take: Callable[..., Path], fctl: Fctl
) -> None:
    take("scene.png", "truth.png", "base.safetensors", "staged.toml", "staged")
    stage = Path("staged/baseline")
    before = {file.name: file.stat().st_mtime_ns for file in stage.iterdir()}
    begun = Path("staged/log.jsonl").read_text().splitlines()[:4]
    done = fctl("train", "staged.toml", "--out", "staged", "--device", "cpu")
    assert done.code == 0, done.err
    assert {file.name: file.stat().st_mtime_ns for file in stage.iterdir()} == before
    assert list(logged("staged")) == list(range(1, 13))
    assert Path("staged/log.jsonl").read_text().splitlines()[:4] == begun
    assert read_card("staged/staged.safetensors").provenance["training"]["steps"] == 12
    done = fctl("train", "staged.toml", "--out", "staged", "--device", "cpu", "--set", "seed=7")
    assert "other settings" in done.sentence()


# -- fine-tuning -------------------------------------------------------------------------------------------------------


def test_a_killed_fine_tuning_is_found_and_resumes_at_its_step(take: Callable[..., Path]) -> None:
    folder = take("new.png", "new.corrections.ome.zarr", "scene.png", "truth.png", "first.safetensors")
    take(".third.finetune.json", ".third.finetune.pt", "second.candidate.safetensors")
    (cut,) = find_cut([folder], str(folder / "new.png"))
    assert cut.saved
    assert (cut.request.steps, cut.request.bound, cut.request.held_out) == (30, 0.001, 0.3)
    heard: list[int] = []
    result = finetune(
        cut.request, watch=lambda progress: heard.append(progress.done) if progress.phase == "training" else None
    )
    assert heard == [26, 27, 28, 29, 30]
    assert not result.gate_result.keep
    assert not result.kept
    assert_same_weights(result.candidate, "second.candidate.safetensors")  # the same run, not killed
    told, unbroken = (read_card(file).provenance for file in (result.candidate, "second.candidate.safetensors"))
    assert told.keys() - {"founder"} == unbroken.keys()  # which cards of earlier versions do not name
    assert told["finetuning"].keys() - {"notes"} == unbroken["finetuning"].keys()
    assert told["finetuning"]["notes"][0].startswith("It is not known which corrections first has learned from")
    keep(folder / "third.safetensors")
    assert not list(folder.glob("*third.finetune*"))


def test_a_network_that_waits_is_kept_or_rolled_back(take: Callable[..., Path]) -> None:
    folder = take("new.png", "second.candidate.safetensors", "first.safetensors")
    for decide in (roll_back, keep):
        take("second.candidate.safetensors")
        (waiting,) = find_waiting([folder], IMAGE, ["new.png"])
        assert waiting.out == folder / "second.safetensors"
        assert waiting.parent == checkpoint_hash("first.safetensors")
        assert not waiting.gate_result.keep
        assert waiting.gate_result.reasons[0] == "IoU on held-out corrections rose: 0.684 before, 0.742 after."
        assert waiting.gate_result.reasons[1].endswith("1.3 % of the px changed, which is beyond the bound of 0 %.")
        figures = waiting.figures
        assert figures["before"]["held_out"]["miou"] == pytest.approx(0.6841, abs=5e-5)
        assert figures["after"]["held_out"]["miou"] == pytest.approx(0.7425, abs=5e-5)
        assert figures["after"]["scene"]["agreement"] == pytest.approx(0.9868, abs=5e-5)
        decide(waiting.out)
        assert waiting.out.exists() == (decide is keep)
        assert not waiting.path.exists()
    assert read_card("second.safetensors").provenance["finetuning"]["settings"]["steps"] == 30


def test_a_family_is_listed_with_what_was_gained(take: Callable[..., Path], fctl: Fctl) -> None:
    take("parent", "first.safetensors", "second.candidate.safetensors")
    done = fctl("lineage", ".")
    assert done.code == 0, done.err
    first, second, third = done.out.splitlines()
    assert first == f"parent  {PARENT[:12]}  parent/parent.safetensors"
    gain = "mIoU on held-out corrections 0.462 -> 0.684; the scene away from corrections 95.3 % as before"
    assert second.startswith(f"  first  {checkpoint_hash('first.safetensors')[:12]}  first.safetensors  {gain}")
    assert third.startswith("    second  ")
    told = read_card("first.safetensors").provenance
    assert told["parent"] == {"name": "parent", "hash": PARENT}
    assert told["finetuning"]["image"] == {"name": "new", "fingerprint": IMAGE}
    assert told["finetuning"]["keep"]


# -- errors, exports, data ---------------------------------------------------------------------------------------------


def test_marks_figures_and_mapped_values_are_those_of_then(take: Callable[..., Path], fctl: Fctl) -> None:
    take("new.png", "new_truth.png", "valued.png", "map.json", "whole.ome.zarr", "whole.ome.zarr.marks.json", "parent")
    take("errors.json", "figures.json")
    done = fctl("errors", "whole.ome.zarr", "new_truth.png", "--json", "now.json")
    assert done.code == 0, done.err
    found = json.loads(Path("now.json").read_text())
    assert [region["mark"] for region in found["regions"][:3]] == ["truth is wrong", "done", None]
    assert_like(found, json.loads(Path("errors.json").read_text()))
    call = ("--map", "map.json", "--checkpoint", "parent/parent.safetensors", "--json", "now.json")
    done = fctl("evaluate", "whole.ome.zarr", "valued.png", *call)
    assert done.code == 0, done.err
    then = json.loads(Path("figures.json").read_text())
    assert "miou_without_class_0" in then
    del then["miou_without_class_0"]  # class 0 is no background there, so that mean says nothing
    assert_like(json.loads(Path("now.json").read_text()), then)


@pytest.mark.parametrize("name", ["out.png", "out.tif", "out.geojson", "out.coco.json", "labels.ome.zarr"])
def test_exports_come_back(name: str, take: Callable[..., Path], fctl: Fctl) -> None:
    take("new.png", name, "whole.ome.zarr", "parent")
    there = ("--image", "new.png", "--checkpoint", "parent/parent.safetensors", "--author", "ann")
    done = fctl("corrections", "import", "c.ome.zarr", name, *there)
    assert done.code == 0, done.err
    painted = Corrections.open("c.ome.zarr")
    window = (0, 0, *painted.shape)
    np.testing.assert_array_equal(painted.read(window), Segmentation.open("whole.ome.zarr").labels.read(window))


def test_a_converted_data_set_is_read_with_its_split(take: Callable[..., Path], fctl: Fctl) -> None:
    take("data", "converted", "checked.json")
    done = fctl("data", "check", "converted", "--json", "now.json")
    assert done.code == 0, done.err
    assert_like(json.loads(Path("now.json").read_text()), json.loads(Path("checked.json").read_text()))
    assert "train 2, val 1, test 1" in done.out
    before = {file: file.stat().st_mtime_ns for file in Path("converted").rglob("c/*/*/*")}
    assert before
    for image in Path("converted").glob("*.ome.zarr"):  # an archive keeps times to the microsecond only
        source = json.loads((image / "zarr.json").read_text())["attributes"]["fctl"]["source"]
        os.utime(source["path"], ns=(source["modified_ns"],) * 2)
    assert fctl("data", "convert", "data", "converted").code == 0
    assert {file: file.stat().st_mtime_ns for file in Path("converted").rglob("c/*/*/*")} == before


@pytest.mark.usefixtures("one_core")
def test_a_refiner_refines_the_rest(take: Callable[..., Path], fctl: Fctl) -> None:
    take("new.png", "whole.ome.zarr", "refined.ome.zarr", "refiner", "expected.json")
    card = read_card("refiner/refiner.safetensors")
    assert (card.config.architecture, card.config.tile_size) == ("refiner", 64)
    box = (0, 0, 96, 64)
    before = Segmentation.open("refined.ome.zarr").labels.read(box)
    call = ("refine", "whole.ome.zarr", "--refiner", "refiner/refiner.safetensors", "--out", "refined.ome.zarr", *CPU)
    done = fctl(*call, "--region", 0, 0, 96, 192)
    assert done.code == 0, done.err
    store = Segmentation.open("refined.ome.zarr")
    assert 6 < store.done().sum() < store.done().size
    np.testing.assert_array_equal(store.labels.read(box), before)


def test_a_killed_row_of_an_ablation_resumes(take: Callable[..., Path]) -> None:
    take("scene.png", "truth.png", "base.safetensors", "parent.toml", "ablation")
    recipe = load_train_config("parent.toml", {"save_every": 2})
    request = AblationRequest((5,), recipe, out=Path("ablation"), contexts="inria", seeds=1, steps=6, device="cpu")
    first, second, _ = make_plan(request).trainings
    (known,) = read_results("ablation/results.csv")
    assert (known.row, known.settings, known.steps) == ("table5-average", first.settings, 6)
    assert known.miou == pytest.approx(0.9276, abs=5e-5)
    assert (second.rows[0].name, second.folder.name) == ("table5-weighted", "f3e7432fce16e53a")
    begun = (second.folder / "log.jsonl").read_text().splitlines()[:2]
    figures = train_and_measure(second, Share())
    assert (second.folder / "log.jsonl").read_text().splitlines()[:2] == begun
    unbroken = [0.64854, 0.54695, 0.52518, 0.48663, 0.65276, 0.37205]
    assert logged(second.folder) == pytest.approx(dict(enumerate(unbroken, 1)), abs=1e-3)
    assert figures["miou"] == pytest.approx(0.9276, abs=5e-3)


@pytest.mark.nightly  # a worker process that loads torch and trains
@pytest.mark.usefixtures("one_core")
def test_a_killed_ablation_trains_the_rows_that_are_left(take: Callable[..., Path], fctl: Fctl) -> None:
    take("scene.png", "truth.png", "base.safetensors", "parent.toml", "ablation")
    head, first = Path("ablation/results.csv").read_text().splitlines()
    folder = Path("ablation/rows/f3e7432fce16e53a")
    begun = (folder / "log.jsonl").read_text().splitlines()[:2]
    call = ("ablate", "run", 5, "--recipe", "parent.toml", "--out", "ablation", "--seeds", 1, "--workers", 2)
    done = fctl(*call, "--steps", 6, "--set", "save_every=2", "--device", "cpu")
    assert done.code == 0, done.err
    lines = Path("ablation/results.csv").read_text().splitlines()
    assert lines[:2] == [head, first]
    assert len(lines) == 4
    assert len(list(Path("ablation/rows").iterdir())) == 3
    assert (folder / "log.jsonl").read_text().splitlines()[:2] == begun
    assert list(logged(folder)) == [1, 2, 3, 4, 5, 6]
    done = fctl("ablate", "report", "ablation/results.csv")
    assert "average fusion" in done.out
