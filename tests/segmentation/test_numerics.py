"""fp32, bf16 and channels_last give the same classes on the sample scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fctl_napari.imagery.formats import open_image
from fctl_napari.imagery.sample import sample_files, sample_splits
from fctl_napari.model.card import resolve_checkpoint
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.segmentation.predictor import Predictor

TOP = 500
"""Where the tiles lie: a row of them across a test band, in the north."""


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    return classes("fp32")


def classes(precision: str, *, channels_last: bool = False) -> np.ndarray:
    model, card = load_checkpoint(resolve_checkpoint("earth"))
    if channels_last:
        model.to(memory_format=torch.channels_last)
    size = card.config.tile_size
    left, right = sample_splits()["test"][-1]
    windows = [
        (float(y), float(x), float(y + size), float(x + size))
        for y in (TOP, TOP + size)
        for x in range(left, right - size + 1, size)
    ]
    predictor = Predictor(model, device="cpu", precision=precision)
    found = [labels for _, labels, _ in predictor.classify(open_image(sample_files().image), windows)]
    predictor.close()
    return np.stack(found)


@pytest.mark.parametrize(("precision", "channels_last"), [("fp32", True), ("bf16", True)])
def test_arithmetic_does_not_change_the_mask(precision: str, channels_last: bool, reference: np.ndarray) -> None:
    assert len(np.unique(reference)) >= 4
    assert (classes(precision, channels_last=channels_last) == reference).mean() >= 0.995
