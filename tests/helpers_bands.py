"""A made set of scenes with four bands, in which near infrared alone tells two of the classes apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAMES = ("blue", "green", "red", "nir")
CLASSES = {
    "classes": [
        {"name": "soil", "color": (150, 110, 70)},
        {"name": "meadow", "color": (60, 120, 50)},
        {"name": "artificial turf", "color": (60, 120, 90)},
    ]
}
REFLECTANCE = {
    "blue": (900, 500, 500),
    "green": (1100, 900, 900),
    "red": (1500, 600, 600),
    "nir": (2200, 4000, 900),
}
"""Of soil, meadow and artificial turf, times 10,000: the last two differ in near infrared alone."""


def four_band_scene(seed: int, shape: tuple[int, int] = (160, 256)) -> tuple[dict[str, NDArray], NDArray]:
    """Bands of a scene as uint16 by name, and its classes in blocks of 32 px."""
    rng = np.random.default_rng(seed)
    height, width = shape
    blocks = rng.integers(0, 3, (-(-height // 32), -(-width // 32)))
    classes = np.kron(blocks, np.ones((32, 32), int))[:height, :width].astype(np.uint8)
    bands = {
        name: (np.array(means)[classes] + rng.normal(0, 150, shape)).clip(1, 10000).astype(np.uint16)
        for name, means in REFLECTANCE.items()
    }
    return bands, classes


def write_bands(path: Path, bands: dict[str, NDArray], order: Sequence[str] = NAMES, *, named: bool = True) -> Path:
    """A GeoTIFF of some bands in an order, with their names or without."""
    import rasterio

    height, width = next(iter(bands.values())).shape
    profile = {"driver": "GTiff", "count": len(order), "height": height, "width": width, "dtype": "uint16"}
    with rasterio.open(path, "w", photometric="minisblack", alpha="no", **profile) as file:
        file.write(np.stack([bands[name] for name in order]))
        if named:
            file.descriptions = tuple(order)
    return path


def write_four_bands(folder: Path, scenes: int = 3) -> Path:
    """A data set of pairs: ``images/NAME.tif``, ``masks/NAME.png``, and the split."""
    import json

    from PIL import Image

    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(scenes):
        bands, classes = four_band_scene(number)
        write_bands(folder / "images" / f"scene{number}.tif", bands)
        Image.fromarray(classes).save(folder / "masks" / f"scene{number}.png")
    (folder / "train.txt").write_text("".join(f"scene{n}\n" for n in range(scenes - 1)))
    (folder / "val.txt").write_text(f"scene{scenes - 1}\n")
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    return folder


def write_four_band_network(path: Path) -> Path:
    """An untrained network of red, green, blue and near infrared, each in 0..5000."""
    import torch
    from helpers_training import NETWORK

    from fctl_napari.model.build import make_network
    from fctl_napari.model.checkpoint import save_checkpoint
    from fctl_napari.model.classes import ClassTable
    from fctl_napari.model.config import make_config
    from fctl_napari.model.model_card import Card

    torch.manual_seed(0)
    bands = [{"name": name, "value_range": (0, 5000)} for name in ("red", "green", "blue", "nir")]
    config = make_config(**NETWORK, bands=bands, classes=3)
    card = Card(name="four", config=config, classes=ClassTable.model_validate(CLASSES))
    return save_checkpoint(path, make_network(config), card)
