"""A SegFormer's folder of transformers becomes a checkpoint that predicts the same, or is refused in a sentence."""

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
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.exceptions import CheckpointError, OutputError
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.folders.entry import read_entry
from fctl_napari.model.folders.preprocessor import Preprocessor
from fctl_napari.model.folders.read import import_folder
from fctl_napari.model.folders.segformer import Settings, read_segformer
from fctl_napari.model.model_card import checkpoint_hash, read_card

Change = Callable[..., None]


def arrays(path: Path) -> dict[str, Tensor]:
    """Arrays that stay when their file is written again."""
    return {key: value.clone() for key, value in load_file(path).items()}


def tiles(size: int = 96) -> Tensor:
    return torch.randint(0, 256, (2, 3, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def normalized(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """As transformers' preprocessor does it."""
    return (images / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


@torch.no_grad()
def check(checkpoint: Path, oracle: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    model, card = load_checkpoint(checkpoint)
    size = card.config.tile_size
    expected = F.interpolate(oracle(normalized(tiles(size), mean, std)).logits, (size, size), mode="bilinear")
    torch.testing.assert_close(model(tiles(size), {}, {}), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_logits_are_those_of_transformers(folder: Path, oracle: nn.Module, tmp_path: Path) -> None:
    out = tmp_path / "new.safetensors"
    assert import_folder(folder, out) == out
    check(out, oracle, *IMAGENET)
    card = read_card(out)
    assert card.name == "new"
    assert card.classes.names == ("water", "land", "road")
    assert len(set(card.classes.colors)) == 3
    assert (card.config.architecture, card.config.encoder, card.config.tile_size) == ("segformer", "mit_b0", 96)
    assert card.config.bands == ()
    assert card.provenance["imported"] == {
        "folder": "rivers",
        "files": {"model.safetensors": checkpoint_hash(folder / "model.safetensors")},
        "license": "cc-by-4.0",
    }
    theirs = load_file(folder / "model.safetensors")
    ours = load_file(out)
    assert len(ours) == len(theirs)
    assert torch.equal(
        ours["encoders.tile.block.1.0.attention.self.key.weight"],
        theirs["segformer.encoder.block.1.0.attention.self.key.weight"],
    )


def test_every_kind_of_weight_file(folder: Path, tmp_path: Path) -> None:
    whole = import_folder(folder, tmp_path / "whole.safetensors", name="n")
    state = arrays(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    keys = sorted(state)
    parts = {"a.safetensors": keys[: len(keys) // 2], "b.safetensors": keys[len(keys) // 2 :]}
    for name, names in parts.items():
        save_file({key: state[key] for key in names}, folder / name)
    index = {"weight_map": {key: name for name, names in parts.items() for key in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    sharded = import_folder(folder, tmp_path / "sharded.safetensors", name="n")
    (folder / "model.safetensors.index.json").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    pickled = import_folder(folder, tmp_path / "pickled.safetensors", name="n")
    expected = load_file(whole)
    for path, files in ((sharded, {"a.safetensors", "b.safetensors"}), (pickled, {"pytorch_model.bin"})):
        found = load_file(path)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
        assert set(read_card(path).provenance["imported"]["files"]) == files


def test_half_precision_stays_half(folder: Path, tmp_path: Path) -> None:
    state = arrays(folder / "model.safetensors")
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_file(halves, folder / "model.safetensors")
    found = load_file(import_folder(folder, tmp_path / "new.safetensors"))
    assert found["decoder.classifier.weight"].dtype == torch.float16
    assert torch.equal(found["decoder.classifier.weight"], halves["decode_head.classifier.weight"])


NORMALIZATIONS: list[tuple[dict[str, Any], tuple[float, ...], tuple[float, ...]]] = [
    ({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.25]}, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)),
    ({"do_normalize": False}, (0, 0, 0), (1, 1, 1)),
    ({"do_rescale": False, "image_mean": [120, 110, 100], "image_std": [50, 60, 70]},
     (120 / 255, 110 / 255, 100 / 255), (50 / 255, 60 / 255, 70 / 255)),
    ({"do_rescale": False, "do_normalize": False}, (0, 0, 0), (1 / 255,) * 3),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "mean", "std"), NORMALIZATIONS)
def test_input_is_normalized_as_the_folder_says(
    folder: Path, state_in: Change, oracle: nn.Module, tmp_path: Path, fields: dict, mean: tuple, std: tuple
) -> None:
    state_in("preprocessor_config.json", size=64, **fields)
    out = import_folder(folder, tmp_path / "new.safetensors")
    check(out, oracle, mean, std)
    config = read_card(out).config
    assert (config.normalization == "unit") == (fields == {"do_normalize": False})
    assert bool(config.bands) == (fields != {"do_normalize": False})


@pytest.mark.parametrize(
    ("size", "image_size", "tile"),
    [
        ({"height": 96, "width": 200}, 224, 96),
        (500, None, 512),
        ({"shortest_edge": 640}, None, 640),
        ([70, 70], 224, 64),
        (None, 224, 224),
        (None, None, 512),
    ],
)
def test_the_tile_is_the_shorter_side(
    folder: Path, state_in: Change, tmp_path: Path, size: object, image_size: int | None, tile: int
) -> None:
    state_in("preprocessor_config.json", size=size)
    state_in("config.json", image_size=image_size)
    assert read_card(import_folder(folder, tmp_path / "new.safetensors")).config.tile_size == tile


@pytest.mark.parametrize("size", [9000, 1])
def test_a_tile_that_cannot_be_is_refused(folder: Path, state_in: Change, tmp_path: Path, size: int) -> None:
    state_in("preprocessor_config.json", size=size)
    with pytest.raises(CheckpointError, match=f"states tiles of {size} px; state a size of 32 to 4096"):
        import_folder(folder, tmp_path / "new.safetensors")


def test_without_a_preprocessor_it_is_imagenets(folder: Path, tmp_path: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    (folder / "README.md").unlink()
    out = import_folder(folder, tmp_path / "new.safetensors")
    config = read_card(out).config
    assert (config.tile_size, config.normalization, config.bands) == (512, "encoder", ())
    assert read_card(out).provenance["imported"]["license"] == "not stated"


def test_classes_and_their_colors(folder: Path, state_in: Change, tmp_path: Path) -> None:
    palette = [[1, 2, 3], [4, 5, 6], [250, 0, 0]]
    state_in("config.json", id2label={"1": "screen", "0": " screen ", "2": ""}, palette=palette)
    classes = read_card(import_folder(folder, tmp_path / "new.safetensors")).classes
    assert classes.names == ("screen (0)", "screen (1)", "class 2")
    assert classes.colors == [tuple(color) for color in palette]
    state_in("config.json", id2label=None, num_labels=3, palette=[[1, 2, 3]])
    classes = read_card(import_folder(folder, tmp_path / "other.safetensors")).classes
    assert classes.names == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert (1, 2, 3) not in classes.colors


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"architectures": ["SegformerForImageClassification"]}, "is of SegformerForImageClassification; only networks of"),
    ({"architectures": None, "model_type": "upernet"}, "the backbone is not stated; only"),
    ({"architectures": None, "model_type": None}, "is of no named architecture; only"),
    (
        {"hidden_sizes": [64, 128, 320, 512]},
        "is a SegFormer-B1 of depths 2, 2, 2, 2 and widths 64, 128, 320, 512; only",
    ),
    ({"depths": [3, 8, 27, 3], "hidden_sizes": [64, 128, 320, 512]}, "is a SegFormer-B4 of"),
    ({"depths": [1, 1, 1, 1]}, "is a SegFormer of depths 1, 1, 1, 1 and"),
    ({"decoder_hidden_size": 512}, "decoder_hidden_size is 512; .* only with 256"),
    ({"num_channels": 4}, "num_channels is 4; .* only with 3"),
    ({"hidden_act": "relu"}, "hidden_act is relu"),
    ({"depths": "deep"}, "depths: cannot be 'deep'; give "),
    ({"id2label": {"0": "a", "2": "b", "3": "c"}}, "id2label does not number"),
    ({"id2label": {"0": "a"}}, "has 1 class; networks of 2 to 250"),
    ({"id2label": {str(k): str(k) for k in range(300)}}, "has 300 classes; networks of 2 to 250"),
    ({"id2label": {str(k): str(k) for k in range(4)}}, "have other shapes for decode_head.classifier.weight"),
]


@pytest.mark.parametrize(("fields", "problem"), REFUSED)
def test_networks_that_are_not_here(folder: Path, state_in: Change, tmp_path: Path, fields: dict, problem: str) -> None:
    state_in("config.json", **fields)
    with pytest.raises(CheckpointError, match=problem) as caught:
        import_folder(folder, tmp_path / "new.safetensors")
    sentence = str(caught.value)
    assert sentence.startswith(str(folder))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert not (tmp_path / "new.safetensors").exists()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([0, 2, 256, 1e-320]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["0", "1", "height", "x"]), inner),
    max_leaves=6,
)


@settings(max_examples=300)
@given(field=st.sampled_from([*Settings.model_fields, *Preprocessor.model_fields, "fctl"]), value=VALUES)
def test_whatever_a_field_holds_is_read_or_refused(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, field: str, value: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "whatever"
    folder.mkdir(exist_ok=True)
    for file, fields in (("config.json", Settings), ("preprocessor_config.json", Preprocessor)):
        document = json.loads((saved / file).read_text())
        ours = field in fields.model_fields or (field == "fctl" and fields is Settings)
        (folder / file).write_text(json.dumps(document | ({field: value} if ours else {})))
    refusal = stated = None
    try:
        read_entry(folder)
        stated = read_segformer(folder)
    except CheckpointError as error:
        refusal = str(error)
    if stated is None:
        assert "\n" not in refusal
        assert refusal.endswith(".")
    else:
        assert FCtLConfig.model_validate_json(stated.config.model_dump_json()) == stated.config


def test_damaged_folders(folder: Path, state_in: Change, tmp_path: Path) -> None:
    out = tmp_path / "new.safetensors"

    def refused(problem: str) -> None:
        with pytest.raises(CheckpointError, match=problem) as caught:
            import_folder(folder, out)
        assert "\n" not in str(caught.value)
        assert not out.exists()

    state_in("preprocessor_config.json", image_mean=[0.5])
    refused("preprocessor_config.json: image_mean and image_std have 1 and 3 values")
    state_in("preprocessor_config.json", image_mean=None, image_std=[0, 1, 1])
    refused(r"preprocessor_config.json: image_std.0: cannot be 0; give a number greater than 0")
    (folder / "preprocessor_config.json").write_text("{")
    refused("preprocessor_config.json: cannot be read as JSON")
    (folder / "preprocessor_config.json").unlink()

    state = arrays(folder / "model.safetensors")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-1000])
    refused("model.safetensors: cannot be read as weights")
    save_file({key: value for key, value in state.items() if "dense2" not in key}, folder / "model.safetensors")
    refused("its weights lack segformer.encoder.block.0.0.mlp.dense2.weight, .* and 13 more")
    save_file(state | {"decode_head.aux.weight": torch.zeros(1)}, folder / "model.safetensors")
    refused("its weights hold unknown decode_head.aux.weight, so")
    (folder / "model.safetensors").unlink()
    refused("rivers: has no weights")

    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    refused("names '../elsewhere.safetensors', not a safetensors file there")
    index.write_text(json.dumps({"weight_map": {"a": "missing.safetensors"}}))
    refused("missing.safetensors: there is no such")
    index.write_text("[]")
    refused("index.json: holds no JSON object")
    index.unlink()

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Path("object")))
    refused("pytorch_model.bin: cannot be read as weights")
    (folder / "config.json").write_text("not JSON")
    refused("config.json: cannot be read as JSON")
    (folder / "config.json").unlink()
    refused("rivers: has no config.json")


def test_nothing_is_replaced_and_nothing_fetched(folder: Path, tmp_path: Path) -> None:
    out = import_folder(folder, tmp_path / "new.safetensors")
    with pytest.raises(OutputError, match="exists, and checkpoints are not overwritten"):
        import_folder(folder, out)
    with pytest.raises(OutputError, match=r"end in \.safetensors"):
        import_folder(folder, tmp_path / "new.pth")
    with pytest.raises(CheckpointError, match="nvidia/segformer-b0: there is no such folder; download"):
        import_folder("nvidia/segformer-b0", tmp_path / "other.safetensors")


def test_an_imported_network_segments(
    fctl: Fctl, folder: Path, state_in: Change, tmp_path: Path, make_rgb: Callable[..., np.ndarray]
) -> None:
    """With bands that state mean and deviation, which are red, green and blue of any picture."""
    state_in("preprocessor_config.json", image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])
    out = tmp_path / "new.safetensors"
    code, shown, err = fctl("model", "import", folder, "--out", out, "--name", "Rivers")
    assert code == 0, err
    assert shown.strip() == str(out)
    code, shown, err = fctl("info", out)
    assert code == 0, err
    assert "Rivers" in shown
    assert "SegFormer-B0 of the folder rivers (license: cc-by-4.0)" in shown
    Image.fromarray(make_rgb(100, 130, seed=2)).save(tmp_path / "picture.png")
    result = tmp_path / "result.ome.zarr"
    fast = ("--device", "cpu", "--precision", "fp32")
    code, _, err = fctl("segment", tmp_path / "picture.png", "--checkpoint", out, "--out", result, *fast)
    assert code == 0, err
    assert "exists, and checkpoints are not overwritten" in fctl("model", "import", folder, "--out", out).sentence()


