"""What the predictor does for speed does not change the classes on the sample scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files, sample_splits
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.inference.tile_cutting import read_inputs

TOP = 500
"""Where the tiles lie: two rows of them across a test band, in the north."""


def windows() -> list[tuple[float, float, float, float]]:
    size = read_card(resolve_checkpoint("earth")).config.tile_size
    left, right = sample_splits()["test"][-1]
    return [
        (float(y), float(x), float(y + size), float(x + size))
        for y in (TOP, TOP + size)
        for x in range(left, right - size + 1, size)
    ]


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    """The network as it is built: float32, rows of pixels one channel after the other, one tile at a time."""
    model, card = load_checkpoint(resolve_checkpoint("earth"))
    image = open_image(sample_files().image)
    found = []
    for window in windows():
        inputs = read_inputs(image, window, card.config)
        with torch.no_grad():
            logits = model(
                torch.from_numpy(inputs.tile)[None],
                {name: torch.from_numpy(pixels)[None] for name, pixels in inputs.contexts.items()},
                {name: torch.from_numpy(location)[None].float() for name, location in inputs.windows.items()},
            )
        found.append(logits[0].argmax(0).numpy() + 1)
    assert len(np.unique(found)) >= 4
    return np.stack(found)


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("bf16", 0.995)])
def test_layout_and_precision(precision: str, least: float, reference: np.ndarray) -> None:
    model, _ = load_checkpoint(resolve_checkpoint("earth"))
    predictor = Predictor(model, device="cpu", precision=precision)
    found = [labels for _, labels, _ in predictor.classify(open_image(sample_files().image), windows())]
    predictor.close()
    assert (np.stack(found) == reference).mean() >= least


@pytest.mark.nightly
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("bf16", 0.995)])
def test_the_compiled_step(precision: str, least: float, reference: np.ndarray) -> None:
    """torch.compile takes everything that the predictor asks of a network."""
    model, _ = load_checkpoint(resolve_checkpoint("earth"))
    for step in ("encode_tile", "encode_context", "decode"):
        setattr(model, step, torch.compile(getattr(model, step), fullgraph=True))
    predictor = Predictor(model, device="cpu", precision=precision)
    found = [labels for _, labels, _ in predictor.classify(open_image(sample_files().image), windows())]
    predictor.close()
    assert (np.stack(found) == reference).mean() >= least
