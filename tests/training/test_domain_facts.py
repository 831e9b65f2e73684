"""Facts of training data in a card: measured when a network is trained, kept and added to when it is fine-tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_training import NO_CONTEXT, make, write_scene
from PIL import Image

from fctl_napari.evaluation.domain import out_of_domain
from fctl_napari.evaluation.trained_on import seen_images, trained_on
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import Card, read_card
from fctl_napari.training import trainer
from fctl_napari.training.data import open_scenes
from fctl_napari.training.data_settings import DataSettings
from fctl_napari.training.domain_facts import measure_domain
from fctl_napari.training.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Card]:
    """A folder with a scene, and the card of a network that was trained on it."""
    folder = write_scene(tmp_path_factory.mktemp("trained"))
    config = make(steps=1, network=NO_CONTEXT)
    return folder, read_card(train(config, folder / "run", data_folder=folder, device="cpu"))


def test_training_writes_them_into_the_card(trained: tuple[Path, Card]) -> None:
    folder, card = trained
    assert card.domain is not None
    scene = open_image(folder / "scene.png")
    (seen,) = card.domain.images
    assert (seen.name, seen.fingerprint) == ("scene.png", fingerprint(scene))
    assert seen.regions == ((0, 0, 160, 160),)
    found = trained_on(card, scene, scene.shape)
    assert found is not None
    assert found.share == pytest.approx(160 / 256)
    assert card.domain.colors is not None
    assert card.domain.colors.usual < 0.1
    assert card.domain.confidence is not None
    assert 0.4 < card.domain.confidence.low <= card.domain.confidence.mean <= 1
    assert card.domain.confidence.where == "its validation regions"
    assert card.domain.pixel_size is None


def test_the_scene_is_like_itself_and_a_tinted_one_is_not(trained: tuple[Path, Card]) -> None:
    folder, card = trained
    assert out_of_domain(open_image(folder / "scene.png"), card) is None
    tinted = np.asarray(Image.open(folder / "scene.png")) // np.array([1, 2, 4], np.uint8)
    assert "colors that they lack" in str(out_of_domain(pyramid_from_array(tinted), card))


def test_a_network_that_starts_from_it_knows_its_images_too(trained: tuple[Path, Card], tmp_path: Path) -> None:
    folder, card = trained
    other = write_scene(tmp_path)
    pixels = np.asarray(Image.open(other / "scene.png"))
    Image.fromarray(255 - pixels).save(other / "scene.png")
    config = make(measured=False, steps=1, network=NO_CONTEXT, init_from=str(folder / "run" / "tiny.safetensors"))
    child = read_card(train(config, tmp_path / "run", data_folder=other, device="cpu"))
    assert [one.fingerprint for one in seen_images(child)] == [
        fingerprint(open_image(other / "scene.png")),
        *(one.fingerprint for one in seen_images(card)),
    ]
    assert child.domain is not None
    assert child.domain.confidence is None, "nothing was held out to measure it on"


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c")])
def test_images_of_any_colors_are_like_those_they_were_trained_with(names: tuple[str, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in names:  # every color occurs: in cells of 8 levels each would be a color of its own
        Image.fromarray(rng.integers(0, 256, (200, 200, 3), np.uint8)).save(tmp_path / f"{name}.png")
        Image.fromarray(rng.integers(0, 2, (200, 200), np.uint8)).save(tmp_path / f"{name}_mask.png")
    scenes = [{"image": f"{name}.png", "truth": f"{name}_mask.png"} for name in names]
    classes = {"classes": [{"name": "x", "color": (0, 0, 0)}, {"name": "y", "color": (9, 9, 9)}]}
    opened, table = open_scenes(DataSettings.model_validate({"scenes": scenes, "classes": classes}), tmp_path)
    config = make(network=NO_CONTEXT).network_config(2)
    domain = measure_domain(opened, config)
    card = Card(name="any", config=config, classes=table, domain=domain)
    for seed in range(5):
        pixels = np.random.default_rng([1, seed]).integers(0, 256, (90, 150, 3), np.uint8)
        assert out_of_domain(pyramid_from_array(pixels), card) is None


def test_no_trained_network_is_lost_for_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InputError("scene.png: is damaged at rows 0 to 9; fetch it again.")

    monkeypatch.setattr(trainer, "measure_domain", fail)
    folder = write_scene(tmp_path)
    config = make(measured=False, steps=1, network=NO_CONTEXT)
    with pytest.warns(UserWarning, match=r"keeps no facts of the training data: scene\.png: is damaged"):
        card = read_card(train(config, folder / "run", data_folder=folder, device="cpu"))
    assert card.domain is None
    assert [one.name for one in seen_images(card)] == ["scene.png"], "its provenance knows them"
