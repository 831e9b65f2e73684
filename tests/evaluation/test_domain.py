"""What a model card knows of its training data, and what is said of images and results that are unlike them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.evaluation.domain import (
    domain_facts,
    domain_of_result,
    fitting_checkpoint,
    mean_confidence,
    out_of_domain,
    result_differences,
)
from fctl_napari.evaluation.trained_on import Trained, seen_images, trained_on
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.image_colors import color_cells, sample_colors
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.sample import sample_files, sample_splits
from fctl_napari.model.domain import Confidence, Domain, SeenColors, SeenImage
from fctl_napari.model.model_card import Card, builtin_checkpoints, read_card

CARDS = {name: read_card(path) for name, path in builtin_checkpoints().items()}


def of_domain(card: Card, count: int = 40_000) -> Pyramid:
    """An image of px drawn from the colors of a card's training data: a scene like them, which the repository lacks."""
    assert card.domain is not None
    assert card.domain.colors is not None
    cells = np.array(card.domain.colors.cells)
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(cells), count, p=cells[:, -1] / cells[:, -1].sum())
    return pyramid_from_array(np.rint(cells[chosen, :3]).astype(np.uint8).reshape(200, -1, 3))


def card_of(image: np.ndarray, **fields: object) -> Card:
    """The card of ``earth`` with the colors of an image as those of its training data."""
    cells = color_cells(sample_colors(pyramid_from_array(image)), 32, frequent=True)
    domain = Domain(colors=SeenColors.of(cells, 32, 0.01)).model_copy(update=fields)
    return CARDS["earth"].model_copy(update={"name": "mine", "domain": domain})


def placed(crs: str, transform: tuple[float, ...], image: np.ndarray) -> Pyramid:
    return pyramid_from_array(image, georeference=Georeference(crs, transform))


def test_each_builtin_checkpoint_knows_its_own_scene_and_is_warned_of_the_others() -> None:
    scene = open_image(sample_files().image)
    assert out_of_domain(scene, CARDS["earth"]) is None
    said = out_of_domain(scene, CARDS["aerial"])
    assert said is not None
    assert said.startswith(f"{sample_files().image}: is unlike the data that aerial was trained on: 48 % of it")
    assert "has colors that they lack (7 % is usual); expect wrong classes" in said
    dubai = of_domain(CARDS["aerial"])
    assert out_of_domain(dubai, CARDS["aerial"]) is None
    assert "of it has colors that they lack" in str(out_of_domain(dubai, CARDS["earth"]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1770 - 500), st.integers(0, 5400 - 500), st.integers(300, 500))
def test_no_large_part_of_its_own_scene_is_unlike_it(y: int, x: int, side: int) -> None:
    pixels = np.asarray(Image.open(sample_files().image))[y : y + side, x : x + side]
    assert out_of_domain(pyramid_from_array(pixels), CARDS["earth"]) is None


@pytest.mark.parametrize("change", ["bgr", "gray", "negative"])
def test_the_scene_in_other_colors_is_unlike_it(change: str) -> None:
    pixels = np.asarray(Image.open(sample_files().image))
    changed = {
        "bgr": pixels[..., ::-1],
        "gray": np.repeat(pixels.mean(2, keepdims=True), 3, 2),
        "negative": 255 - pixels,
    }
    assert (
        out_of_domain(pyramid_from_array(np.ascontiguousarray(changed[change], np.uint8)), CARDS["earth"]) is not None
    )


def test_px_of_another_size_are_said_with_both_sizes(make_rgb: Callable) -> None:
    pytest.importorskip("rasterio")
    image = make_rgb(60, 80)
    card = card_of(image, pixel_size=(0.3, 0.6))
    for crs, transform, far in (
        ("EPSG:32632", (0.5, 0, 500000, 0, -0.5, 5e6), None),
        ("EPSG:32632", (0.11, 0, 500000, 0, -0.11, 5e6), None),
        ("EPSG:32632", (10, 0, 500000, 0, -10, 5e6), "its px are 10 m, theirs 0.3 m to 0.6 m"),
        ("EPSG:4326", (1 / 15, 0, 0, 0, -1 / 15, 2), "its px are 7.4 km, theirs 0.3 m to 0.6 m"),
        ("EPSG:4326", (4.5e-6, 0, 0, 0, -4.5e-6, 0), None),
        ("EPSG:3857", (1.0, 0, 0, 0, -1.0, 8399737), None),  # at 60 N a metre of Web Mercator is half of one
        ("EPSG:2263", (1.64, 0, 980000, 0, -1.64, 200000), None),  # feet
        ('LOCAL_CS["unknown"]', (10, 0, 0, 0, -10, 0), None),
    ):
        said = out_of_domain(placed(crs, transform, image), card)
        assert said == far or (far is not None and far in str(said)), (crs, said)


