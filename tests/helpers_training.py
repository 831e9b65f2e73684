"""What the tests of training share: a scene of two classes, a small config, and its TOML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fctl_napari.training.config import TrainConfig

CLASSES = {"classes": [{"name": "dark", "color": (0, 0, 0)}, {"name": "bright", "color": (255, 255, 255)}]}
NETWORK = {
    "encoder": "mit_b0",
    "tile_size": 64,
    "width": 16,
    "contexts": [{"name": "local"}, {"name": "medium", "scale": 2.0}, {"name": "large", "scale": "global"}],
    "ale_windows": [3],
}
ONE_CONTEXT = NETWORK | {"contexts": NETWORK["contexts"][:2], "ale": "none"}
NO_CONTEXT = NETWORK | {"contexts": [], "ale": "none"}
"""For what is the same with all of the network's parts."""
STAGES = [
    {"name": "baseline", "contexts": [], "network": {"ale": "none"}},
    {"name": "medium", "contexts": ["medium"], "network": {"ale": "none", "share_encoders": "all"}},
    {"name": "all", "contexts_from": {"medium": "medium"}, "frozen": ["encoders.medium"], "learning_rate": 5e-4},
]
for _stage in STAGES[1:]:
    _stage["init_from"] = "baseline"


def write_scene(folder: Path) -> Path:
    """``scene.png`` and ``truth.png``, 160 x 256 px: blocks of 32 px, dark or bright."""
    rng = np.random.default_rng(0)
    ground_truth = np.kron(rng.integers(0, 2, (5, 8)), np.ones((32, 32))).astype(np.uint8)
    image = (ground_truth[..., None] * 150 + rng.integers(0, 60, (*ground_truth.shape, 3))).astype(np.uint8)
    Image.fromarray(image).save(folder / "scene.png")
    Image.fromarray(ground_truth).save(folder / "truth.png")
    return folder


def make(measured: bool = True, **fields: Any) -> TrainConfig:
    """Six short steps on that scene, exact to the bit; ``measured`` on bands of it or not at all."""
    scene: dict[str, Any] = {"image": "scene.png", "truth": "truth.png", "train": [(0, 160)]}
    if measured:
        scene |= {"val": [(160, 208)], "test": [(208, 256)]}
    return TrainConfig(
        **{
            "name": "tiny",
            "network": NETWORK,
            "data": {"classes": CLASSES, "scenes": [scene]},
            "steps": 6,
            "batch": 2,
            "learning_rate": 1e-3,
            "precision": "fp32",
            **fields,
        }
    )


def toml_of(config: TrainConfig) -> str:
    """A config as a TOML file says it."""
    fields = config.model_dump(mode="json", exclude_unset=True)
    return "\n".join(f"{key} = {_inline(value)}" for key, value in fields.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


def losses(folder: Path) -> dict[int, float]:
    """By step, as logged; no step twice."""
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    found = [(e["step"], e["loss"]) for e in entries if "loss" in e]
    assert len(dict(found)) == len(found)
    return dict(found)
