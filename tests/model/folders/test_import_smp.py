"""Networks of segmentation_models.pytorch become checkpoints that predict the same, or are refused in a sentence."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_commands import Fctl
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from fctl_napari.exceptions import CheckpointError, ConfigError, OutputError
from fctl_napari.finetuning.trainable_parts import sizes_of_parts
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.classes import numbered_classes
from fctl_napari.model.folders.imported import import_network
from fctl_napari.model.folders.write import export_folder
from fctl_napari.model.model_card import checkpoint_hash, read_card

from .helpers_smp import images, recorded, sampled, weights

NETWORKS = recorded()
FIELDS = ("_model_class", "encoder_name", "classes")
IDS = ["-".join(str(one["config"][field]) for field in FIELDS) for one in NETWORKS]
NIGHTLY = ("FPN-resnet101-3", "DeepLabV3Plus-resnet101-3")
"""By day the largest encoder is read under one decoder."""

SMALL, BINARY = NETWORKS[IDS.index("FPN-resnet18-3")], NETWORKS[IDS.index("Unet-resnet18-1")]
DEEPLAB, UNET = NETWORKS[IDS.index("DeepLabV3Plus-resnet18-3")], NETWORKS[IDS.index("Unet-resnet18-3")]


def save(folder: Path, network: dict[str, Any]) -> Path:
    """A folder as the package saves it."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(network["config"]))
    (folder / "README.md").write_text("---\nlibrary_name: segmentation-models-pytorch\nlicense: mit\n---\n# FPN\n")
    save_file(weights(network["shapes"]), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("saved") / "roads", SMALL)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A folder whose ``config.json`` may be changed."""
    path = tmp_path / "roads"
    path.mkdir()
    for file in saved.iterdir():
        (path / file.name).symlink_to(file)
    (path / "config.json").unlink()
    (path / "config.json").write_text(json.dumps(SMALL["config"]))
    return path


@torch.no_grad()
def check(checkpoint: Path, network: dict[str, Any], tile: int) -> None:
    model, card = load_checkpoint(checkpoint)
    assert card.config.tile_size == tile
    found, expected = sampled(model(images(tile), {}, {})), network["scores"][str(tile)]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * max(map(abs, expected[:-2])))


@pytest.mark.parity
@pytest.mark.parametrize(
    "network",
    [
        pytest.param(one, id=name, marks=[pytest.mark.nightly] if name in NIGHTLY else [])
        for one, name in zip(NETWORKS[:-1], IDS[:-1], strict=True)
    ],
)
def test_logits_are_those_of_the_package(network: dict[str, Any], tmp_path: Path) -> None:
    """Of a folder, and of a state dict as Lightning writes it, at two tile sizes."""
    folder = save(tmp_path / "saved", network)
    out = import_network(folder, tmp_path / "folder.safetensors", tile_size=64)
    check(out, network, 64)
    learned = [shape for key, shape in network["shapes"].items() if not key.endswith(("_mean", "_var", "_tracked"))]
    assert sum(sizes_of_parts(out).values()) == sum(int(np.prod(shape)) for shape in learned)
    state = {f"model.{key}": value for key, value in load_file(folder / "model.safetensors").items()}
    torch.save({"epoch": 3, "state_dict": state | {"loss.weight": torch.ones(3)}}, tmp_path / "last.ckpt")
    check(import_network(tmp_path / "last.ckpt", tmp_path / "file.safetensors", tile_size=96), network, 96)


def test_card_of_a_folder(folder: Path, tmp_path: Path) -> None:
    card = read_card(import_network(folder, tmp_path / "new.safetensors"))
    assert (card.name, card.description) == (
        "new",
        "FPN over resnet18 of segmentation_models.pytorch from roads (license: mit).",
    )
    assert card.classes.names == ("class 0", "class 1", "class 2")
    assert (card.config.architecture, card.config.encoder, card.config.tile_size) == ("fpn", "resnet18", 512)
    assert (card.config.bands, card.config.normalization) == ((), "encoder")
    assert card.provenance["imported"] == {
        "folder": "roads",
        "files": {"model.safetensors": checkpoint_hash(folder / "model.safetensors")},
        "license": "mit",
    }


@torch.no_grad()
def test_one_score_is_that_of_a_class_beside_the_background(tmp_path: Path) -> None:
    path = tmp_path / "buildings.pt"
    torch.save(weights(BINARY["shapes"]), path)
    out = import_network(path, tmp_path / "new.safetensors", tile_size=100)
    model, card = load_checkpoint(out)
    assert card.classes.names == ("background", "class 1")
    assert card.classes.foreground == 1
    logits = model(images(100), {}, {})
    assert not logits[:, 0].any()
    found, expected = sampled(logits[:, 1:]), BINARY["scores"]["100"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * max(map(abs, expected[:-2])))
    torch.testing.assert_close(logits.softmax(1)[:, 1], logits[:, 1].sigmoid())
    assert read_card(out).provenance["imported"]["license"] == "not stated"


def test_classes_are_those_that_are_given(fctl: Fctl, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("name,color\nwater,#0000ff\nland,#00ff00\nroad,#ff0000\n")
    (tmp_path / "two.csv").write_text("name,color\nwater,#0000ff\nland,#00ff00\n")
    (tmp_path / "one.csv").write_text("name,color\nbuilding,#ff0000\n")
    call = ("model", "import", folder, "--out", tmp_path / "new.safetensors", "--classes")
    assert "the network has 3 classes, --classes 2; give as many" in fctl(*call, tmp_path / "two.csv").sentence()
    code, _, err = fctl(*call, tmp_path / "classes.csv", "--tile-size", 128, "--name", "Roads")
    assert code == 0, err
    card = read_card(tmp_path / "new.safetensors")
    assert (card.name, card.config.tile_size) == ("Roads", 128)
    assert card.classes.names == ("water", "land", "road")
    assert card.classes.colors == [(0, 0, 255), (0, 255, 0), (255, 0, 0)]

    path = tmp_path / "binary.safetensors"
    save_file(weights(BINARY["shapes"]), path)
    for number, (names, expected) in enumerate({"one": ("background", "building"), "two": ("water", "land")}.items()):
        target = tmp_path / f"{number}.safetensors"
        code, _, err = fctl("model", "import", path, "--out", target, "--classes", tmp_path / f"{names}.csv")
        assert code == 0, err
        assert read_card(target).classes.names == expected
    assert (
        "has 1 class, or the background and 1 class"
        in fctl("model", "import", path, "--out", tmp_path / "no.safetensors", "--classes", 3).sentence()
    )


def test_half_precision_stays_half(tmp_path: Path) -> None:
    state = {
        key: value.half() if value.is_floating_point() else value for key, value in weights(SMALL["shapes"]).items()
    }
    save_file(state, tmp_path / "half.safetensors")
    found = load_file(import_network(tmp_path / "half.safetensors", tmp_path / "new.safetensors"))
    assert torch.equal(found["decoder.score.weight"], state["segmentation_head.0.weight"])


def transforms(**fields: Any) -> dict[str, Any]:
    """Content of albumentations' file."""
    normalize = {"__class_fullname__": "Normalize", "p": 1.0, "max_pixel_value": 255.0, "normalization": "standard"}
    normalize |= {"mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3]} | fields
    pad = {"__class_fullname__": "PadIfNeeded", "min_height": 64}
    return {"transform": {"__class_fullname__": "Compose", "transforms": [pad, normalize]}, "__version__": "2.0.8"}


def test_input_is_normalized_as_the_folder_says(folder: Path, tmp_path: Path) -> None:
    file = folder / "albumentations_config_eval.json"
    file.write_text(json.dumps(transforms()))
    bands = read_card(import_network(folder, tmp_path / "own.safetensors")).config.bands
    assert [band.name for band in bands] == ["red", "green", "blue"]
    assert [band.mean for band in bands] == pytest.approx([102, 127.5, 153])
    assert [band.std for band in bands] == pytest.approx([25.5, 51, 76.5])
    file.write_text(json.dumps(transforms(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])))
    assert read_card(import_network(folder, tmp_path / "usual.safetensors")).config.bands == ()
    file.write_text(json.dumps(transforms(mean=[0, 0, 0], std=[1, 1, 1])))
    assert read_card(import_network(folder, tmp_path / "unit.safetensors")).config.normalization == "unit"
    for number, (fields, problem) in enumerate(
        [
            ({"normalization": "min_max"}, "normalization is min_max; only standard"),
            ({"std": [0, 1, 1]}, "std has values that are not above 0"),
            ({"mean": "gray"}, "mean: cannot be 'gray'"),
            ({"__class_fullname__": "ToFloat"}, "states 0 normalizations; state one, or remove the file"),
        ]
    ):
        file.write_text(json.dumps(transforms(**fields)))
        with pytest.raises(CheckpointError, match=problem) as caught:
            import_network(folder, tmp_path / f"{number}.safetensors")
        assert "\n" not in str(caught.value)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"_model_class": "PSPNet"}, "is of PSPNet; of segmentation_models.pytorch only Unet, FPN and DeepLabV3Plus can"),
    ({"_model_class": ["FPN"]}, "is of .*; of segmentation_models.pytorch only"),
    ({"encoder_name": "efficientnet-b0"}, "the encoder is efficientnet-b0; only resnet18, resnet34, resnet50 and"),
    ({"encoder_name": "tu-resnet18"}, "the encoder is tu-resnet18; only"),
    ({"encoder_depth": 4}, "encoder_depth is 4; FPN can be imported only with 5"),
    ({"in_channels": 4}, "in_channels is 4; FPN can be imported only with 3"),
    ({"aux_params": {"classes": 4}}, "aux_params is .*; FPN can be imported only with None"),
    ({"decoder_merge_policy": "cat"}, "decoder_merge_policy is cat; FPN can be imported only with add"),
    ({"decoder_interpolation": "bilinear"}, "decoder_interpolation is bilinear"),
    ({"decoder_use_norm": "layernorm"}, "decoder_use_norm is layernorm; FPN"),
    ({"upsampling": 1}, "upsampling is 1"),
    ({"_model_class": "Unet", "decoder_attention_type": "scse"}, "decoder_.* is .*; U-Net can be imported only"),
    ({"_model_class": "DeepLabV3Plus", "encoder_output_stride": 8}, ".* is .*; DeepLab v3\\+ can be imported only"),
]


