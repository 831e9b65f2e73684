"""A network of four bands, from training to the segmentation of images that hold them in another order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_bands import NAMES, four_band_scene, write_bands, write_four_bands
from helpers_training import NETWORK

from fctl_napari.exceptions import ConfigError, InputError
from fctl_napari.figures.explanation import explanation_figure
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.training.band_figures import with_band_figures
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import open_scenes
from fctl_napari.training.recipes import read_recipe
from fctl_napari.training.trainer import Trainer

pytest.importorskip("rasterio")

BANDS = ["red", "green", "blue", "nir"]


def recipe(**fields: Any) -> TrainConfig:
    """A short training on the made set, of a small network."""
    network = {**NETWORK, "bands": BANDS, **fields.pop("network", {})}
    usual = {
        "name": "four",
        "network": network,
        "data": {"layout": "auto"},
        "steps": 25,
        "batch": 2,
        "learning_rate": 2e-3,
        "loss": "cross_entropy",
        "precision": "fp32",
    }
    return TrainConfig.model_validate(usual | fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made set."""
    return write_four_bands(tmp_path_factory.mktemp("made") / "set")


@pytest.fixture(scope="module")
def checkpoint(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that was trained on it."""
    return Trainer(recipe(), tmp_path_factory.mktemp("run"), data_folder=folder, device="cpu").run()


def segment(engine: Engine, image: Path, checkpoint: Path, out: Path, **fields: Any) -> Segmentation:
    request = SegmentationRequest(
        image=str(image), out=str(out), checkpoint=str(checkpoint), precision="fp32", **fields
    )
    final = engine.start(request).wait()
    if final.error is not None:
        raise final.error
    return Segmentation.open(out)


def test_the_card_says_what_the_network_takes(checkpoint: Path) -> None:
    config = read_card(checkpoint).config
    assert config.band_names == tuple(BANDS)
    nir = config.bands[3]
    assert nir.value_range is not None
    low, high = nir.value_range
    assert 300 < low < 900  # artificial turf reflects 900 +- 150
    assert 4000 < high < 4700  # meadow 4000 +- 150
    assert nir.mean is not None
    assert config.bands[0].mean is None  # red is normalized as the encoder's weights expect it


def test_near_infrared_is_learned(checkpoint: Path) -> None:
    """Meadow and artificial turf look the same in red, green and blue, so that chance is an IoU of about a third."""
    iou = read_card(checkpoint).figures["val"]["iou"]
    assert min(iou.values()) > 0.6


def test_the_order_of_an_images_bands_does_not_matter(checkpoint: Path, tmp_path: Path, command_engine: Engine) -> None:
    bands, classes = four_band_scene(7)
    results = []
    for number, order in enumerate((NAMES, ("nir", "red", "blue", "green"))):
        image = write_bands(tmp_path / f"{number}.tif", bands, order)
        found = segment(command_engine, image, checkpoint, tmp_path / f"{number}.ome.zarr")
        assert [order[index] for index in found.settings["network_bands"]] == BANDS
        results.append(found.labels.read((0, 0, *classes.shape)))
    np.testing.assert_array_equal(*results)
    assert (results[0] == classes + 1).mean() > 0.8


def test_names_are_stated_for_an_image_without(checkpoint: Path, tmp_path: Path, command_engine: Engine) -> None:
    bands, classes = four_band_scene(7)
    image = write_bands(tmp_path / "unnamed.tif", bands, named=False)
    with pytest.raises(InputError, match=r"unnamed.tif: has no band .*--band-names"):
        segment(command_engine, image, checkpoint, tmp_path / "refused.ome.zarr")
    assert not (tmp_path / "refused.ome.zarr").exists()
    found = segment(command_engine, image, checkpoint, tmp_path / "result.ome.zarr", bands=NAMES)
    assert found.settings["bands"] == list(NAMES)
    assert (found.labels.read((0, 0, *classes.shape)) == classes + 1).mean() > 0.8


def test_an_image_that_lacks_a_band_is_refused(checkpoint: Path, tmp_path: Path, command_engine: Engine) -> None:
    bands, _ = four_band_scene(7)
    image = write_bands(tmp_path / "rgb.tif", bands, ("red", "green", "blue"))
    with pytest.raises(InputError, match=r"has no band nir .*takes red, green, blue, nir"):
        segment(command_engine, image, checkpoint, tmp_path / "result.ome.zarr")


def test_an_image_of_other_units_is_refused(checkpoint: Path, tmp_path: Path, command_engine: Engine) -> None:
    bands, _ = four_band_scene(7)
    image = write_bands(
        tmp_path / "dark.tif", {name: (values / 1000).astype(np.uint16) for name, values in bands.items()}
    )
    with pytest.raises(InputError, match=r"dark\.tif: its values .* are of other units"):
        segment(command_engine, image, checkpoint, tmp_path / "result.ome.zarr")
    assert not (tmp_path / "result.ome.zarr").exists()


def test_a_pixel_is_explained(checkpoint: Path, tmp_path: Path) -> None:
    bands, classes = four_band_scene(7)
    image = write_bands(tmp_path / "scene.tif", bands)
    explained = explain(image, checkpoint, (80, 112), device="cpu", precision="fp32")
    assert explained.probabilities.argmax() == classes[80, 112]
    assert explanation_figure(explained).get_axes()


def test_figures_of_bands_are_those_of_the_training_regions(folder: Path) -> None:
    config = recipe()
    scenes, table = open_scenes(config.data, folder)
    network = with_band_figures(config.network_config(len(table.names)), scenes)
    values = np.concatenate(
        [s.pyramid.read_native((0, 0, *s.pyramid.shape))[..., 3].ravel() for s in scenes if s.train]
    )
    low, high = network.bands[3].value_range or (0, 0)
    scaled = np.clip((values - low) / (high - low) * 255, 0, 255)
    assert (low, high) == pytest.approx(np.percentile(values, (0.1, 99.9)), rel=0.1)
    assert network.bands[3].mean == pytest.approx(scaled.mean(), rel=0.05)
    assert network.bands[3].std == pytest.approx(scaled.std(), rel=0.05)
    assert with_band_figures(network, scenes) == network  # what is stated stays


def test_a_start_keeps_the_figures_that_its_weights_were_learned_with(
    checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    config = recipe(init_from=str(checkpoint), network={"bands": ["nir", "red"]}, steps=1)
    trained = Trainer(config, tmp_path, data_folder=folder, device="cpu").model.config
    parent = read_card(checkpoint).config
    assert trained.bands == (parent.bands[3], parent.bands[0])


def test_the_recipe_is_of_four_bands_and_starts_from_three(folder: Path, tmp_path: Path) -> None:
    fields = read_recipe("four_bands", {"network.tile_size": 64, "network.contexts": [], "network.ale": "none"})
    trainer = Trainer(TrainConfig.model_validate(fields), tmp_path, data_folder=folder, device="cpu")
    assert trainer.model.config.band_names == tuple(BANDS)
    assert "aerial" in trainer.started[0]
    weight = trainer.model.state_dict()[trainer.model.input_weights[0]]
    assert weight.shape[1] == 4
    assert weight.abs().sum((0, 2, 3)).min() > 0


def test_a_network_of_red_green_and_blue_still_asks(folder: Path, tmp_path: Path) -> None:
    image = open_image(folder / "images" / "scene0.tif")
    assert image.bands == (2, 1, 0)
    with pytest.raises((InputError, ConfigError), match="--range"):
        Trainer(recipe(network={"bands": ()}), tmp_path, data_folder=folder, device="cpu")


def test_values_of_other_units_are_refused(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    """A start keeps its ranges, unless others are stated; reflectance of 0..1 lies in none of them."""
    import shutil

    import rasterio

    other = shutil.copytree(folder, tmp_path / "set")
    for path in (other / "images").iterdir():
        with rasterio.open(path) as file:
            values, profile = file.read(), file.profile | {"dtype": "float32"}
        with rasterio.open(path, "w", **profile) as file:
            file.write(values.astype(np.float32) / 10000)
            file.descriptions = NAMES
    config = recipe(init_from=str(checkpoint), steps=1)
    with pytest.raises(InputError, match=r"its values of red .*--range LO HI"):
        Trainer(config, tmp_path / "refused", data_folder=other, device="cpu")
    stated = recipe(init_from=str(checkpoint), steps=1, data={"layout": "auto", "value_range": (0, 0.5)})
    trained = Trainer(stated, tmp_path / "run", data_folder=other, device="cpu").model.config
    assert {band.value_range for band in trained.bands} == {(0, 0.5)}
    with pytest.raises(ConfigError, match="by their names"):
        recipe(data={"layout": "auto", "bands": (2, 1, 0)}).network_config(3)


def test_other_names_of_bands_are_the_same_network(folder: Path, tmp_path: Path) -> None:
    """Weights and figures are those of the bands, however the recipe calls them."""
    spelled = {"init_from": "aerial", "preset": "fctl_lite", "steps": 1}
    networks = []
    for number, bands in enumerate((BANDS, ["B04", "Band 2 - Green", "490 nm", "Near Infrared"])):
        config = recipe(**spelled).model_copy(
            update={"network": {"tile_size": 64, "contexts": [], "ale": "none", "bands": bands}}
        )
        networks.append(Trainer(config, tmp_path / str(number), data_folder=folder, device="cpu").model)
    one, other = networks
    assert one.config == other.config
    (weight,) = one.input_weights
    np.testing.assert_array_equal(one.state_dict()[weight], other.state_dict()[weight])
