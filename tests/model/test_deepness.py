"""What is exported for Deepness predicts the network's classes when it is fed, and read, as the plugin does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from helpers_commands import Fctl
from numpy.typing import NDArray

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import Context, FCtLConfig
from fctl_napari.model.deepness import deepness_metadata
from fctl_napari.model.domain import Domain
from fctl_napari.model.model_card import METADATA_KEY, Card, read_card
from fctl_napari.model.onnx_export import export_onnx
from fctl_napari.model.presets import preset

BANDS = [{"name": "red", "mean": 90, "std": 31}, {"name": "green", "mean": 60, "std": 9}, "blue"]
FIT: dict[str, dict[str, Any]] = {
    "segformer_b0": {"bands": BANDS},
    "fcn8s": {"encoder": "efficientnet_lite0", "normalization": "unit"},
    "fctl_lite": {"contexts": (Context(name="local"),), "ale": "none", "bands": ["nir", "red", "green", "blue"]},
}
"""Networks of few weights without contexts beside the tile."""


def write(path: Path, config: FCtLConfig, domain: Domain | None = None) -> Path:
    torch.manual_seed(0)
    infos = tuple(ClassInfo(name=f"class {k}", color=(k, k, k)) for k in range(config.classes))
    model = make_network(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("decoder."):  # scores start at 0
                parameter.copy_(torch.randn_like(parameter) / max(1, parameter[0].numel()) ** 0.5)
    return save_checkpoint(path, model, Card(name="n", config=config, classes=ClassTable(classes=infos), domain=domain))


class Plugin:
    """What the plugin does with a file of a Segmentor: its input in 0..1, standardized; a threshold; the largest."""

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (self.input,) = self.session.get_inputs()
        (self.output,) = self.session.get_outputs()
        stored = self.session.get_modelmeta().custom_metadata_map
        self.settings = {key: json.loads(value) for key, value in stored.items() if key != METADATA_KEY}

    def classes(self, tiles: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Classes [n, T, T] of tiles [n, T, T, C], which it cuts of its ``tile_size`` and feeds one by one."""
        mean, std = (np.asarray(self.settings[f"standardization_{name}"], np.float32) for name in ("mean", "std"))
        found = []
        for tile in tiles[..., : self.input.shape[1]]:
            batch = (np.float32(tile[None] * 1.0 / 255.0) - mean) / std
            (scores,) = self.session.run(None, {self.input.name: batch.transpose(0, 3, 1, 2)})
            assert scores.shape[2] == scores.shape[3] == self.settings["tile_size"]
            assert scores.min() >= 0
            np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
            scores[scores < self.settings["seg_thresh"]] = 0
            found.append(scores.argmax(1)[0])
        return np.stack(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIT)
def test_classes_are_the_networks(tmp_path: Path, name: str) -> None:
    checkpoint = write(tmp_path / "n.safetensors", preset(name, tile_size=64, classes=4, **FIT[name]))
    plugin = Plugin(export_onnx(checkpoint, tmp_path / "n.onnx", deepness=True))
    model, card = load_checkpoint(checkpoint)
    bands = card.config.in_channels
    assert (plugin.input.type, plugin.input.shape) == ("tensor(float)", [1, bands, 64, 64])
    assert plugin.output.shape == [1, 4, 64, 64]
    tiles = np.random.default_rng(0).integers(0, 256, (3, 64, 64, bands), np.uint8)
    whole = {"tile": torch.tensor([[0.0, 0.0, 64.0, 64.0]])}
    with torch.no_grad():
        logits = torch.cat([model(torch.from_numpy(tile)[None].permute(0, 3, 1, 2), {}, whole) for tile in tiles])
    expected = logits.argmax(1).numpy()
    assert len(np.unique(expected)) > 1
    assert (plugin.classes(tiles) == expected).mean() > 0.9999
    assert plugin.settings["model_type"] == "Segmentor"
    assert plugin.settings["class_names"] == {str(k): f"class {k}" for k in range(4)}
    stored = plugin.session.get_modelmeta().custom_metadata_map
    assert Card.model_validate_json(stored[METADATA_KEY]) == card


def test_resolution_is_that_of_the_training_data(tmp_path: Path) -> None:
    config = preset("segformer_b0", tile_size=64, classes=2)
    for size, resolution in ((None, None), ((0.5, 0.5), 50), ((0.5, 2.0), 100)):
        card = read_card(write(tmp_path / "n.safetensors", config, Domain(pixel_size=size)))
        found = deepness_metadata(card).get("resolution")
        assert resolution == (None if found is None else json.loads(found))


def test_what_it_cannot_feed_is_refused(fctl: Fctl, tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "n.onnx"
    sentence = fctl("model", "onnx", tiny_checkpoint, out, "--deepness").sentence()
    assert "looks beside the tile (medium, the whole image), and Deepness cannot feed contexts" in sentence
    seen = write(tmp_path / "g.safetensors", preset("segformer_b0", tile_size=64, classes=2, inference="global"))
    with pytest.raises(ConfigError, match=r"g\.safetensors: looks beside the tile \(the whole image\)"):
        export_onnx(seen, out, deepness=True)
    ranged = [{"name": "nir", "value_range": (0, 3000)}, "red"]
    other = write(tmp_path / "b.safetensors", preset("segformer_b0", tile_size=64, classes=2, bands=ranged))
    with pytest.raises(ConfigError, match=r"b\.safetensors: takes nir with a range of values of its own"):
        export_onnx(other, out, deepness=True)
    assert not out.exists()
