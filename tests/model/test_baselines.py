"""The baselines of Table 1: shapes, gradients, published sizes, parity with published implementations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.baselines.segnet import unpool
from fctl_napari.model.baselines.unet import UNetDecoder
from fctl_napari.model.build import make_network
from fctl_napari.model.config import FCtLConfig, make_config
from fctl_napari.model.encoders import load_published_weights, make_encoder
from fctl_napari.model.encoders.resnet import ResNet50
from fctl_napari.model.feature_ablation import Without
from fctl_napari.model.network import Network
from fctl_napari.model.presets import preset
from fctl_napari.model.weight_files import identify

from . import helpers_published
from .conftest import Batch, encode
from .test_encoders import imagenet, random_images

QUICK = (
    *("segnet", "unet", "unet_resnet", "fpn", "pspnet", "deeplabv3plus", "deeplabv3plus_separable", "icnet"),
    *("segformer_b0", "glnet"),
)
"""All but those that are another one, only larger."""


def batch(config: FCtLConfig, tiles: int = 2, device: str = "cpu") -> Batch:
    """Random tiles in the middle of an image of 3 x 3 tiles, and what goes with them."""
    size = config.tile_size

    def images(count: int) -> Tensor:
        return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, device=device)

    windows = {"tile": torch.tensor([[size, size, 2 * size, 2 * size]], device=device).double().expand(tiles, -1)}
    for context in config.outer_contexts:
        windows[context.name] = torch.tensor([[0, 0, 3 * size, 3 * size]], device=device).double()
    return images(tiles), {context.name: images(1) for context in config.outer_contexts}, windows


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def on_meta(name: str, **fields: Any) -> Network:
    with torch.device("meta"):
        return make_network(preset(name, **fields)).eval()


@pytest.mark.parametrize("name", QUICK)
def test_logits_cover_the_tile_whatever_its_size(name: str) -> None:
    views = {65: "local", 508: "local" if name == "glnet" else "global"}
    for size, inference in views.items():
        model = on_meta(name, tile_size=size, classes=5, inference=inference)
        assert model(*batch(model.config, device="meta")).shape == (2, 5, size, size)


@pytest.mark.parametrize("name", QUICK)
def test_gradients_reach_every_parameter(name: str) -> None:
    model = make_network(preset(name, tile_size=45, classes=3)).eval()
    logits = model(*batch(model.config, 1))
    assert logits.isfinite().all()
    F.cross_entropy(logits, torch.randint(0, 3, (1, 45, 45))).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        # softmax does not see what is added to all keys
        assert parameter.grad.any() or key.endswith("key.bias"), key


@torch.no_grad()
@pytest.mark.parametrize("name", QUICK)
def test_a_tile_does_not_depend_on_the_others_and_bfloat16_agrees_roughly(name: str) -> None:
    model = make_network(preset(name, tile_size=64, classes=3)).eval()
    tile, contexts, windows = batch(model.config)
    logits = model(tile, contexts, windows)
    scale = float(logits.abs().max())
    one = model(tile[1:], contexts, {key: window[-1:] for key, window in windows.items()})
    torch.testing.assert_close(one[0] / scale, logits[1] / scale, rtol=0, atol=1e-4)
    assert float((logits[0] - logits[1]).abs().max()) > 1e-3 * scale
    with torch.autocast("cpu", torch.bfloat16):
        assert float((model(tile, contexts, windows).float() - logits).abs().mean()) < 0.1 * scale


PUBLISHED = [
    # Xie et al. 2021, Table 1, ADE20K; given to a tenth
    ("segformer_b0", 150, 3.8, 0.06),
    ("segformer_b2", 150, 27.5, 0.06),
    ("segformer_b5", 150, 84.7, 0.06),
    # Paszke et al. 2016 (ENet), Table 3, CamVid's 12 classes; they do not say whether norms and biases count
    ("segnet", 12, 29.46, 0.03),
    # Open Model Zoo, pspnet-pytorch, Pascal VOC; its norms are folded in and its stem has three 3x3 convolutions
    ("pspnet", 21, 46.58, 0.05),
    # Long et al. 2015, Table 1, FCN-VGG16 for Pascal VOC; given to a whole million
    ("fcn8s", 21, 134.0, 0.5),
]
"""Millions of parameters by the number of classes, and by how many they may differ."""


@pytest.mark.parametrize(("name", "classes", "millions", "apart"), PUBLISHED)
def test_sizes_are_the_published_ones(name: str, classes: int, millions: float, apart: float) -> None:
    assert count(on_meta(name, classes=classes)) / 1e6 == pytest.approx(millions, abs=apart)


def test_sizes_that_are_published_to_the_last_parameter() -> None:
    with torch.device("meta"):
        # torchvision's, without fc
        assert count(make_encoder("resnet18")) == 11_689_512 - 513_000
        assert count(make_encoder("resnet34")) == 21_797_672 - 513_000
        assert count(make_encoder("resnet50")) == 25_557_032 - 2_049_000
        assert count(make_encoder("resnet101")) == 44_549_160 - 2_049_000
        assert count(make_encoder("vgg16_bn")) == 138_365_992 - 123_642_856  # torchvision's, without its classifier
        vgg16 = 138_357_544 - 4_097_000  # torchvision's, without its last layer: FCN-8s's but for the scores
        fcn = on_meta("fcn8s", classes=21)
        assert count(fcn.encoders) + count(fcn.decoder.get_submodule("fc")) == vgg16
        assert count(make_encoder("unet")) + count(UNetDecoder(1)) == 31_037_633  # milesial/Pytorch-UNet
        # torchvision's DeepLab v3 with its auxiliary head of a 3x3 convolution, a norm and scores. Version 3+ has the
        # same pyramid, projection and 3x3 convolution before the scores, and adds one from 304 channels, and details.
        auxiliary = 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21
        added = (256 + 48) * 256 * 9 + 2 * 256 + 256 * 48 + 2 * 48
        assert count(on_meta("deeplabv3plus", classes=21)) == 42_004_074 - auxiliary + added
        oracle = whole_segformer([3, 4, 6, 3], [64, 128, 320, 512], 768, 150)
        assert count(on_meta("segformer_b2", classes=150)) == count(oracle)


def whole_segformer(depths: list[int], widths: list[int], decoder: int, classes: int) -> nn.Module:
    import transformers  # slow to import

    config = transformers.SegformerConfig(
        depths=depths, hidden_sizes=widths, decoder_hidden_size=decoder, num_labels=classes, drop_path_rate=0.0
    )
    model: nn.Module = transformers.SegformerForSemanticSegmentation(config)
    return model


@torch.no_grad()
def test_segformer_is_transformers_segformer(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    oracle = whole_segformer([2, 2, 2, 2], [32, 64, 160, 256], 256, 7).eval()
    for parameter in oracle.parameters():
        parameter.add_(0.1 / max(1, parameter[0].numel()) ** 0.5 * torch.randn_like(parameter))
    statistics = dict(oracle.named_buffers())
    statistics["decode_head.batch_norm.running_mean"].normal_(std=0.1)
    statistics["decode_head.batch_norm.running_var"].uniform_(0.5, 2)
    oracle.save_pretrained(tmp_path)  # type: ignore[operator]
    state = load_file(tmp_path / "model.safetensors")
    model = make_network(preset("segformer_b0", tile_size=96, classes=7)).eval()
    load_published_weights(model.encoder("tile"), tmp_path / "model.safetensors")
    model.decoder.load_state_dict(
        {k.removeprefix("decode_head."): v for k, v in state.items() if k.startswith("decode_head.")}
    )
    images = random_images(96, 2)
    expected = oracle(imagenet(images)).logits
    features = model.tile_features(images)
    torch.testing.assert_close(model.decoder(features), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    torch.testing.assert_close(
        model(images, {}, {}), F.interpolate(expected, (96, 96), mode="bilinear"), rtol=1e-3, atol=1e-3
    )


def plain_resnet50(state: dict[str, Tensor], x: Tensor, output_stride: int) -> dict[int, Tensor]:
    """Torchvision's ResNet-50, operation by operation, on normalised images."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return (x - mean[:, None, None]) / (var + 1e-5).sqrt()[:, None, None] * weight[:, None, None] + bias[
            :, None, None
        ]

    x = norm("bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)).clamp(min=0)
    x = F.max_pool2d(x, 3, 2, 1)
    found, stride, dilation = {}, 4, 1
    for layer, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        step, before = 1 if layer == 1 else 2, dilation
        if stride * step > output_stride:
            step, dilation = 1, 2 * dilation
        stride *= step
        for i in range(blocks):
            name, s, d = f"layer{layer}.{i}", step if i == 0 else 1, before if i == 0 else dilation
            y = norm(f"{name}.bn1", F.conv2d(x, state[f"{name}.conv1.weight"])).clamp(min=0)
            y = F.conv2d(y, state[f"{name}.conv2.weight"], stride=s, padding=d, dilation=d)
            y = norm(f"{name}.bn3", F.conv2d(norm(f"{name}.bn2", y).clamp(min=0), state[f"{name}.conv3.weight"]))
            if i == 0:
                x = norm(f"{name}.downsample.1", F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=s))
            x = (x + y).clamp(min=0)
        found[stride] = x
    return found


