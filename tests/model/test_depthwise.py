from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fctl_napari.model.depthwise import DepthwiseConv2d
from fctl_napari.model.lcf import attend


@pytest.mark.parametrize("window", [3, 5, 9])
@pytest.mark.parametrize("shape", [(2, 8, 16, 16), (1, 3, 7, 12), (3, 1, 4, 4)])
def test_output_and_gradients_are_those_of_torch(window: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(window)
    x, upstream = torch.randn(2, *shape, dtype=torch.float64)
    ours = DepthwiseConv2d(shape[1], window).double()
    plain = nn.Conv2d(shape[1], shape[1], window, padding=window // 2, groups=shape[1]).double()
    plain.load_state_dict(ours.state_dict())
    found = []
    for layer in (ours, plain):
        of_x = x.clone().requires_grad_()
        out = layer(of_x)
        out.backward(upstream)
        with torch.no_grad():
            torch.testing.assert_close(layer(x), out.detach())
        found.append((out.detach(), of_x.grad, layer.weight.grad, layer.bias.grad))  # type: ignore[union-attr]
    for own, expected in zip(*found, strict=True):
        torch.testing.assert_close(own, expected)


def test_in_bf16_weights_still_get_gradients_in_fp32() -> None:
    torch.manual_seed(0)
    layer, x = DepthwiseConv2d(4, 5), torch.randn(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    exact = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert (layer.weight.grad - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_attention_that_learns_is_torchs(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    given = torch.randn(3, 2, 20, 8)
    ours = [t.to(dtype).requires_grad_() for t in given]
    plain = [t.clone().requires_grad_() for t in given]
    attend(*ours, 0.3).float().square().sum().backward()
    F.scaled_dot_product_attention(*plain, scale=0.3).square().sum().backward()
    for own, expected in zip(ours, plain, strict=True):
        assert own.grad is not None
        assert (own.grad.float() - expected.grad).norm() < 0.03 * expected.grad.norm()  # type: ignore[union-attr]