def test_the_unit_of_a_file_counts_too(tmp_path: Path, make_rgb: Callable) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", make_rgb(60, 80), resolution=(40000, 40000), resolutionunit="CENTIMETER")
    slide = open_image(tmp_path / "slide.tif")
    assert "its px are 0.25 µm, theirs 0.3 m" in str(
        out_of_domain(slide, card_of(make_rgb(60, 80), pixel_size=(0.3, 0.3)))
    )


def test_px_without_data_do_not_count(tmp_path: Path, make_rgb: Callable) -> None:
    image = make_rgb(400, 400)
    framed = np.zeros((4000, 400, 4), np.uint8)
    framed[3600:] = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    assert out_of_domain(pyramid_from_array(framed, alpha=True), card_of(image)) is None
    framed[..., 3] = 255
    assert "colors that they lack" in str(out_of_domain(pyramid_from_array(framed, alpha=True), card_of(image)))


def test_cards_without_facts_and_images_that_cannot_be_read_say_nothing(make_rgb: Callable) -> None:
    bare = CARDS["earth"].model_copy(update={"domain": None})
    image = pyramid_from_array(make_rgb(60, 80))
    assert out_of_domain(image, bare) is None
    assert domain_facts(bare) == {}
    assert fitting_checkpoint(image, {"bare": bare}) is None
    unread = pyramid_from_array(np.zeros((60, 80, 6), np.uint16))
    assert out_of_domain(unread, CARDS["earth"]) is None
    assert fitting_checkpoint(unread, CARDS) is None


def test_what_was_trained_on_an_image_fits_it_whatever_its_file_says(make_rgb: Callable) -> None:
    pytest.importorskip("rasterio")
    image = placed("EPSG:32632", (10, 0, 500000, 0, -10, 5e6), make_rgb(60, 80))
    seen = SeenImage(name="a", fingerprint=fingerprint(image))
    for images, fitting in (((), None), ((seen,), "mine")):
        card = card_of(make_rgb(60, 80), pixel_size=(0.3, 0.6), images=images)
        assert "its px are 10 m" in str(out_of_domain(image, card))
        assert fitting_checkpoint(image, {"mine": card}) == fitting


# -- results -------------------------------------------------------------------------------------------------------


def test_a_result_that_is_less_sure_than_usual_is_pointed_out(make_segmentation: Callable) -> None:
    labels = np.ones((900, 900), np.uint8)
    labels[:, 800:] = 0  # not computed, which has no confidence
    known = Confidence(mean=0.9, low=0.8, where="its validation regions")
    card = card_of(np.zeros((9, 9, 3), np.uint8), confidence=known)
    result = make_segmentation(labels, confidence=np.full(labels.shape, 150))
    assert mean_confidence(result) == pytest.approx(150 / 255)
    assert result_differences(result, card) == ["the mean confidence is 0.59, on its validation regions 0.90"]
    image = pyramid_from_array(np.zeros((900, 900, 3), np.uint8))
    assert "0.59" in str(out_of_domain(image, card, result))
    sure = card_of(np.zeros((9, 9, 3), np.uint8), confidence=known.model_copy(update={"low": 0.63}))
    assert result_differences(result, sure) == []
    assert result_differences(result, CARDS["earth"].model_copy(update={"domain": None})) == []


# -- trained on it -------------------------------------------------------------------------------------------------