@pytest.mark.parametrize(("fields", "problem"), REFUSED)
def test_settings_that_are_not_here(folder: Path, tmp_path: Path, fields: dict[str, Any], problem: str) -> None:
    (folder / "config.json").write_text(json.dumps(SMALL["config"] | fields))
    with pytest.raises(CheckpointError, match=problem) as caught:
        import_network(folder, tmp_path / "new.safetensors")
    sentence = str(caught.value)
    assert sentence.startswith(str(folder))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert not (tmp_path / "new.safetensors").exists()


def test_each_structure_names_its_own_setting(tmp_path: Path) -> None:
    for number, (network, fields, problem) in enumerate(
        [
            (UNET, {"decoder_attention_type": "scse"}, "attention_type is scse; U-Net can be imported only with None"),
            (UNET, {"decoder_use_norm": False}, "decoder_use_norm is False; .* only with batchnorm"),
            (UNET, {"decoder_channels": [64, 32, 16, 8, 4]}, "decoder_channels is .64, 32"),
            (DEEPLAB, {"encoder_output_stride": 8}, "output_stride is 8; DeepLab v3. can be imported only with 16"),
            (DEEPLAB, {"decoder_atrous_rates": [6, 12, 18]}, "decoder_atrous_rates is .6, 12, 18"),
            (DEEPLAB, {"decoder_aspp_separable": False}, "decoder_aspp_separable is False"),
        ]
    ):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(network["config"] | fields))
        with pytest.raises(CheckpointError, match=problem):
            import_network(folder, tmp_path / "new.safetensors")


