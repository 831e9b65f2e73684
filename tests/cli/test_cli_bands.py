"""What is said and taken of bands: ``--bands``, ``--band-names``, and networks with bands of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_bands import NAMES, four_band_scene, write_bands, write_four_band_network
from helpers_commands import Fctl

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.store.store import Segmentation

pytest.importorskip("rasterio")
pytestmark = pytest.mark.usefixtures("command_engine")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of four bands."""
    return write_four_band_network(tmp_path_factory.mktemp("four") / "four.safetensors")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bands(tmp_path_factory.mktemp("image") / "scene.tif", four_band_scene(0, (70, 90))[0])


def test_info_says_which_bands_a_network_takes(fctl: Fctl, checkpoint: Path) -> None:
    code, out, _ = fctl("info", checkpoint)
    assert code == 0
    assert "red (0 .. 5000), green (0 .. 5000), blue (0 .. 5000), nir (0 .. 5000)" in out


def test_what_a_network_does_not_heed_is_refused(fctl: Fctl, checkpoint: Path, image: Path, tmp_path: Path) -> None:
    call = ("segment", image, "--checkpoint", checkpoint, "--out", tmp_path / "s.ome.zarr")
    for more, words in (
        (("--bands", 2, 1, 0), "--bands: the network finds its bands (red, green, blue, nir) by their names"),
        (("--range", 0, 4000), "--range: the network reads its bands (red, green, blue, nir) in ranges of its own"),
        (("--bands", 2, 1, 0, "--band-names", "a,b,c,d"), "give one of them"),
        (("--band-names", "blue,,red,nir"), "holds an empty name"),
        (("--band-names", "blue,green,red"), "has 4 bands, and 3 names are stated"),
        (("--band-names", "blue,green,red,swir"), "has no band nir"),
    ):
        assert words in fctl(*call, *more).sentence()
    assert not (tmp_path / "s.ome.zarr").exists()


def test_stated_names_go_before_those_of_the_file(fctl: Fctl, checkpoint: Path, image: Path, tmp_path: Path) -> None:
    call = ("segment", image, "--checkpoint", checkpoint, "--device", "cpu")
    assert fctl(*call, "--out", tmp_path / "own.ome.zarr").code == 0
    assert fctl(*call, "--out", tmp_path / "said.ome.zarr", "--band-names", "nir,green,red,blue").code == 0
    own, said = (Segmentation.open(tmp_path / f"{name}.ome.zarr").settings for name in ("own", "said"))
    assert [NAMES[index] for index in own["network_bands"]] == ["red", "green", "blue", "nir"]
    assert said["network_bands"] == [2, 1, 3, 0]


def test_a_network_of_red_green_and_blue_takes_names_too(fctl: Fctl, tmp_path: Path, tiny_checkpoint: Path) -> None:
    stored = np.random.default_rng(0).integers(1, 255, (40, 60, 4)).astype(np.uint8)
    np.save(tmp_path / "bgrn.npy", stored)
    np.save(tmp_path / "rgb.npy", stored[..., [2, 1, 0]])
    call = ("--checkpoint", tiny_checkpoint, "--device", "cpu", "--precision", "fp32", "--out")
    named = fctl("segment", tmp_path / "bgrn.npy", "--band-names", "blue,green,red,nir", *call, tmp_path / "a.ome.zarr")
    plain = fctl("segment", tmp_path / "rgb.npy", *call, tmp_path / "b.ome.zarr")
    assert (named.code, plain.code) == (0, 0)
    one, other = (Segmentation.open(tmp_path / f"{name}.ome.zarr").labels.read((0, 0, 40, 60)) for name in "ab")
    np.testing.assert_array_equal(one, other)


def test_a_network_of_four_bands_is_fine_tuned(fctl: Fctl, checkpoint: Path, image: Path, tmp_path: Path) -> None:
    with Corrections.create(tmp_path / "c.ome.zarr", open_image(image), read_card(checkpoint).classes) as corrections:
        for number, value in enumerate((1, 2, 3, 1, 2, 3)):
            corrections.write(10 * number, 20, np.full((8, 40), value, np.uint8), author="ann")
    target = tmp_path / "new.safetensors"
    call = ("finetune", image, tmp_path / "c.ome.zarr", "--checkpoint", checkpoint, "--out", target, "--device", "cpu")
    assert "in ranges of its own" in fctl(*call, "--range", 0, 4000).sentence()
    code, _, err = fctl(*call, "--steps", 1, "--keep-anyway")
    assert code == 0, err
    assert read_card(target).config == read_card(checkpoint).config
