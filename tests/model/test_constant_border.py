"""VGG16's inference without the constant border is VGG16."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fctl_napari.model.encoders.constant_border import Part
from fctl_napari.model.encoders.vgg16 import VGG16


@pytest.fixture(scope="module")
def encoder() -> VGG16:
    """Small enough to run often; biases differ from zero, or the border would be zero throughout."""
    encoder = VGG16().eval()
    for parameter in encoder.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, std=0.1)
    return encoder


def images(count: int, size: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


def both(encoder: VGG16, x: Tensor, last_stride: int) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    with torch.no_grad():
        quick = encoder(x, last_stride)
        encoder.skip_constant_border = False
        plain = encoder(x, last_stride)
        encoder.skip_constant_border = True
    return quick, plain


@settings(max_examples=4, deadline=None)
@given(count=st.integers(1, 2), size=st.integers(32, 64), last_stride=st.sampled_from([8, 16, 32]))
def test_features_are_the_same(encoder: VGG16, count: int, size: int, last_stride: int) -> None:
    quick, plain = both(encoder, images(count, size), last_stride)
    assert sorted(quick) == sorted(plain)
    for stride, features in plain.items():
        torch.testing.assert_close(quick[stride], features, rtol=0, atol=1e-5 * float(features.abs().max()))


def test_other_weights_have_another_border(encoder: VGG16) -> None:
    x = images(1, 32)
    before, _ = both(encoder, x, 8)
    with torch.no_grad():
        encoder.layers[0].bias.add_(1)
    quick, plain = both(encoder, x, 8)
    torch.testing.assert_close(quick[8], plain[8], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(quick[8], before[8])


def test_gradients_take_the_plain_way(encoder: VGG16) -> None:
    encoder(images(1, 32), 8)[8].sum().backward()
    assert encoder.layers[0].weight.grad is not None


def test_the_image_reaches_69_of_89_cells_of_pool3() -> None:
    reached = Part(98, 608, 706)  # conv1_1 of a 508 px tile
    for layer in list(VGG16().layers)[1:17]:
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
            reached = reached.after(layer)
    assert reached == Part(10, 79, 89)
