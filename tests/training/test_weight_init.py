"""A network that starts from a checkpoint takes its classes over by their names."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_training import NETWORK, NO_CONTEXT, make, write_scene
from PIL import Image

from fctl_napari.exceptions import ConfigError, OutputError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import Card, read_card
from fctl_napari.model.network import Network
from fctl_napari.model.presets import preset
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.train import train
from fctl_napari.training.trainer import Trainer
from fctl_napari.training.weight_init import start_from

NAMES = ("water", "land", "road")
KINDS = {
    "fctl": preset("fctl_lite", **NETWORK, classes=3),
    **{name: preset(name, tile_size=64, classes=3) for name in ("unet", "segformer_b0", "refiner")},
}


def table(names: tuple[str, ...]) -> ClassTable:
    return ClassTable.model_validate({"classes": [{"name": n, "color": (k, k, k)} for k, n in enumerate(names)]})


def saved(path: Path, config: FCtLConfig, names: tuple[str, ...]) -> Path:
    torch.manual_seed(1)
    model = make_network(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return save_checkpoint(path, model, Card(name=path.stem, config=config, classes=table(names)))


def said_by(model: Network, config: FCtLConfig) -> torch.Tensor:
    """Logits of some tiles; of a network that refines masks, masks of the middle class."""
    model.eval()
    torch.manual_seed(2)
    size = config.tile_size
    tile = torch.randint(0, 256, (2, 3, size, size)).float()
    if config.refines:
        tile = torch.cat([tile, torch.zeros(2, 1, size, size)], 1)
    outer = [c.name for c in config.outer_contexts]
    window = torch.tensor([[0.0, 0.0, size, size]]).double().expand(2, -1)
    with torch.no_grad():
        return model(tile, dict.fromkeys(outer, tile), {"tile": window, **dict.fromkeys(outer, window)})


@pytest.mark.parametrize("kind", KINDS)
def test_classes_in_another_order_say_the_same(kind: str, tmp_path: Path) -> None:
    config = KINDS[kind]
    path = saved(tmp_path / "base.safetensors", config, NAMES)
    trained, _ = load_checkpoint(path)
    names = ("road", "water", "land")
    model = make_network(config)
    with pytest.warns(UserWarning, match="taken over: road, water, land"):
        start_from(model, path, names)
    expected = said_by(trained, config)[:, [NAMES.index(name) for name in names]]
    torch.testing.assert_close(said_by(model, config), expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", ["fctl", "segformer_b0", pytest.param("unet", marks=pytest.mark.nightly)])
def test_one_class_more_leaves_the_others_as_they_were(kind: str, tmp_path: Path) -> None:
    """Not of a refiner, which sees the new class's mask; by day of two networks with decoders of either kind."""
    config = KINDS[kind]
    path = saved(tmp_path / "base.safetensors", config, NAMES)
    trained, _ = load_checkpoint(path)
    names = ("cloud", "land", "Road ", "water")
    model = make_network(config.model_copy(update={"classes": 4}))
    with pytest.warns(UserWarning, match="anew: cloud"):
        said = start_from(model, path, names)
    assert "taken over: land, Road , water" in said
    expected = said_by(trained, config)[:, [1, 2, 0]]
    torch.testing.assert_close(said_by(model, config)[:, 1:], expected, rtol=1e-3, atol=1e-2)


def test_a_width_that_is_the_number_of_classes_is_not_taken_for_it(tmp_path: Path) -> None:
    config = preset("fctl_lite", **{**NETWORK, "width": 8}, classes=8)
    names = tuple("abcdefgh")
    path = saved(tmp_path / "base.safetensors", config, names)
    trained, _ = load_checkpoint(path)
    model = make_network(config)
    with pytest.warns(UserWarning, match="taken over: h, g, f, e, d, c, b, a"):
        start_from(model, path, names[::-1])
    torch.testing.assert_close(said_by(model, config), said_by(trained, config).flip(1), rtol=1e-3, atol=1e-2)


def test_a_class_that_is_gone_is_said(tmp_path: Path) -> None:
    config = KINDS["fctl"]
    path = saved(tmp_path / "base.safetensors", config, NAMES)
    trained, _ = load_checkpoint(path)
    model = make_network(config.model_copy(update={"classes": 2}))
    with pytest.warns(UserWarning, match="left out: water"):
        start_from(model, path, ("road", "land"))
    own, given = model.state_dict(), trained.state_dict()
    assert torch.equal(own["decoder.score.32.bias"], given["decoder.score.32.bias"][[2, 1]])


def test_where_no_name_is_the_same_all_classes_start_anew(tmp_path: Path) -> None:
    config = KINDS["fctl"]
    path = saved(tmp_path / "base.safetensors", config, NAMES)
    trained, _ = load_checkpoint(path)
    torch.manual_seed(5)
    model = make_network(config)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match="none of its classes"):
        start_from(model, path, ("eau", "terre", "route"))
    given = trained.state_dict()
    for key, value in model.state_dict().items():
        taken = given[key] if not key.startswith(("decoder.score", "decoder.up")) else before[key]
        assert torch.equal(value, taken), key


