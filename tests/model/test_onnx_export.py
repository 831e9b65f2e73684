"""An exported network, run by ONNX Runtime, is the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from fctl_napari.exceptions import ConfigError, OutputError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import METADATA_KEY, Card, read_card, resolve_checkpoint
from fctl_napari.model.onnx_export import export_onnx
from fctl_napari.model.presets import PRESETS, preset

NEAR = {"tile": [640, 512, 1, 1], "medium": [512, 384, 2, 2], "large": [0, 0, 3, 5]}
"""(y0, x0) px, and height and width in tiles."""


def streams(config: FCtLConfig, seed: int) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    size, outer = config.tile_size, [context.name for context in config.outer_contexts]
    random = torch.Generator().manual_seed(seed)

    def pixels() -> torch.Tensor:
        return torch.randint(0, 256, (1, 3, size, size), generator=random, dtype=torch.uint8)

    locations = {}
    for name in ("tile", *outer):
        y, x, h, w = NEAR[name]
        locations[name] = torch.tensor([[y, x, y + h * size, x + w * size]], dtype=torch.float32)
    return pixels(), {name: pixels() for name in outer}, locations


def check(checkpoint: Path, out: Path) -> None:
    model, card = load_checkpoint(checkpoint)
    assert export_onnx(checkpoint, out) == out
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    for seed in (1, 2):
        tile, contexts, windows = streams(card.config, seed)
        feeds: dict[str, NDArray[np.generic]] = {"tile": tile.numpy()}
        feeds |= {f"context_{name}": pixels.numpy() for name, pixels in contexts.items()}
        feeds |= {f"window_{name}": location.numpy() for name, location in windows.items()}
        assert {i.name for i in session.get_inputs()} == set(feeds)
        (got,) = session.run(["logits"], feeds)
        with torch.no_grad():
            expected = model(tile, contexts, windows).numpy()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        assert (got.argmax(1) == expected.argmax(1)).mean() > 0.9999


def write_earlier_export(path: Path) -> None:
    """Write what is known for an export by its metadata."""
    document = onnx.helper.make_model(onnx.helper.make_graph([], "earlier", [], []))
    onnx.helper.set_model_props(document, {METADATA_KEY: "{}"})
    onnx.save(document, str(path))


@pytest.mark.slow
def test_the_exported_network_is_the_network(
    tiny_config: FCtLConfig, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """With LCF, GPE, fusion and ALE, but one context beside the tile; nightly the built-in network with all."""
    contexts = tuple(context for context in tiny_config.contexts if context.name != "medium")
    fields = {"contexts": contexts, "ale": "b", "ale_reference": "large"}
    checkpoint = make_checkpoint(tiny_config.model_copy(update=fields), "two", awake=True)
    out = tmp_path / "tiny.onnx"
    write_earlier_export(out)  # is replaced
    check(checkpoint, out)
    (entry,) = onnx.load(str(out)).metadata_props
    assert Card.model_validate_json(entry.value) == read_card(checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


NIGHTLY = ("fctl_mit_b0", "fctl_lite", "lcc_released", "segnet", "unet", "pspnet", "icnet", "glnet", "segformer_b0")


def write_network(path: Path, config: FCtLConfig) -> Path:
    """Write a network with random weights."""
    torch.manual_seed(0)
    infos = tuple(ClassInfo(name=str(k), color=(k, k, k)) for k in range(config.classes))
    card = Card(name="n", config=config, classes=ClassTable(classes=infos))
    save_checkpoint(path, make_network(config).eval(), card)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcn8s", *(pytest.param(name, marks=pytest.mark.nightly) for name in NIGHTLY)])
def test_networks_of_each_encoder(tmp_path: Path, name: str) -> None:
    """By day VGG16 alone, whose inference keeps what the border gives: an export must not."""
    fields = {"fc_channels": 32} if "fc_channels" in PRESETS[name] else {}
    checkpoint = write_network(tmp_path / "n.safetensors", preset(name, tile_size=64, classes=3, **fields))
    check(checkpoint, tmp_path / "n.onnx")


def test_a_refiner_is_refused_in_words(tmp_path: Path) -> None:
    checkpoint = write_network(tmp_path / "r.safetensors", preset("refiner", tile_size=64, classes=3))
    with pytest.raises(ConfigError, match=r"r\.safetensors: refines masks, and only networks"):
        export_onnx(checkpoint, tmp_path / "r.onnx")


@pytest.mark.nightly
def test_a_wrapped_network(tmp_path: Path) -> None:
    config = preset("fctl_mit_b0", tile_size=64, classes=3, decoder="segformer", correlation_stride=16, ale_windows=[3])
    check(write_network(tmp_path / "n.safetensors", config), tmp_path / "n.onnx")


@pytest.mark.nightly
def test_the_built_in_network_exported(tmp_path: Path) -> None:
    check(resolve_checkpoint("earth"), tmp_path / "earth.onnx")


def test_what_is_in_the_place_is_not_lost(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"end the name in \.onnx"):
        export_onnx(tiny_checkpoint, tmp_path / "tiny.pt")
    taken = tmp_path / "taken.onnx"
    taken.write_bytes(b"something else")
    with pytest.raises(OutputError, match="exists and is not an earlier export"):
        export_onnx(tiny_checkpoint, taken)
    assert taken.read_bytes() == b"something else"
