"""Networks of other bands than red, green and blue: settings, input, and the weights that they start from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers_training import NETWORK
from pydantic import ValidationError

from fctl_napari.evaluation.cost import count_parameters, random_inputs
from fctl_napari.exceptions import ConfigError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import FCtLConfig, make_config
from fctl_napari.model.input_filters import refit_filters
from fctl_napari.model.model_card import Card
from fctl_napari.model.presets import preset
from fctl_napari.training.weight_init import start_from

FOUR = ("red", "green", "blue", "nir")
BASELINES = ("icnet",)
LARGE = ("unet", "segformer_b0", "segnet", "pspnet", "deeplabv3plus", "glnet")
ENCODERS = ("mit_b0", "efficientnet_lite0")
TABLE = ClassTable(classes=[ClassInfo(name=name, color=(0, 0, 0)) for name in "ab"])


def config_of(name: str, **fields: object) -> FCtLConfig:
    """A small network: FCtL over an encoder, or a baseline."""
    if name in ("mit_b0", "efficientnet_lite0", "vgg16", "resnet50"):
        return make_config(**{**NETWORK, "encoder": name, "classes": 2, **fields})
    return preset(name, tile_size=64, classes=2, **fields)


def test_settings_of_red_green_and_blue_say_nothing_of_bands() -> None:
    config = FCtLConfig()
    assert "bands" not in config.model_dump()
    assert config.in_channels == 3
    assert config.band_names == ("red", "green", "blue")


def test_a_name_alone_is_a_band() -> None:
    config = preset("fctl_lite", bands=[*FOUR[:3], {"name": "nir", "value_range": (0, 3000), "mean": 90, "std": 40}])
    assert config.in_channels == 4
    assert FCtLConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("bands", "problem"),
    [
        (["red", "nir", "red"], "'red' twice"),
        ([{"name": "nir", "value_range": (5, 5)}], "range"),
        ([{"name": "nir", "std": 0}], "greater than 0"),
        ([{"name": ""}], "1 or more characters"),
    ],
)
def test_bands_that_cannot_be_are_refused(bands: list, problem: str) -> None:
    with pytest.raises((ConfigError, ValidationError), match=problem):
        preset("fctl_lite", bands=bands)
    with pytest.raises(ConfigError, match="refiner"):
        preset("refiner", bands=["nir", "red"])


@pytest.mark.parametrize(
    "name",
    [*ENCODERS, *BASELINES, *(pytest.param(n, marks=pytest.mark.nightly) for n in ("vgg16", "resnet50", *LARGE))],
)
def test_a_network_of_the_same_bands_in_another_order_predicts_as_before(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = make_network(config_of(name)).eval()
    path = save_checkpoint(tmp_path / "rgb.safetensors", before, card_of(before.config), dtype=torch.float32)
    after = make_network(config_of(name, bands=["blue", "red", "green"])).eval()
    start_from(after, path)
    tile, contexts, windows = random_inputs(before.config, "cpu")
    turned = {key: value[:, [2, 0, 1]] for key, value in {"tile": tile, **contexts}.items()}
    with torch.no_grad():
        expected = before(tile, contexts, windows)
        found = after(turned.pop("tile"), turned, windows)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def card_of(config: FCtLConfig) -> Card:
    return Card(name="rgb", config=config, classes=TABLE)


def test_a_checkpoint_keeps_its_bands(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = make_network(config_of("mit_b0", bands=[{"name": "vv", "value_range": (-25, 0)}, "vh"])).eval()
    path = save_checkpoint(tmp_path / "sar.safetensors", network, card_of(network.config), dtype=torch.float32)
    loaded, card = load_checkpoint(path)
    assert card.config == network.config
    inputs = random_inputs(network.config, "cpu")
    with torch.no_grad():
        torch.testing.assert_close(loaded(*inputs), network(*inputs))


def test_filters_follow_the_names_of_bands() -> None:
    weight = torch.randn(5, 3, 3, 3)
    found = refit_filters(weight, FOUR[:3], ("nir", "blue", "red", "vv"))
    expected = torch.stack([weight.mean(1), weight[:, 2], weight[:, 0], weight.mean(1)], 1) * 3 / 4
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("wanted", [FOUR, ("vv", "vh"), ("nir",)])
def test_the_sum_over_new_bands_stays(wanted: tuple[str, ...]) -> None:
    weight = torch.randn(5, 1, 3, 3).expand(-1, 3, -1, -1)  # equal filters, and pixels that are gray
    torch.testing.assert_close(refit_filters(weight, FOUR[:3], wanted).sum(1), weight.sum(1))


@pytest.mark.parametrize("name", ["unet", pytest.param("mit_b0", marks=pytest.mark.nightly)])
def test_only_the_first_convolution_grows_with_the_bands(name: str) -> None:
    rgb, four = (config_of(name, bands=bands) for bands in ((), FOUR))
    own, wider = (dict(make_network(config).named_parameters()) for config in (rgb, four))
    grown = {key for key, value in wider.items() if value.shape != own[key].shape}
    assert grown == set(make_network(four).input_weights)
    assert count_parameters(four).total > count_parameters(rgb).total


def test_each_band_is_normalized_by_its_own_figures() -> None:
    bands = ["red", {"name": "nir", "mean": 100, "std": 20}, "dem"]
    encoder = make_network(config_of("mit_b0", bands=bands)).encoder("tile")
    rgb = make_network(config_of("mit_b0")).encoder("tile")
    pixels = torch.full((1, 3, 4, 4), 140.0)
    own, usual = encoder.normalize(pixels)[0, :, 0, 0], rgb.normalize(pixels)[0, :, 0, 0]
    assert own[0] == usual[0]
    assert float(own[1]) == pytest.approx(2.0)
    assert float(own[2]) == pytest.approx((140 - sum(rgb.mean) / 3) / (sum(rgb.std) / 3), rel=1e-5)