@pytest.mark.parametrize(
    ("given", "wanted", "says"),
    [
        (("red", "green", "blue", "nir"), ("red", "green", "blue"), "taken over: red, green, blue; left out: nir."),
        (("red", "green", "blue"), ("nir", "red"), "taken over: red; anew, with the mean filter: nir; left out: green"),
        (("vv", "vh"), ("red",), "taken over: none; anew, with the mean filter: red; left out: vv, vh."),
    ],
)
def test_other_bands_are_said(given: tuple[str, ...], wanted: tuple[str, ...], says: str, tmp_path: Path) -> None:
    fields = NETWORK | {"contexts": (), "ale": "none"}
    path = saved(tmp_path / "base.safetensors", preset("fctl_lite", **fields, classes=3, bands=given), NAMES)
    model = make_network(preset("fctl_lite", **fields, classes=3, bands=wanted))
    with pytest.warns(UserWarning, match=f"base: the filters of its bands .*{says}"):
        assert says in start_from(model, path, NAMES)


def test_the_same_table_is_nothing_to_warn_of(tmp_path: Path) -> None:
    path = saved(tmp_path / "base.safetensors", KINDS["fctl"], NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = start_from(make_network(KINDS["fctl"]), path, NAMES)
    assert "all of them are taken over" in said


def turned(config: TrainConfig) -> TrainConfig:
    """The same scene with its class table the other way round."""
    assert config.data.classes is not None
    classes = ClassTable(classes=config.data.classes.classes[::-1])
    scene = config.data.scenes[0].model_copy(update={"truth": "turned.png"})
    return config.model_copy(update={"data": config.data.model_copy(update={"classes": classes, "scenes": (scene,)})})


def test_the_card_keeps_what_was_taken_over_also_after_a_stop(tmp_path: Path) -> None:
    write_scene(tmp_path)
    ground_truth = np.asarray(Image.open(tmp_path / "truth.png"))
    Image.fromarray(1 - ground_truth).save(tmp_path / "turned.png")
    base = train(make(measured=False, steps=1, network=NO_CONTEXT), tmp_path / "base", data_folder=tmp_path)
    config = turned(make(measured=False, steps=2, network=NO_CONTEXT, init_from=str(base), save_every=1))
    with pytest.warns(UserWarning, match="taken over: bright, dark"):
        trainer = Trainer(config, tmp_path / "run", data_folder=tmp_path)
    trainer._save_state()  # and is stopped there
    path = Trainer(config, tmp_path / "run", data_folder=tmp_path).run()
    (said,) = read_card(path).provenance["started_from"]
    assert said.startswith("tiny: its classes are found by their names; taken over: bright, dark")


def test_best_without_labelled_validation_is_refused_before_it_starts(tmp_path: Path) -> None:
    write_scene(tmp_path)
    with pytest.raises(ConfigError, match="keep = 'best' needs validation"):
        train(make(measured=False, keep="best"), tmp_path / "run", data_folder=tmp_path)
    ground_truth = np.array(Image.open(tmp_path / "truth.png"))
    ground_truth[:, 160:208] = 255
    Image.fromarray(ground_truth).save(tmp_path / "truth.png")
    with pytest.raises(ConfigError, match="keep = 'best' needs validation"):
        train(make(keep="best"), tmp_path / "run", data_folder=tmp_path)
    assert not (tmp_path / "run").exists()
    ground_truth[3, 170] = 0  # one px will do
    Image.fromarray(ground_truth).save(tmp_path / "truth.png")
    train(make(keep="best", steps=1, network=NO_CONTEXT), tmp_path / "run", data_folder=tmp_path)


def test_classes_without_training_px_are_warned_of(tmp_path: Path) -> None:
    write_scene(tmp_path)
    config = make(steps=1)
    classes = [info.model_dump() for info in config.data.classes] + [{"name": "rare", "color": (1, 2, 3)}]
    scenes = [s.model_dump() for s in config.data.scenes]
    Image.fromarray(np.full((160, 256), 255, np.uint8)).save(tmp_path / "empty.png")
    scenes.append({"image": "scene.png", "truth": "empty.png"})
    data = {"classes": {"classes": classes}, "scenes": scenes}
    with pytest.warns(UserWarning, match="training px|has a class") as warned:
        Trainer(make(data=data, steps=1), tmp_path / "run", data_folder=tmp_path)
    text = " ".join(str(warning.message) for warning in warned)
    assert "no training px is rare" in text
    assert "no px of scene.png has a class" in text


def test_a_table_of_one_class_is_refused_in_words(tmp_path: Path) -> None:
    write_scene(tmp_path)
    data = json.loads(make().data.model_dump_json())
    data["classes"]["classes"] = data["classes"]["classes"][:1]
    with pytest.raises(ConfigError, match="two or more apart"):
        train(make(data=data), tmp_path / "run", data_folder=tmp_path)


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError, match="file"):
        train(make(), tmp_path / "file" / "run", data_folder=tmp_path)  # without data
