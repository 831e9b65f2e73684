"""Record what networks of segmentation_models.pytorch score, for the tests of their import.

``python scripts/make_smp_fixture.py`` writes ``tests/data/smp.json.xz``. It needs that package, so it is run in an
environment of its own: the package needs torchvision, which this project's must not have.
"""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path

import segmentation_models_pytorch as smp
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "model" / "folders"))
import helpers_smp

TILES = (64, 96)
CLASSES = ("Unet", "FPN", "DeepLabV3Plus")
ENCODERS = ("resnet18", "resnet34", "resnet50", "resnet101")


@torch.no_grad()
def _record(kind: str, encoder: str, classes: int, tiles: tuple[int, ...]) -> dict[str, object]:
    """Record settings, names and shapes of weights, and scores of one network."""
    network = getattr(smp, kind)(encoder, encoder_weights=None, classes=classes).eval()
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict(helpers_smp.weights(shapes))
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    scores = {tile: network((helpers_smp.images(tile) / 255 - mean) / std) for tile in tiles}
    config = dict(network.config) | {"_model_class": kind}
    sampled = {tile: [float(f"{value:.7g}") for value in helpers_smp.sampled(found)] for tile, found in scores.items()}
    return {"config": config, "shapes": shapes, "scores": sampled}


if __name__ == "__main__":
    networks = [_record(kind, encoder, 3, TILES) for kind in CLASSES for encoder in ENCODERS]
    networks.append(_record("Unet", "resnet18", 1, (100,)))  # one score, and a tile that is no multiple of 32
    text = json.dumps({"version": smp.__version__, "networks": networks})
    helpers_smp.RECORDED.write_bytes(lzma.compress(text.encode(), preset=9))
