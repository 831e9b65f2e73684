"""A network of an ONNX file predicts what onnxruntime computes of it, whatever it computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_onnx import deepness, network, run
from numpy.typing import NDArray
from onnx import TensorProto
from torch.nn import functional as F

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.domain import Domain
from fctl_napari.model.model_card import Card, checkpoint_hash, read_card
from fctl_napari.model.onnx_export import export_onnx
from fctl_napari.model.onnx_files.read import import_onnx
from fctl_napari.model.presets import preset

NAMES = ("water", "land", "road")


def tile(size: int = 64, bands: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (bands, size, size), np.uint8)


def probabilities(checkpoint: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities of the classes in a tile, [classes, T, T]."""
    model, card = load_checkpoint(checkpoint)
    with torch.inference_mode():
        logits = model(torch.from_numpy(pixels)[None], {}, {})
    assert logits.shape == (1, len(card.classes), *pixels.shape[1:])
    found: NDArray[np.float32] = logits.softmax(1)[0].numpy()
    return found


def resized(values: NDArray[Any], size: int) -> NDArray[Any]:
    found: NDArray[Any] = F.interpolate(torch.from_numpy(values)[None], (size, size), mode="bilinear")[0].numpy()
    return found


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(0))
    result: NDArray[Any] = powers / powers.sum(0)
    return result


@pytest.mark.parametrize("size", [64, None])
@pytest.mark.parametrize("batch", [1, 4, None])
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("head", ["logits", "softmax"])
def test_classes(tmp_path: Path, head: str, stride: int, batch: int | None, size: int | None) -> None:
    metadata = deepness(*NAMES, tile_size=64)
    path = network(tmp_path / "n.onnx", head=head, stride=stride, batch=batch, size=size, metadata=metadata)
    checkpoint = import_onnx(path, tmp_path / "n.safetensors")
    # a file of a batch of 4 is one of a batch of 1 for who runs it directly
    oracle = network(tmp_path / "o.onnx", head=head, stride=stride, size=size)
    scores = resized(run(oracle, np.float32(tile() / 255)), 64)
    expected = softmax(scores) if head == "logits" else scores
    np.testing.assert_allclose(probabilities(checkpoint, tile()), expected, atol=1e-5)
    output = "logits" if head == "logits" else "probabilities"
    assert read_card(checkpoint).config.onnx.output == output  # type: ignore[union-attr]


@pytest.mark.parametrize("names", [("forest",), ("other", "forest")])
@pytest.mark.parametrize("head", ["logits", "sigmoid"])
def test_one_channel(tmp_path: Path, head: str, names: tuple[str, ...]) -> None:
    path = network(tmp_path / "n.onnx", head=head, channels=1, metadata=deepness(*names))
    checkpoint = import_onnx(path, tmp_path / "n.safetensors")
    scores = run(path, np.float32(tile() / 255))[0]
    second = 1 / (1 + np.exp(-scores)) if head == "logits" else scores
    np.testing.assert_allclose(probabilities(checkpoint, tile()), np.stack([1 - second, second]), atol=1e-5)
    assert read_card(checkpoint).classes.names == ("background" if len(names) == 1 else "other", "forest")


def test_threshold_of_one_channel(tmp_path: Path) -> None:
    path = network(
        tmp_path / "n.onnx", head="sigmoid", channels=1, metadata=deepness("other", "forest", seg_thresh=0.6)
    )
    checkpoint = import_onnx(path, tmp_path / "n.safetensors")
    second = run(path, np.float32(tile() / 255))[0]
    labels = probabilities(checkpoint, tile()).argmax(0)
    clear = abs(second - 0.6) > 1e-5
    np.testing.assert_array_equal(labels[clear], (second > 0.6)[clear])
    assert 0.1 < labels.mean() < 0.9


@pytest.mark.parametrize("head", ["index", "flat index"])
def test_indices(tmp_path: Path, head: str) -> None:
    path = network(tmp_path / "n.onnx", head=head, metadata=deepness(*NAMES))
    checkpoint = import_onnx(path, tmp_path / "n.safetensors")
    expected = run(path, np.float32(tile() / 255)).reshape(64, 64)
    found = probabilities(checkpoint, tile())
    np.testing.assert_array_equal(found.argmax(0), expected)
    assert found.max(0).min() > 0.9999
    assert len(np.unique(expected)) == 3


@pytest.mark.parametrize(
    ("settings", "normalize"),
    [
        ("", lambda v: v / 255),
        ("value_scale = 255", lambda v: v),
        ("mean = [0.5, 0.4, 0.3]\nstd = [0.2]", lambda v: (v / 255 - np.array([0.5, 0.4, 0.3])[:, None, None]) / 0.2),
        ("mean = [100]\nstd = [50]\nvalue_scale = 255", lambda v: (v - 100) / 50),
    ],
)
def test_normalization(tmp_path: Path, settings: str, normalize: Any) -> None:
    path = network(tmp_path / "n.onnx")
    (tmp_path / "n.toml").write_text(f'classes = ["a", "b", "c"]\noutput = "logits"\n{settings}')
    checkpoint = import_onnx(path, tmp_path / "n.safetensors", settings=tmp_path / "n.toml")
    expected = softmax(run(path, np.float32(normalize(tile().astype(np.float64)))))
    np.testing.assert_allclose(probabilities(checkpoint, tile()), expected, atol=1e-5)


def test_bytes_as_input(tmp_path: Path) -> None:
    path = network(tmp_path / "n.onnx", kind=TensorProto.UINT8, metadata=deepness(*NAMES))
    checkpoint = import_onnx(path, tmp_path / "n.safetensors")
    np.testing.assert_allclose(probabilities(checkpoint, tile()), softmax(run(path, tile())), atol=1e-5)


