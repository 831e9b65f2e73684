"""An UperNet's folder of transformers becomes a checkpoint that predicts the same, or is refused in a sentence."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_commands import Fctl
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fctl_napari.exceptions import CheckpointError, ConfigError
from fctl_napari.finetuning.trainable_parts import sizes_of_parts
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.baselines.upernet import BACKBONES
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.folders.imported import import_network
from fctl_napari.model.folders.write import export_folder
from fctl_napari.model.model_card import read_card
from fctl_napari.model.presets import preset

STAGES = ["stage1", "stage2", "stage3", "stage4"]
_SWIN = {"embed_dim": 12, "depths": [1, 2, 1, 1], "num_heads": [1, 2, 3, 4], "window_size": 4, "image_size": 64}
SMALL: dict[str, Any] = {
    "ConvNextConfig": {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]},
    "ConvNextV2Config": {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]},
    "SwinConfig": _SWIN,
    "Swinv2Config": _SWIN,
    "ResNetConfig": {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]},
}  # fmt: skip
NAMES = ("water", "land", "road")
PALETTE = [[1, 2, 3], [4, 5, 6], [250, 0, 0]]


def make(kind: str) -> nn.Module:
    """An UperNet of transformers, whose every part shows in its logits."""
    import transformers  # slow to import

    torch.manual_seed(0)
    backbone = getattr(transformers, kind)(out_features=STAGES, **SMALL[kind])
    config = transformers.UperNetConfig(
        backbone_config=backbone,
        hidden_size=16,
        auxiliary_in_channels=48 if "Swin" in kind else 24,
        auxiliary_channels=8,
        id2label=dict(enumerate(NAMES)),
        num_labels=3,
    )
    model: nn.Module = transformers.UperNetForSemanticSegmentation(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 / max(1, parameter[0].numel()) ** 0.5 * torch.randn_like(parameter))
        for name, values in model.named_buffers():
            if name.endswith("running_mean"):
                values.normal_(std=0.1)
            if name.endswith("running_var"):
                values.uniform_(0.5, 2)
    return model


def save(model: nn.Module, folder: Path) -> Path:
    model.save_pretrained(folder)  # type: ignore[operator]
    document = json.loads((folder / "config.json").read_text()) | {"palette": PALETTE}
    (folder / "config.json").write_text(json.dumps(document))
    size = {"height": 96, "width": 96}
    pre = {"do_rescale": True, "size": size, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pre))
    return folder


@pytest.fixture(scope="module")
def oracle() -> nn.Module:
    return make("ConvNextConfig")


@pytest.fixture(scope="module")
def saved(oracle: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(oracle, tmp_path_factory.mktemp("saved") / "rivers")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "rivers"))


def images(tile: int) -> Tensor:
    return torch.randint(0, 256, (2, 3, tile, tile), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@torch.no_grad()
def check(checkpoint: Path, oracle: nn.Module) -> None:
    model, card = load_checkpoint(checkpoint)
    given = images(card.config.tile_size)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25)))
    expected = oracle((given / 255 - mean) / std).logits
    torch.testing.assert_close(model(given, {}, {}), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parity
@pytest.mark.parametrize("kind", SMALL)
def test_logits_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    oracle = make(kind)
    folder = save(oracle, tmp_path / "saved")
    out = import_network(folder, tmp_path / "new.safetensors")
    check(out, oracle)
    pre = json.loads((folder / "preprocessor_config.json").read_text()) | {"size": 64}
    (folder / "preprocessor_config.json").write_text(json.dumps(pre))
    check(import_network(folder, tmp_path / "smaller.safetensors"), oracle)
    learned = [p.numel() for name, p in oracle.named_parameters() if not name.startswith("auxiliary_head.")]
    assert sum(sizes_of_parts(out).values()) == sum(learned)
    assert {one.config for one in BACKBONES.values()} == set(SMALL), "each backbone is compared"


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[] if k == "SwinConfig" else pytest.mark.nightly) for k in SMALL]
)
def test_openvino_says_the_same_or_is_not_chosen(kind: str, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    from fctl_napari.segmentation.inference.engines import resolve_engine
    from fctl_napari.segmentation.inference.openvino_conversion import convert_network
    from fctl_napari.segmentation.inference.openvino_network import OpenVinoNetwork

    model, card = load_checkpoint(import_network(save(make(kind), tmp_path / "saved"), tmp_path / "new.safetensors"))
    engine = resolve_engine("auto", "cpu", card.config)
    assert engine == ("torch" if kind == "Swinv2Config" else "openvino")
    if engine == "torch":
        with pytest.raises(ConfigError, match="openvino cannot run UperNet over swinv2; use torch"):
            resolve_engine("openvino", "cpu", card.config)
        return
    other = OpenVinoNetwork(convert_network(model), card.config, "fp32", 1, openvino.Core())
    other.compile("logits")
    tile = images(96)[:1]
    with torch.no_grad():
        expected = model(tile, {}, {})
    (found,) = other.run("logits", tile[0].numpy(), {}, {"tile": (0.0, 0.0, 96.0, 96.0)})
    np.testing.assert_allclose(found, expected[0], rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_arrays_that_older_versions_stored_are_no_weights(tmp_path: Path) -> None:
    oracle = make("SwinConfig")
    folder = save(oracle, tmp_path / "saved")
    state = {key: value.clone() for key, value in load_file(folder / "model.safetensors").items()}
    key = "backbone.encoder.layers.0.blocks.0.attention.self.relative_position_index"
    save_file(state | {key: torch.zeros(16, 16, dtype=torch.int64)}, folder / "model.safetensors", {"format": "pt"})
    check(import_network(folder, tmp_path / "new.safetensors"), oracle)


def test_card_of_a_folder(folder: Path, oracle: nn.Module, tmp_path: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    out = import_network(folder, tmp_path / "new.safetensors")
    card = read_card(out)
    assert (card.name, card.description) == ("new", "UperNet over convnext of the folder rivers (license: mit).")
    assert card.classes.names == NAMES
    assert card.classes.colors == [tuple(color) for color in PALETTE]
    config = card.config
    assert (config.architecture, config.tile_size, config.title) == ("upernet", 96, "UperNet over convnext")
    assert [band.mean for band in config.bands] == pytest.approx([127.5, 102, 76.5])
    assert FCtLConfig.model_validate_json(config.model_dump_json()) == config
    model, _ = load_checkpoint(out)
    assert set(sizes_of_parts(out)) == {frozenset({"tile_encoder"}), frozenset({"decoder"})}
    assert model.modules_before("tile") == [model.encoder("tile")]
    (name,) = model.input_weights
    assert dict(model.named_parameters())[name].shape == (8, 3, 4, 4)
    again = import_network(export_folder(out, tmp_path / "shared"), tmp_path / "again.safetensors")
    assert read_card(again) == card
    check(again, oracle)
    assert "transformers" not in preset("unet").model_dump(), "cards of other networks stay as they were"


def test_what_a_folder_brings_along_is_not_looked_at(
    folder: Path, oracle: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither code, nor names of files elsewhere, nor a pickle; and nothing is fetched."""
    document = json.loads((folder / "config.json").read_text())
    elsewhere = {
        "auto_map": {"AutoConfig": "evil.Config"},
        "attn_implementation": "someone/kernels",
        "custom_pipelines": {},
    }
    document |= elsewhere | {"_name_or_path": "someone/else", "quantization_config": {"quant_method": "awq"}}
    document["backbone_config"] |= elsewhere | {"auto_map": {"AutoBackbone": "evil.Backbone"}}
    (folder / "config.json").write_text(json.dumps(document))
    (folder / "evil.py").write_text("raise SystemExit('run')")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    def refuse(*_: object) -> None:
        raise AssertionError("nothing is fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    out = import_network(folder, tmp_path / "new.safetensors")
    check(out, oracle)
    assert "evil" not in read_card(out).model_dump_json()
    assert "someone" not in read_card(out).model_dump_json()


def test_half_precision_stays_half(folder: Path, tmp_path: Path) -> None:
    state = {key: value.clone() for key, value in load_file(folder / "model.safetensors").items()}
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})
    found = load_file(import_network(folder, tmp_path / "new.safetensors"))
    assert torch.equal(found["decoder.head.classifier.weight"], halves["decode_head.classifier.weight"])


