"""Scenes that are corrected in benchmarks, each with a checkpoint that was not trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fctl_napari.datasets.layouts import find_data_set
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.training.config import load_train_config
from fctl_napari.training.data import Scene, open_scenes
from fctl_napari.training.data_settings import DataSettings

ELSEWHERE: dict[str, tuple[str, dict[str, str]]] = {
    "river": ("aerial", {"water": "water", "dry_sediment": "land", "green_vegetation": "vegetation"}),
    "dunes": (
        "aerial",
        {
            **{"water": "water", "beach": "land", "foredune": "land", "bare_dune": "land", "pavement_path": "road"},
            **dict.fromkeys(["marsh", "agriculture", "dense_dune_vegetation"], "vegetation"),
            **dict.fromkeys(["sparse_dune_vegetation", "iceplant"], "vegetation"),
        },
    ),
    "deepglobe10": ("earth", {k: k for k in ("agriculture", "rangeland", "forest", "water", "barren")}),
}
"""Checkpoint that is corrected on another set of scenes, and its class for each of theirs (others: not counted)."""


@dataclass(frozen=True)
class Case:
    """Scene to correct, with what else is needed of its data set.

    The regions that count are ``scene.test``.
    """

    checkpoint: Path
    image: Path
    scene: Scene
    old: list[Scene]
    data_folder: str | None


def earth(bands: str) -> Case:
    """Return the test bands of the Earth scene, or those of validation."""
    (scene,), _ = open_scenes(DataSettings(sample=True))
    if bands == "val":
        scene = replace(scene, test=scene.val)
    return Case(resolve_checkpoint("earth"), sample_files().image, scene, [scene], None)


def aerial(data: Path, holdout: str, checkpoint: Path, change: str, folder: Path) -> Iterator[Case]:
    """Return the scenes of a held-out group, perhaps changed."""
    scenes, _ = open_scenes(load_train_config("aerial", {"data.holdout": holdout}).data, data)
    trained = read_card(checkpoint).provenance["training"]["data"]["holdout"]
    if trained != holdout:
        raise SystemExit(f"{checkpoint}: was trained without group {trained or 'none'}, not {holdout}")
    old = [scene for scene in scenes if scene.train]
    for scene in scenes:
        if scene.val:
            pixels = np.asarray(scene.pyramid.levels[0][:])[..., :3]
            pixels, ground_truth = changed(pixels, np.asarray(scene.ground_truth), change)
            path = folder / f"{change} {Path(scene.name).stem}.png"
            Image.fromarray(pixels).save(path)
            whole = (0, 0, *ground_truth.shape)
            unseen = Scene(scene.name, open_image(path), ground_truth, (), (), (whole,))
            yield Case(checkpoint, path, unseen, old, str(data))


def elsewhere(name: str, data: Path, only: Sequence[str]) -> Iterator[Case]:
    """Return the scenes of another set, with the classes of the checkpoint that is corrected there."""
    checkpoint, classes = ELSEWHERE[name]
    card = read_card(resolve_checkpoint(checkpoint))
    settings = DataSettings(layout="auto")
    images = {pair.short: pair.image for pair in find_data_set(data / name).pairs}
    scenes, table = open_scenes(settings, data / name)
    index = np.full(256, IGNORE, np.uint8)
    for own, other in classes.items():
        index[table.names.index(own)] = card.classes.names.index(other)
    sample = card.provenance["training"]["data"]["sample"]
    old_data = DataSettings(sample=True) if sample else load_train_config(checkpoint).data
    folder = None if sample else data / checkpoint
    old = [scene for scene in open_scenes(old_data, folder or ".")[0] if scene.train]
    for scene in scenes:
        stem = next(short for short in images if Path(scene.name).stem.startswith(short))
        if only and stem not in only:
            continue
        height, width = scene.ground_truth.shape
        ground_truth = index[scene.ground_truth[0:height, 0:width]]
        unseen = Scene(stem, scene.pyramid, ground_truth, (), (), ((0, 0, height, width),))
        yield Case(resolve_checkpoint(checkpoint), images[stem], unseen, old, None if sample else str(folder))


def changed(
    pixels: NDArray[np.uint8], ground_truth: NDArray[np.uint8], change: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Change a scene by another color, haze, or a scale of 0.7."""
    image = pixels.astype(np.float32)
    if change == "colour":
        image = (image * [1.15, 0.95, 0.8]) ** 1.05
    elif change == "haze":
        image = image * 0.6 + np.array([70, 75, 85])
    elif change == "scale":
        size = round(pixels.shape[1] * 0.7), round(pixels.shape[0] * 0.7)
        image = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX)).astype(np.float32)
        ground_truth = np.asarray(Image.fromarray(ground_truth).resize(size, Image.Resampling.NEAREST))
    return np.clip(image.round(), 0, 255).astype(np.uint8), ground_truth