def test_its_weights_are_known_for_what_they_are(fctl: Fctl, folder: Path) -> None:
    code, shown, err = fctl("weights", "check", folder / "model.safetensors")
    assert code == 0, err
    assert f"fctl model import {folder}, or encoder_weights" in shown
    assert "mit_b0" in shown


def test_an_imported_network_learns_from_corrections(
    fctl: Fctl, folder: Path, tmp_path: Path, make_rgb: Callable[..., np.ndarray]
) -> None:
    import_folder(folder, tmp_path / "new.safetensors")
    Image.fromarray(make_rgb(200, 320, seed=2)).save(tmp_path / "picture.png")
    values = np.zeros((200, 320), np.uint8)
    values[10:30, 10:40], values[150:170, 250:300] = 1, 2
    values[10:30, 110:140], values[150:170, 150:180] = 1, 2
    classes = [{"name": name, "color": (k, 0, 9)} for k, name in enumerate(("water", "land", "road"))]
    labels = LabelPyramid.create(tmp_path / "picture.corrections.ome.zarr", values.shape, classes=classes)
    labels.write(0, 0, values)
    call = ("finetune", tmp_path / "picture.png", labels.path, "--checkpoint", tmp_path / "new.safetensors")
    options = (
        "--out",
        tmp_path / "tuned.safetensors",
        "--steps",
        1,
        "--keep-anyway",
        "--device",
        "cpu",
        "--precision",
        "fp32",
    )
    code, _, err = fctl(*call, *options)
    assert code == 0, err
    assert read_card(tmp_path / "tuned.safetensors").provenance["imported"]["license"] == "cc-by-4.0"
