"""Parts of a step: the optimizer, threads side by side, a network for inference."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from fctl_napari.finetuning.steps.adam import Adam
from fctl_napari.finetuning.steps.side_by_side import SideBySide
from fctl_napari.model.batch_norms import fold_batch_norms


def test_adam_is_torchs_to_the_bit_and_takes_its_saved_state_up() -> None:
    torch.manual_seed(0)
    ours = [torch.randn(3, 4), torch.randn(5), torch.randn(2)]
    theirs = [p.clone().requires_grad_() for p in ours]
    own, other = Adam(ours), torch.optim.Adam(theirs)
    for step in range(6):
        if step == 3:  # a run that an earlier version began
            own = Adam(ours)
            own.load_state_dict(copy.deepcopy(other.state_dict()))
        rate = own.learning_rate = other.param_groups[0]["lr"] = 0.1 / (step + 1)
        assert rate > 0
        gradients = [torch.randn_like(p) for p in ours[:2]] + [None]
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.clone()
        own.step(gradients)
        other.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    resumed, saved = Adam(ours), own.state_dict()
    resumed.load_state_dict(saved)
    assert resumed.state_dict()["state"].keys() == {0, 1}


def test_a_run_does_not_load_torchs_compiler() -> None:
    code = (
        "import sys, torch; from fctl_napari.finetuning.steps.adam import Adam; import fctl_napari.finetuning.finetune;"
        "Adam([torch.zeros(2)]).step([torch.ones(2)]); print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False"]


@pytest.mark.parametrize("threads", [1, 2])
def test_items_keep_their_order_and_the_callers_threads_stay(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        both = SideBySide(torch.device("cpu"))
        assert both.sides == threads
        assert both.map(lambda i: (i, torch.get_num_threads()), range(5)) == [(i, 1) for i in range(5)]
        assert [list(group) for group in both.groups(range(3))] == [
            [0, 1, 2][i : i + threads] for i in (0, 1, 2)[::threads]
        ]
        assert torch.get_num_threads() == threads
        with pytest.raises(ZeroDivisionError):
            both.map(lambda i: 1 / i, [1, 0])
        both.close()
    finally:
        torch.set_num_threads(before)
    assert SideBySide(torch.device("cuda")).sides == 1


def test_folded_batch_norms_compute_the_same() -> None:
    torch.manual_seed(2)
    inner = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    model = nn.Sequential(inner, nn.Conv2d(4, 2, 1))
    for _ in range(3):
        model(torch.randn(4, 3, 9, 9) * 3 + 1)
    folded = copy.deepcopy(model.eval())
    fold_batch_norms(folded)
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(folded(x), model(x))
    assert [type(m).__name__ for m in folded[0]] == ["Conv2d", "Identity", "ReLU", "BatchNorm2d"]