@pytest.mark.parametrize(
    ("fields", "backbone", "problem"),
    [
        ({"architectures": ["UperNetForOther"]}, {}, "is of UperNetForOther; only UperNetForSemanticSegmentation"),
        ({"backbone": "someone/swin"}, {}, r"names a backbone elsewhere \(someone/swin\), which is not fetched"),
        ({"backbone_config": None}, {}, "the backbone is not stated; only convnext, convnextv2, swin"),
        ({}, {"model_type": "beit"}, "the backbone is beit; only convnext"),
        ({}, {"out_features": ["stage2", "stage4"]}, "the backbone's features are .*; only stage1, stage2"),
        ({}, {"patch_size": 8}, "the backbone's features are .* of patches of 8 px; only"),
        ({}, {"num_channels": 4}, "num_channels is 4; only networks of 3 bands"),
        ({}, {"depths": "deep"}, "transformers cannot build it"),
        ({"hidden_size": 24}, {}, "its weights"),
        ({"id2label": {str(k): str(k) for k in range(4)}}, {}, "weights"),
        ({"id2label": {"0": "a", "2": "b"}}, {}, "id2label does not number"),
    ],
)
def test_networks_that_are_not_here(
    folder: Path, tmp_path: Path, fields: dict[str, Any], backbone: dict[str, Any], problem: str
) -> None:
    document = json.loads((folder / "config.json").read_text())
    document["backbone_config"] |= backbone
    (folder / "config.json").write_text(json.dumps(document | fields))
    with pytest.raises(CheckpointError, match=problem) as caught:
        import_network(folder, tmp_path / "new.safetensors")
    sentence = str(caught.value)
    assert sentence.startswith(str(folder))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert not (tmp_path / "new.safetensors").exists()


