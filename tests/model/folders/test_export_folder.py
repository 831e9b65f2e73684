"""A folder that was written is read by transformers where it can be, and comes back as the same checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_commands import Fctl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from fctl_napari import files
from fctl_napari.exceptions import CheckpointError, OutputError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import Context, FCtLConfig
from fctl_napari.model.domain import Domain, SeenImage
from fctl_napari.model.folders.read import import_folder
from fctl_napari.model.folders.write import export_folder
from fctl_napari.model.model_card import Card, checkpoint_hash, read_card, resolve_checkpoint
from fctl_napari.model.presets import preset

LIGHT: dict[str, dict[str, Any]] = {
    "segformer_b0": {},
    "fctl_lite": {"contexts": (Context(name="local"), Context(name="medium", scale=2.0)), "ale": "none"},
    "fcn8s": {"encoder": "efficientnet_lite0"},
    "fctl_mit_b0": {"decoder": "linear"},
}
"""Networks of few weights, by their presets."""

names = st.lists(st.text(min_size=1, max_size=12).filter(str.strip), min_size=2, max_size=4, unique=True)
bands = st.sampled_from(
    [(), ("red", "green", "nir"), ({"name": "red", "mean": 90.5, "std": 31}, "green", "blue"), ("red", "nir", "a", "b")]
)


def write(path: Path, config: FCtLConfig, dtype: torch.dtype = torch.float16, **fields: Any) -> Path:
    """A checkpoint of random weights."""
    torch.manual_seed(0)
    labels = fields.pop("names", [f"class {k}" for k in range(config.classes)])
    infos = tuple(ClassInfo(name=name, color=(k, 20 * k, 3)) for k, name in enumerate(labels))
    ignored = ClassInfo(name="ignored by all", color=(9, 9, 9), ignored=True)
    card = Card(name=fields.pop("name", "n"), config=config, classes=ClassTable(classes=(*infos, ignored)), **fields)
    model = make_network(config).eval()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith("running_var"):
                value[0] = 1e6  # more than half precision holds
    return save_checkpoint(path, model, card, dtype)


@pytest.mark.slow
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(sorted(LIGHT)),
    labels=names,
    bands=bands,
    inference=st.sampled_from(["local", "local", "global"]),
    half=st.booleans(),
    title=st.text(max_size=20),
    figures=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False), max_size=2),
)
def test_the_same_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    labels: list[str],
    bands: tuple[Any, ...],
    inference: str,
    half: bool,
    title: str,
    figures: dict[str, float],
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    fields = LIGHT[name] | ({"inference": inference} if name in ("segformer_b0", "fcn8s") else {})
    config = preset(name, classes=len(labels), tile_size=64, bands=bands, **fields)
    dtype = torch.float16 if half else torch.float32
    before = write(folder / "n.safetensors", config, dtype, names=labels, name=title, figures=figures)
    shared = export_folder(before, folder / "shared")
    after = import_folder(shared, folder / "again.safetensors")
    assert read_card(after) == read_card(before)
    assert checkpoint_hash(after) == checkpoint_hash(before)
    front, text = (shared / "README.md").read_text("utf-8").removeprefix("---\n").split("\n---\n", 1)
    assert "pipeline_tag: image-segmentation" in front
    assert all(" ".join(label.split()).replace("|", "\\|") in text for label in labels)
    document = json.loads((shared / "config.json").read_text())
    theirs = name == "segformer_b0" and inference == "local" and "nir" not in bands
    assert ("architectures" in document) == theirs
    assert theirs or list(document) == ["fctl"]


@torch.no_grad()
@pytest.mark.parametrize(
    "fields",
    [{}, {"normalization": "unit"}, {"bands": [{"name": n, "mean": 90, "std": 31} for n in ("red", "green", "blue")]}],
)
def test_transformers_loads_a_segformer(tmp_path: Path, fields: dict[str, Any]) -> None:
    import transformers  # slow to import

    config = preset("segformer_b0", classes=3, tile_size=96, **fields)
    checkpoint = write(tmp_path / "n.safetensors", config, names=["water", "land", "road"])
    folder = export_folder(checkpoint, tmp_path / "shared")
    oracle = transformers.SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    assert oracle.config.id2label == {0: "water", 1: "land", 2: "road"}
    assert oracle.dtype == torch.float32
    model, _ = load_checkpoint(checkpoint)
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    pre = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
    given_to_it = pre([image.permute(1, 2, 0).numpy() for image in images], return_tensors="pt")
    expected = F.interpolate(oracle(**given_to_it).logits, (96, 96), mode="bilinear")
    torch.testing.assert_close(model(images, {}, {}), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_what_transformers_trained_on_comes_back(tmp_path: Path) -> None:
    """With its weights, and none of the figures of those before."""
    import transformers

    config = preset("segformer_b0", classes=2, tile_size=64)
    checkpoint = write(tmp_path / "n.safetensors", config, figures={"miou": 0.5, "measured_on": "a scene"})
    folder = export_folder(checkpoint, tmp_path / "shared")
    oracle: nn.Module = transformers.SegformerForSemanticSegmentation.from_pretrained(folder)
    with torch.no_grad():
        oracle.get_submodule("decode_head.classifier").bias.add_(1)
    oracle.save_pretrained(folder)
    after = import_folder(folder, tmp_path / "trained.safetensors")
    moved = load_file(after)["decoder.classifier.bias"] - load_file(checkpoint)["decoder.classifier.bias"]
    torch.testing.assert_close(moved, torch.ones(2), atol=1e-3, rtol=0)
    card = read_card(after)
    assert card.figures == {}
    assert card.provenance["imported"]["folder"] == "shared"
    assert card.classes.colors == read_card(checkpoint).classes.colors[:2]


def test_the_readme_says_what_the_card_knows(tmp_path: Path) -> None:
    config = preset("fctl_lite", classes=2, tile_size=64)
    figures = {"miou": 0.51234, "iou": {"sea | lake": 0.6, "land": None}, "measured_on": "the test part"}
    checkpoint = write(
        tmp_path / "n.safetensors",
        config,
        name="Coasts",
        description="Of two\nlines.",
        names=["sea | lake", "land"],
        figures=figures,
        domain=Domain(images=(SeenImage(name="a.tif", fingerprint="1"),), pixel_size=(0.5, 2), notes=("Few.",)),
        provenance={
            "parent": {"name": "earth", "hash": "abc"},
            "imported": {"folder": "rivers", "license": "cc-by-4.0"},
            "finetuning": {"image": {"name": "b.tif", "fingerprint": "2"}},
        },
    )
    text = (export_folder(checkpoint, tmp_path / "shared") / "README.md").read_text("utf-8")
    for part in (
        '---\nlicense: "cc-by-4.0"\nlibrary_name: fctl-napari\n',
        "metrics:\n- mean_iou\n",
        "# Coasts\n\nOf two lines.\n",
        "2 classes for each px",
        "tiles of 64 x 64 px with the bands red, green, blue",
        "medium (3 times the tile), large (the whole image)",
        "| 0 | sea \\| lake | #000003 |",
        "Measured on: the test part.",
        "| mIoU | 0.5123 |",
        "| sea \\| lake | 0.6000 |",
        "1 image: a.tif. Their px measure 0.5 to 2 m. Few.",
        checkpoint_hash(checkpoint),
        "made from earth (SHA-256 `abc`)",
        "corrections of b.tif",
        "goes back to rivers",
        "Its license is cc-by-4.0.",
        "fctl model import FOLDER",
    ):
        assert part in text, part
    assert "ignored by all" not in text
    other = write(tmp_path / "other.safetensors", preset("segformer_b0", classes=2, tile_size=64))
    text = (export_folder(other, tmp_path / "other") / "README.md").read_text("utf-8")
    for part in (
        "library_name: transformers",
        "None are known.",
        "No license is stated",
        "from_pretrained",
        "no facts",
    ):
        assert part in text, part


def test_a_folder_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write(tmp_path / "n.safetensors", preset("segformer_b0", classes=2, tile_size=64))
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="taken: exists already"):
        export_folder(checkpoint, tmp_path / "taken")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        export_folder(checkpoint, tmp_path / "file" / "below")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        export_folder(checkpoint, tmp_path / "new" / "shared")
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "n.safetensors", "taken"]
    folder = export_folder(checkpoint, tmp_path / "new" / "shared")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "preprocessor_config.json"
    ]  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == ["shared"]


def test_other_weights_than_the_card_is_of(tmp_path: Path) -> None:
    config = preset("fcn8s", classes=2, tile_size=64, **LIGHT["fcn8s"])
    folder = export_folder(write(tmp_path / "n.safetensors", config), tmp_path / "shared")
    other = export_folder(write(tmp_path / "o.safetensors", config, torch.float32), tmp_path / "other")
    (other / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"shared: its weights are not those that its config\.json"):
        import_folder(folder, tmp_path / "new.safetensors")
    document = json.loads((folder / "config.json").read_text())
    document["fctl"]["card"]["classes"]["classes"].pop(0)
    (folder / "config.json").write_text(json.dumps(document))
    with pytest.raises(
        CheckpointError, match=r"config\.json: what stands under 'fctl' .*\(card: the class table has 1 scored class"
    ):
        import_folder(folder, tmp_path / "new.safetensors")
    (folder / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="and folders of `fctl model folder`, can be imported"):
        import_folder(folder, tmp_path / "new.safetensors")


def test_the_built_in_network_there_and_back(fctl: Fctl, tmp_path: Path) -> None:
    folder, back = tmp_path / "earth", tmp_path / "back.safetensors"
    code, shown, err = fctl("model", "folder", "earth", "--out", folder)
    assert code == 0, err
    assert shown.strip() == str(folder)
    assert "exists already" in fctl("model", "folder", "earth", "--out", folder).sentence()
    assert fctl("model", "import", folder, "--out", back)[0] == 0
    builtin = resolve_checkpoint("earth")
    assert read_card(back) == read_card(builtin)
    expected, found = load_file(builtin), load_file(back)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) and found[key].dtype == value.dtype for key, value in expected.items())
    assert fctl("model", "import", folder, "--out", tmp_path / "b.safetensors", "--name", "mine")[0] == 0
    assert read_card(tmp_path / "b.safetensors").name == "mine"
