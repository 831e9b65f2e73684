"""Measure from which filters a new band is learned soonest: zeros, the mean filter, or the mean filter in its share.

The sample scene gets a made band of near infrared, in which vegetation is bright, with noise. The network ``earth``,
widened by it, is trained for a few steps; printed is the mIoU on the test regions, and that without the band.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import rasterio
from torch import Tensor

from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files, sample_splits
from fctl_napari.model.input_filters import refit_filters
from fctl_napari.model.model_card import read_card
from fctl_napari.training import weight_init
from fctl_napari.training.config import TrainConfig, load_train_config
from fctl_napari.training.data import open_scenes
from fctl_napari.training.train import train

VEGETATION = ("forest", "rangeland", "agriculture")
NAMES = ("red", "green", "blue", "nir")


def zeros(weight: Tensor, given: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Start a new band from zeros."""
    found = mean(weight, given, wanted)
    found[:, [index for index, name in enumerate(wanted) if name not in given]] = 0
    return found


def mean(weight: Tensor, given: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Start a new band from the mean filter, and keep the others."""
    return refit_filters(weight, given, wanted) * (len(wanted) / len(given))


STARTS: dict[str, Callable[[Tensor, Sequence[str], Sequence[str]], Tensor]] = {
    "zeros": zeros,
    "mean filter": mean,
    "mean filter in its share (as built)": refit_filters,
}


def write_image(folder: Path, noise: float) -> Path:
    """Write the sample scene with a band of near infrared."""
    (scene,), table = open_scenes(load_train_config("earth").data)
    height, width = scene.pyramid.shape
    rgb = scene.pyramid.read((0, 0, height, width))
    green = np.isin(scene.ground_truth[0:height, 0:width], [table.names.index(name) for name in VEGETATION])
    nir = np.random.default_rng(0).normal(np.where(green, 160, 60), noise).clip(0, 255).astype(np.uint8)
    path = folder / "scene.tif"
    profile = {"driver": "GTiff", "count": 4, "height": height, "width": width, "dtype": "uint8", "tiled": True}
    with rasterio.open(path, "w", photometric="minisblack", alpha="no", **profile) as file:
        file.write(np.concatenate([rgb.transpose(2, 0, 1), nir[None]]))
        file.descriptions = NAMES
    assert open_image(path).band_names == NAMES
    return path


def config_of(image: Path, steps: int, seed: int, bands: Sequence[str]) -> TrainConfig:
    """Return the recipe of ``earth``, from ``earth``, on that image."""
    recipe = load_train_config("earth").model_dump()
    scene = {"image": str(image), "truth": str(sample_files().ground_truth), **sample_splits()}
    _, table = open_scenes(load_train_config("earth").data)
    changed = {
        "network": recipe["network"] | {"bands": list(bands)},
        "init_from": "earth",
        "frozen": [],
        "steps": steps,
        "seed": seed,
        "batch": 4,
        "learning_rate": 5e-4,
        "encoder_factor": 1.0,
        "data": {"classes": table.model_dump(), "scenes": [scene]},
    }
    return TrainConfig.model_validate(recipe | changed)


def main() -> None:
    """Print a line for each start and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--noise", type=float, default=60.0, help="standard deviation of the made band, of 255")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = write_image(Path(folder), arguments.noise)
        for seed in range(arguments.seeds):
            for name, start in {"without it": refit_filters, **STARTS}.items():
                bands = NAMES[:3] if name == "without it" else NAMES
                out = Path(folder) / f"{name} {seed}"
                with patch.object(weight_init, "refit_filters", start):
                    path = train(config_of(image, arguments.steps, seed, bands), out)
                print(f"seed {seed}, {name}: test mIoU {read_card(path).figures['test']['miou']:.3f}", flush=True)


if __name__ == "__main__":
    main()