def test_weights_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    state = {key: value.clone() for key, value in load_file(folder / "model.safetensors").items()}
    lacking = {key: value for key, value in state.items() if key != "decode_head.classifier.bias"}
    save_file(lacking, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"its weights lack decode_head.classifier.bias, so they do not fit"):
        import_network(folder, tmp_path / "new.safetensors")
    save_file(state | {"decode_head.more": torch.ones(1)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"its weights hold unknown decode_head.more, so"):
        import_network(folder, tmp_path / "new.safetensors")


def test_without_transformers_a_sentence_says_so(
    fctl: Fctl, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = import_network(saved, tmp_path / "new.safetensors")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CheckpointError, match=r"runs through the package transformers, which is not installed; pip"):
        load_checkpoint(out)
    assert (
        "pip install 'fctl-napari[transformers]'"
        in fctl("model", "import", saved, "--out", tmp_path / "other.safetensors").sentence()
    )
    code, shown, err = fctl("info", out)
    assert code == 0, err
    assert "UperNet over convnext" in shown


def test_names_of_another_version_are_said_to_be(saved: Path, tmp_path: Path) -> None:
    out = import_network(saved, tmp_path / "new.safetensors")
    card = read_card(out)
    state = {key.replace(".backbone.", ".backbone.former."): value.clone() for key, value in load_file(out).items()}
    save_file(state, out, {"fctl": card.model_dump_json()})
    with pytest.raises(CheckpointError, match="with this version of transformers; import its folder again") as caught:
        load_checkpoint(out)
    assert "\n" not in str(caught.value)


def test_settings_of_other_networks_are_refused() -> None:
    with pytest.raises(ConfigError, match="transformers holds the settings of upernet"):
        preset("unet", transformers='{"backbone_config": {"model_type": "swin"}}')
    fields = preset("unet").model_dump() | {"architecture": "upernet", "encoder": "transformers"}
    for settings in ("", "no JSON", "[]", "{}", '{"backbone_config": 3}'):
        with pytest.raises(ValueError, match="transformers holds the settings of upernet"):
            FCtLConfig.model_validate(fields | {"transformers": settings})


def test_an_imported_network_segments_is_measured_and_learns(
    fctl: Fctl, folder: Path, tmp_path: Path, make_rgb: Callable[..., np.ndarray]
) -> None:
    out = import_network(folder, tmp_path / "new.safetensors")
    picture, truth = tmp_path / "picture.png", tmp_path / "truth.png"
    Image.fromarray(make_rgb(200, 320, seed=2)).save(picture)
    Image.fromarray((np.arange(200 * 320).reshape(200, 320) // 7 % 3).astype(np.uint8)).save(truth)
    fast = ("--device", "cpu", "--precision", "fp32")
    result = tmp_path / "result.ome.zarr"
    code, _, err = fctl("segment", picture, "--checkpoint", out, "--out", result, *fast)
    assert code == 0, err
    code, shown, err = fctl("evaluate", result, truth)
    assert code == 0, err
    assert "water" in shown
    values = np.zeros((200, 320), np.uint8)
    values[10:30, 10:40], values[150:170, 250:300] = 1, 2
    values[10:30, 110:140], values[150:170, 150:180] = 1, 2
    classes = [{"name": name, "color": (k, 0, 9)} for k, name in enumerate(NAMES)]
    labels = LabelPyramid.create(tmp_path / "picture.corrections.ome.zarr", values.shape, classes=classes)
    labels.write(0, 0, values)
    tuned = tmp_path / "tuned.safetensors"
    options = ("--checkpoint", out, "--out", tuned, "--steps", 1, "--keep-anyway", *fast)
    code, _, err = fctl("finetune", picture, labels.path, *options)
    assert code == 0, err
    before, after = load_file(out), load_file(tuned)
    learned = {key.split(".")[0] for key in before if not torch.equal(before[key].half(), after[key].half())}
    assert learned == {"decoder"}
    code, shown, err = fctl("explain", picture, 50, 50, "--checkpoint", out, "--device", "cpu")
    assert code == 0, err
    assert all(name in shown for name in NAMES)
    refused = fctl("explain", picture, 50, 50, "--checkpoint", out, "--device", "cpu", "--without", "large")
    assert "no context 'large' to leave out" in refused.sentence()