@torch.no_grad()
def test_resnet50_with_torchvisions_weights_is_resnet50(tmp_path: Path) -> None:
    state = helpers_published.resnet50()
    assert len(state) == 320
    path = tmp_path / "resnet50.pth"
    torch.save(state, path)
    images = random_images(43)
    for output_stride in (32, 16, 8):
        encoder = ResNet50(output_stride).eval()
        load_published_weights(encoder, path)
        expected = plain_resnet50(state, imagenet(images), output_stride)
        got = encoder(images)
        assert sorted(got) == sorted(expected) == sorted(encoder.channels)
        for stride, features in expected.items():
            assert features.shape[1] == encoder.channels[stride]
            scale = float(features.abs().max())
            torch.testing.assert_close(got[stride] / scale, features / scale, rtol=0, atol=1e-4)
    found = identify(path)
    assert found.what == "weights for the encoder resnet50"
    assert {"pspnet", "deeplabv3plus", "icnet", "glnet"} <= set(found.presets)


@torch.no_grad()
def test_segnets_encoder_takes_torchvisions_weights_and_remembers_maxima(tmp_path: Path) -> None:
    state = helpers_published.vgg16_bn()
    path = tmp_path / "vgg16_bn.pth"
    torch.save(state, path)
    encoder = make_encoder("vgg16_bn").eval()
    load_published_weights(encoder, path)
    images = random_images(37)
    x = imagenet(images)
    for n, stride in ((0, None), (3, 1)):
        x = F.batch_norm(
            F.conv2d(x, state[f"features.{n}.weight"], state[f"features.{n}.bias"], padding=1),
            *(state[f"features.{n + 1}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")),
        ).clamp(min=0)
        if stride is not None:
            locations = encoder(images, 2)[stride]
            pooled = F.max_pool2d(x, 2)
            torch.testing.assert_close(x.flatten(2).gather(2, locations.flatten(2)), pooled.flatten(2))
            put = unpool(pooled, locations, 37)
            kept = put != 0
            torch.testing.assert_close(put[kept], x[kept])
            torch.testing.assert_close(F.max_pool2d(put, 2), pooled)
    assert identify(path).presets == ("segnet",)