def without(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if part not in key}


STATES: list[tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = [
    (lambda state: without(state, "encoder.conv1"), r"its encoder \(encoder\..*\) is no ResNet"),
    (lambda state: {"encoder._conv_stem.weight": torch.ones(1)}, r"\(encoder._conv_stem.weight\) is no ResNet"),
    (lambda state: {"weight": torch.ones(1)}, r"its encoder \(weight\) is no ResNet"),
    (lambda state: without(state, "layer3.1"), "its encoder has 2, 2, 1, 2 blocks; only resnet18, resnet34"),
    (lambda state: without(state, "decoder.p5"), r"its decoder \(decoder.* is none of U-Net, FPN and DeepLab v3"),
    (lambda state: without(state, "decoder."), r"its decoder \(no weights of a decoder\) is none of"),
    (lambda state: without(state, "segmentation_head"), "has no scores of 1 to 250 classes"),
    (lambda state: state | {"classification_head.3.weight": torch.ones(1)}, "has an auxiliary classification head"),
    (lambda state: state | {"decoder.blocks.0.attention1.attention.cSE.1.weight": torch.ones(1)}, "has scse attention"),
    (lambda state: without(state, "p4.skip_conv.bias"), "lack decoder.p4.skip_conv.bias, so it is no FPN over"),
    (lambda state: state | {"decoder.more": torch.ones(1)}, "its weights hold unknown decoder.more, so it is no FPN"),
    (lambda state: state | {"encoder.conv1.weight": torch.ones(64, 4, 7, 7)}, "only networks of 3 bands can be"),
    (lambda state: state | {"segmentation_head.0.weight": torch.ones(3, 512, 1, 1)}, "other shapes for segmentation_"),
    (lambda state: state | {"encoder.layer1.0.conv2.weight": torch.ones(1)}, "other shapes for encoder.layer1.0.conv2"),
    (lambda state: {f"{who}.{key}": value for who in ("student", "teacher") for key, value in state.items()},
     r"holds 2 networks \(student., teacher.\); export the weights of one"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), STATES)
def test_weights_that_are_not_here(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], problem: str
) -> None:
    torch.save(change(weights(SMALL["shapes"])), tmp_path / "state.pth")
    with pytest.raises(CheckpointError, match=problem) as caught:
        import_network(tmp_path / "state.pth", tmp_path / "new.safetensors")
    sentence = str(caught.value)
    assert sentence.startswith(str(tmp_path / "state.pth"))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert not (tmp_path / "new.safetensors").exists()


