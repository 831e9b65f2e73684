"""A wrapped network is the network that it was, to the bit, until its contexts learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_commands import Fctl
from safetensors.torch import load_file
from torch import Tensor, nn

from fctl_napari.exceptions import CheckpointError, ConfigError, OutputError
from fctl_napari.finetuning.checkpoint_list import list_checkpoints
from fctl_napari.finetuning.lineage import lineage
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.config import Context, FCtLConfig
from fctl_napari.model.domain import Domain
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import Card, checkpoint_hash, read_card
from fctl_napari.model.network import Network
from fctl_napari.model.presets import preset
from fctl_napari.model.wrap import CONTEXTS, wrap_checkpoint, wrapped

from .conftest import make_batch

CLASSES = ClassTable.model_validate(
    {"classes": [{"name": n, "color": (k, 9, 9)} for k, n in enumerate(("water", "land", "road"))]}
)
MEDIUM = Context(name="medium", scale=3.0)
OPTIONS: dict[str, dict[str, Any]] = {
    "fcn8s": {"encoder": "efficientnet_lite0", "correlation_stride": 16, "finest_skip": 4},
}


def plain_config(name: str = "segformer_b0", **fields: Any) -> FCtLConfig:
    return preset(name, **{"tile_size": 64, "classes": 3, **OPTIONS.get(name, {}), **fields})


def plain_network(config: FCtLConfig) -> Network:
    """A network whose norms have statistics of their own, and whose every part shows in its logits."""
    model = make_network(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 / max(1, parameter[0].numel()) ** 0.5 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    "contexts", [CONTEXTS, (MEDIUM,), (MEDIUM, Context(name="large", scale=9.0)), (Context(name="local", scale=2.0),)]
)
@pytest.mark.parametrize("name", ["segformer_b0", "fcn8s", pytest.param("segformer_b2", marks=pytest.mark.nightly)])
def test_logits_are_those_of_the_network_that_was_wrapped(name: str, contexts: tuple[Context, ...]) -> None:
    parent = plain_network(plain_config(name))
    model = wrapped(parent, contexts)
    assert model.config.contexts == contexts
    assert (model.ale is not None) == ({"medium", "large"} <= {c.name for c in contexts})
    for seed in (1, 2):
        tile, images, windows = make_batch(model.config, seed=seed)
        images = {context: 255 - 3 * pixels for context, pixels in images.items()}  # whatever they show
        assert torch.equal(model(tile, images, windows), parent(tile, {}, {}))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(model(tile, images, windows), parent(tile, {}, {}))


def gradients(model: FCtL) -> dict[str, Tensor]:
    model.zero_grad()
    model(*make_batch(model.config)).square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_contexts_learn_from_the_first_step() -> None:
    model = wrapped(plain_network(plain_config()))
    found = gradients(model)
    for context in CONTEXTS:
        assert f"lcf.correlations.{context.name}.value.weight" in found
    assert {"ale.steps.1.tile.kernels.0.weight", "ale.steps.1.tile.target.weight"} <= set(found)
    with torch.no_grad():
        for name, gradient in found.items():
            model.get_parameter(name).sub_(1e-3 * gradient.sign())
    found = gradients(model)
    for stream in ("medium", "large"):
        assert any(name.startswith(f"encoders.{stream}.") for name in found)
    for part in ("gamma", "z", "v_pos", "query.weight", "key.weight"):
        assert f"lcf.correlations.medium.{part}" in found
    assert "lcf.fusion.split.weight" in found


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A SegFormer's checkpoint with all that a card may say."""
    config = plain_config()
    card = Card(
        name="rivers",
        description="Rivers.",
        config=config,
        classes=CLASSES,
        provenance={"imported": {"folder": "rivers", "license": "mit"}, "parent": {"name": "n", "hash": "0" * 64}},
        figures={"miou": 0.5, "measured_on": "rivers", "finetuning": {}},
        domain=Domain(pixel_size=(0.5, 1.0)),
    )
    return save_checkpoint(tmp_path / "rivers.safetensors", plain_network(config), card)