@torch.no_grad()
@pytest.mark.parametrize("name", ["unet", "fcn8s"])
def test_global_inference_resamples_the_logits_of_the_image(name: str) -> None:
    fields: dict[str, Any] = {"tile_size": 64, "classes": 3, "encoder": "unet" if name == "unet" else "mit_b0"}
    model = make_network(preset(name, **fields, inference="global")).eval()
    local = make_network(preset(name, **fields)).eval()
    local.load_state_dict(model.state_dict())
    image = random_images(64)
    expected = local(image, {}, {})
    whole = torch.tensor([[0.0, 0.0, 300.0, 500.0]]).double()
    assert model.encode_tile(image) == {}
    encoded = {"large": model.encode_context("large", image)}
    torch.testing.assert_close(encoded["large"], expected)
    torch.testing.assert_close(model.decode({}, encoded, {"tile": whole, "large": whole}), expected)
    tile = torch.tensor([[100.0, 150.0, 200.0, 350.0], [-50.0, 450.0, 50.0, 550.0]]).double()
    got = model.decode({}, encoded, {"tile": tile, "large": whole})
    for window, logits in zip(tile.tolist(), got, strict=True):
        y = (window[0] + (torch.arange(64) + 0.5) / 64 * (window[2] - window[0])) / 300 * 2 - 1
        x = (window[1] + (torch.arange(64) + 0.5) / 64 * (window[3] - window[1])) / 500 * 2 - 1
        locations = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None]
        sampled = F.grid_sample(expected, locations, padding_mode="border", align_corners=False)[0]
        torch.testing.assert_close(logits, sampled, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@torch.no_grad()
def test_global_features_meet_the_tile_where_it_lies() -> None:
    model = make_network(preset("glnet", tile_size=64, classes=3)).eval()
    tile, contexts, windows = batch(model.config)
    features, encoded = encode(model, tile, contexts)  # type: ignore[arg-type]
    logits = model.decode(features, encoded, windows)
    scale = float(logits.abs().max())
    elsewhere = {**windows, "tile": windows["tile"] + torch.tensor([40.0, 0, 40, 0]).double()}
    assert float((model.decode(features, encoded, elsewhere) - logits).abs().max()) > 1e-3 * scale
    without = model.decode(features, encoded, windows, Without(frozenset({"large"})))
    nothing = model.decode(features, {"large": torch.zeros_like(encoded["large"])}, windows)
    torch.testing.assert_close(without, nothing)
    assert float((without - logits).abs().max()) > 1e-3 * scale
    # a tile that is the image: the features meet cell by cell
    same = model.decode(features, encoded, {"tile": windows["large"], "large": windows["large"]})
    both = torch.cat([features[4], encoded["large"].expand(2, -1, -1, -1)], 1)
    expected = F.interpolate(model.decoder({4: both}), (64, 64), mode="bilinear")
    torch.testing.assert_close(same, expected, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "pspnet"}, r"pspnet has no encoder 'vgg16'; choose from resnet50"),
        ({"encoder": "unet"}, r"fctl has no encoder 'unet'; choose from vgg16"),
        (
            {"architecture": "unet", "encoder": "unet"},
            r"unet has no LCF, no ALE and no contexts; start from its preset",
        ),
        (
            {"architecture": "glnet", "encoder": "resnet50", "lcf": False, "ale": "none", "contexts": ()},
            r"glnet has .* the whole image as its large context",
        ),
        ({"inference": "global"}, r"global inference is for networks without contexts"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(**fields)


def test_a_checkpoint_from_before_is_read_as_fctl() -> None:
    config = preset("fctl_lite")
    old = {k: v for k, v in config.model_dump(mode="json").items() if k not in ("architecture", "inference")}
    assert FCtLConfig.model_validate(old) == config
