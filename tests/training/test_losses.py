import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.training.losses import class_weights, distillation_loss, focal_loss


def plain_focal(logits, ground_truth, gamma, weights):
    total, weight_sum = 0.0, 0.0
    b, _, h, w = logits.shape
    for i in range(b):
        for y in range(h):
            for x in range(w):
                k = int(ground_truth[i, y, x])
                if k == 255:
                    continue
                p = np.exp(logits[i, :, y, x].astype(np.float64))
                p = p[k] / p.sum()
                total += -weights[k] * (1 - p) ** gamma * np.log(p)
                weight_sum += weights[k]
    return total / weight_sum


@given(st.integers(0, 2**31), st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.booleans())
def test_equals_the_plain_formula(seed, gamma, weighted):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (2, 4, 3, 5)).astype(np.float32)
    ground_truth = rng.choice([0, 1, 2, 3, 255], (2, 3, 5))
    ground_truth[0, 0, 0] = 1
    weights = rng.uniform(0.2, 3, 4).astype(np.float32) if weighted else np.ones(4, np.float32)
    ours = focal_loss(
        torch.from_numpy(logits), torch.from_numpy(ground_truth), gamma, torch.from_numpy(weights) if weighted else None
    )
    assert np.isclose(float(ours), plain_focal(logits, ground_truth, gamma, weights), rtol=1e-4, atol=1e-6)


def test_nothing_labelled_is_zero_with_a_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = focal_loss(logits, torch.full((1, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_ignored_pixels_get_no_gradient_and_certain_ones_stay_finite():
    logits = torch.tensor([[[[60.0, 0.0]], [[-60.0, 0.0]]]], requires_grad=True)
    focal_loss(logits, torch.tensor([[[0, 255]]])).backward()
    assert torch.isfinite(logits.grad).all()
    assert torch.equal(logits.grad[..., 1], torch.zeros(1, 2, 1))


@given(st.integers(0, 2**31))
def test_distillation_is_the_weighted_kl_of_each_tile_but_for_the_entropy(seed):
    rng = np.random.default_rng(seed)
    student, parent = rng.normal(0, 2, (2, 2, 4, 3, 5))
    weights = rng.uniform(0, 1, (2, 3, 5)) * rng.integers(0, 2, (2, 3, 5))
    log_p, log_q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (parent, student))
    kl = (np.exp(log_p) * (log_p - log_q)).sum(1)
    targets = np.exp(log_p) * weights[:, None]
    found = distillation_loss(torch.from_numpy(student), torch.from_numpy(targets))
    entropy = -(targets * log_p).sum((1, 2, 3))
    np.testing.assert_allclose(found - entropy, (kl * weights).sum((1, 2)), rtol=1e-4, atol=1e-4)


def test_distillation_from_itself_has_no_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    distillation_loss(logits, logits.detach().softmax(1)).sum().backward()
    assert logits.grad.abs().max() < 1e-6


def test_rare_classes_weigh_more_up_to_a_limit():
    weights = class_weights(np.array([1000, 100, 0, 1]))
    assert weights[2] == 0
    np.testing.assert_allclose(weights[[0, 1, 3]] / weights[0], [1, 10, 10], rtol=1e-6)
    assert weights[[0, 1, 3]].mean() == pytest.approx(1)