def test_the_sample_scene_is_known_by_its_pixels_and_its_bands(tmp_path: Path) -> None:
    shutil.copy(sample_files().image, tmp_path / "renamed.jpg")
    scene = open_image(tmp_path / "renamed.jpg")
    assert fitting_checkpoint(scene, CARDS) == "earth"
    assert trained_on(CARDS["aerial"], scene, scene.shape) is None
    found = trained_on(CARDS["earth"], scene, scene.shape)
    assert found is not None
    assert found.share == pytest.approx(0.6, abs=0.01)
    assert found.words("earth") == "earth was trained on 60 % of this image: figures here flatter it."
    for part, share in (("test", 0), ("train", 1)):
        for x0, x1 in sample_splits()[part]:
            assert trained_on(CARDS["earth"], scene, scene.shape, (100, x0, 900, x1)) == Trained(share, False)
    assert Trained(0, False).words("earth", "this region").endswith("other parts of this image, not on this region.")


def test_cards_of_versions_without_facts_name_their_images_too() -> None:
    provenance = {
        "data": {"a.png": "px1-aa-99", "b.png": "px1-bb-99", "old.png": "0123"},
        "trained_on": {"a.png": [[0, 0, 10, 5]]},
        "finetuning": {"image": {"name": "c", "fingerprint": "px1-cc"}},
    }
    card = CARDS["earth"].model_copy(update={"domain": None, "provenance": provenance})
    assert [(one.name, one.corrected) for one in seen_images(card)] == [("a.png", False), ("c", True)]
    assert trained_on(card, "px1-aa", (10, 10)) == Trained(0.5, False)
    assert trained_on(card, "px1-bb", (10, 10)) is None, "it was not trained on this one, but measured"
    found = trained_on(card, "px1-cc", (10, 10))
    assert found is not None
    assert found.words("it") == "it was fine-tuned on corrections of this image: figures here flatter it."


def test_an_image_that_nothing_knows_fits_no_checkpoint(make_rgb: Callable) -> None:
    image = make_rgb(300, 300)
    assert fitting_checkpoint(pyramid_from_array(image), CARDS) is None
    near, far = card_of(image, pixel_size=(0.5, 0.5)), card_of(image, pixel_size=(1.4, 2.0))
    own = card_of(
        make_rgb(300, 300, seed=1), images=(SeenImage(name="a", fingerprint=fingerprint(pyramid_from_array(image))),)
    )
    assert fitting_checkpoint(pyramid_from_array(image), {"far": far, "near": near}) in ("far", "near")
    pytest.importorskip("rasterio")
    there = placed("EPSG:32632", (0.5, 0, 500000, 0, -0.5, 5e6), image)
    assert fitting_checkpoint(there, {"far": far, "near": near}) == "near"
    assert fitting_checkpoint(there, {"far": far, "near": near, "own": own}) in ("own", "near")


def test_a_result_whose_image_is_gone_is_still_known(
    tmp_path: Path, make_segmentation: Callable, make_rgb: Callable
) -> None:
    Image.fromarray(make_rgb(60, 80)).save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    result = make_segmentation(np.ones((60, 80), np.uint8), image=image)
    assert domain_of_result(result).trained is None, "its checkpoint is not at hand"
    seen = SeenImage(name="a.png", fingerprint=fingerprint(image), regions=((0, 0, 30, 80),))
    card = card_of(make_rgb(60, 80), images=(seen,))
    (tmp_path / "a.png").unlink()
    assert trained_on(card, result.facts["image"]["fingerprint"], result.shape) == Trained(0.5, False)


def test_facts_survive_a_card() -> None:
    for card in CARDS.values():
        assert Card.model_validate_json(card.model_dump_json()) == card
        facts = domain_facts(card)
        assert {"trained on", "their px", "their colors", "confidence", "note"} <= facts.keys()
        old = json.loads(card.model_dump_json())
        del old["domain"]
        assert Card.model_validate(old).domain is None


def test_a_copy_of_a_builtin_checkpoint_has_its_facts(tmp_path: Path) -> None:
    for name, path in builtin_checkpoints().items():
        copy = Path(shutil.copy(path, tmp_path / f"mine-{name}.safetensors"))
        assert read_card(copy).domain == CARDS[name].domain
