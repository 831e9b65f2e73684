"""``fctl finetune`` and ``fctl lineage``, in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.cli.corrected_images import find_pairs
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.finetuning.correction_sources import open_corrections
from fctl_napari.finetuning.request import finetune_request
from fctl_napari.finetuning.tile_sampling import Corrected, choose_tiles
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.segmentation.store.store import Segmentation


@pytest.fixture
def locations(tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> tuple[Path, Path]:
    """An image and corrections of it, two regions of each class."""
    Image.fromarray(make_rgb(200, 320, seed=2)).save(tmp_path / "picture.png")
    values = np.zeros((200, 320), np.uint8)
    values[10:30, 10:40], values[150:170, 250:300], values[90:110, 10:30] = 1, 2, 3
    values[10:30, 110:140], values[150:170, 150:180], values[90:110, 110:130] = 1, 2, 3
    classes = [{"name": n, "color": (0, 0, 0)} for n in ("red", "green", "blue")]
    labels = LabelPyramid.create(tmp_path / "picture.corrections.ome.zarr", values.shape, classes=classes)
    labels.write(0, 0, values)
    return tmp_path / "picture.png", labels.path


def test_a_network_is_fine_tuned_kept_and_found_in_its_family(
    fctl: Fctl, locations: tuple[Path, Path], awake_checkpoint: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new.safetensors"
    call = ("finetune", *locations, "--checkpoint", awake_checkpoint, "--out", target, "--device", "cpu")
    call = (*call, "--precision", "fp32", "--steps", 2, "--parts", "decoder,mcf", "--held-out", 0.3)
    code, out, err = fctl(*call, "--bound", 0.001)
    assert code == 1
    assert "not kept" in out
    assert "does not say what it was trained on" in err
    assert not target.exists()
    code, out, _ = fctl(*call, "--bound", 0.001, "--keep-anyway")
    assert code == 0
    assert f"{target}: kept" in out
    assert "held-out corrections" in out
    assert "notes" in read_card(target).provenance["finetuning"]
    settings = read_card(target).provenance["finetuning"]["settings"]
    assert settings["parts"] == ["decoder", "mcf"]
    assert (settings["steps"], settings["bound"]) == (2, 0.001)

    code, out, _ = fctl("lineage", target)
    assert code == 0
    first, second = out.splitlines()
    assert first == f"awake  {checkpoint_hash(awake_checkpoint)[:12]}  its file is gone"
    assert second.startswith(f"  new  {checkpoint_hash(target)[:12]}  {target}  mIoU on held-out corrections 0.")

    code, _, err = fctl(*call)
    assert code == 2
    assert "not overwritten" in err


def test_the_only_region_of_a_class_is_learnt_from_and_that_is_said(
    fctl: Fctl, awake_checkpoint: Path, tmp_path: Path, make_rgb: Callable[..., np.ndarray]
) -> None:
    Image.fromarray(make_rgb(200, 320, seed=2)).save(tmp_path / "picture.png")
    image = open_image(tmp_path / "picture.png")
    table = ClassTable(classes=tuple(ClassInfo(name=n, color=(9, 9, 9)) for n in ("blue", "reef", "red")))
    with Corrections.create(tmp_path / "c.ome.zarr", image, table) as corrections:
        for number, value in enumerate((3, 3, 255, 3, 2, 1, 3, 255)):
            block = np.full((20, 20), value, np.uint8)
            corrections.write(10 + 120 * (number // 4), 10 + 80 * (number % 4), block, author="ann")
    locations = tmp_path / "picture.png", tmp_path / "c.ome.zarr"
    call = ("--checkpoint", awake_checkpoint, "--out", tmp_path / "new.safetensors", "--device", "cpu", "--steps", 1)
    code, _, err = fctl("finetune", *locations, *call, "--keep-anyway")
    assert code == 0, err
    said = (
        "Painted, but no class of awake: reef. It is kept, and not learned from.",
        "There is only one region of blue: it is learned from and not held out, so the gate cannot judge it; correct a "
        "second region.",
    )
    assert all(note in err for note in said)
    card = read_card(tmp_path / "new.safetensors")
    assert card.provenance["finetuning"]["notes"][:2] == list(said)
    request = finetune_request(
        image=str(locations[0]), checkpoint=str(awake_checkpoint), corrections=str(locations[1]), out="new.safetensors"
    )
    corrected = [Corrected(image, open_corrections(locations[1], image, card), str(locations[1]))]
    sets = choose_tiles(request, corrected, card)
    assert {int(v) for values in sets.targets.values() for v in np.unique(values)} >= {1, 3}  # red and blue, by name
    assert {int(v) for values in sets.held_out.values() for v in np.unique(values)} == {0, 1}
    few = choose_tiles(request.model_copy(update={"most_tiles": 1}), corrected, card)
    assert {int(v) for values in few.targets.values() for v in np.unique(values)} >= {1, 3}
    assert len(few.targets) < len(sets.targets)


@pytest.fixture
def more(locations: tuple[Path, Path], tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> Path:
    """A folder with three further images, of which two have corrections beside them."""
    folder = tmp_path / "more"
    folder.mkdir()
    for number in (1, 2, 3):
        Image.fromarray(make_rgb(200, 320, seed=10 + number)).save(folder / f"{number}.png")
        if number < 3:
            shutil.copytree(locations[1], folder / f"{number}.corrections.ome.zarr")
    return folder


def test_corrections_of_several_images_are_learnt_from_together(
    fctl: Fctl, locations: tuple[Path, Path], more: Path, awake_checkpoint: Path, tmp_path: Path
) -> None:
    one, two = more / "1.png", more / "2.png"
    options = ("--checkpoint", awake_checkpoint, "--device", "cpu", "--precision", "fp32", "--steps", 1)
    options = (*options, "--keep-anyway", "--parts", "decoder")
    beside, named = tmp_path / "moved.ome.zarr", [one, two]
    shutil.copytree(locations[1], beside)
    calls = [(locations[0], *named), (locations[0], beside, one, more / "1.corrections.ome.zarr", two)]
    calls += [(locations[0], more), (locations[0], str(more / "*.png"))]
    hashes = []
    for number, call in enumerate(calls):
        target = tmp_path / f"new-{number}.safetensors"
        outcome = fctl("finetune", *call, "--out", target, *options)
        assert outcome.code == 0, outcome.err
        assert f"3 images: {locations[0]}, {one}, {two}" in outcome.err
        record = read_card(target).provenance["finetuning"]
        hashes.append(record["corrections"])
        assert [record["image"]["name"], *(image["name"] for image in record["further_images"])] == [
            "picture",
            "1",
            "2",
        ]
    assert len(set(hashes)) == 1
    facts = fctl("info", target).out
    assert all(f"{name} (" in facts for name in ("picture", "1", "2"))
    assert "; learned from picture, 1, 2" in fctl("lineage", target).out


def test_corrections_are_paired_with_an_image_that_was_renamed(more: Path, awake_checkpoint: Path) -> None:
    image, corrections = more / "3.png", more / "3.corrections.ome.zarr"
    Corrections.create(corrections, open_image(image), read_card(awake_checkpoint).classes).close()
    renamed = image.rename(more / "three.png")
    assert find_pairs([str(renamed)], None) == [(str(renamed), str(corrections))]


def test_images_and_corrections_that_do_not_pair_are_one_sentence(
    fctl: Fctl, locations: tuple[Path, Path], more: Path, tmp_path: Path
) -> None:
    image, corrections = locations
    out = ("--out", tmp_path / "new.safetensors")
    for call, says in (
        ((corrections,), "is a label image that follows no image; name the image before its corrections"),
        ((image, corrections, corrections), "is a label image that follows no image"),
        ((more / "3.png",), f"{more / '3.png'}: has no corrections beside it"),
        ((image, more / "3.png", image), f"{more / '3.png'}: has no corrections beside it"),
        ((str(more / "3*"),), "none of its images has corrections beside it"),
        ((image, more / "gone.png"), "gone.png: there is no such file"),
        ((image, more / "1.png", "--image", 0), "--image is of one file, and several images are named"),
        ((image, more / "1.png", "--truth", "t.png"), "a ground truth is of one image"),
    ):
        assert says in fctl("finetune", *call, *out).sentence()


def test_what_does_not_fit_is_one_sentence(fctl: Fctl, locations: tuple[Path, Path], tmp_path: Path) -> None:
    call = ("finetune", *locations, "--out", tmp_path / "new.safetensors")
    for more, says in (
        (("--parts", "head"), "no part 'head'"),
        (("--checkpoint", "mars"), "no such checkpoint"),
        ((), "no pixel was given a class; paint some first. Painted, but no class of earth: blue, green, red"),
    ):
        code, _, err = fctl(*call, *more)
        assert code == 2
        assert says in err
        assert err.strip().count("\n") == 0
    assert fctl("finetune", *locations, "--out", tmp_path / "new.pt")[0] == 2
    assert fctl("lineage", tmp_path / "gone")[0] == 2


def test_only_affected_tiles_are_segmented_anew_and_it_is_said(
    fctl: Fctl, locations: tuple[Path, Path], awake_checkpoint: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    image, corrections = locations
    common = ("--device", "cpu", "--precision", "fp32")
    parent, child = tmp_path / "parent.ome.zarr", tmp_path / "child.ome.zarr"
    assert fctl("segment", image, "--out", parent, "--checkpoint", awake_checkpoint, *common)[0] == 0
    store = Segmentation.open(parent, mode="r+")
    for cell in store.grid.cells_in((0, 0, *store.shape)):  # sure everywhere: only strokes decide
        y0, x0, y1, x1 = store.grid.core(cell)
        store.confidence.write(y0, x0, np.full((y1 - y0, x1 - x0), 255, np.uint8))
    call = ("segment", image, "--checkpoint", tiny_checkpoint, *common)
    code, out, err = fctl(*call, "--out", child, "--inherit", parent)
    assert code == 2
    assert "--inherit and --corrections go together" in err
    code, out, _ = fctl(*call, "--out", child, "--inherit", parent, "--corrections", corrections)
    assert code == 0
    made = Segmentation.open(child)
    done = made.done()
    assert 0 < done.sum() < done.size
    assert f"{done.sum()} tiles by tiny" in out
    assert f"{(~done).sum()} tiles by awake, not computed anew" in fctl("info", child)[1]
    Image.fromarray(made.labels.read((0, 0, *made.shape)) - np.uint8(1)).save(tmp_path / "truth.png")
    figures = tmp_path / "figures.json"
    code, out, _ = fctl("evaluate", child, tmp_path / "truth.png", "--json", figures)
    assert code == 0
    assert f"{(~done).sum()} of the tiles are the parent's" in out
    assert json.loads(figures.read_text())["inherited_tiles"] == (~done).sum()
