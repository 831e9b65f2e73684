from __future__ import annotations

import numpy as np
import pytest
import torch

from fctl_napari.evaluation.context_reliance import context_reliance, segmentation_reliance
from fctl_napari.exceptions import CheckpointError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.fctl import FCtL
from fctl_napari.segmentation.inference.tile_cutting import read_inputs

WINDOWS = [(0.0, 0.0, 64.0, 64.0), (30.0, 90.0, 94.0, 154.0), (100.0, 200.0, 164.0, 264.0)]


@pytest.fixture
def pyramid(make_rgb):
    return pyramid_from_array(make_rgb(200, 300), name="scene")


def classes(model, tile, contexts, windows):
    tensors = [{n: torch.from_numpy(v)[None] for n, v in part.items()} for part in (contexts, windows)]
    with torch.no_grad():
        return model(torch.from_numpy(tile)[None], *tensors).argmax(1).numpy()


def test_equals_the_share_of_pixels_that_change(tiny_checkpoint, pyramid):
    model, _ = load_checkpoint(tiny_checkpoint)
    measured = context_reliance(model, pyramid, WINDOWS, seed=3)
    order = np.random.default_rng(3).permutation(3)
    inputs = [read_inputs(pyramid, WINDOWS[i], model.config) for i in order]
    changed = [
        classes(model, own.tile, own.contexts, own.windows) != classes(model, own.tile, other.contexts, other.windows)
        for own, other in ((inputs[0], inputs[1]), (inputs[1], inputs[2]), (inputs[2], inputs[0]))
    ]
    assert measured == pytest.approx(np.mean(changed))


def test_a_network_that_cannot_use_its_contexts_has_none(tiny_config, pyramid):
    torch.manual_seed(0)
    closed = FCtL(tiny_config.model_copy(update={"gate_init": 0.0, "ale": "none"})).eval()
    assert context_reliance(closed, pyramid, WINDOWS) == 0
    baseline = FCtL(tiny_config.model_copy(update={"contexts": (), "ale": "none"})).eval()
    assert context_reliance(baseline, pyramid, WINDOWS) == 0


def test_a_store_whose_checkpoint_is_not_at_hand_says_so(make_segmentation):
    with pytest.raises(CheckpointError, match="--checkpoint"):
        segmentation_reliance(make_segmentation(np.ones((64, 64), np.uint8)))