def test_nothing_is_run_nothing_replaced_and_what_a_folder_states_is_not_asked_for(
    fctl: Fctl, folder: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.pth"
    whole.write_bytes(pickle.dumps(Path("object")))
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        import_network(whole, tmp_path / "new.safetensors")
    torch.save(torch.nn.Conv2d(1, 1, 1), whole)
    with pytest.raises(CheckpointError, match="holds Python objects, which are not loaded"):
        import_network(whole, tmp_path / "new.safetensors")
    out = import_network(folder, tmp_path / "new.safetensors")
    with pytest.raises(OutputError, match="exists, and checkpoints are not overwritten"):
        import_network(folder, out)
    shared = export_folder(out, tmp_path / "shared")
    assert "It goes back to roads" in (shared / "README.md").read_text()
    assert read_card(import_network(shared, tmp_path / "again.safetensors")) == read_card(out)
    for given in ({"classes": numbered_classes(3)}, {"tile_size": 64}):
        with pytest.raises(ConfigError, match="states its classes and its tile size; leave out --"):
            import_network(shared, tmp_path / "other.safetensors", **given)
    assert (
        "there is no such folder; download"
        in fctl("model", "import", "smp-hub/fpn", "--out", tmp_path / "hub.safetensors").sentence()
    )


def test_its_weights_are_known_for_what_they_are(fctl: Fctl, folder: Path) -> None:
    code, shown, err = fctl("weights", "check", folder / "model.safetensors")
    assert code == 0, err
    assert "FPN over resnet18 of segmentation_models.pytorch" in shown
    assert "fctl model import" in shown


def test_an_imported_network_segments_and_learns_from_corrections(
    fctl: Fctl, folder: Path, tmp_path: Path, make_rgb: Callable[..., np.ndarray]
) -> None:
    out = import_network(folder, tmp_path / "new.safetensors", tile_size=96)
    Image.fromarray(make_rgb(200, 320, seed=2)).save(tmp_path / "picture.png")
    fast = ("--device", "cpu", "--precision", "fp32")
    result = tmp_path / "result.ome.zarr"
    code, _, err = fctl("segment", tmp_path / "picture.png", "--checkpoint", out, "--out", result, *fast)
    assert code == 0, err
    values = np.zeros((200, 320), np.uint8)
    values[10:30, 10:40], values[150:170, 250:300] = 1, 2
    values[10:30, 110:140], values[150:170, 150:180] = 1, 2
    classes = [{"name": f"class {k}", "color": (k, 0, 9)} for k in range(3)]
    labels = LabelPyramid.create(tmp_path / "picture.corrections.ome.zarr", values.shape, classes=classes)
    labels.write(0, 0, values)
    tuned = tmp_path / "tuned.safetensors"
    options = ("--checkpoint", out, "--out", tuned, "--steps", 1, "--keep-anyway", "--parts", "decoder", *fast)
    code, _, err = fctl("finetune", tmp_path / "picture.png", labels.path, *options)
    assert code == 0, err
    before, after = load_file(out), load_file(tuned)
    learned = {key.split(".")[0] for key in before if not torch.equal(before[key].half(), after[key].half())}
    assert learned == {"decoder"}
    assert read_card(tuned).provenance["imported"]["license"] == "mit"


def test_parts_and_modules_of_an_imported_network(folder: Path, tmp_path: Path) -> None:
    out = import_network(folder, tmp_path / "new.safetensors", tile_size=96)
    model, _ = load_checkpoint(out)
    sizes = sizes_of_parts(out)
    assert set(sizes) == {frozenset({"tile_encoder"}), frozenset({"decoder"})}
    assert sizes[frozenset({"tile_encoder"})] == sum(p.numel() for p in model.encoders.parameters())
    assert sizes[frozenset({"decoder"})] == sum(p.numel() for p in model.decoder.parameters())
    assert model.modules_before("tile") == [model.encoder("tile")]
    assert model.input_weights == ("encoders.tile.conv1.weight",)