def test_a_checkpoint_keeps_what_it_was(parent: Path, tmp_path: Path) -> None:
    out = tmp_path / "wide.safetensors"
    assert wrap_checkpoint(parent, out) == out
    before, card = read_card(parent), read_card(out)
    assert card.name == "wide"
    assert (card.classes, card.domain, card.description) == (before.classes, before.domain, before.description)
    assert (card.config.architecture, card.config.decoder) == ("fctl", "segformer")
    assert card.figures == {"miou": 0.5, "measured_on": "rivers"}
    assert card.provenance["imported"] == before.provenance["imported"]
    assert card.provenance["parent"] == {"name": "rivers", "hash": checkpoint_hash(parent)}
    assert [c["name"] for c in card.provenance["wrapped"]["contexts"]] == ["local", "medium", "large"]
    given, found = load_file(parent), load_file(out)
    assert all(torch.equal(found[key], value) and found[key].dtype == value.dtype for key, value in given.items())
    streams = [key for key in given if key.startswith("encoders.tile.")]
    for name in ("medium", "large"):
        assert all(torch.equal(found[key.replace(".tile.", f".{name}.", 1)], given[key]) for key in streams)
    again = wrap_checkpoint(parent, tmp_path / "again.safetensors", name="wide")
    assert checkpoint_hash(again) == checkpoint_hash(out), "the same each time"
    (family,) = [kin for kin in lineage(tmp_path) if kin.holds(checkpoint_hash(out))]
    assert family.holds(checkpoint_hash(parent))
    told = [kin.story() for child in family.children for kin in child.children]
    assert told == ["wrapped into FCtL with the contexts local, medium x3, large global"], "equal files are one"
    assert {one.kind for one in list_checkpoints(tmp_path)} == {"built in", "imported", "wrapped"}


def test_single_precision_stays_single(parent: Path, tmp_path: Path) -> None:
    model, card = load_checkpoint(parent)
    single = save_checkpoint(tmp_path / "single.safetensors", model, card, torch.float32)
    found = load_file(wrap_checkpoint(single, tmp_path / "wide.safetensors"))
    assert {value.dtype for value in found.values() if value.is_floating_point()} == {torch.float32}


def test_normalization_and_bands_are_kept(tmp_path: Path) -> None:
    bands = [{"name": name, "mean": 90.0, "std": 40.0} for name in ("red", "green", "blue")]
    model = wrapped(make_network(plain_config(bands=bands)))
    assert model.encoder("medium").mean == model.encoder("tile").mean == (90.0,) * 3


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "unet"}, r"this network \(unet, unet\) cannot be wrapped, only a SegFormer or an FCtL without"),
    ({"name": "segformer_b0", "inference": "global"}, "it sees the whole image already"),
    ({"name": "fctl_lite", "ale_windows": (3,)}, "it has contexts already"),
    ({"name": "fcn8s", "decoder": "linear"}, "efficientnet_lite0, linear head\\) cannot be wrapped"),
    ({"name": "segformer_b0", "tile_size": 72}, "tile_size 72 does not fit this encoder"),
]


@pytest.mark.parametrize(("fields", "says"), REFUSED, ids=lambda v: str(v)[:30])
def test_what_cannot_be_wrapped_is_refused_in_a_sentence(fields: dict[str, Any], says: str, tmp_path: Path) -> None:
    config = plain_config(**fields)
    path = tmp_path / "n.safetensors"
    save_checkpoint(path, make_network(config).eval(), Card(name="n", config=config, classes=CLASSES))
    with pytest.raises(ConfigError, match=f"n.safetensors: .*{says}") as caught:
        wrap_checkpoint(path, tmp_path / "new.safetensors")
    assert str(caught.value).endswith(".")
    assert not (tmp_path / "new.safetensors").exists()


def test_contexts_and_files_that_do_not_fit(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rivers.safetensors: network settings: each context may stand once"):
        wrap_checkpoint(parent, tmp_path / "new.safetensors", (MEDIUM, MEDIUM))
    with pytest.raises(ConfigError, match="no contexts are stated that could join"):
        wrap_checkpoint(parent, tmp_path / "new.safetensors", ())
    with pytest.raises(OutputError, match="exists, and checkpoints are not overwritten"):
        wrap_checkpoint(parent, parent)
    model, card = load_checkpoint(parent)
    blank = card.model_copy(update={"provenance": {"training": {"data": {"images": ["a.png"]}}}})
    save_checkpoint(tmp_path / "blank.safetensors", model, blank)
    with pytest.raises(CheckpointError, match="has no classes yet"):
        wrap_checkpoint(tmp_path / "blank.safetensors", tmp_path / "new.safetensors")


def test_the_command(parent: Path, tmp_path: Path, fctl: Fctl) -> None:
    out = tmp_path / "wide.safetensors"
    code, printed, _ = fctl("model", "wrap", parent, "--contexts", "local, medium=2, large=9", "--out", out)
    assert (code, printed.strip()) == (0, str(out))
    assert [(c.name, c.scale) for c in read_card(out).config.contexts] == [("local", 1), ("medium", 2), ("large", 9)]
    for wrong in ("big=3", "medium=far", "medium=nan", "medium=inf", ""):
        said = fctl("model", "wrap", parent, "--contexts", wrong, "--out", tmp_path / "new.safetensors").sentence()
        assert f"--contexts: {wrong!r} is no context; state them as 'local,medium=3,large=global'." in said
    said = fctl("model", "wrap", parent, "--contexts", "local,medium", "--out", tmp_path / "new.safetensors").sentence()
    assert "--contexts: 'medium' has no scale; state them as" in said