def test_half_precision_as_input(tmp_path: Path) -> None:
    path = network(tmp_path / "n.onnx", kind=TensorProto.FLOAT16, metadata=deepness(*NAMES))
    checkpoint = import_onnx(path, tmp_path / "n.safetensors")
    expected = softmax(run(path, np.float32(tile() / 255).astype(np.float16)))
    np.testing.assert_allclose(probabilities(checkpoint, tile()), expected, atol=1e-5)


def test_metadata_of_deepness(tmp_path: Path) -> None:
    others = {
        "resolution": 30,
        "tiles_overlap": 40,
        "standardization_mean": [0.5, 0.4, 0.3],
        "standardization_std": [0.2, 0.2, 0.2],
        "seg_thresh": 0.5,
    }
    path = network(tmp_path / "n.onnx", metadata=deepness(*NAMES, **others))
    card = read_card(import_onnx(path, tmp_path / "new.safetensors"))
    assert card.name == "new"
    assert card.classes.names == NAMES
    assert len(set(card.classes.colors)) == 3
    assert card.domain == Domain(pixel_size=(0.3, 0.3))
    settings = card.config.onnx
    assert settings is not None
    assert (settings.pixel_size, settings.overlap, settings.threshold) == (0.3, 40, 0.5)
    np.testing.assert_allclose(settings.mean, [127.5, 102, 76.5])
    np.testing.assert_allclose(settings.std, 51)
    assert card.provenance["imported"] == {
        "file": "n.onnx",
        "files": {"n.onnx": checkpoint_hash(path)},
        "license": "not stated",
    }


@pytest.mark.parametrize("key", ["class_names", "names"])
def test_names_of_earlier_files(tmp_path: Path, key: str) -> None:
    path = network(tmp_path / "n.onnx", metadata={key: "{2: 'road', 0: 'water', 1: 'land'}"})
    assert read_card(import_onnx(path, tmp_path / "n.safetensors")).classes.names == NAMES


def test_settings_file_has_precedence(tmp_path: Path) -> None:
    path = network(
        tmp_path / "n.onnx", bands=4, size=None, metadata=deepness(*NAMES, resolution="{damaged", tile_size=32)
    )
    (tmp_path / "n.toml").write_text(
        """
        pixel_size = 0.5
        tile_size = 96
        bands = [
            {name = "red", value_range = [0, 3000]},
            {name = "green", value_range = [0, 3000]},
            {name = "blue", value_range = [0, 3000]},
            {name = "nir", value_range = [0, 3000]},
        ]
        license = "CC0"
        [[classes]]
        name = "sea"
        color = [0, 0, 200]
        [[classes]]
        name = "shore"
        [[classes]]
        name = "sand"
        """
    )
    checkpoint = import_onnx(path, tmp_path / "n.safetensors", settings=tmp_path / "n.toml", name="coast")
    card = read_card(checkpoint)
    assert (card.name, card.classes.names, card.classes.colors[0]) == ("coast", ("sea", "shore", "sand"), (0, 0, 200))
    assert (card.config.tile_size, card.config.band_names) == (96, ("red", "green", "blue", "nir"))
    assert card.config.bands[3].value_range == (0, 3000)
    assert card.config.onnx.pixel_size == 0.5  # type: ignore[union-attr]
    assert card.provenance["imported"]["license"] == "CC0"
    expected = softmax(run(path, np.float32(tile(96, 4) / 255)))
    np.testing.assert_allclose(probabilities(checkpoint, tile(96, 4)), expected, atol=1e-5)


@pytest.mark.slow
def test_export_of_ours(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = preset("segformer_b0", tile_size=64, classes=3, bands=["nir", "red", "green", "blue"])
    model = make_network(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("decoder."):
                parameter.copy_(torch.randn_like(parameter) / max(1, parameter[0].numel()) ** 0.5)
    table = ClassTable(classes=tuple(ClassInfo(name=n, color=(k, 9, 9)) for k, n in enumerate(NAMES)))
    card = Card(name="n", config=config, classes=table, domain=Domain(pixel_size=(0.5, 0.5)))
    original = save_checkpoint(tmp_path / "n.safetensors", model, card, torch.float32)
    exported = export_onnx(original, tmp_path / "n.onnx", deepness=True)
    again = import_onnx(exported, tmp_path / "again.safetensors")
    expected, found = (probabilities(path, tile(bands=config.in_channels)) for path in (original, again))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found.argmax(0) == expected.argmax(0)).mean() > 0.9999
    assert len(np.unique(expected.argmax(0))) == 3
    imported = read_card(again)
    assert imported.classes == table
    assert imported.config.band_names == config.band_names
    assert imported.config.onnx.pixel_size == 0.5  # type: ignore[union-attr]


def test_its_file_is_written_back(tmp_path: Path) -> None:
    path = network(tmp_path / "n.onnx", metadata=deepness(*NAMES))
    checkpoint = import_onnx(path, tmp_path / "n.safetensors")
    assert export_onnx(checkpoint, tmp_path / "back.onnx").read_bytes() == path.read_bytes()


def test_class_without_a_name(tmp_path: Path) -> None:
    """Noise shows not every class."""
    path = network(tmp_path / "n.onnx", head="index", metadata=deepness(*NAMES))
    checkpoint = import_onnx(path, tmp_path / "n.safetensors")
    model, card = load_checkpoint(checkpoint)
    config = card.config.model_copy(update={"classes": 2})
    fewer = make_network(config)
    fewer.load_state_dict(model.state_dict())
    with pytest.raises(
        CheckpointError, match="predicts class 2, and its classes are 0 to 1; import the ONNX file again"
    ):
        fewer(torch.from_numpy(tile())[None], {}, {})
