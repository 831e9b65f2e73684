"""CascadePSP's refinement module: shapes, what reaches what, its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from fctl_napari.errors import CheckpointError, OutputError
from fctl_napari.model.card import BUILTIN_FOLDER
from fctl_napari.model.encoders import load_published_weights
from fctl_napari.model.refinement import Refiner, load_refiner, read_refiner, save_refiner

from . import published


def questions(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
    return images, (torch.rand(1, 1, size, size) > 0.5).float()


def test_gradients_reach_every_parameter_at_any_size() -> None:
    model = Refiner().eval()
    logits = model(*questions(45))
    assert {stride: tuple(x.shape) for stride, x in logits.items()} == dict.fromkeys((8, 4, 1), (1, 1, 45, 45))
    sum(F.binary_cross_entropy_with_logits(x, torch.ones_like(x)) for x in logits.values()).backward()  # type: ignore[union-attr]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@torch.no_grad()
def test_a_file_gives_the_same_refiner_and_nothing_else_is_replaced(tmp_path: Path) -> None:
    model = Refiner().eval()
    images, masks = questions(40)
    path = save_refiner(tmp_path / "r.safetensors", model, {"steps": 3})
    assert read_refiner(path) == {"steps": 3}
    model.half().float()  # as stored
    logits, stored = model(images, masks), load_refiner(path)(images, masks)
    torch.testing.assert_close(stored, logits)
    other = model(images, 1 - masks)[1]
    assert float((other - logits[1]).abs().max()) > 1e-3 * float(logits[1].abs().max())
    save_refiner(path, model, {"steps": 4})
    with pytest.raises(CheckpointError, match="is no refiner"):
        load_refiner(BUILTIN_FOLDER / "earth.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"nothing of ours")
    with pytest.raises(OutputError, match="exists and is not a refiner"):
        save_refiner(tmp_path / "other.safetensors", model, {})
    with pytest.raises(OutputError, match="end in"):
        save_refiner(tmp_path / "r.pth", model, {})


@torch.no_grad()
def test_published_weights_see_the_image_and_not_yet_the_masks(tmp_path: Path) -> None:
    state = published.resnet50()
    torch.save(state, tmp_path / "resnet50.pth")
    encoder = Refiner().encoder
    load_published_weights(encoder, tmp_path / "resnet50.pth")
    torch.testing.assert_close(encoder.conv1.weight[:, :3], state["conv1.weight"])
    assert not encoder.conv1.weight[:, 3:].any()
