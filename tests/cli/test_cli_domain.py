"""What commands say of images that are unlike a checkpoint's training data, or that it was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.image_colors import color_cells, sample_colors
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.domain import Confidence, Domain, SeenColors, SeenImage


@pytest.fixture
def informed(tmp_path: Path, tiny_checkpoint: Path, rgb_png: Path) -> Path:
    """A checkpoint of random weights whose card says that it was trained on the left half of ``image.png``."""
    model, card = load_checkpoint(tiny_checkpoint)
    image = open_image(rgb_png)
    domain = Domain(
        images=(SeenImage(name="image.png", fingerprint=fingerprint(image), regions=((0, 0, 150, 100),)),),
        colors=SeenColors.of(color_cells(sample_colors(image), 32, frequent=True), 32, 0.02),
        confidence=Confidence(mean=0.99, low=0.97, where="its validation regions"),
        pixel_size=(0.3, 0.5),
    )
    return save_checkpoint(tmp_path / "informed.safetensors", model, card.model_copy(update={"domain": domain}))


def segment(fctl: Fctl, image: Path, checkpoint: Path, *more: object) -> tuple[list[str], dict]:
    """Segment an image, and return the lines on stderr that are sentences, and what was written as JSON."""
    out, facts = image.with_suffix(".ome.zarr"), image.with_suffix(".json")
    arguments = ("--out", out, "--checkpoint", checkpoint, "--device", "cpu", "--json", facts)
    done = fctl("segment", image, *arguments, *more)
    assert done.code == 0, done.err
    return [line for line in done.err.splitlines() if line.endswith(".")], json.loads(facts.read_text())


def test_an_image_unlike_the_training_data_is_warned_of_in_one_line(
    fctl: Fctl, rgb_png: Path, tmp_path: Path, informed: Path, tiny_checkpoint: Path
) -> None:
    dark = tmp_path / "dark.png"
    Image.fromarray(np.asarray(Image.open(rgb_png)) // 9).save(dark)
    early, late = segment(fctl, dark, informed)[0]
    assert early.startswith(f"{dark}: is unlike the data that tiny was trained on: ")
    assert "% of it has colors that they lack (2 % is usual); expect wrong classes" in early
    assert ": the mean confidence is 0." in late
    lines, facts = segment(fctl, dark, informed)
    assert "colors that they lack" in facts["warning"]
    assert "mean confidence" in facts["warning"]
    assert facts["checkpoint"] == "tiny"
    assert facts["segmentation"].endswith("dark.ome.zarr")
    lines, facts = segment(fctl, rgb_png, informed)
    assert len(lines) == 1, "its colors are known, and the network is not sure of itself"
    assert "the mean confidence is 0." in lines[0]
    assert lines[0] == facts["warning"]
    lines, facts = segment(fctl, dark, tiny_checkpoint, "--fresh")
    assert (lines, facts["warning"]) == ([], None)


def test_figures_say_what_the_network_was_trained_on(fctl: Fctl, rgb_png: Path, tmp_path: Path, informed: Path) -> None:
    segment(fctl, rgb_png, informed)
    result, truth, figures = rgb_png.with_suffix(".ome.zarr"), tmp_path / "truth.png", tmp_path / "f.json"
    Image.fromarray(np.zeros((150, 200), np.uint8)).save(truth)
    done = fctl("evaluate", result, truth, "--json", figures)
    assert done.code == 0, done.err
    assert "tiny was trained on 50 % of this image: figures here flatter it." in done.out
    assert "is unlike the data that tiny was trained on: the mean confidence is 0." in done.err
    document = json.loads(figures.read_text())
    assert document["trained_on"]["share"] == 0.5
    assert "mean confidence" in document["warning"]
    assert document["context_reliance"] is not None, "its checkpoint lies beside it"
    for region, words in (((0, 0, 99, 90), "trained on this region"), ((0, 100, 99, 190), "not on this region")):
        assert words in fctl("evaluate", result, truth, "--region", *region).out
    done = fctl("compare", result, result, truth)
    assert done.out.count(f"{result}: tiny was trained on 50 % of this image") == 2, done.err
    informed.unlink()
    done = fctl("evaluate", result, truth, "--json", figures)
    assert "trained on" not in done.out
    assert {"trained_on", "warning"}.isdisjoint(json.loads(figures.read_text()))


def test_info_compares_an_image_with_a_checkpoint(fctl: Fctl, rgb_png: Path, tiny_checkpoint: Path) -> None:
    scene = sample_files().image
    said = fctl("info", scene, "--checkpoint", "earth").out
    assert "for earth    nothing speaks against it\n" in said
    assert "trained      earth was trained on 60 % of this image: figures here flatter it.\n" in said
    assert "unlike the data that aerial was trained on: 48 % of it" in fctl("info", scene, "--checkpoint", "aerial").out
    assert "has no facts of what it was trained on" in fctl("info", rgb_png, "--checkpoint", tiny_checkpoint).out
    assert "give the image" in fctl("info", "earth", "--checkpoint", "earth").sentence()
    assert "no such checkpoint" in fctl("info", rgb_png, "--checkpoint", "mars").sentence()


def test_info_says_what_a_checkpoint_was_trained_on(fctl: Fctl, tiny_checkpoint: Path) -> None:
    said = fctl("info", "earth").out
    assert "trained on        earth.jpg\n" in said
    assert "their px          5.2 km to 7.4 km\n" in said
    assert "confidence        0.95 on its validation bands; below 0.81 in a tenth of the tiles\n" in said
    assert "their px          0.3 m to 1 m" in fctl("info", "aerial").out
    assert "trained on" not in fctl("info", tiny_checkpoint).out


def test_a_result_is_no_image_to_compare(fctl: Fctl, make_segmentation: Callable) -> None:
    result = make_segmentation(np.ones((90, 90), np.uint8)).path
    done = fctl("info", result, "--checkpoint", "earth")
    assert "is no image; leave --checkpoint out" in done.sentence()
    assert done.out == ""
